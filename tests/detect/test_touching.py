"""Touching objects are parted at necks, and pieces of one are joined."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detect.extraction import components
from detect.masks import Mask
from detect.touching import find_pieces, fits, join_pieces, split_touching
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


def test_only_what_does_not_fit_is_looked_at() -> None:
    """An object a quarter longer and wider than the typical one is given back, whatever its values."""
    for side, fit in ((12, True), (13, False)):
        mask = mask_of(np.ones((10, side), bool))
        assert fits(mask, BLOCK) == fit
    small = mask_of(np.ones((10, 12), bool))
    assert split_touching(small, np.full((10, 12), np.nan, np.float32), BLOCK) == [small]


def rectangle(left: int, top: int, width: int, height: int) -> Mask:
    return Mask(x=left, y=top, crop_HW=np.ones((height, width), bool))


def test_four_pieces_of_one_object() -> None:
    """The outer pairs are nearer: they are joined first, then the pair of pairs, whichever pieces come first."""
    tops = ((0, 2, 3, 1), (3, 2, 1, 0), (1, 0, 3, 2), (0, 0, 0, 0))
    for some in tops:
        pieces = [rectangle(left, top, 2, 7) for left, top in zip((0, 3, 7, 10), some, strict=True)]
        (whole,) = join_pieces(pieces, ObjectSize(area=144, length=12, width=12), gap=3)
        assert whole.area == 4 * 14


def test_pieces_do_not_depend_on_the_order_of_masks(rng: np.random.Generator) -> None:
    """Squares on a lattice, all equally near: which of them become one is told by place."""
    squares = [rectangle(4 * column, 4 * row, 3, 3) for row in range(9) for column in range(9)]
    squares.append(rectangle(0, 50, 10, 10))

    def groups(order: list[int]) -> set[frozenset[int]]:
        found = find_pieces([squares[index] for index in order], BLOCK, gap=2)
        assert sorted(number for group in found for number in group) == list(range(len(squares)))
        return {frozenset(order[number] for number in group) for group in found}

    expected = groups(list(range(len(squares))))
    assert frozenset({81}) in expected
    assert max(map(len, expected)) == 9
    for _ in range(5):
        assert groups(rng.permutation(len(squares)).tolist()) == expected


def test_joined_object_stands_where_its_first_piece_did() -> None:
    masks = [rectangle(40, 0, 10, 10), rectangle(6, 0, 5, 10), rectangle(20, 0, 10, 10), rectangle(0, 0, 5, 10)]
    assert find_pieces(masks, BLOCK, gap=2) == [[0], [1, 3], [2]]
    joined = join_pieces(masks, BLOCK, gap=2)
    assert [mask.box for mask in joined] == [(40, 0, 10, 10), (0, 0, 11, 10), (20, 0, 10, 10)]
    assert join_pieces(masks, BLOCK, gap=0) == masks
    assert len(join_pieces(masks, BLOCK, gap=1)) == 4
