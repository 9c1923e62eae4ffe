"""The threshold that needs no label."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distmap.selection.threshold import RATES, calibrate, find_threshold, mean_scores, threshold_for


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


Maps: TypeAlias = list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]


@pytest.mark.parametrize(("without", "having"), [(0, 0), (1, 0), (0, 1)])
def test_no_maps_are_refused(without: int, having: int) -> None:
    one = np.ones((4, 4), np.float32)
    with pytest.raises(ValueError, match="no map"):
        calibrate([one] * without, [one] * having)


def objects(rng: np.random.Generator, count: int, fraction: float, strength: float = 0.8) -> Maps:
    """Noise below 0.05 and objects on a fraction of the pixels, of strengths around one."""
    noise = rng.uniform(0, 0.05, (count, 32, 32))
    strong = strength * rng.uniform(0.5, 1.5, noise.shape)
    return list(np.where(rng.random(noise.shape) < fraction, strong, noise).astype(np.float32))


@pytest.mark.parametrize("strength", [0.4, 4.0])
def test_the_threshold_parts_objects_from_noise(rng: np.random.Generator, strength: float) -> None:
    detector = calibrate(objects(rng, 10, 0), objects(rng, 10, 0.08, strength))
    assert 0.05 < detector.threshold < strength / 2 + 0.05 * strength
    assert detector.low_threshold == detector.threshold
    assert (detector.false_alarm, detector.pictures) == (0, 10)


def test_otsu_has_the_greatest_variance_between_the_parts(rng: np.random.Generator) -> None:
    maps = objects(rng, 4, 0.1)
    values = np.concatenate([map_HW.ravel() for map_HW in maps]).astype(float)

    def between(threshold: float) -> float:
        above = values > threshold
        fraction = float(above.mean())
        return float(fraction * (1 - fraction) * (values[above].mean() - values[~above].mean()) ** 2)

    found = calibrate(maps, maps).threshold
    assert between(found) == pytest.approx(max(between(one) for one in np.linspace(0.01, 1.1, 400)), rel=1e-3)


def test_pictures_without_that_do_hold_the_thing_do_not_move_the_threshold(rng: np.random.Generator) -> None:
    having = objects(rng, 20, 0.1)
    clean, other = objects(rng, 20, 0), objects(rng, 3, 0.1)
    alone, mixed = calibrate(clean, having), calibrate(clean[:17] + other, having)
    assert mixed.threshold == alone.threshold
    assert alone.false_alarm == 0
    assert mixed.false_alarm == pytest.approx(0.1 * 3 / 20, rel=0.15)  # what is taken is said, not hidden


@pytest.mark.parametrize("rate", [0.1, 0.01, 0.001])
def test_the_rates_hold_on_fresh_maps(rng: np.random.Generator, rate: float) -> None:
    # Half of the pixels are empty, as a cleaned map's are.
    def fresh(count: int) -> Maps:
        values = rng.exponential(size=(count, 64, 64)) * rng.integers(0, 2, (count, 64, 64))
        return list(values.astype(np.float32))

    threshold = threshold_for(np.stack(fresh(60)), rate)
    pixels = 60 * 64 * 64
    taken = np.mean([map_HW >= threshold for map_HW in fresh(60)])
    # Both samples are random: four standard errors of their difference.
    assert abs(taken - rate) < 4 * np.sqrt(2 * rate * (1 - rate) / pixels) + 1 / pixels


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_maps_that_are_the_same_everywhere_take_nothing(value: float) -> None:
    flat = [np.full((8, 8), value, np.float32)] * 3
    detector = calibrate(flat, flat)
    assert detector.threshold > value
    assert detector.false_alarm == 0


def test_maps_of_several_sizes_are_pooled_by_pixel() -> None:
    small, large = np.full((1, 1), 0.9, np.float32), np.full((3, 33), 0.1, np.float32)
    detector = calibrate([small, large], [small, large])
    assert detector.false_alarm == pytest.approx(0.01)


def test_the_table_of_rates(rng: np.random.Generator) -> None:
    found = calibrate(objects(rng, 4, 0), objects(rng, 4, 0.1))
    assert (found.unit, found.pictures, found.rates) == ("pixel", 4, RATES)
    assert len(found.thresholds) == len(RATES)
    assert list(found.thresholds) == sorted(found.thresholds)  # rates fall, thresholds rise


def test_mean_scores_averages_the_right_figures() -> None:
    with_ = {"psnr_with": 30.0, "psnr_without": 1.0, "residual": 0.1, "flips_to_with": 9.0, "flips_to_without": 1.0}
    without = {"psnr_with": 1.0, "psnr_without": 40.0, "residual": 0.3, "flips_to_with": 0.0, "flips_to_without": 9.0}
    means = mean_scores([(1, with_), (0, without)])
    assert means == pytest.approx({"psnr": 35.0, "residual": 0.2, "flip_rate": 0.5})
    del with_["flips_to_without"], without["flips_to_with"]
    assert "flip_rate" not in mean_scores([(1, with_), (0, without)])


def test_scores_that_no_picture_has_are_left_out() -> None:
    assert mean_scores([(1, {"score": 0.5}), (0, {})]) == {}


def test_two_values_are_parted_between_them() -> None:
    values = np.array([0.1] * 90 + [0.9] * 10, np.float32)
    assert 0.1 <= find_threshold(values) < 0.9
