"""Extraction settings as people say them: ``KEY=VALUE``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import cache
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from detect.extraction import ExtractionConfig
from distmap.common.object_size import ObjectSize, parse_object_size
from distmap.common.settings import split_pair, unknown_setting

SETTINGS = tuple(field.name for field in dataclasses.fields(ExtractionConfig))


def parse_settings(pairs: Iterable[str]) -> dict[str, Any]:
    """Settings of `ExtractionConfig` by name, from texts such as ``neck=0.8`` or ``object_size=35x16``.

    ``none`` is None, and two numbers with a comma between them are a range.

    Raises
    ------
    ValueError
        No such setting, or not a value of its kind; whether it is in its range, `ExtractionConfig` checks.
    """
    settings = {}
    for pair in pairs:
        name, text = split_pair(pair)
        if name not in SETTINGS:
            raise ValueError(f"--set {pair}: {unknown_setting(name, SETTINGS)}")
        settings[name] = _value(name, text)
    return settings


def _value(name: str, text: str) -> Any:
    from pydantic import TypeAdapter, ValidationError

    kind = _kinds()[name]
    value: Any = text
    if text.lower() in ("none", "null") and NoneType in get_args(kind):
        value = None
    elif kind == ObjectSize | None:
        return parse_object_size(text)
    elif name == "value_range" and "," in text:
        value = tuple(text.split(","))
    elif get_origin(kind) is Literal:
        value = {str(choice): choice for choice in get_args(kind)}.get(text, text)
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise ValueError(f"--set {name}={text}: {error.errors()[0]['msg']}") from None


@cache
def _kinds() -> dict[str, Any]:
    return get_type_hints(ExtractionConfig)
