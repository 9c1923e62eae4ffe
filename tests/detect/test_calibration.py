"""Thresholds from empty pictures: do they give the false alarms that they promise?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from detect.calibration import UNCALIBRATED, CalibrationReport, calibrate
from detect.extraction import ExtractionConfig, find_objects, smooth

Map = NDArray[np.float32]


def noise(seed: int, count: int = 20, size: int = 64) -> list[Map]:
    rng = np.random.default_rng(seed)
    return [np.abs(rng.normal(size=(size, size))).astype(np.float32) for _ in range(count)]


@pytest.mark.parametrize("rate", [0.02, 0.001, 0.0001])
def test_the_rate_is_met_here_and_nearly_met_on_fresh_pictures(rate: float) -> None:
    maps = noise(0)
    report = calibrate(maps, false_alarm=rate, settings=replace(UNCALIBRATED, smoothing=0.7))
    values = np.concatenate([smooth(map_HW, 0.7).ravel() for map_HW in maps])
    threshold = report.settings.threshold
    above = np.mean(values >= np.float32(threshold))
    assert above == pytest.approx(report.reached)
    assert above <= rate < np.mean(values >= np.nextafter(np.float32(threshold), np.float32(0))) + 1 / values.size
    fresh = np.concatenate([smooth(map_HW, 0.7).ravel() for map_HW in noise(1, 80)])
    assert np.mean(fresh >= threshold) == pytest.approx(rate, rel=0.5)
    assert report.measured == pytest.approx(rate, rel=1.0)


def test_ties_never_exceed_the_rate() -> None:
    maps = [np.repeat(np.array([0, 1, 2, 3], np.float32), 25).reshape(10, 10)]
    assert calibrate(maps, false_alarm=0.24).reached == 0
    assert calibrate(maps, false_alarm=0.24).settings.threshold > 3
    two = [np.repeat(np.array([0, 1, 2, 3], np.float32), [70, 20, 5, 5]).reshape(10, 10)]
    assert calibrate(two, false_alarm=0.12).reached == pytest.approx(0.10)
    assert 1 < calibrate(two, false_alarm=0.12).settings.threshold < 2


def test_the_table_gives_other_rates() -> None:
    settings = calibrate(noise(2), false_alarm=0.001).settings
    values = np.concatenate([map_HW.ravel() for map_HW in noise(2)])
    for rate in (0.05, 0.003, 0.0004):
        assert np.mean(values >= settings.threshold_at(rate)) == pytest.approx(rate, rel=0.1)


def test_a_rate_of_objects_counts_objects_after_clean_up() -> None:
    maps = noise(3, 30)
    report = calibrate(maps, false_alarm=0.5, unit="object", settings=replace(UNCALIBRATED, smoothing=1, min_area=3))
    config = ExtractionConfig(threshold=report.settings.threshold, smoothing=1, min_area=3)
    counts = [len(find_objects(map_HW, config)) for map_HW in maps]
    assert np.mean(counts) == pytest.approx(report.reached) == pytest.approx(report.objects_per_picture)
    assert 0.2 <= np.mean(counts) <= 0.5
    fresh = [len(find_objects(map_HW, config)) for map_HW in noise(4, 60)]
    assert np.mean(fresh) < 1.2
    assert report.settings.unit == "object"
    assert report.measured is not None


def test_groups_that_differ_make_the_threshold_unsteady() -> None:
    rng = np.random.default_rng(5)
    maps = [map_HW * scale for map_HW, scale in zip(noise(6, 12), rng.uniform(0.5, 2, 3).repeat(4), strict=True)]
    groups = [f"patient{index // 4}" for index in range(12)]
    steady = interval(calibrate(noise(6, 12), false_alarm=0.01))
    unsteady = interval(calibrate(maps, false_alarm=0.01, groups=groups))
    assert unsteady[1] - unsteady[0] > 5 * (steady[1] - steady[0])
    assert steady[0] <= calibrate(noise(6, 12), false_alarm=0.01).settings.threshold <= steady[1]


def interval(report: CalibrationReport) -> tuple[float, float]:
    assert report.threshold_interval is not None
    return report.threshold_interval


def test_what_is_not_calibrated_stays() -> None:
    """The low threshold keeps its ratio to the threshold."""
    before = replace(UNCALIBRATED, threshold=0.5, low_threshold=0.25, step=7, validation_scores={"psnr": 30.0})
    after = calibrate(noise(8), false_alarm=0.01, settings=before).settings
    assert after.low_threshold == pytest.approx(after.threshold / 2)
    assert (after.step, after.validation_scores) == (7, {"psnr": 30.0})
    assert calibrate(noise(8), false_alarm=0.01).settings.threshold == after.threshold


def test_one_picture_cannot_be_held_out() -> None:
    report = calibrate(noise(7, 1), false_alarm=0.01)
    assert report.measured is None
    assert report.threshold_interval is None
    assert report.to_dict()["detector"]["pictures"] == 1


def test_empty_maps_give_a_threshold_above_zero() -> None:
    report = calibrate([np.zeros((8, 8), np.float32)] * 2, false_alarm=0.01)
    assert report.settings.threshold > 0
    assert report.reached == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"maps": []}, "no picture to calibrate on"),
        ({"maps": noise(0, 1), "false_alarm": 0.0}, r"false alarm 0\.0: give a rate above 0"),
        ({"maps": noise(0, 1), "false_alarm": 0.3}, "below 0.25"),
        ({"maps": noise(0, 1), "unit": "car"}, "unit 'car' is neither"),
        ({"maps": noise(0, 2), "groups": ["a"]}, "1 groups for 2 maps"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibrate(**arguments)  # type: ignore[arg-type]
