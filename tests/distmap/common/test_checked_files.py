"""Files that somebody else may have made: what is taken, and what is refused with its name."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from annotated_types import Ge, Le
from hypothesis import given
from hypothesis import strategies as st

from distmap.common.checked_files import checked, parse_json, read_bounded, read_utf8, read_yaml_file, shortened
from tests.fuzz.corpus import alias_bomb


@dataclass(frozen=True)
class Pair:
    count: Annotated[int, Ge(0), Le(9)]
    rates: tuple[float, ...] = ()


PLAIN = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text('aä\x00\n\\"')


@given(st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner)))
def test_json_is_read_as_python_reads_it(value: Any) -> None:
    assert parse_json(json.dumps(value).encode(), "a") == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode("utf-8-sig"), "a") == value


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused_by_name(content: bytes) -> None:
    said = "a.json: "
    try:
        parse_json(content, "a.json")
    except ValueError as error:
        said = str(error)
    assert said.startswith("a.json: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "not a JSON file .recursion limit"),
        (b'{"a": ' * 300 + b"1" + b"}" * 300, "recursion limit"),
        (b"[1" + b"0" * 400 + b"]", "more than 300 digits"),
        (b'{"a": [{"b": -1' + b"0" * 400 + b"}]}", "more than 300 digits"),
        (b"1" + b"0" * 9000, "number out of range"),
        (b'"\\ud800"', "not a JSON file"),
        (b"\xff\xfe", "not a JSON file"),
    ],
)
def test_json_beyond_the_bounds(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=f"^a.json: .*{message}"):
        parse_json(content, "a.json")


def test_digits_in_text_and_floats_are_no_whole_numbers() -> None:
    digits = "1" * 400
    assert parse_json(json.dumps([digits]).encode(), "a") == [digits]
    assert parse_json(f"[0.{digits}]".encode(), "a") == [pytest.approx(1 / 9)]


def test_large_files_folders_and_other_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone")
    assert read_utf8(path) == "one"
    with pytest.raises(ValueError, match=r"a\.txt: has 0 MB, such a file may have 0 MB"):
        read_bounded(path, 3)
    with pytest.raises(ValueError, match="is a folder, expected a file"):
        read_bounded(tmp_path, 3)
    path.write_bytes(b"on\xee")
    with pytest.raises(ValueError, match=r"a\.txt: is not UTF-8 text \(byte 2\)"):
        read_utf8(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (alias_bomb("names"), "aliases .* are not taken"),
        (b"a: &a [*a]", "aliases"),
        (b"[" * 60 + b"]" * 60, "nested more than 50 deep"),
        (b"[" * 100_000, "nested more than 50 deep"),
        (b"a: 2001-99-99", "month must be in 1..12"),
        (b"a: \x00", "not a YAML file"),
        (b"? [a]\n: b", "not a YAML file"),
        (b"!!python/object/apply:os.system [ls]", "could not determine a constructor"),
    ],
)
def test_yaml_beyond_the_bounds(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.yaml: not a YAML file .*{message}|a\.yaml: {message}"):
        read_yaml_file(path)


def test_yaml_with_an_anchor_that_nothing_refers_to(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &b [1, 2.5, x]\n")
    assert read_yaml_file(tmp_path / "a.yaml") == {"a": [1, 2.5, "x"]}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], r"a: \[\]: Input should be an object"),
        ({}, "a: count is missing"),
        ({"count": "1"}, "a: count '1': Input should be a valid integer"),
        ({"count": 10**400}, "a: count 1000.*less than or equal to 9"),
        ({"count": 1, "rates": [0.5, None]}, "a: rates.1 None: Input should be a valid number"),
    ],
)
def test_schemas_name_key_and_value(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked(Pair, value, "a")


def test_schemas_pass_over_what_they_do_not_know() -> None:
    assert checked(Pair, {"count": 3, "rates": [1, 0.5], "more": [1]}, "a") == Pair(3, (1.0, 0.5))
    assert math.isinf(checked(Pair, {"count": 3, "rates": [math.inf]}, "a").rates[0])


def test_long_values_are_cut() -> None:
    assert shortened([1, "a"]) == "[1, 'a']"
    assert shortened([7] * 1000, 10) == "[7, 7, 7, ..."
    assert shortened(10**5000) == "a very large number"
