"""How large a typical object is, from hand-made maps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from distmap.common.object_size import FEWEST_OBJECTS, ObjectSize, describe_objects, find_object_size, parse_object_size

Map = NDArray[np.float32]
THRESHOLD = 0.5


def map_of(*boxes: tuple[int, int, int, int], side: int = 100) -> Map:
    """Blocks of 1, each left, top, width, height, on nothing."""
    map_HW = np.zeros((side, side), np.float32)
    for left, top, width, height in boxes:
        map_HW[top : top + height, left : left + width] = 1
    return map_HW


def alone(*shapes: tuple[int, int]) -> list[Map]:
    """A map for each shape, width x height, with it alone in the middle."""
    return [map_of((50 - width // 2, 50 - height // 2, width, height)) for width, height in shapes]


def found(maps: Iterable[Map]) -> ObjectSize:
    size = find_object_size(maps, THRESHOLD)
    assert size is not None
    return size


def test_blocks_that_are_all_alike() -> None:
    """Four to a map, two of them lying and two of them standing."""
    boxes = (10, 10, 12, 7), (40, 10, 7, 12), (10, 60, 12, 7), (70, 70, 7, 12)
    expected = ObjectSize(area=84, length=12, width=7, spread=1, several=1, objects=12)
    assert found([map_of(*boxes)] * 3) == expected
    assert expected.countable
    assert found([map_of(*boxes) * 0.5] * 3) == expected, "a pixel that just reaches the threshold is taken"
    assert find_object_size([map_of(*boxes) * np.float32(0.499)] * 3, THRESHOLD) is None


def test_lengths_grow_with_the_picture() -> None:
    boxes = (10, 10, 12, 7), (40, 10, 7, 12), (10, 60, 12, 7)
    small = [map_of(*boxes)] * 3
    large = [np.kron(map_HW, np.ones((3, 3), np.float32)) for map_HW in small]
    assert found(large) == found(small).scaled(3)


def test_fragments_beside_blocks_do_not_count() -> None:
    """Many more specks than blocks: they are thin beside the blocks of their picture."""
    specks = [(4 + 9 * number, 4, 4, 4) for number in range(10)] + [(5, 90, 60, 3)]
    maps = [map_of((20, 20, 12, 12), (60, 40, 12, 12), *specks)] * 5
    assert found(maps) == ObjectSize(area=144, length=12, width=12, several=1, objects=10)
    assert found([map_of(*specks[:10])] * 5).area == 16, "where nothing is thicker they are the objects"


def test_blocks_that_the_border_cuts_do_not_count() -> None:
    """They still tell that objects come in numbers."""
    cut = [(0, 45, 6, 10), (94, 45, 6, 10), (45, 0, 10, 6), (45, 94, 10, 6)]
    maps = [map_of((45, 45, 10, 10), box) for box in cut] * 2
    assert found(maps) == ObjectSize(area=100, length=10, width=10, several=1, objects=8)
    assert find_object_size([map_of(box) for box in cut * 10], THRESHOLD) is None


@pytest.mark.parametrize("block", [8, 15, 32])
def test_rows_of_one_to_six_touching_blocks(block: int) -> None:
    """All have one thickness, and a single block is typical though most objects are rows."""
    rows = [(count * block, block) for count in range(1, 7)] * 3
    maps = [map_of((7, 9, width, height), side=8 * block) for width, height in rows]
    size = found(maps)
    assert (size.area, size.length, size.width) == (block**2, block, block)
    assert (size.spread, size.several) == (1, 0)
    assert size.countable


@pytest.mark.parametrize("half", [(12, 12), (24, 6)])
def test_a_fifth_of_halves(half: tuple[int, int]) -> None:
    """Each in a picture of its own, so that nothing thicker stands beside it; as thick as whole ones, or not."""
    size = found(alone(*[(24, 12)] * 40, *[half] * 10))
    assert (size.area, size.length, size.width, size.objects) == (288, 24, 12, 50)


def test_sizes_over_two_decades() -> None:
    """One to a picture they are not countable; where they come in numbers they are."""
    shapes = [(side, side) for side in (4, 6, 8, 10, 13, 16, 20, 25, 31, 40)] * 3
    size = found(alone(*shapes))
    assert size.spread > 20
    assert not size.countable
    two = [map_of((2, 2, width, height), (50, 50, width, height)) for width, height in shapes]
    assert found(two).spread > 20
    assert found(two).countable


def test_too_few() -> None:
    assert find_object_size([], THRESHOLD) is None
    assert find_object_size(alone(*[(9, 9)] * (FEWEST_OBJECTS - 1)), THRESHOLD) is None
    assert found(alone(*[(9, 9)] * FEWEST_OBJECTS)).objects == FEWEST_OBJECTS
    assert find_object_size([np.zeros((30, 30), np.float32)] * 20, THRESHOLD) is None
    assert find_object_size([np.ones((30, 30), np.float32)] * 20, THRESHOLD) is None


@pytest.mark.parametrize("degrees", [0, 30, 45])
def test_noisy_ellipses_of_any_direction(rng: np.random.Generator, degrees: float) -> None:
    maps = []
    for _ in range(10):
        map_HW = np.zeros((100, 100), np.float32)
        for centre in ((25, 25), (70, 30), (50, 72)):
            cv2.ellipse(map_HW, centre, (16, 8), degrees, 0, 360, 1.0, -1)
        maps.append(map_HW + rng.normal(0, 0.1, map_HW.shape).astype(np.float32))
    size = found(maps)
    assert size.length == pytest.approx(33, abs=1.5)
    assert size.width == pytest.approx(17, abs=1.5)
    assert size.area == pytest.approx(np.pi * 16.5 * 8.5, rel=0.05)


def test_scaled() -> None:
    """Lengths grow with the factor, the area with its square; how alike objects are stays."""
    size = ObjectSize(area=100, length=20, width=8, spread=3, objects=50)
    assert size.scaled(1.5) == ObjectSize(area=225, length=30, width=12, spread=3, objects=50)
    assert size.scaled(1.5).diameter == 1.5 * size.diameter


@pytest.mark.parametrize(
    "wrong",
    [
        {"area": 0},
        {"area": -1},
        {"area": float("nan")},
        {"area": float("inf")},
        {"width": 0},
        {"width": 21},
        {"width": float("nan")},
        {"length": 7},
        {"length": float("inf")},
        {"spread": 0.9},
        {"spread": float("nan")},
        {"spread": float("inf")},
    ],
)
def test_what_is_no_object_is_refused(wrong: dict[str, float]) -> None:
    right: dict[str, Any] = {"area": 100, "length": 20, "width": 8}
    ObjectSize(**right)
    with pytest.raises(ValueError, match=rf"object size: .*{next(iter(wrong))} {next(iter(wrong.values()))}"):
        ObjectSize(**right | wrong)


def test_countable() -> None:
    """Alike, or several to a picture."""
    sizes = [ObjectSize(area=1, length=1, width=1, spread=spread, several=0.0) for spread in (5.9, 6.0)]
    assert [size.countable for size in sizes] == [True, False]
    several = [ObjectSize(area=1, length=1, width=1, spread=90, several=share) for share in (0.04, 0.05)]
    assert [size.countable for size in several] == [False, True]


@pytest.mark.parametrize(
    ("text", "length", "width"),
    [("35x16", 35, 16), ("16x35", 35, 16), ("16 X 35", 35, 16), ("24", 24, 24), ("7.5x2.5", 7.5, 2.5)],
)
def test_a_size_that_somebody_says(text: str, length: float, width: float) -> None:
    assert parse_object_size(text) == ObjectSize(area=length * width, length=length, width=width)
    assert parse_object_size(text).objects == 0
    assert parse_object_size(text).countable


@pytest.mark.parametrize("text", ["", "x", "3x", "large", "0", "-4", "5x0", "1x2x3", "35,16", "nan", "inf", "auto"])
def test_what_is_no_size_is_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"^object size '.*': give auto, a length and a width") as caught:
        parse_object_size(text)
    assert "\n" not in str(caught.value)
    assert f"{text!r}" in str(caught.value)


def test_sizes_for_people() -> None:
    size = ObjectSize(area=500, length=35.4, width=15.6)
    assert describe_objects(size) == "about 35 x 16 pixels"
    assert describe_objects(None) == "too few to tell their size, so none is split"
    unlike = describe_objects(ObjectSize(area=500, length=35, width=16, spread=80))
    assert unlike.startswith("about 35 x 16 pixels, but of no typical size (the largest 80 times the smallest)")
