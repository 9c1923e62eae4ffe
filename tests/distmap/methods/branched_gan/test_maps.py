"""From repaintings to the map: hand-computed values, the gate, the halo rule."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, maximum_filter

from distmap.common.pictures import Array
from distmap.config import MapConfig
from distmap.methods.branched_gan.maps import (
    clean,
    distinction,
    distinction_map,
    edge_prominence,
    even_out,
    evidence,
    finish,
    follow_edges,
    guided_filter,
    reach,
    subdue,
)


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


def slow_guided_filter(values: Array, guide: Array, radius: int, softness: float) -> Array:
    """By its definition: a line fitted in every square, and the mean of the lines of the squares that hold a pixel."""
    padded = [np.pad(x.astype(np.float64), radius, mode="edge") for x in (values, guide)]
    size = 2 * radius + 1
    slopes, offsets = np.empty(values.shape), np.empty(values.shape)
    for y, x in np.ndindex(*values.shape):
        p, i = (part[y : y + size, x : x + size] for part in padded)
        slopes[y, x] = ((i * p).mean() - i.mean() * p.mean()) / (i.var() + softness)
        offsets[y, x] = p.mean() - slopes[y, x] * i.mean()
    lines = [np.pad(x, radius, mode="edge") for x in (slopes, offsets)]
    filtered = np.empty(values.shape)
    for y, x in np.ndindex(*values.shape):
        a, b = (part[y : y + size, x : x + size].mean() for part in lines)
        filtered[y, x] = a * guide[y, x] + b
    return filtered


@pytest.mark.parametrize("radius", [1, 3])
def test_guided_filter_is_its_definition(radius: int, rng: np.random.Generator) -> None:
    values, guide = rng.random((9, 12)), rng.uniform(-1, 1, (9, 12))
    expected = slow_guided_filter(values, guide, radius, 0.01)
    np.testing.assert_allclose(guided_filter(values, guide, radius, 0.01), expected, atol=1e-9)


def test_a_blurred_map_follows_the_edge_of_the_picture() -> None:
    thing = np.zeros((40, 40), bool)
    thing[10:30, 12:28] = True
    picture = np.where(thing, 0.5, -0.5).astype(np.float32)
    blurred = (0.3 * gaussian_filter(thing.astype(np.float32), 2.0)).astype(np.float32)
    followed = follow_edges(blurred, picture, MapConfig(edge_radius=3))
    assert followed.dtype == np.float32

    def step(map_HW: Array) -> float:
        return float(map_HW[20, 12] - map_HW[20, 11])

    assert step(followed) > 2.5 * step(blurred)
    assert followed[20, 20] == pytest.approx(0.3, rel=0.05)  # in the unit of the map


def test_a_followed_map_is_nowhere_more_than_the_map_nearby(rng: np.random.Generator) -> None:
    """A line through a few values overshoots; near the top, m / (m + 0.05) would make a hundredfold of it."""
    map_HW = np.where(rng.random((60, 60)) < 0.1, 1.5, 0.02).astype(np.float32)
    picture = map_HW + 0.3 * rng.standard_normal(map_HW.shape).astype(np.float32)
    followed = follow_edges(map_HW, picture, MapConfig(edge_radius=2))
    assert followed.min() >= 0
    nearby = maximum_filter(map_HW, size=5, mode="nearest")
    assert (followed <= nearby * (1 + 1e-5)).all()


def test_a_flat_picture_and_no_radius_leave_the_map_about_as_it_is(rng: np.random.Generator) -> None:
    smooth = gaussian_filter(rng.random((50, 50)), 8).astype(np.float32)
    flat = np.zeros((50, 50), np.float32)
    np.testing.assert_array_equal(follow_edges(smooth, flat, MapConfig(edge_radius=0)), smooth)
    np.testing.assert_allclose(follow_edges(smooth, flat, MapConfig(edge_radius=1)), smooth, rtol=0.05)
    nothing = np.zeros((50, 50), np.float32)
    np.testing.assert_array_equal(follow_edges(nothing, smooth, MapConfig()), 0)


@pytest.mark.parametrize(("scale", "pixels"), [(0.5, 1), (1, 2), (1.5, 4), (2, 8), (4, 16)])
def test_edges_are_looked_for_twice_as_far_in_pictures_finer_than_the_network(
    scale: float, pixels: int, rng: np.random.Generator
) -> None:
    """A radius of 2, in pixels of the picture."""
    map_HW, picture_HW = (rng.random((40, 40)).astype(np.float32) for _ in range(2))
    found = follow_edges(map_HW, picture_HW, MapConfig(edge_radius=2), scale)
    np.testing.assert_array_equal(found, follow_edges(map_HW, picture_HW, MapConfig(edge_radius=pixels)))
    assert reach(MapConfig(edge_radius=2), scale) - reach(MapConfig(edge_radius=0), scale) == 2 * pixels


def test_edge_prominence_is_its_definition(rng: np.random.Generator) -> None:
    map_HW, picture = rng.random((7, 9)), rng.uniform(-1, 1, (7, 9))

    def variances(values: Array) -> Array:
        padded = np.pad(values, 1, mode="edge")
        return np.array([[padded[row : row + 3, column : column + 3].var() for column in range(9)] for row in range(7)])

    of_map, of_picture = variances(map_HW / (map_HW + 0.05)), variances(picture)
    expected = (of_map * of_picture).sum() / of_map.sum() / np.median(of_picture)
    assert edge_prominence(map_HW, picture, 1) == pytest.approx(expected)


def test_edges_drown_in_texture(rng: np.random.Generator) -> None:
    thing = np.zeros((60, 60), np.float32)
    thing[20:40, 25:45] = 0.5
    noise = gaussian_filter(rng.standard_normal((60, 60)), 1.5)
    noise /= noise.std()
    map_HW = gaussian_filter(thing, 1)

    def prominence(noisiness: float) -> float:
        found = edge_prominence(map_HW, thing + noisiness * noise, 2)
        assert found is not None
        return found

    assert prominence(0.25) < 4 < 20 < prominence(0.05)
    assert prominence(0.0) > 20  # no texture at all
    assert edge_prominence(np.full((60, 60), 0.3), thing, 2) is None


@pytest.mark.parametrize("radius", [0, 2, 5, 40])
def test_evening_out_is_its_definition(radius: int, rng: np.random.Generator) -> None:
    map_HW = rng.random((11, 17)).astype(np.float32)
    expected = np.empty_like(map_HW)
    for row, column in np.ndindex(map_HW.shape):
        around = map_HW[max(0, row - radius) : row + radius + 1, max(0, column - radius) : column + radius + 1]
        expected[row, column] = map_HW[row, column] * (0.01 / (around.mean() + 0.0003)) ** 0.4
    found = even_out(map_HW, MapConfig(evenness=0.4, even_radius=radius))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, even_out(map_HW, MapConfig(evenness=0.4, even_radius=radius / 2), 2.0))


def test_what_is_faint_is_subdued_and_what_is_strong_hardly() -> None:
    map_HW = np.array([[0.0, 0.003], [0.03, 3.0]], np.float32)
    found = subdue(map_HW)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.0, 0.003 / 11], [0.015, 3.0 / 1.01]], rtol=1e-6)


def test_evened_out_faint_pictures_come_up_to_strong_ones(rng: np.random.Generator) -> None:
    thing = rng.random((20, 20)).astype(np.float32)
    faint, strong = (even_out(strength * thing, MapConfig(evenness=0.4)) for strength in (0.02, 0.2))
    assert strong.max() / faint.max() == pytest.approx(10**0.6, rel=0.03)
    np.testing.assert_allclose(strong / strong.max(), thing / thing.max(), rtol=1e-5)  # all of a picture alike
    np.testing.assert_array_equal(even_out(np.zeros_like(thing), MapConfig()), 0)
    np.testing.assert_array_equal(even_out(thing, MapConfig(evenness=0)), thing)


@pytest.mark.parametrize("evenness", [0.0, 0.4])
@pytest.mark.parametrize("place_smoothing", [0.0, 4.0])
def test_reach_is_how_far_a_pixel_counts(place_smoothing: float, evenness: float, rng: np.random.Generator) -> None:
    config = MapConfig(place_smoothing=place_smoothing, evenness=evenness, even_radius=10)
    found = np.full((81, 81, 3), 0.1, np.float32)
    picture = rng.uniform(-1, 1, (81, 81)).astype(np.float32)

    def finished(evidence_HWK: Array) -> Array:
        return finish(distinction_map(evidence_HWK, config), picture, config)

    before = finished(found)
    found[40, 40] = 5
    changed = np.argwhere(finished(found) != before)
    assert np.abs(changed - 40).max() <= reach(config)
    vanishing = 3 if evenness == 0 else 4  # of the kernel's rim in rounding; of what is evened out one more
    assert np.abs(changed - 40).max() >= reach(config) - vanishing
