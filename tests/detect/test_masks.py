"""Masks against pycocotools, shapely and values worked out by hand."""

from __future__ import annotations

import math

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco

from detect.masks import (
    Mask,
    mask_of_polygons,
    mask_of_run_lengths,
    order_corners,
    oriented_boxes,
    outlines,
    run_lengths,
)

BoolArray = NDArray[np.bool_]

# Several parts, holes, single pixels, objects on the border and whole pictures all come up among these.
pictures = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


def block(x: int, y: int, width: int, height: int) -> Mask:
    return Mask(x=x, y=y, crop_HW=np.ones((height, width), bool))


def drawn(mask: Mask | None, shape: tuple[int, ...]) -> BoolArray:
    canvas = np.zeros(shape, bool)
    if mask is not None:
        mask.draw(canvas)
    return canvas


def test_a_block_has_its_exact_box_and_area() -> None:
    picture = np.zeros((20, 30), np.uint8)
    picture[4:9, 7:10] = 255
    mask = Mask.of(picture)
    assert mask is not None
    assert list(mask.box) == [7, 4, 3, 5]
    assert mask.area == 15
    np.testing.assert_array_equal(drawn(mask, picture.shape), picture > 0)


def test_nothing_is_no_object() -> None:
    assert Mask.of(np.zeros((3, 3), bool)) is None


@given(pictures)
def test_cutting_out_and_painting_back_changes_nothing(picture: BoolArray) -> None:
    np.testing.assert_array_equal(drawn(Mask.of(picture), picture.shape), picture)


def test_outline_of_a_block_runs_along_the_pixel_edges() -> None:
    [[[ring]]] = outlines([block(3, 2, 4, 1)])
    assert {tuple(corner) for corner in ring.tolist()} == {(3, 2), (7, 2), (7, 3), (3, 3)}


def test_outline_of_a_ring_has_its_hole() -> None:
    picture = np.ones((5, 5), bool)
    picture[2, 2] = False
    mask = Mask.of(picture)
    assert mask is not None
    [[[outer, hole]]] = outlines([mask])
    assert shapely.Polygon(outer).area == 25
    assert shapely.Polygon(hole).area == 1


def test_parts_that_touch_by_a_corner_are_two_polygons() -> None:
    mask = Mask(x=0, y=0, crop_HW=np.eye(2, dtype=bool))
    [parts] = outlines([mask])
    assert len(parts) == 2


def test_outlines_belong_to_their_masks() -> None:
    masks = [block(x, 10 * x, 1 + x % 5, 1 + x % 3) for x in range(3000)]
    for mask, [[ring]] in zip(masks, outlines(masks), strict=True):
        left, top, right, bottom = shapely.Polygon(ring).bounds
        assert (left, top, right - left, bottom - top) == mask.box


@settings(max_examples=300)
@given(pictures)
def test_polygons_rasterise_to_the_same_mask(picture: BoolArray) -> None:
    mask = Mask.of(picture)
    if mask is None:
        return
    [parts] = outlines([mask])
    if any(len(part) > 1 for part in parts):
        return
    height, width = picture.shape
    rings = [part[0].ravel().tolist() for part in parts]
    reference = coco.decode(coco.merge(coco.frPyObjects(rings, height, width)))
    np.testing.assert_array_equal(reference, picture)
    np.testing.assert_array_equal(drawn(mask_of_polygons(rings, height, width), picture.shape), picture)


@settings(max_examples=300)
@given(pictures, st.integers(0, 3), st.integers(0, 3))
def test_run_lengths_are_those_of_pycocotools(picture: BoolArray, right: int, below: int) -> None:
    picture = np.pad(picture, ((0, below), (0, right)))
    height, width = picture.shape
    mask = Mask.of(picture)
    if mask is None:
        return
    counts = run_lengths(mask, height, width)
    rle = coco.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    assert rle == coco.encode(np.asfortranarray(picture, np.uint8))
    for form in (rle, {"size": [height, width], "counts": counts}):
        np.testing.assert_array_equal(drawn(mask_of_run_lengths(form), picture.shape), picture)


def test_run_lengths_that_miss_the_size_are_refused() -> None:
    with pytest.raises(ValueError, match="add up to 7, not to 2 x 4"):
        mask_of_run_lengths({"size": [2, 4], "counts": [3, 4]})


@settings(max_examples=300)
@given(st.lists(st.floats(-15, 45), min_size=6, max_size=16).filter(lambda values: len(values) % 2 == 0))
def test_any_polygon_rasterises_as_pycocotools_does(ring: list[float]) -> None:
    height, width = 25, 30
    reference = coco.decode(coco.frPyObjects([ring], height, width)[0])
    np.testing.assert_array_equal(drawn(mask_of_polygons([ring], height, width), (height, width)), reference)


def test_polygons_outside_the_picture_have_no_pixel() -> None:
    assert mask_of_polygons([[50, 50, 60, 50, 60, 60]], 20, 20) is None


def test_oriented_box_of_a_block_is_the_block() -> None:
    [corners] = oriented_boxes([block(1000, 2000, 7, 3)])
    assert corners.tolist() == [[1000, 2000], [1007, 2000], [1007, 2003], [1000, 2003]]


def test_oriented_box_of_a_diagonal_covers_pixel_edges() -> None:
    [corners] = oriented_boxes([Mask(x=0, y=0, crop_HW=np.eye(10, dtype=bool))])
    sides = sorted(math.dist(corners[i], corners[i - 1]) for i in range(4))
    # From corner (0, 0) to (10, 10), and one pixel's diagonal across.
    np.testing.assert_allclose(sides, [math.sqrt(2)] * 2 + [10 * math.sqrt(2)] * 2)


@settings(max_examples=100)
@given(pictures)
def test_oriented_box_is_the_least_that_covers_every_pixel(picture: BoolArray) -> None:
    mask = Mask.of(picture)
    if mask is None:
        return
    box = shapely.Polygon(oriented_boxes([mask])[0])
    rows, columns = np.nonzero(picture)
    pixels = shapely.union_all(shapely.box(columns, rows, columns + 1, rows + 1))
    assert pixels.difference(box.buffer(1e-9)).area < 1e-9
    # Slow version: the least rectangle has a side along a side of the hull.
    hull = shapely.get_coordinates(pixels.convex_hull)
    areas = []
    for angle in np.arctan2(*np.diff(hull, axis=0).T[::-1]):
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        areas.append(np.ptp(hull @ turn, axis=0).prod())
    assert box.area == pytest.approx(min(areas))


@given(st.permutations([(0.0, 0.0), (4.0, 0.0), (4.0, 2.0), (0.0, 2.0)]).filter(lambda p: abs(p[0][0] - p[2][0]) == 4))
def test_corners_come_clockwise_from_the_top_left(corners: list[tuple[float, float]]) -> None:
    if shapely.Polygon(corners).is_valid:
        assert order_corners(np.array(corners)).tolist() == [[0, 0], [4, 0], [4, 2], [0, 2]]
