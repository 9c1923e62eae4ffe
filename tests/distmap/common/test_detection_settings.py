"""What a run says of how its maps become objects."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from distmap.common.detection_settings import (
    DetectionSettings,
    SourceSettings,
    read_detection_settings,
    write_detection_settings,
)
from distmap.common.object_size import ObjectSize

CARS = ObjectSize(area=500, length=36, width=16, spread=1.8, several=0.7, objects=321)
SETTINGS = DetectionSettings(
    threshold=0.4,
    low_threshold=0.2,
    false_alarm=0.001,
    rates=(0.01, 0.0001, 0.001),
    thresholds=(0.1, 0.7, 0.4),
    smoothing=1.5,
    validation_scores={"psnr": 30.0},
    step=7,
    follow_edges=False,
    warnings=("too dark",),
    map_kind="student",
    object_size=CARS,
    sources={
        "branch1": SourceSettings(
            threshold=0.03, false_alarm=0.02, rates=(0.1, 0.01), thresholds=(0.02, 0.05), object_size=CARS
        ),
        "localizer": SourceSettings(threshold=0.6, false_alarm=0.0),
    },
)


def test_thresholds_are_linear_in_the_logarithm_of_the_rate() -> None:
    assert SETTINGS.threshold_at(0.001) == pytest.approx(0.4)
    assert SETTINGS.threshold_at(0.0001) == pytest.approx(0.7)
    assert SETTINGS.threshold_at(math.sqrt(0.01 * 0.001)) == pytest.approx(0.25)


def test_rates_beyond_the_table_are_refused() -> None:
    with pytest.raises(ValueError, match=r"false alarm 0\.5: the calibration reaches from 0\.0001 to 0\.01"):
        SETTINGS.threshold_at(0.5)
    with pytest.raises(ValueError, match="no table of false-alarm rates"):
        DetectionSettings(threshold=1, false_alarm=0.01).threshold_at(0.01)


def test_each_source_has_its_own_threshold_table_and_typical_object() -> None:
    assert SETTINGS.of_source("auto") is SETTINGS
    assert SETTINGS.of_source("student") is SETTINGS
    branch1 = SETTINGS.of_source("branch1")
    assert (branch1.map_kind, branch1.threshold, branch1.low_threshold) == ("branch1", 0.03, 0.03)
    assert (branch1.false_alarm, branch1.object_size) == (0.02, CARS)
    assert branch1.threshold_at(0.1) == pytest.approx(0.02)
    localizer = SETTINGS.of_source("localizer")
    assert (localizer.rates, localizer.thresholds, localizer.object_size) == ((), (), None)
    # What goes with the run stays.
    assert (branch1.smoothing, branch1.step, branch1.validation_scores) == (1.5, 7, {"psnr": 30.0})
    assert branch1.as_source() == SETTINGS.sources["branch1"]
    assert SETTINGS.as_source().threshold == 0.4


def test_a_source_that_the_run_lacks_is_named() -> None:
    with pytest.raises(ValueError, match=r"--source weighted: .* choose one of auto, student, branch1, localizer"):
        SETTINGS.of_source("weighted")
    bare = DetectionSettings(threshold=1, false_alarm=0.01)
    with pytest.raises(ValueError, match="--source branch1: the run has no such maps; choose one of auto"):
        bare.of_source("branch1")
    assert bare.of_source("auto") is bare


@pytest.mark.parametrize("threshold", [0.0, -1.0, math.nan, math.inf])
def test_thresholds_of_sources_are_above_0_and_finite(threshold: float) -> None:
    with pytest.raises(ValueError, match="must be above 0 and finite"):
        SourceSettings(threshold=threshold, false_alarm=0.1)


def test_the_file_goes_both_ways_and_may_hold_more(tmp_path: Path) -> None:
    path = tmp_path / "detector.json"
    write_detection_settings(path, SETTINGS)
    assert read_detection_settings(path) == SETTINGS
    path.write_text(json.dumps(json.loads(path.read_text()) | {"later": [1]}))
    assert read_detection_settings(path) == SETTINGS
    write_detection_settings(path, SETTINGS)
    assert json.loads(path.read_text())["later"] == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a JSON file"),
        ("[]", "holds list"),
        ('{"threshold": 1}', "false_alarm"),
        ('{"threshold": -1, "false_alarm": 0.1}', "threshold -1"),
        ('{"threshold": NaN, "false_alarm": 0.1}', "threshold nan"),
        ('{"threshold": 1, "false_alarm": 0.1, "rates": [0.1]}', "1 rates and 0 thresholds"),
        ('{"threshold": 1, "false_alarm": 0.1, "unit": "car"}', "unit 'car': Input should be 'pixel' or 'object'"),
        ('{"threshold": 1, "false_alarm": 0.1, "object_size": 5}', "object_size 5: Input should be an object"),
        (
            '{"threshold": 1, "false_alarm": 0.1, "object_size": [9, 3, 3]}',
            "object_size .9, 3, 3.: Input",
        ),
        ('{"threshold": 1, "false_alarm": 0.1, "object_size": {"area": 9}}', "object_size.length is missing"),
        (
            '{"threshold": 1, "false_alarm": 0.1, "object_size": {"area": "9", "length": 3, "width": 3}}',
            "object_size.area '9'",
        ),
        ('{"threshold": 1, "false_alarm": 0.1, "object_size": {"area": 9, "length": 3, "width": 4}}', "width 4"),
        ('{"threshold": 1, "false_alarm": 0.1, "object_size": {"area": NaN, "length": 3, "width": 3}}', "area nan"),
    ],
)
def test_a_file_that_makes_no_sense_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "detector.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"detector\.json: .*{message}"):
        read_detection_settings(path)


def test_a_run_that_has_not_ended_is_named(tmp_path: Path) -> None:
    for run in (tmp_path, tmp_path / "detector.json"):
        with pytest.raises(ValueError, match=r"detector\.json: not there; is the folder a run"):
            read_detection_settings(run)
    with pytest.raises(ValueError, match=r"nowhere/detector\.json: not there"):
        read_detection_settings(tmp_path / "nowhere")


@pytest.mark.parametrize("size", [None, CARS])
def test_the_file_holds_the_typical_object(tmp_path: Path, size: ObjectSize | None) -> None:
    path = tmp_path / "detector.json"
    settings = replace(SETTINGS, object_size=size)
    write_detection_settings(path, settings)
    assert read_detection_settings(path) == settings
    assert json.loads(path.read_text())["object_size"] == (None if size is None else dataclasses.asdict(size))


def test_a_file_of_before_there_was_a_size(tmp_path: Path) -> None:
    """It may hold what is no more: that is passed over."""
    path = tmp_path / "detector.json"
    path.write_text('{"threshold": 0.5, "false_alarm": 0.01, "kept_out_scores": {"psnr": 30}, "open_radius": 2.0}')
    settings = read_detection_settings(path)
    assert (settings.object_size, settings.open_radius) == (None, 2)


def test_a_run_is_its_folder(tmp_path: Path) -> None:
    write_detection_settings(tmp_path, SETTINGS)
    assert [file.name for file in tmp_path.iterdir()] == ["detector.json"]
    assert read_detection_settings(tmp_path) == read_detection_settings(str(tmp_path / "detector.json")) == SETTINGS


def test_thresholds_come_back_bit_for_bit_and_scores_that_say_nothing_do_not(tmp_path: Path) -> None:
    settings = replace(SETTINGS, threshold=0.1 + 0.2, validation_scores={"psnr": math.inf, "auroc": 0.75})
    write_detection_settings(tmp_path, settings)
    assert read_detection_settings(tmp_path) == replace(settings, validation_scores={"auroc": 0.75})
