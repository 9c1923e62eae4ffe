"""Touching objects are parted at necks, and pieces of one are joined."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from detect.detections import Detections, Instance
from detect.extraction import components, find_objects
from detect.extraction_settings import extraction_config
from detect.masks import Mask, union
from detect.scores.objects import centre_hits
from detect.touching import find_pieces, fits, join_pieces, split_touching
from distmap.common.detection_settings import DetectionSettings
from distmap.common.object_size import ObjectSize, find_object_size

BLOCK = ObjectSize(area=100, length=10, width=10)
CAR = ObjectSize(area=190, length=20, width=10)


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


def car(left: int, top: int, length: int = 20, shape: tuple[int, int] = (30, 80)) -> NDArray[np.bool_]:
    """A lying car 10 wide, its ends round."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    beyond = np.abs(x - left - length / 2) - (length / 2 - 5), np.abs(y - top - 5)
    inside_HW: NDArray[np.bool_] = np.hypot(beyond[0].clip(0), beyond[1]) <= 5
    return inside_HW


@pytest.mark.parametrize("turned", [False, True])
def test_cars_bumper_to_bumper_are_two(turned: bool) -> None:
    """The map is the same everywhere: it is the neck in the outline that parts them."""
    cars_HW = car(5, 8) | car(24, 9)
    mask = mask_of(cars_HW.T if turned else cars_HW)
    assert len(components(cars_HW)) == 1
    one, other = split_touching(mask, np.ones(mask.crop_HW.shape, np.float32), CAR)
    if turned:
        one, other = (Mask(x=part.y, y=part.x, crop_HW=part.crop_HW.T) for part in (one, other))
    assert one.x == 5
    assert one.box[2] == pytest.approx(19.5, abs=1.5)
    assert other.box[2] == pytest.approx(19.5, abs=1.5)
    assert one.area + other.area == mask.area
    assert one.area == pytest.approx(other.area, rel=0.1)


def test_cars_side_by_side_with_a_dip_in_the_map_are_two() -> None:
    """Together they are a square without a neck."""
    square = mask_of(np.ones((20, 20), bool))
    plain_HW = np.ones((20, 20), np.float32)
    assert split_touching(square, plain_HW, CAR) == [square]
    dip_HW = plain_HW.copy()
    dip_HW[9:11] = 0.4
    parts = split_touching(square, dip_HW, CAR)
    assert [part.box for part in parts] == [(0, 0, 20, 10), (0, 10, 20, 10)]
    assert split_touching(square, dip_HW, CAR, neck=0) == [square]


@pytest.mark.parametrize("times", [1, 2, 3, 5])
def test_a_long_truck_is_one(times: int) -> None:
    """Neither neck nor dip, however long it is; slow changes of the map along it are no dip."""
    truck = mask_of(car(3, 4, length=20 * times, shape=(20, 110)))
    height, width = truck.crop_HW.shape
    assert fits(truck, CAR) == (times == 1)
    assert split_touching(truck, np.ones((height, width), np.float32), CAR) == [truck]
    ramp_HW = np.tile(np.linspace(0.5, 1, width, dtype=np.float32), (height, 1))
    assert split_touching(truck, ramp_HW, CAR) == [truck]


def test_the_deeper_the_neck_the_lower_the_setting_that_parts() -> None:
    """Of a bar 10 wide that is 6 wide half way the relief at the neck is about 0.6 of that beside it."""
    bar_HW = np.ones((10, 40), bool)
    bar_HW[:2, 18:22] = bar_HW[8:, 18:22] = False
    bar = mask_of(bar_HW)
    ones_HW = np.ones(bar_HW.shape, np.float32)
    parts = {neck: len(split_touching(bar, ones_HW, CAR, neck=neck)) for neck in (0.4, 0.9)}
    assert parts == {0.4: 1, 0.9: 2}


