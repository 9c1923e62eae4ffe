"""Settings that are given as text."""

from __future__ import annotations

from typing import Any

import pytest

from detect.extraction import ExtractionConfig
from detect.settings import SETTINGS, parse_settings
from distmap.common.object_size import ObjectSize

VALUES: dict[str, dict[str, Any]] = {
    "threshold": {"0.25": 0.25, "1e-3": 0.001, "otsu": "otsu", "triangle": "triangle"},
    "low_threshold": {"0.1": 0.1, "none": None},
    "value_range": {"0,255": (0, 255), "-1, 2.5": (-1, 2.5), "none": None},
    "smoothing": {"1.5": 1.5},
    "close_radius": {"2": 2},
    "open_radius": {"0.7": 0.7},
    "max_hole": {"12": 12},
    "connectivity": {"4": 4, "8": 8},
    "min_area": {"0": 0, "30": 30},
    "max_area": {"400": 400, "none": None, "None": None},
    "drop_border": {"true": True, "no": False, "1": True},
    "object_size": {
        "35x16": ObjectSize(area=560, length=35, width=16),
        "20": ObjectSize(area=400, length=20, width=20),
        "none": None,
    },
    "neck": {"0.8": 0.8, "0": 0},
    "join_gap": {"4.5": 4.5},
    "halo": {"0.3": 0.3},
    "probabilities": {"true": True, "no": False},
    "score": {"mass": "mass", "mean": "mean", "peak": "peak"},
    "category": {"car": "car", "small car, red": "small car, red", "none": "none", "a=b": "a=b"},
}


def test_every_setting_is_here() -> None:
    assert set(VALUES) == set(SETTINGS)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in VALUES.items() for text in texts])
def test_every_setting_can_be_given_as_text(name: str, text: str) -> None:
    expected = VALUES[name][text]
    for pair in (f"{name}={text}", f" {name} = {text} "):
        assert parse_settings([pair]) == {name: expected}
    given: Any = parse_settings([f"{name}={text}"])
    assert getattr(ExtractionConfig(**{"threshold": 0.5} | given), name) == expected
    assert type(given[name]) is not str or isinstance(expected, str)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_value_written_out_is_read_back(name: str) -> None:
    """Of the default settings, as `detect tune` writes them."""
    value = getattr(ExtractionConfig(threshold=0.1 + 0.2), name)
    assert parse_settings([f"{name}={value}"]) == {name: value}


def test_several_at_once() -> None:
    assert parse_settings([]) == {}
    assert parse_settings(["neck=0.5", "halo=0.1", "neck=0.6"]) == {"neck": 0.6, "halo": 0.1}, "the last one counts"


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("nek=0.5", r"--set nek=0\.5: unknown setting 'nek'; did you mean 'neck'\?"),
        ("open_radios=1", "did you mean 'open_radius'"),
        ("xyz=1", "unknown setting 'xyz'; choose one of threshold, low_threshold, "),
        ("split_distance=1", "unknown setting 'split_distance'"),
        ("neck", "--set neck: give it as KEY=VALUE"),
        ("neck=", "--set neck=: Input should be a valid number"),
        ("neck=wide", "--set neck=wide: Input should be a valid number"),
        ("neck=none", "--set neck=none: Input should be a valid number"),
        ("threshold=best", "--set threshold=best: "),
        ("threshold=none", "--set threshold=none: "),
        ("min_area=1.5", "--set min_area=1.5: Input should be a valid integer"),
        ("connectivity=6", "--set connectivity=6: Input should be 4 or 8"),
        ("score=best", "--set score=best: Input should be 'peak', 'mean' or 'mass'"),
        ("drop_border=perhaps", "--set drop_border=perhaps: Input should be a valid boolean"),
        ("value_range=5", "--set value_range=5: "),
        ("value_range=1,2,3", "--set value_range=1,2,3: "),
        ("object_size=large", "object size 'large': give auto"),
    ],
)
def test_a_wrong_value_is_one_line(pair: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_settings([pair])
    assert len(str(caught.value).splitlines()) == 1
