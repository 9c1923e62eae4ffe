"""Length and width of shapes, against shapely."""

from __future__ import annotations

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import shapely
from hypothesis import assume, given
from numpy.typing import NDArray

from distmap.common.shapes import edge_corners, sides

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


@given(MASKS)
def test_corners_have_the_hull_of_all_pixels(mask_HW: NDArray[np.bool_]) -> None:
    assume(mask_HW.any())
    rows, columns = np.nonzero(mask_HW)
    pixels = shapely.union_all(shapely.box(columns, rows, columns + 1, rows + 1))
    hull = shapely.MultiPoint(edge_corners(mask_HW)).convex_hull
    assert hull.equals(pixels.convex_hull)


@given(MASKS)
def test_sides_are_those_of_the_least_rectangle(mask_HW: NDArray[np.bool_]) -> None:
    """Two rectangles may be equally small, so area is compared, and that it is long and wide enough."""
    assume(mask_HW.any())
    length, width = sides(edge_corners(mask_HW))
    least = shapely.MultiPoint(edge_corners(mask_HW)).minimum_rotated_rectangle
    assert length >= width
    assert length * width == pytest.approx(least.area, rel=1e-4)
    assert length**2 + width**2 >= mask_HW.any(axis=0).sum() ** 2


@pytest.mark.parametrize("degrees", [0, 17, 45, 90, 133])
def test_a_turned_rectangle(degrees: float) -> None:
    turned = shapely.affinity.rotate(shapely.box(30, 40, 42, 45), degrees)
    corners = shapely.get_coordinates(turned)
    assert sides(corners) == pytest.approx((12, 5), rel=1e-4)
    assert sides(corners[:, ::-1]) == pytest.approx((12, 5), rel=1e-4)


def test_a_single_pixel() -> None:
    pixel_HW = np.ones((1, 1), bool)
    assert edge_corners(pixel_HW).tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
    assert sides(edge_corners(pixel_HW)) == (1, 1)
