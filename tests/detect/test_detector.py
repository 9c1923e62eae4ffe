"""What a run's calibration says of thresholds."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from detect.detector import Detector, read_detector

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
