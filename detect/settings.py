"""Extraction settings as people say them: ``KEY=VALUE``."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from functools import cache
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from detect.extraction import ExtractionConfig
from distmap.common.object_size import ObjectSize, parse_object_size

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
        name, equals, text = (part.strip() for part in pair.partition("="))
        if not equals:
            raise ValueError(f"--set {pair}: give it as KEY=VALUE")
        if name not in SETTINGS:
            close = difflib.get_close_matches(name, SETTINGS, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(SETTINGS)}"
            raise ValueError(f"--set {pair}: unknown setting {name!r}; {hint}")
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
