"""Settings as people say them."""

from __future__ import annotations

import pytest

from distmap.common.settings import flatten, split_pair, unknown_setting


def test_nested_settings_become_flat() -> None:
    assert flatten({"a": 1, "b": {"c": None, "d": {"e": [2]}}, "f": {}}) == {"a": 1, "b.c": None, "b.d.e": [2]}


@pytest.mark.parametrize(
    ("text", "pair"),
    [("a=1", ("a", "1")), (" b.c = x y ", ("b.c", "x y")), ("a=b=c", ("a", "b=c")), ("a=", ("a", ""))],
)
def test_pairs(text: str, pair: tuple[str, str]) -> None:
    assert split_pair(text) == pair


def test_what_is_no_pair_is_named() -> None:
    with pytest.raises(ValueError, match=r"--set neck: give it as KEY=VALUE"):
        split_pair("neck")


def test_unknown_settings_are_named_with_the_one_that_was_meant() -> None:
    assert unknown_setting("nek", ["neck", "halo"]) == "unknown setting 'nek'; did you mean 'neck'?"
    assert unknown_setting("zzz", ["neck", "halo"]) == "unknown setting 'zzz'; choose one of neck, halo"
    assert unknown_setting("zzz", ["neck"], otherwise="read on") == "unknown setting 'zzz'; read on"
