"""What a run's calibration says of thresholds."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from detect.detector import Detector, following, read_detector
from detect.extraction import ExtractionConfig
from distmap.common.object_size import ObjectSize

CARS = ObjectSize(area=500, length=36, width=16, spread=1.8, several=0.7, objects=321)
TUMOURS = ObjectSize(area=400, length=25, width=20, spread=80, several=0.01, objects=99)
DETECTOR = Detector(
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


def test_thresholds_are_linear_in_the_logarithm_of_the_rate() -> None:
    assert DETECTOR.threshold_at(0.001) == pytest.approx(0.4)
    assert DETECTOR.threshold_at(0.0001) == pytest.approx(0.7)
    assert DETECTOR.threshold_at(math.sqrt(0.01 * 0.001)) == pytest.approx(0.25)


def test_rates_beyond_the_table_are_refused() -> None:
    with pytest.raises(ValueError, match=r"false alarm 0\.5: the calibration reaches from 0\.0001 to 0\.01"):
        DETECTOR.threshold_at(0.5)
    with pytest.raises(ValueError, match="no table of false-alarm rates"):
        Detector(threshold=1, false_alarm=0.01).threshold_at(0.01)


def test_settings_for_extraction() -> None:
    config = DETECTOR.config()
    assert (config.threshold, config.low_threshold, config.smoothing) == (0.4, 0.2, 1.5)
    assert (config.min_area, config.open_radius, config.close_radius, config.object_size) == (5, 1, 2, None)
    other = DETECTOR.config(false_alarm=0.0001, min_area=0, category="car")
    assert other.threshold == pytest.approx(0.7)
    assert other.low_threshold == pytest.approx(0.35)
    assert (other.min_area, other.category) == (0, "car")
    assert DETECTOR.config(threshold=1.0).low_threshold == pytest.approx(0.5)
    with pytest.raises(ValueError, match="not both"):
        DETECTOR.config(threshold=1.0, false_alarm=0.01)


def test_the_file_goes_both_ways_and_may_hold_more(tmp_path: Path) -> None:
    path = tmp_path / "detector.json"
    DETECTOR.write(path)
    assert read_detector(path) == DETECTOR
    path.write_text(json.dumps(json.loads(path.read_text()) | {"later": [1]}))
    assert read_detector(path) == DETECTOR
    DETECTOR.write(path)
    assert json.loads(path.read_text())["later"] == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "holds list"),
        ('{"threshold": 1}', "false_alarm"),
        ('{"threshold": -1, "false_alarm": 0.1}', "threshold -1"),
        ('{"threshold": NaN, "false_alarm": 0.1}', "threshold nan"),
        ('{"threshold": 1, "false_alarm": 0.1, "rates": [0.1]}', "1 rates and 0 thresholds"),
        ('{"threshold": 1, "false_alarm": 0.1, "object_size": 5}', "mapping"),
        ('{"threshold": 1, "false_alarm": 0.1, "object_size": [9, 3, 3]}', "mapping"),
        ('{"threshold": 1, "false_alarm": 0.1, "object_size": {"area": 9}}', "'length' and 'width'"),
        ('{"threshold": 1, "false_alarm": 0.1, "object_size": {"area": "9", "length": 3, "width": 3}}', "'str'"),
        ('{"threshold": 1, "false_alarm": 0.1, "object_size": {"area": 9, "length": 3, "width": 4}}', "width 4"),
        ('{"threshold": 1, "false_alarm": 0.1, "object_size": {"area": NaN, "length": 3, "width": 3}}', "area nan"),
    ],
)
def test_a_file_that_makes_no_sense_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "detector.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"detector\.json: .*{message}"):
        read_detector(path)


def test_a_run_that_has_not_ended_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"detector\.json: not there; is the folder a run"):
        read_detector(tmp_path / "detector.json")


def test_settings_that_follow_the_typical_object() -> None:
    """Where objects are countable they are split, joined and freed of halos; where not, none of that is done."""
    cars, tumours = following(CARS), following(TUMOURS)
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
    """Of pictures twice as large radii and the gap are twice, areas four times as large; what is a share stays."""
    once, twice = following(size), following(size.scaled(2))
    for name in ("open_radius", "close_radius", "join_gap"):
        assert twice[name] == pytest.approx(2 * once[name])
    assert twice["min_area"] == 4 * once["min_area"]
    assert [twice[name] for name in ("neck", "halo")] == [once[name] for name in ("neck", "halo")]


def test_the_typical_object_counts_more_than_the_numbers_of_before() -> None:
    detector = replace(DETECTOR, object_size=CARS)
    config = detector.config()
    assert {name: getattr(config, name) for name in following(CARS)} == following(CARS)
    assert (config.threshold, config.low_threshold, config.smoothing) == (0.4, 0.2, 1.5)
    assert detector.config(min_area=3).min_area == 3


def test_another_size_may_be_said() -> None:
    """In place of the one that was found, and also where none was; all that follows it follows this one."""
    said = ObjectSize(area=64, length=8, width=8)
    for detector in (DETECTOR, replace(DETECTOR, object_size=CARS)):
        for config in (detector.config(object_size=said), detector.config(settings={"object_size": said})):
            assert {name: getattr(config, name) for name in following(said)} == following(said)
    unknown = replace(DETECTOR, object_size=CARS).config(settings={"object_size": None})
    assert (unknown.object_size, unknown.open_radius, unknown.min_area) == (None, 1, 5)


def test_settings_count_more_than_all_else() -> None:
    settings: dict[str, Any] = {"neck": 0.5, "min_area": 7, "threshold": 1.0, "score": "peak", "category": "bus"}
    config = replace(DETECTOR, object_size=CARS).config(
        threshold=0.3, min_area=9, object_size=TUMOURS, category="car", settings=settings
    )
    assert {name: getattr(config, name) for name in settings} == settings
    assert config.low_threshold == pytest.approx(0.5), "the low threshold keeps its ratio"
    assert config.object_size == TUMOURS
    assert DETECTOR.config(settings={"low_threshold": 0.1}).low_threshold == 0.1
    assert DETECTOR.config(settings={"threshold": "otsu"}).low_threshold is None


@pytest.mark.parametrize("size", [None, CARS])
def test_the_file_holds_the_typical_object(tmp_path: Path, size: ObjectSize | None) -> None:
    path = tmp_path / "detector.json"
    detector = replace(DETECTOR, object_size=size)
    detector.write(path)
    assert read_detector(path) == detector
    assert json.loads(path.read_text())["object_size"] == (None if size is None else dataclasses.asdict(size))


def test_a_file_of_before_there_was_a_size(tmp_path: Path) -> None:
    """It may hold what is no more: that is passed over."""
    path = tmp_path / "detector.json"
    path.write_text('{"threshold": 0.5, "false_alarm": 0.01, "split_distance": 3.0, "open_radius": 2.0}')
    detector = read_detector(path)
    assert (detector.object_size, detector.open_radius) == (None, 2)
    assert detector.config().open_radius == 2
