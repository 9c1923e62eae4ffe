"""From repaintings to the map: hand-computed values, the gate, the halo rule."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from distmap.config import MapConfig
from distmap.images import Array
from distmap.maps import clean, distinction, distinction_map, evidence, reach


def distinct(picture: Array, without: Array, with_: Array) -> Array:
    return distinction(evidence(picture, without, with_, np.zeros(picture.shape[:2])))


def test_distinction_by_hand() -> None:
    picture = np.array([[[0.5], [0.0]]])
    without = np.array([[[[0.1], [0.0]]], [[[0.2], [0.4]]]])  # two branches; sums 0.3 and 0.4
    with_ = np.array([[[[0.4], [0.01]]], [[[9.0], [9.0]]]])  # only branch 1 counts
    residual, gate = np.array([0.2, 0.4]), np.array([0.3, 0.01])
    np.testing.assert_allclose(distinct(picture, without, with_)[0], residual * gate / (gate + 0.01))


def test_bands_are_averaged() -> None:
    picture = np.array([[[0.6, 0.0]]])
    without, with_ = np.zeros((1, 1, 1, 2)), np.array([[[[0.0, 0.04]]]])
    np.testing.assert_allclose(distinct(picture, without, with_), [[0.3 * 0.02 / 0.03]])


def test_zero_where_branch_1_paints_the_same_in_both_classes(rng: np.random.Generator) -> None:
    picture = rng.uniform(-1, 1, (6, 5, 3))
    without, with_ = rng.uniform(-1, 1, (2, 4, 6, 5, 3))
    with_[0, :, :3] = without[0, :, :3]
    found = distinct(picture, without, with_)
    assert (found[:, :3] == 0).all()
    assert (found[:, 3:] > 0).all()


def test_zero_where_the_repainting_without_is_the_picture(rng: np.random.Generator) -> None:
    without, with_ = rng.uniform(-1, 1, (2, 3, 4, 4, 1))
    np.testing.assert_array_equal(distinct(without.sum(axis=0), without, with_), 0)


def test_clean_smooths() -> None:
    noisy = np.random.default_rng(0).random((20, 30)).astype(np.float32)
    np.testing.assert_allclose(clean(noisy, 1.5, 0), gaussian_filter(noisy, 1.5, mode="nearest"), rtol=1e-6)
    np.testing.assert_array_equal(clean(noisy, 0, 0), noisy)


def test_clean_drops_the_halo_and_keeps_what_stands_alone() -> None:
    row = np.zeros((1, 20), np.float32)
    row[0, 5] = 1.0
    row[0, 8] = 0.19  # 3 pixels from the peak and below a fifth of it
    row[0, 7] = 0.2  # a fifth exactly: kept
    row[0, 9] = 0.19  # 4 pixels from the peak and the strongest near it but for 0.2
    row[0, 15] = 0.01  # weak, alone
    expected = row.copy()
    expected[0, 8] = 0
    np.testing.assert_array_equal(clean(row, 0, 0.2), expected)


@pytest.mark.parametrize("halo", [0.0, 0.2, 0.9])
def test_clean_of_constant_maps_and_type(halo: float) -> None:
    constant = np.full((7, 9), 0.25, np.float32)
    np.testing.assert_allclose(clean(constant, 1.0, halo), constant)
    assert clean(constant, 1.0, halo).dtype == np.float32
    np.testing.assert_array_equal(clean(np.zeros((4, 4), np.float32), 1.0, halo), 0)


def test_evidence_by_hand() -> None:
    picture = np.array([[[0.5, 0.1]]])
    without = np.array([[[[0.1, 0.0]]], [[[0.2, 0.4]]]])
    with_ = np.array([[[[0.4, 0.3]]], [[[9.0, 9.0]]]])
    np.testing.assert_allclose(evidence(picture, without, with_, np.array([[1.5]])), [[[0.2, -0.3, 0.3, 0.3, 1.5]]])


def test_the_map_is_weighed_by_the_smoothed_probability_of_the_place(rng: np.random.Generator) -> None:
    found = rng.normal(size=(20, 24, 3)).astype(np.float32)
    plain = clean(distinction(found), 1.0, 0.2)
    probability = 1 / (1 + np.exp(-found[..., -1]))
    config = MapConfig(smoothing=1.0, halo=0.2, place_smoothing=0)
    np.testing.assert_allclose(distinction_map(found, config), plain * probability, rtol=1e-5)
    config = MapConfig(smoothing=1.0, halo=0.2, place_smoothing=2.5)
    smooth = gaussian_filter(probability, 2.5, mode="nearest")
    np.testing.assert_allclose(distinction_map(found, config), plain * smooth, rtol=1e-5)


@pytest.mark.parametrize("place_smoothing", [0.0, 4.0])
def test_reach_is_how_far_a_pixel_counts(place_smoothing: float) -> None:
    config = MapConfig(place_smoothing=place_smoothing)
    found = np.full((81, 81, 3), 0.1, np.float32)
    before = distinction_map(found, config)
    found[40, 40] = 5
    changed = np.argwhere(distinction_map(found, config) != before)
    assert np.abs(changed - 40).max() <= reach(config)
    assert np.abs(changed - 40).max() >= reach(config) - 3  # the kernel's rim may vanish in rounding
