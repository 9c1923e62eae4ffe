"""The threshold that needs no label."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distmap.calibration import RATES, calibrate, explained, read_detector, threshold_for, write_detector


def test_threshold_by_hand() -> None:
    values = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0], np.float32)
    threshold = threshold_for(values, 0.2)  # two of ten may pass
    assert values[7] < threshold <= values[8]
    assert threshold == pytest.approx(0.8)
    assert threshold_for(values, 0.05) > 1  # not even one may pass


def test_ties_never_exceed_the_rate() -> None:
    values = np.array([0.5] * 5 + [0.1] * 95, np.float32)
    assert (values >= threshold_for(values, 0.05)).sum() == 5
    assert (values >= threshold_for(values, 0.04)).sum() == 0  # the five stand or fall together


@pytest.mark.parametrize("constant", [0.0, 0.7])
def test_constant_maps_let_nothing_pass(constant: float) -> None:
    values = np.full((10, 10), constant, np.float32)
    threshold = threshold_for(values, 0.5)
    assert threshold > 0
    assert not (values >= threshold).any()


def test_empty_pixels_never_pass() -> None:
    values = np.array([0.0] * 99 + [1.0], np.float32)
    threshold = threshold_for(values, 0.5)  # half may pass, but 0 is nothing
    assert threshold > 0
    assert (values >= threshold).sum() == 1


@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=300),
    st.floats(0.001, 0.999),
)
def test_the_rate_is_met_and_no_lower_value_would_do(listed: list[float], rate: float) -> None:
    values = np.array(listed, np.float32)
    threshold = threshold_for(values, rate)
    assert (values >= threshold).mean() <= rate
    below = values[(values < threshold) & (values > 0)]
    if below.size:
        assert (values >= below.max()).mean() > rate - 1e-9


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 1.5])
def test_rates_outside_0_to_1_are_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=str(rate)):
        threshold_for(np.ones(3, np.float32), rate)


def test_no_maps_are_refused() -> None:
    with pytest.raises(ValueError, match="no map"):
        calibrate([], [], 0.01)


@pytest.mark.parametrize("rate", [0.1, 0.01, 0.001])
def test_the_false_alarm_rate_holds_on_fresh_maps(rng: np.random.Generator, rate: float) -> None:
    # Half of the pixels are empty, as a cleaned map's are.
    def fresh(count: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        values = rng.exponential(size=(count, 64, 64)) * rng.integers(0, 2, (count, 64, 64))
        return list(values.astype(np.float32))

    detector = calibrate(fresh(60), [], rate)
    pixels = 60 * 64 * 64
    assert rate - 1 / pixels <= detector.false_alarm <= rate
    taken = np.mean([map_HW >= detector.threshold for map_HW in fresh(60)])
    # Both samples are random: four standard errors of their difference.
    assert abs(taken - rate) < 4 * np.sqrt(2 * rate * (1 - rate) / pixels) + 1 / pixels


def test_the_threshold_rises_to_half_the_strength_of_what_is_found(rng: np.random.Generator) -> None:
    # WITHOUT: noise below 0.1, and 0.5 % of clutter at 0.3. WITH: the same, and 5 % of objects at 0.9.
    def maps(objects: float) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        kinds = rng.choice(3, size=(20, 64, 64), p=[0.995 - objects, 0.005, objects])
        noise = rng.uniform(0.01, 0.1, kinds.shape)
        return list(np.select([kinds == 1, kinds == 2], [0.3, 0.9], noise).astype(np.float32))

    detector = calibrate(maps(0.0), maps(0.05), 0.01)
    # 1 % of false alarms would be allowed below 0.1, where the objects are most of what is taken.
    assert detector.threshold == pytest.approx(0.45)
    assert detector.low_threshold == detector.threshold
    assert detector.false_alarm == 0


def test_calibrate_never_exceeds_the_rate_asked_for(rng: np.random.Generator) -> None:
    nothing = [rng.random((64, 64)).astype(np.float32) for _ in range(5)]
    something = [map_HW + 0.5 for map_HW in nothing]  # everything shifted: the higher the rate the better
    detector = calibrate(nothing, something, 0.01)
    assert detector.false_alarm <= 0.01
    assert np.mean([map_HW >= detector.threshold for map_HW in nothing]) <= 0.01


def test_a_few_pictures_that_do_hold_the_thing_do_not_raise_the_threshold(rng: np.random.Generator) -> None:
    def maps(count: int, objects: bool) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        noise = rng.uniform(0, 0.1, (count, 32, 32)).astype(np.float32)
        if objects:
            noise[:, 8:16, 8:16] = 0.8
        return list(noise)

    clean = calibrate(maps(20, False), maps(20, True), 0.01)
    mixed = calibrate(maps(17, False) + maps(3, True), maps(20, True), 0.01)
    assert clean.threshold == pytest.approx(0.4)
    assert mixed.threshold == pytest.approx(0.4)
    assert clean.false_alarm == 0
    assert mixed.false_alarm == pytest.approx(3 / 20 * 64 / 1024)  # what is taken is said, not hidden


def test_the_asked_rate_is_taken_where_nothing_is_found(rng: np.random.Generator) -> None:
    nothing = [rng.random((64, 64)).astype(np.float32) for _ in range(3)]
    detector = calibrate(nothing, [np.zeros((64, 64), np.float32)], 0.01)
    assert detector.false_alarm == pytest.approx(0.01, abs=1e-4)
    assert detector.threshold == threshold_for(np.concatenate(nothing), 0.01)


def test_maps_of_several_sizes_are_pooled_by_pixel() -> None:
    small, large = np.full((1, 1), 0.9, np.float32), np.full((3, 33), 0.1, np.float32)
    assert calibrate([small, large], [], 0.01).threshold == pytest.approx(0.1)


def test_detector_json_holds_the_fields_of_the_contract(rng: np.random.Generator, tmp_path: Path) -> None:
    detector = calibrate([rng.random((32, 32)).astype(np.float32) for _ in range(4)], [], 0.02)
    write_detector(tmp_path, detector)
    text = (tmp_path / "detector.json").read_text()
    stored = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert stored["threshold"] == detector.threshold  # bit for bit
    assert {
        "smoothing",
        "threshold",
        "low_threshold",
        "false_alarm",
        "rates",
        "thresholds",
        "min_area",
        "open_radius",
        "close_radius",
        "pictures",
        "unit",
    } <= set(stored)
    assert stored["unit"] == "pixel"
    assert stored["pictures"] == 4
    assert stored["rates"] == list(RATES)
    assert len(stored["thresholds"]) == len(RATES)
    assert stored["thresholds"] == sorted(stored["thresholds"])  # rates fall, thresholds rise


def test_explained_averages_the_right_figures() -> None:
    with_ = {"psnr_with": 30.0, "psnr_without": 1.0, "residual": 0.1, "flips_to_with": 9.0, "flips_to_without": 1.0}
    without = {"psnr_with": 1.0, "psnr_without": 40.0, "residual": 0.3, "flips_to_with": 0.0, "flips_to_without": 9.0}
    means = explained([(1, with_), (0, without)])
    assert means == pytest.approx({"psnr": 35.0, "residual": 0.2, "flip_rate": 0.5})
    del with_["flips_to_without"], without["flips_to_with"]
    assert "flip_rate" not in explained([(1, with_), (0, without)])


def test_a_detector_is_read_back(tmp_path: Path) -> None:
    written = calibrate([np.linspace(0, 1, 100, dtype=np.float32)[None]], [], 0.01)
    write_detector(tmp_path, written)
    assert read_detector(tmp_path) == written
    content = json.loads((tmp_path / "detector.json").read_text())
    (tmp_path / "detector.json").write_text(json.dumps(content | {"of_another_version": 1}))
    assert read_detector(tmp_path) == written


@pytest.mark.parametrize(("content", "message"), [("[]", "damaged"), ("{}", "damaged"), ("{", "not a JSON file")])
def test_a_damaged_detector_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "detector.json").write_text(content)
    with pytest.raises(ValueError, match=rf"detector.json: {message}"):
        read_detector(tmp_path)


def test_a_detector_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no detector\.json yet"):
        read_detector(tmp_path)
