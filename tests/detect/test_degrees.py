"""Shapes on the map of the Earth: the antimeridian, the poles, boxes as RFC 7946 has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from rasterio.warp import transform

from detect.formats.degrees import bounding_box, to_geometry, to_json

Points = NDArray[np.float64]
FIJI, ARCTIC, ANTARCTIC, PACIFIC = "EPSG:32760", "EPSG:3413", "EPSG:3031", "EPSG:3832"


def degrees_of(crs: str) -> Callable[[Points], Points]:
    def convert(points_N2: Points) -> Points:
        return np.column_stack(transform(crs, "EPSG:4326", points_N2[:, 0], points_N2[:, 1]))

    return convert


def box(left: float, bottom: float, right: float, top: float) -> Points:
    return np.array([[left, bottom], [left, top], [right, top], [right, bottom]], float)


def as_it_is(points_N2: Points) -> Points:
    return points_N2


def check(geometry: Any) -> None:
    assert geometry.is_valid, shapely.is_valid_reason(geometry)
    assert np.abs(shapely.get_coordinates(geometry)).max(axis=0).tolist() <= [180, 90]
    again = shapely.geometry.shape(to_json(geometry, 9))
    assert again.is_valid, shapely.is_valid_reason(again)
    assert shapely.count_coordinates(shapely.remove_repeated_points(again)) == shapely.count_coordinates(again)
    for part in shapely.get_parts(geometry):
        assert part.exterior.is_ccw
        assert not any(ring.is_ccw for ring in part.interiors)


def test_a_shape_away_from_it_stays_as_it_is() -> None:
    geometry = to_geometry([[box(9, 45, 10, 46), box(9.2, 45.2, 9.4, 45.4)]], as_it_is)
    check(geometry)
    assert geometry.equals(shapely.box(9, 45, 10, 46) - shapely.box(9.2, 45.2, 9.4, 45.4))
    assert len(shapely.get_coordinates(geometry)) == 10


@pytest.mark.parametrize("shift", [0, 360, -360])
def test_a_shape_across_180_degrees_is_cut(shift: float) -> None:
    geometry = to_geometry([[box(179 + shift, -17, 181.5 + shift, -16)]], as_it_is)
    check(geometry)
    assert geometry.equals(shapely.MultiPolygon([shapely.box(179, -17, 180, -16), shapely.box(-180, -17, -178.5, -16)]))
    assert bounding_box([geometry]) == [179, -17, -178.5, -16]
    assert to_json(geometry, 6)["type"] == "MultiPolygon"


def test_holes_are_cut_too() -> None:
    geometry = to_geometry([[box(170, 0, 190, 10), box(175, 2, 185, 4), box(171, 5, 172, 6)]], as_it_is)
    check(geometry)
    assert geometry.area == pytest.approx(200 - 20 - 1)
    assert not geometry.intersects(shapely.box(-179.9, 2.1, -175.1, 3.9))


@pytest.mark.parametrize(
    ("crs", "rings"),
    [
        (FIJI, [box(818_000, 8_110_000, 822_000, 8_114_000), box(819_000, 8_111_000, 821_000, 8_112_000)]),
        (PACIFIC, [box(3_300_000, -1e6, 3_400_000, 1e6)]),
        (ARCTIC, [box(-900_000, -500_000, 700_000, 600_000)]),
        (ARCTIC, [box(-900_000, -500_000, 700_000, 600_000), box(-100_000, -90_000, 120_000, 80_000)]),
        (ARCTIC, [box(-900_000, -500_000, 700_000, 600_000), box(300_000, -90_000, 420_000, 80_000)]),
        (ARCTIC, [box(5_000, -500_000, 700_000, 600_000)]),
        (ANTARCTIC, [box(-2_000_000, -2_500_000, 2_600_000, 2_000_000), box(-100_000, -300_000, 120_000, 200_000)]),
        (ANTARCTIC, [box(-30, -20, 10, 50)]),
        (ANTARCTIC, [box(-300_000, -900_000, 300_000, -200_000)]),
    ],
)
def test_the_same_places_are_inside(crs: str, rings: list[Points]) -> None:
    to_degrees = degrees_of(crs)
    geometry = to_geometry([rings], to_degrees)
    check(geometry)
    rng = np.random.default_rng(0)
    low, high = rings[0].min(axis=0), rings[0].max(axis=0)
    points = rng.uniform(low - (high - low) / 3, high + (high - low) / 3, (2000, 2))
    inside = np.all((points > low) & (points < high), axis=1)
    for hole in rings[1:]:
        inside &= ~np.all((points > hole.min(axis=0)) & (points < hole.max(axis=0)), axis=1)
    found = shapely.contains_xy(geometry, *to_degrees(points).T)
    assert np.count_nonzero(found != inside) <= 2  # at an edge
    west, south, east, north = bounding_box([geometry])
    longitude, latitude = to_degrees(points[inside]).T
    assert ((latitude >= south) & (latitude <= north)).all()
    if (west, east) != (-180, 180):
        assert ((longitude - west) % 360 <= (east - west) % 360).all()


def test_around_a_pole_the_box_is_around_the_world() -> None:
    geometry = to_geometry([[box(-900_000, -500_000, 700_000, 600_000)]], degrees_of(ARCTIC))
    west, south, east, north = bounding_box([geometry])
    assert (west, east, north) == (-180, 180, 90)
    assert 79 < south < 81


def test_the_whole_world() -> None:
    for ring in (box(-180, -90, 180, 90), box(0, -90, 360, 90)):
        geometry = to_geometry([[ring]], as_it_is)
        check(geometry)
        assert geometry.area == pytest.approx(360 * 180)
        assert bounding_box([geometry]) == [-180, -90, 180, 90]


def test_boxes_of_several_are_the_narrowest() -> None:
    east, west = shapely.box(170, 0, 175, 1), shapely.box(-176, -3, -170, -2)
    assert bounding_box([east]) == [170, 0, 175, 1]
    assert bounding_box([east, west]) == [170, -3, -170, 1]
    assert bounding_box([shapely.box(-10, 0, 10, 1), shapely.box(40, 0, 50, 1)]) == [-10, 0, 50, 1]
