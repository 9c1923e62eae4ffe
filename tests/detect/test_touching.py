"""Touching objects are parted at necks, and pieces of one are joined."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detect.extraction import components
from detect.masks import Mask
from detect.touching import split_touching
from distmap.common.object_size import ObjectSize

BLOCK = ObjectSize(area=100, length=10, width=10)


def mask_of(crop_HW: NDArray[np.bool_]) -> Mask:
    mask = Mask.of(crop_HW)
    assert mask is not None
    return mask


def two_blocks() -> NDArray[np.bool_]:
    """Two blocks of 10 x 11 pixels, and a bridge between them, on 11 x 26."""
    blocks_HW = np.zeros((11, 26), bool)
    blocks_HW[:10, :11] = blocks_HW[:10, 14:25] = blocks_HW[4:6, 11:14] = True
    return blocks_HW


def test_what_hangs_on_by_a_corner_goes_with_its_block() -> None:
    blocks_HW = two_blocks()
    blocks_HW[10, 25] = True
    left, right = split_touching(mask_of(blocks_HW), np.ones(blocks_HW.shape, np.float32), BLOCK)
    assert (left.box, right.box) == ((0, 0, 13, 10), (13, 0, 13, 11))
    assert left.area + right.area == blocks_HW.sum()


def test_negative_values_within_a_mask() -> None:
    """As where a gap was closed over what only pictures WITHOUT have."""
    corner_HW = np.zeros((40, 40), bool)
    corner_HW[:10] = corner_HW[:, :10] = True
    values_HW = np.ones((40, 40), np.float32)
    values_HW[2:8, 2:8] = -3
    parts = split_touching(mask_of(corner_HW), values_HW, BLOCK)
    assert len(parts) > 1
    assert sum(part.area for part in parts) == corner_HW.sum()
    assert len(split_touching(mask_of(corner_HW), -values_HW.clip(1), BLOCK)) == 1


@pytest.mark.parametrize("connectivity", [4, 8])
def test_parts_add_up_to_the_mask(rng: np.random.Generator, connectivity: int) -> None:
    from scipy.ndimage import gaussian_filter

    noise_HW = gaussian_filter(rng.standard_normal((200, 200)), 1.5).astype(np.float32)
    noise_HW /= noise_HW.std()
    masks = components(noise_HW > 0.3, 4 if connectivity == 4 else 8)
    divided = 0
    for mask in masks:
        parts = split_touching(mask, mask.window(noise_HW - 0.5), BLOCK)
        painted_HW = np.zeros(noise_HW.shape, int)
        for part in parts:
            part.window(painted_HW)[part.crop_HW] += 1
        assert (mask.window(painted_HW) == mask.crop_HW).all()
        assert painted_HW.sum() == mask.area
        divided += len(parts) > 1
    assert divided > 5
