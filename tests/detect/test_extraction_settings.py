"""How maps are extracted with the settings of their run."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from detect.extraction import ExtractionConfig
from detect.extraction_settings import extraction_config, size_settings
from distmap.common.detection_settings import DetectionSettings
from distmap.common.object_size import ObjectSize

CARS = ObjectSize(area=500, length=36, width=16, spread=1.8, several=0.7, objects=321)
TUMOURS = ObjectSize(area=400, length=25, width=20, spread=80, several=0.01, objects=99)
SETTINGS = DetectionSettings(
    threshold=0.4,
    low_threshold=0.2,
    false_alarm=0.001,
    rates=(0.01, 0.0001, 0.001),
    thresholds=(0.1, 0.7, 0.4),
    smoothing=1.5,
    min_area=5,
    open_radius=1,
    close_radius=2,
)


def test_settings_for_extraction() -> None:
    config = extraction_config(SETTINGS)
    assert (config.threshold, config.low_threshold, config.smoothing) == (0.4, 0.2, 1.5)
    assert (config.min_area, config.open_radius, config.close_radius, config.object_size) == (5, 1, 2, None)
    other = extraction_config(SETTINGS, false_alarm=0.0001, min_area=0, category="car")
    assert other.threshold == pytest.approx(0.7)
    assert other.low_threshold == pytest.approx(0.35)
    assert (other.min_area, other.category) == (0, "car")
    assert extraction_config(SETTINGS, threshold=1.0).low_threshold == pytest.approx(0.5)
    with pytest.raises(ValueError, match="not both"):
        extraction_config(SETTINGS, threshold=1.0, false_alarm=0.01)


def test_maps_of_a_student_are_probabilities() -> None:
    from distmap.inference.student import STUDENT

    assert not extraction_config(SETTINGS).probabilities
    assert extraction_config(replace(SETTINGS, map_kind=STUDENT)).probabilities
    assert extraction_config(SETTINGS, overrides={"probabilities": True}).probabilities


def test_settings_that_follow_the_typical_object() -> None:
    """Where objects are countable they are split, joined and freed of halos; where not, none of that is done."""
    cars, tumours = size_settings(CARS), size_settings(TUMOURS)
    assert CARS.countable
    assert not TUMOURS.countable
    assert cars["object_size"] == CARS
    assert cars["open_radius"] == pytest.approx(0.1 * math.sqrt(500))
    assert (cars["close_radius"], cars["min_area"], cars["join_gap"]) == (0, 125, 8)
    assert (cars["neck"], cars["halo"]) == (0.9, 0.45)
    assert tumours["object_size"] == TUMOURS
    assert (tumours["open_radius"], tumours["close_radius"]) == pytest.approx((1, 1))
    assert tumours["min_area"] == 20
    assert [tumours[name] for name in ("neck", "join_gap", "halo")] == [0, 0, 0]
    for some in (cars, tumours):
        ExtractionConfig(threshold=1, **some)


@pytest.mark.parametrize("size", [CARS, TUMOURS])
def test_lengths_follow_the_size_of_the_pictures(size: ObjectSize) -> None:
    """Of pictures twice as large radii and the gap are twice, areas four times as large; what is a fraction stays."""
    once, twice = size_settings(size), size_settings(size.scaled(2))
    for name in ("open_radius", "close_radius", "join_gap"):
        assert twice[name] == pytest.approx(2 * once[name])
    assert twice["min_area"] == 4 * once["min_area"]
    assert [twice[name] for name in ("neck", "halo")] == [once[name] for name in ("neck", "halo")]


def test_the_typical_object_counts_more_than_the_numbers_of_before() -> None:
    known = replace(SETTINGS, object_size=CARS)
    config = extraction_config(known)
    assert {name: getattr(config, name) for name in size_settings(CARS)} == size_settings(CARS)
    assert (config.threshold, config.low_threshold, config.smoothing) == (0.4, 0.2, 1.5)
    assert extraction_config(known, min_area=3).min_area == 3


def test_another_size_may_be_said() -> None:
    """In place of the one that was found, and also where none was; all that follows it follows this one."""
    said = ObjectSize(area=64, length=8, width=8)
    for known in (SETTINGS, replace(SETTINGS, object_size=CARS)):
        for config in (
            extraction_config(known, object_size=said),
            extraction_config(known, overrides={"object_size": said}),
        ):
            assert {name: getattr(config, name) for name in size_settings(said)} == size_settings(said)
    unknown = extraction_config(replace(SETTINGS, object_size=CARS), overrides={"object_size": None})
    assert (unknown.object_size, unknown.open_radius, unknown.min_area) == (None, 1, 5)


def test_settings_count_more_than_all_else() -> None:
    settings: dict[str, Any] = {"neck": 0.5, "min_area": 7, "threshold": 1.0, "score": "peak", "category": "bus"}
    config = extraction_config(
        replace(SETTINGS, object_size=CARS),
        threshold=0.3,
        min_area=9,
        object_size=TUMOURS,
        category="car",
        overrides=settings,
    )
    assert {name: getattr(config, name) for name in settings} == settings
    assert config.low_threshold == pytest.approx(0.5), "the low threshold keeps its ratio"
    assert config.object_size == TUMOURS
    assert extraction_config(SETTINGS, overrides={"low_threshold": 0.1}).low_threshold == 0.1
    assert extraction_config(SETTINGS, overrides={"threshold": "otsu"}).low_threshold is None
