"""Files that somebody else may have made: bounded in size and depth, and checked against a schema with ranges."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from distmap.common.errors import naming

MB = 2**20
LARGEST_JSON = 4096 * MB  # annotations of a large data set
LARGEST_RUN_FILE = 256 * MB
LARGEST_YAML = 4 * MB
YAML_DEPTH = 50
MOST_DIGITS = 300  # of a whole number: more are no float
LONG_NUMBER = re.compile(rb"[0-9]{%d}" % (MOST_DIGITS + 1))


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """What a file holds.

    Raises
    ------
    ValueError
        It is larger than that, or no regular file.
    """
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, expected a file")
    size = path.stat().st_size
    if size > most_bytes:
        raise ValueError(f"{path}: has {size / MB:,.0f} MB, such a file may have {most_bytes / MB:,.0f} MB")
    return path.read_bytes()


def read_utf8(path: Path, most_bytes: int = LARGEST_JSON) -> str:
    """A UTF-8 text file, without the mark of byte order that it may begin with; raises ValueError for other bytes."""
    content = read_bounded(path, most_bytes)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text (byte {error.start})") from None


def parse_json(content: bytes, place: str | Path) -> Any:
    """What JSON says: nested at most 200 deep, whole numbers of at most 300 digits.

    Raises
    ------
    ValueError
        It is no JSON, or beyond that; names the place.
    """
    from pydantic_core import from_json

    try:
        parsed = from_json(content.removeprefix(b"\xef\xbb\xbf"), cache_strings="keys")
    except ValueError as error:
        raise ValueError(f"{place}: not a JSON file ({error})") from None
    if LONG_NUMBER.search(content):
        _refuse_long_numbers(parsed, place)
    return parsed


def _refuse_long_numbers(parsed: Any, place: str | Path) -> None:
    todo = [parsed]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            todo += value.values()
        elif isinstance(value, list):
            todo += value
        elif isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
            raise ValueError(f"{place}: holds a whole number of more than {MOST_DIGITS} digits")


def read_yaml_file(path: Path) -> Any:
    """What a YAML file holds: no aliases, which let a small file say very much, nested at most 50 deep.

    Raises
    ------
    ValueError
        It is no YAML, or beyond that; names the file.
    """
    import yaml

    content = read_bounded(path, LARGEST_YAML)
    with naming(path):
        try:
            return yaml.load(content.decode("utf-8-sig"), Loader=_yaml_loader())
        except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise ValueError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from error


@cache
def _yaml_loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses aliases and deep nesting while it reads, before anything grows."""

        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            if self.check_event(yaml.AliasEvent):
                raise yaml.MarkedYAMLError(None, None, "aliases (*name) are not taken; write it out", mark)
            self.depth += 1
            if self.depth > YAML_DEPTH:
                raise yaml.MarkedYAMLError(None, None, f"nested more than {YAML_DEPTH} deep", mark)
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

    return Loader


def checked(kind: Any, value: Any, place: str | Path) -> Any:
    """What a file says, as a type that has ranges; of JSON's own kinds: a text is no number, a list may be a tuple.

    Parameters
    ----------
    kind
        Anything that pydantic knows: a dataclass, a ``TypedDict``, an annotated number.
    value
        As ``parse_json`` gives it. Keys that ``kind`` does not know are passed over.

    Raises
    ------
    ValueError
        A key is missing, or a value of the wrong kind or out of range; names place, key and value.
    """
    import json

    from pydantic import ValidationError

    try:
        return _adapter(kind).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise ValueError(f"{place}: {first_fault(error)}") from None


def first_fault(error: Any) -> str:
    """Key, value and what is wrong with it, of the first of pydantic's errors."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    what = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"{where} is missing"
    if first["type"] == "value_error":
        return f"{where}: {what}" if where else what
    return f"{where} {shortened(first['input'])}: {what}".lstrip()


def shortened(value: Any, most: int = 80) -> str:
    """A value as people see it, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        return "a very large number"
    return text if len(text) <= most else f"{text[:most]}..."


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
