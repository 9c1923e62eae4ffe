"""What maps are made with, against slow versions, other libraries and values worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter, uniform_filter
from torch import Tensor

from distmap.inference.refinement import (
    box_mean,
    box_sum,
    edge_contrast,
    follow_edges,
    gaussian,
    gaussian_reach,
    guided_filter,
    local_maximum,
    normalise_locally,
    resample,
    resampling_weights,
    shrink,
    suppress_halos,
)

Array = NDArray[np.floating]
SATURATION, SOFTNESS, MEAN, FLOOR = 0.05, 0.004, 0.01, 3e-4


def batched(*maps_HW: Array) -> Tensor:
    return torch.from_numpy(np.stack(maps_HW))


# --- filters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.3, 1.0, 1.5, 4.0])
@pytest.mark.parametrize("size", [(20, 30), (3, 5)])
def test_gaussian_is_scipy_s(sigma: float, size: tuple[int, int], rng: np.random.Generator) -> None:
    maps = [rng.random(size).astype(np.float32) for _ in range(2)]
    found = gaussian(batched(*maps), sigma)
    assert found.dtype == torch.float32
    for one, expected in zip(found.numpy(), maps, strict=True):
        np.testing.assert_allclose(one, gaussian_filter(expected, sigma, mode="nearest"), rtol=1e-5)


def test_gaussian_of_sigma_0_changes_nothing(rng: np.random.Generator) -> None:
    maps = batched(rng.random((4, 5)))
    assert torch.equal(gaussian(maps, 0), maps)


@pytest.mark.parametrize("sigma", [0.0, 0.5, 1.0, 2.7])
def test_gaussian_looks_as_far_as_its_reach(sigma: float) -> None:
    map_BHW = torch.zeros(1, 41, 41, dtype=torch.float64)
    map_BHW[0, 20, 20] = 1
    seen = torch.nonzero(gaussian(map_BHW, sigma)[0])
    assert (seen - 20).abs().max() == gaussian_reach(sigma)


@pytest.mark.parametrize("radius", [0, 1, 3, 40])
def test_local_maximum_is_scipy_s(radius: int, rng: np.random.Generator) -> None:
    maps = [rng.normal(size=(9, 14)) for _ in range(2)]
    expected = [maximum_filter(one, size=2 * radius + 1, mode="nearest") for one in maps]
    np.testing.assert_array_equal(local_maximum(batched(*maps), radius).numpy(), expected)


@pytest.mark.parametrize("radius", [0, 1, 4, 30])
def test_box_sum_is_that_of_what_lies_inside(radius: int, rng: np.random.Generator) -> None:
    maps = [rng.random((9, 14)).astype(np.float32) for _ in range(2)]
    found = box_sum(batched(*maps), radius)
    assert found.dtype == torch.float64
    for one, values in zip(found.numpy(), maps, strict=True):
        for row, column in np.ndindex(values.shape):
            around = values[max(0, row - radius) : row + radius + 1, max(0, column - radius) : column + radius + 1]
            assert one[row, column] == pytest.approx(around.sum(dtype=np.float64))


@pytest.mark.parametrize("radius", [0, 1, 4])
def test_box_mean_is_scipy_s(radius: int, rng: np.random.Generator) -> None:
    maps = [rng.random((9, 14)) for _ in range(2)]
    expected = [uniform_filter(one, 2 * radius + 1, mode="nearest") for one in maps]
    np.testing.assert_allclose(box_mean(batched(*maps), radius).numpy(), expected, rtol=1e-12)


# --- halos -------------------------------------------------------------------------------------------------------


def test_halos_are_suppressed_and_what_stands_alone_is_kept() -> None:
    row = torch.zeros(1, 1, 20)
    row[0, 0, 5] = 1.0
    row[0, 0, 8] = 0.19  # 3 pixels from the peak and below a fifth of it
    row[0, 0, 7] = 0.2  # a fifth exactly: kept
    row[0, 0, 9] = 0.19  # 4 pixels from the peak and the strongest near it but for 0.2
    row[0, 0, 15] = 0.01  # weak, alone
    expected = row.clone()
    expected[0, 0, 8] = 0
    assert torch.equal(suppress_halos(row, 0.2, 3), expected)
    expected[0, 0, 9] = 0
    assert torch.equal(suppress_halos(row, 0.2, 4), expected)


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.9])
def test_even_maps_have_no_halos(fraction: float) -> None:
    even, empty = torch.full((1, 7, 9), 0.25), torch.zeros(1, 4, 4)
    assert torch.equal(suppress_halos(even, fraction, 3), even)
    assert suppress_halos(even, fraction, 3).dtype == torch.float32
    assert torch.equal(suppress_halos(empty, fraction, 3), empty)


# --- edges -------------------------------------------------------------------------------------------------------


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
    values = [rng.random((9, 12)) for _ in range(2)]
    guides = [rng.uniform(-1, 1, (9, 12)) for _ in range(2)]
    found = guided_filter(batched(*values), batched(*guides), radius, 0.01)
    for one, map_HW, guide_HW in zip(found.numpy(), values, guides, strict=True):
        np.testing.assert_allclose(one, slow_guided_filter(map_HW, guide_HW, radius, 0.01), atol=1e-9)


def followed(map_HW: Array, picture_HW: Array, radius: int) -> Array:
    found = follow_edges(batched(map_HW), batched(picture_HW), radius, saturation=SATURATION, softness=SOFTNESS)
    assert found.dtype == batched(map_HW).dtype
    edges: Array = found[0].numpy()
    return edges


def test_a_blurred_map_follows_the_edge_of_the_picture() -> None:
    thing = np.zeros((40, 40), bool)
    thing[10:30, 12:28] = True
    picture = np.where(thing, 0.5, -0.5).astype(np.float32)
    blurred = (0.3 * gaussian_filter(thing.astype(np.float32), 2.0)).astype(np.float32)
    moved = followed(blurred, picture, 3)

    def step(map_HW: Array) -> float:
        return float(map_HW[20, 12] - map_HW[20, 11])

    assert step(moved) > 2.5 * step(blurred)
    assert moved[20, 20] == pytest.approx(0.3, rel=0.05)  # in the unit of the map


def test_a_followed_map_is_nowhere_more_than_the_map_nearby(rng: np.random.Generator) -> None:
    """A line through a few values overshoots; near the top, m / (m + 0.05) would make a hundredfold of it."""
    map_HW = np.where(rng.random((60, 60)) < 0.1, 1.5, 0.02).astype(np.float32)
    picture = map_HW + 0.3 * rng.standard_normal(map_HW.shape).astype(np.float32)
    moved = followed(map_HW, picture, 2)
    assert moved.min() >= 0
    nearby = maximum_filter(map_HW, size=5, mode="nearest")
    assert (moved <= nearby * (1 + 1e-5)).all()


def test_following_edges_is_its_definition(rng: np.random.Generator) -> None:
    map_HW, picture = rng.random((9, 12)), rng.uniform(-1, 1, (9, 12))
    saturated = map_HW / (map_HW + SATURATION)
    filtered = slow_guided_filter(saturated, picture, 2, SOFTNESS)
    filtered = np.clip(filtered, 0, maximum_filter(saturated, size=5, mode="nearest"))
    np.testing.assert_allclose(followed(map_HW, picture, 2), SATURATION * filtered / (1 - filtered), rtol=1e-6)


def test_a_flat_picture_and_no_radius_leave_the_map_about_as_it_is(rng: np.random.Generator) -> None:
    smooth = gaussian_filter(rng.random((50, 50)), 8).astype(np.float32)
    flat = np.zeros((50, 50), np.float32)
    np.testing.assert_array_equal(followed(smooth, flat, 0), smooth)
    np.testing.assert_allclose(followed(smooth, flat, 1), smooth, rtol=0.05)
    nothing = np.zeros((50, 50), np.float32)
    np.testing.assert_array_equal(followed(nothing, smooth, 2), 0)


def contrast(map_HW: Array, picture_HW: Array, radius: int) -> float | None:
    return edge_contrast(torch.from_numpy(map_HW), torch.from_numpy(picture_HW), radius, saturation=SATURATION)


@pytest.mark.parametrize("size", [(7, 9), (6, 9)])
def test_edge_contrast_is_its_definition(size: tuple[int, int], rng: np.random.Generator) -> None:
    map_HW, picture = rng.random(size), rng.uniform(-1, 1, size)

    def variances(values: Array) -> Array:
        padded = np.pad(values, 1, mode="edge")
        return np.array([[padded[y : y + 3, x : x + 3].var() for x in range(size[1])] for y in range(size[0])])

    of_map, of_picture = variances(map_HW / (map_HW + SATURATION)), variances(picture)
    expected = (of_map * of_picture).sum() / of_map.sum() / np.median(of_picture)
    assert contrast(map_HW, picture, 1) == pytest.approx(expected)


def test_edge_contrast_is_low_in_texture(rng: np.random.Generator) -> None:
    thing = np.zeros((60, 60), np.float32)
    thing[20:40, 25:45] = 0.5
    noise = gaussian_filter(rng.standard_normal((60, 60)), 1.5)
    noise /= noise.std()
    map_HW = gaussian_filter(thing, 1)

    def among(noisiness: float) -> float:
        found = contrast(map_HW, thing + noisiness * noise, 2)
        assert found is not None
        return found

    assert among(0.25) < 4 < 20 < among(0.05)
    assert among(0.0) > 20  # no texture at all
    assert contrast(np.full((60, 60), 0.3), thing, 2) is None


# --- strength ----------------------------------------------------------------------------------------------------


def normalised(map_HW: Array, radius: int, exponent: float = 0.4, valid_HW: NDArray[np.bool_] | None = None) -> Array:
    valid = None if valid_HW is None else torch.from_numpy(valid_HW)[None]
    found = normalise_locally(batched(map_HW), radius, exponent, mean=MEAN, floor=FLOOR, valid_BHW=valid)
    assert found.dtype == batched(map_HW).dtype
    strengths: Array = found[0].numpy()
    return strengths


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("radius", [0, 2, 5, 40])
def test_local_normalisation_is_its_definition(radius: int, masked: bool, rng: np.random.Generator) -> None:
    map_HW = rng.random((11, 17)).astype(np.float32)
    valid = rng.random((11, 17)) < 0.7 if masked else np.ones((11, 17), bool)
    expected = np.empty_like(map_HW)
    for row, column in np.ndindex(map_HW.shape):
        around = (
            slice(max(0, row - radius), row + radius + 1),
            slice(max(0, column - radius), column + radius + 1),
        )
        values = map_HW[around][valid[around]]
        expected[row, column] = map_HW[row, column] * (MEAN / (values.mean() + FLOOR)) ** 0.4 if values.size else 0
    found = normalised(map_HW, radius, valid_HW=valid if masked else None)
    np.testing.assert_allclose(found[valid], expected[valid], rtol=1e-5)
    assert np.isfinite(found).all()


def test_what_is_invalid_counts_as_beyond_the_picture(rng: np.random.Generator) -> None:
    map_HW = rng.random((12, 20)).astype(np.float32)
    valid = np.zeros((12, 20), bool)
    valid[:, 5:16] = True
    cut = normalised(map_HW[:, 5:16], 3)
    np.testing.assert_allclose(normalised(map_HW, 3, valid_HW=valid)[:, 5:16], cut, rtol=1e-6)


def test_normalised_faint_pictures_come_up_to_strong_ones(rng: np.random.Generator) -> None:
    thing = rng.random((20, 20)).astype(np.float32)
    faint, strong = (normalised(strength * thing, 64) for strength in (0.02, 0.2))
    assert strong.max() / faint.max() == pytest.approx(10**0.6, rel=0.03)
    np.testing.assert_allclose(strong / strong.max(), thing / thing.max(), rtol=1e-5)  # all of a picture alike
    np.testing.assert_array_equal(normalised(np.zeros_like(thing), 64), 0)
    np.testing.assert_array_equal(normalised(thing, 64, exponent=0), thing)


def test_what_is_faint_is_shrunk_and_what_is_strong_hardly() -> None:
    map_BHW = torch.tensor([[[0.0, 0.003], [0.03, 3.0]]])
    found = shrink(map_BHW, 0.03)
    torch.testing.assert_close(found, torch.tensor([[[0.0, 0.003 / 11], [0.015, 3.0 / 1.01]]]))
    assert torch.equal(shrink(map_BHW, 0), map_BHW)


# --- other grids -------------------------------------------------------------------------------------------------


def opencv(x_KHW: Array, height: int, width: int, interpolation: int) -> Array:
    return np.stack([cv2.resize(x, (width, height), interpolation=interpolation) for x in x_KHW])


@pytest.mark.parametrize("size", [(20, 30), (12, 18), (8, 12), (25, 37), (39, 59)])
def test_shrinking_takes_area_means_as_opencv_does(size: tuple[int, int], rng: np.random.Generator) -> None:
    """Along each axis by its own factor where the two differ, as OpenCV does."""
    x_KHW = rng.random((3, 40, 60)).astype(np.float32)
    rows, columns = (
        resampling_weights(before, after, after / before).float() for before, after in zip((40, 60), size, strict=True)
    )
    found = rows @ torch.from_numpy(x_KHW) @ columns.T
    np.testing.assert_allclose(found.numpy(), opencv(x_KHW, *size, cv2.INTER_AREA), atol=1e-5)


@pytest.mark.parametrize("scale", [0.5, 0.2, 0.75, 0.35])
def test_resample_shrinks_by_its_scale(scale: float, rng: np.random.Generator) -> None:
    x_BKHW = rng.random((2, 3, 40, 60)).astype(np.float32)
    height, width = round(40 * scale), round(60 * scale)
    found = resample(torch.from_numpy(x_BKHW), height, width, scale)
    assert found.shape == (2, 3, height, width)
    for one, whole in zip(found.numpy(), x_BKHW, strict=True):
        np.testing.assert_allclose(one, opencv(whole, height, width, cv2.INTER_AREA), atol=1e-5)


@pytest.mark.parametrize("scale", [1.25, 2.0, 3.0, 4.0])
def test_resample_enlarges_linearly_as_opencv_does(scale: float, rng: np.random.Generator) -> None:
    x_BKHW = rng.random((2, 3, 12, 20)).astype(np.float32)
    height, width = round(12 * scale), round(20 * scale)
    found = resample(torch.from_numpy(x_BKHW), height, width, scale)
    for one, whole in zip(found.numpy(), x_BKHW, strict=True):
        np.testing.assert_allclose(one, opencv(whole, height, width, cv2.INTER_LINEAR), atol=1e-5)


def test_resample_by_hand() -> None:
    row = torch.tensor([[[[0.0, 1.0, 3.0, 7.0]]]])
    # Pixels of 2.5: 0 to 2.5 and 2.5 to 5; of the last, what lies beyond is 7 as well.
    expected = torch.tensor([[[[(0 + 1 + 1.5) / 2.5, (1.5 + 7 + 7) / 2.5]]]])
    torch.testing.assert_close(resample(row, 1, 2, 0.4)[..., :1, :], expected)
    torch.testing.assert_close(resample(row, 2, 8, 2)[0, 0, 0, :4], torch.tensor([0.0, 0.25, 0.75, 1.5]))


def test_the_same_grid_changes_nothing(rng: np.random.Generator) -> None:
    x_BKHW = torch.from_numpy(rng.random((1, 2, 5, 7)))
    assert resample(x_BKHW, 5, 7, 1) is x_BKHW


@pytest.mark.parametrize("scale", [0.35, 0.5, 0.8, 1.0, 1.5, 2.0, 4.0])
@pytest.mark.parametrize(("top", "left"), [(0, 3), (2, 0), (4, 5)])
def test_top_and_left_give_a_crop_of_the_whole_result(
    scale: float, top: int, left: int, rng: np.random.Generator
) -> None:
    x_BKHW = torch.from_numpy(rng.random((1, 2, 40, 60)))
    height, width = int(40 * scale), int(60 * scale)
    whole = resample(x_BKHW, height, width, scale)
    part = resample(x_BKHW, height - top - 2, width - left - 3, scale, top=top, left=left)
    torch.testing.assert_close(part, whole[..., top : height - 2, left : width - 3])


@pytest.mark.parametrize("scale", [0.3, 0.5, 1.0, 1.7, 4.0])
@pytest.mark.parametrize("start", [0.0, 0.6, 3.0])
def test_resampling_keeps_what_is_even(scale: float, start: float) -> None:
    """Beyond the last pixel, too."""
    weights = resampling_weights(10, 25, scale, start)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(25, dtype=torch.float64))


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gaussian": lambda x: gaussian(x, 1.0),
    "local_maximum": lambda x: local_maximum(x, 2),
    "box_mean": lambda x: box_mean(x, 2),
    "suppress_halos": lambda x: suppress_halos(x, 0.2, 3),
    "follow_edges": lambda x: follow_edges(x, x, 2, saturation=SATURATION, softness=SOFTNESS),
    "normalise_locally": lambda x: normalise_locally(x, 3, 0.4, mean=MEAN, floor=FLOOR),
    "shrink": lambda x: shrink(x, 0.03),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_maps_of_a_batch_do_not_see_each_other(name: str, rng: np.random.Generator) -> None:
    maps = torch.from_numpy(rng.random((3, 12, 15)))
    together = FUNCTIONS[name](maps)
    for index in range(3):
        torch.testing.assert_close(together[index : index + 1], FUNCTIONS[name](maps[index : index + 1]))