def test_a_torn_object_is_joined_and_neighbours_are_not() -> None:
    """Three pieces of one car, a pixel or two apart, beside two whole cars as near."""
    pieces = [rectangle(0, 0, 6, 10), rectangle(7, 0, 6, 10), rectangle(15, 0, 5, 10)]
    whole = [rectangle(0, 12, 20, 10), rectangle(0, 24, 20, 10)]
    assert join_pieces(whole, CAR, gap=5) == whole
    joined = join_pieces([*whole, *pieces], CAR, gap=5)
    assert [mask.box for mask in joined] == [(0, 12, 20, 10), (0, 24, 20, 10), (0, 0, 20, 10)]
    np.testing.assert_array_equal(joined[2].crop_HW, union(pieces).crop_HW)
    assert find_pieces(pieces, CAR, gap=2) == [[0, 1], [2]], "the second gap is not less than 2"
    assert find_pieces(pieces, CAR, gap=2.1) == [[0, 1, 2]]


def test_what_is_nearly_whole_is_no_piece() -> None:
    """Together either pair fits a car; three quarters of one, or more, is a whole one."""
    assert len(join_pieces([rectangle(0, 0, 15, 10), rectangle(16, 0, 4, 10)], CAR, gap=3)) == 2
    assert len(join_pieces([rectangle(0, 0, 14, 10), rectangle(15, 0, 4, 10)], CAR, gap=3)) == 1


def test_pieces_that_make_no_typical_object_stay_apart() -> None:
    """Four pieces in a row, of which three are a whole car."""
    pieces = [rectangle(7 * index, 0, 6, 10) for index in range(4)]
    assert find_pieces(pieces, CAR, gap=3) == [[0, 1, 2], [3]]
    crosswise = [rectangle(0, 0, 14, 5), rectangle(15, 0, 5, 14)]
    assert len(find_pieces(crosswise, CAR, gap=3)) == 2


def rows_of_blocks(rng: np.random.Generator, block: int, counts: list[int]) -> tuple[NDArray[np.float32], Detections]:
    """A map, blurred and with noise, of a row for each count, of touching blocks with a darker rim, out of line a
    little; and its truth."""
    height, width = (2 * len(counts) + 1) * block, 8 * block
    map_HW, boxes = np.zeros((height, width), np.float32), []
    for row, count in enumerate(counts):
        left = block // 2 + int(rng.integers(0, (7 - count) * block, endpoint=True))
        for x in range(left, left + count * block, block):
            y = (2 * row + 1) * block + int(rng.integers(-block // 8, block // 8, endpoint=True))
            rim, level = max(1, block // 8), rng.uniform(0.7, 1.0)
            map_HW[y : y + block, x : x + block] = 0.6 * level
            map_HW[y + rim : y + block - rim, x + rim : x + block - rim] = level
            boxes.append((float(x), float(y), float(block), float(block)))
    blurred_HW = cv2.GaussianBlur(map_HW, (0, 0), block / 16) + rng.normal(0, 0.03, map_HW.shape)
    truth = Detections(name="", height=height, width=width, instances=tuple(Instance(box=box) for box in boxes))
    return blurred_HW.astype(np.float32), truth


@pytest.mark.parametrize("block", [8, 16, 32])
def test_rows_of_blocks_from_maps_alone(rng: np.random.Generator, block: int) -> None:
    """From end to end: their size is found in the maps, the settings follow it, and each block is an object."""
    maps, truth = zip(*(rows_of_blocks(rng, block, (rng.permutation(6) + 1).tolist()) for _ in range(8)), strict=True)
    size = find_object_size(maps, 0.3)
    assert size is not None
    assert size.diameter == pytest.approx(block, rel=0.1)
    assert size.countable
    config = extraction_config(DetectionSettings(threshold=0.3, false_alarm=0.001, object_size=size))
    found = [
        Detections(name="", height=map_HW.shape[0], width=map_HW.shape[1], instances=find_objects(map_HW, config))
        for map_HW in maps
    ]
    assert (centre_hits(found, truth).f1 or 0) >= 0.95
    whole = extraction_config(
        DetectionSettings(threshold=0.3, false_alarm=0.001, object_size=size), overrides={"neck": 0.0}
    )
    assert sum(len(find_objects(map_HW, whole)) for map_HW in maps) == 48, "without splitting rows are objects"
