"""Square windows over pictures of any size: every pixel in its place, blended, in batches, in order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from distmap.common.pictures import Array
from distmap.inference.sliding_window import WINDOWS_AT_ONCE, Lens, see_all

SIDE = 32


def lens_of(look: Callable[[Tensor], Tensor], symmetry: str = "none", channels: int = 1) -> Lens:
    return Lens(side=SIDE, channels=channels, look=look, symmetry=symmetry, device=torch.device("cpu"))


def column_number(x_BCHW: Tensor) -> Tensor:
    return torch.arange(x_BCHW.shape[-1]).float().expand(len(x_BCHW), 1, *x_BCHW.shape[2:])


def picture(height: int, width: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((height, width, 2), dtype=np.float32)


def test_windows_are_blended_with_a_hann_weight() -> None:
    ((_, seen_KHW),) = see_all([picture(32, 72)], lens_of(column_number))
    weight = [math.sin(math.pi * (column + 0.5) / SIDE) ** 2 for column in range(SIDE)]
    total, weights = np.zeros(72), np.zeros(72)
    for start in (0, 16, 32, 40):
        for column in range(SIDE):
            total[start + column] += weight[column] * column
            weights[start + column] += weight[column]
    np.testing.assert_allclose(seen_KHW[0], np.tile(total / weights, (32, 1)), rtol=1e-4)


@pytest.mark.parametrize("symmetry", ["none", "mirror", "all"])
def test_pictures_come_back_in_order_with_every_pixel_in_its_place(symmetry: str) -> None:
    sizes = [(32, 32), (5, 7), (100, 33), (1, 64), (32, 31)]
    pictures = [picture(*size, seed) for seed, size in enumerate(sizes)]
    found = list(see_all(pictures, lens_of(lambda x_BCHW: x_BCHW, symmetry, channels=2)))
    assert len(found) == len(pictures)
    for expected, (picture_HWC, seen_KHW) in zip(pictures, found, strict=True):
        np.testing.assert_array_equal(picture_HWC, expected)
        np.testing.assert_allclose(np.moveaxis(seen_KHW, 0, -1), expected, atol=1e-5)


def test_a_lens_is_averaged_over_the_symmetries() -> None:
    seen_BKHW = lens_of(column_number, "mirror").see(picture(SIDE, SIDE)[None])
    np.testing.assert_allclose(seen_BKHW, np.full((1, 1, SIDE, SIDE), (SIDE - 1) / 2))


def test_windows_of_several_pictures_share_batches() -> None:
    batches: list[int] = []

    def look(x_BCHW: Tensor) -> Tensor:
        batches.append(len(x_BCHW))
        return x_BCHW[:, :1]

    # 40 pictures of one window, then one of 11 x 2.
    pictures = [picture(32, 20)] * 40 + [picture(48, 192)]
    assert len(list(see_all(pictures, lens_of(look)))) == 41
    assert sum(batches) == 40 + 22
    assert max(batches) == WINDOWS_AT_ONCE
    assert len(batches) == math.ceil(sum(batches) / WINDOWS_AT_ONCE)


def test_large_pictures_are_seen_one_by_one() -> None:
    read = 0

    def pictures() -> Iterator[Array]:
        nonlocal read
        for side in (30, 20, 200, 150, 30):
            read += 1
            yield picture(side, side)

    read_when_given = [read for _ in see_all(pictures(), lens_of(column_number))]
    assert read_when_given == [3, 3, 3, 4, 5]
