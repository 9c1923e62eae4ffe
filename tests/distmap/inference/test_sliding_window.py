"""Square windows over pictures of any size: every pixel in its place, blended, in batches, in order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from distmap.inference.sliding_window import (
    WINDOWS_AT_ONCE,
    Canvas,
    Network,
    Windows,
    half_overlapping,
    hann,
    lattice,
    over_symmetries,
    see_all,
    whole_canvas,
    window_starts,
)

SIDE = 32
HALF = half_overlapping(SIDE, SIDE)
Picture = NDArray[np.float32]


def network_of(forward: Callable[[Tensor], Tensor], symmetry: str = "none") -> Network:
    def as_it_is(window: NDArray[np.generic]) -> Picture:
        return window.astype(np.float32)

    return Network(forward=forward, scale=as_it_is, symmetry=symmetry, device=torch.device("cpu"))


def identity(x_BCHW: Tensor) -> Tensor:
    return x_BCHW


def column_number(x_BCHW: Tensor) -> Tensor:
    return torch.arange(x_BCHW.shape[-1]).float().expand(len(x_BCHW), 1, *x_BCHW.shape[2:])


def picture(height: int, width: int, seed: int = 0) -> Picture:
    return np.random.default_rng(seed).random((height, width, 2), dtype=np.float32)


def canvas(picture_HWC: Picture, side: int = SIDE, anchor: tuple[int, int] = (0, 0)) -> Canvas:
    return whole_canvas(picture_HWC, None, half_overlapping(side, SIDE), anchor)


@pytest.mark.parametrize(
    ("length", "anchor", "expected"),
    [
        (32, 0, [0]),
        (5, 0, [0]),
        (33, 0, [0, 16]),
        (48, 0, [0, 16]),
        (49, 0, [0, 16, 32]),
        (32, 16, [0]),
        (32, 5, [-5, 11]),
        (32, -5, [-11, 5]),
        (27, 5, [-5]),
        (96, 21, [-5, 11, 27, 43, 59, 75]),
    ],
)
def test_windows_start_on_the_lattice_and_just_cover(length: int, anchor: int, expected: list[int]) -> None:
    assert list(window_starts(length, HALF, anchor)) == expected


@given(length=st.integers(1, 400), step=st.integers(1, 40), more=st.integers(0, 40), anchor=st.integers(-1000, 1000))
def test_no_window_is_left_out_and_none_is_too_many(length: int, step: int, more: int, anchor: int) -> None:
    side = step + more
    starts = window_starts(length, Windows(side=side, step=step, seen=SIDE), anchor)
    assert all((start + anchor) % step == 0 for start in starts)
    assert -step < starts[0] <= 0
    assert starts[-1] + side >= length
    assert len(starts) == 1 or starts[-2] + side < length


def test_a_picture_that_fits_into_a_window_is_that_window() -> None:
    assert lattice(30, 20, HALF, (5, 7)) == (range(0, 1, 16), range(0, 1, 16))
    assert lattice(30, 40, HALF, (5, 7))[0][0] == -5


def test_windows_are_blended_with_a_hann_weight() -> None:
    ((_, raw_KHW),) = see_all([canvas(picture(32, 72))], network_of(column_number))
    weight = [math.sin(math.pi * (column + 0.5) / SIDE) ** 2 for column in range(SIDE)]
    total, weights = np.zeros(80), np.zeros(80)
    for start in (0, 16, 32, 48):
        for column in range(SIDE):
            total[start + column] += weight[column] * column
            weights[start + column] += weight[column]
    np.testing.assert_allclose(raw_KHW[0], np.tile(total / weights, (32, 1)), rtol=1e-4)


def test_hann_weights_of_half_overlapping_windows_add_up_to_one() -> None:
    line = hann(SIDE).sum(axis=0) / hann(SIDE).sum(axis=0).mean() / 2
    np.testing.assert_allclose(line[:16] + line[16:], 1, atol=1e-6)
    assert hann(SIDE).min() > 0


@pytest.mark.parametrize("symmetry", ["none", "mirror", "all"])
def test_pictures_come_back_in_order_with_every_pixel_in_its_place(symmetry: str) -> None:
    sizes = [(32, 32), (5, 7), (100, 33), (1, 64), (32, 31)]
    pictures = [picture(*size, seed) for seed, size in enumerate(sizes)]
    found = list(see_all([canvas(one) for one in pictures], network_of(identity, symmetry)))
    assert len(found) == len(pictures)
    for expected, (seen, raw_KHW) in zip(pictures, found, strict=True):
        np.testing.assert_array_equal(seen.pixels_HWC[seen.inner], expected)
        height, width = expected.shape[:2]
        np.testing.assert_allclose(np.moveaxis(raw_KHW, 0, -1)[:height, :width], expected, atol=1e-5)


def test_an_anchor_moves_windows_and_no_pixel() -> None:
    expected = picture(60, 70)
    ((seen, raw_KHW),) = see_all([canvas(expected, anchor=(5, 13))], network_of(identity))
    assert seen.inner == (slice(5, 65), slice(13, 83))
    np.testing.assert_allclose(np.moveaxis(raw_KHW, 0, -1)[seen.inner], expected, atol=1e-5)


def test_windows_are_brought_to_the_networks_side() -> None:
    small = picture(48, 64)
    large = np.kron(small, np.ones((2, 2, 1), np.float32))
    ((_, of_small),) = see_all([canvas(small)], network_of(identity))
    ((_, of_large),) = see_all([canvas(large, side=2 * SIDE)], network_of(identity))
    np.testing.assert_allclose(of_large, of_small, atol=1e-5)


def test_beyond_the_picture_its_border_goes_on() -> None:
    shown: list[Tensor] = []

    def look(x_BCHW: Tensor) -> Tensor:
        shown.append(x_BCHW)
        return x_BCHW

    only = picture(20, 12)
    list(see_all([canvas(only)], network_of(look)))
    expected = np.pad(only, ((0, 12), (0, 20), (0, 0)), mode="edge")
    np.testing.assert_array_equal(np.moveaxis(shown[0][0].numpy(), 0, -1), expected)


def test_what_holds_nothing_is_not_seen() -> None:
    """Windows without a valid pixel are left out; raw outputs of invalid pixels are those of the nearest valid one."""
    seen: list[int] = []

    def look(x_BCHW: Tensor) -> Tensor:
        seen.append(len(x_BCHW))
        return x_BCHW

    only = picture(32, 160)
    valid = np.zeros((32, 160), bool)
    valid[:, :40] = True
    ((_, raw_KHW),) = see_all([whole_canvas(only, valid, HALF)], network_of(look))
    assert sum(seen) == 3  # of nine: those that start at 0, 16 and 32
    np.testing.assert_allclose(raw_KHW[:, :, :40], np.moveaxis(only, -1, 0)[:, :, :40], atol=1e-5)
    np.testing.assert_allclose(raw_KHW[:, :, 40:], np.repeat(raw_KHW[:, :, 39:40], 120, axis=2))


def test_nothing_at_all_gives_zeros() -> None:
    none = whole_canvas(picture(40, 40), np.zeros((40, 40), bool), HALF)
    ((_, raw_KHW),) = see_all([none], network_of(identity))
    assert not raw_KHW.any()


@pytest.mark.parametrize(("symmetry", "count"), [("none", 1), ("mirror", 2), ("all", 8)])
def test_every_view_comes_back_to_its_place(symmetry: str, count: int) -> None:
    x = torch.rand(2, 3, 6, 6)
    seen: list[Tensor] = []

    def look(view: Tensor) -> Tensor:
        seen.append(view)
        return view[:, :2] * 3

    torch.testing.assert_close(over_symmetries(x, symmetry, look), x[:, :2] * 3)
    assert len({tuple(view.flatten().tolist()) for view in seen}) == count


def test_a_network_is_averaged_over_the_symmetries() -> None:
    raw_BKHW = network_of(column_number, "mirror").see([picture(SIDE, SIDE)], SIDE)
    np.testing.assert_allclose(raw_BKHW, np.full((1, 1, SIDE, SIDE), (SIDE - 1) / 2))


def test_windows_of_several_pictures_share_batches() -> None:
    batches: list[int] = []

    def look(x_BCHW: Tensor) -> Tensor:
        batches.append(len(x_BCHW))
        return x_BCHW[:, :1]

    # 40 pictures of one window, then one of 11 x 2.
    pictures = [picture(32, 20)] * 40 + [picture(48, 192)]
    assert len(list(see_all([canvas(one) for one in pictures], network_of(look)))) == 41
    assert sum(batches) == 40 + 22
    assert max(batches) == WINDOWS_AT_ONCE
    assert len(batches) == math.ceil(sum(batches) / WINDOWS_AT_ONCE)


def test_large_pictures_are_seen_one_by_one() -> None:
    read = 0

    def pictures() -> Iterator[Canvas]:
        nonlocal read
        for side in (30, 20, 200, 150, 30):
            read += 1
            yield canvas(picture(side, side))

    read_when_given = [read for _ in see_all(pictures(), network_of(column_number))]
    assert read_when_given == [3, 3, 3, 4, 5]
