"""Objects on the ellipsoid: metres, oriented boxes and headings in any reference system."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detect.masks import order_corners
from pipelines.scenes.parts import Geometries, SceneObjects
from pipelines.scenes.source import Scene

Floats = NDArray[np.float64]
SEMI_MAJOR, ECCENTRICITY_2 = 6378137.0, 0.0066943799901413  # WGS 84, metres


@dataclass(frozen=True, kw_only=True, eq=False)
class Measures:
    """Sizes of N objects. ``box``: corners of the oriented box, N x 4 x 2, in (column, row) at pixel edges.

    ``area`` in square metres, ``length`` and ``width`` of the oriented box in metres, ``heading`` of its long side in
    degrees clockwise from true north, 0 to 180; all None where the scene has no reference system.
    """

    box: Floats
    area: Floats | None
    length: Floats | None
    width: Floats | None
    heading: Floats | None


def measure(objects: SceneObjects, scene: Scene) -> Measures:
    """Sizes on the ellipsoid, so a map projection's own scale plays no part."""
    import shapely

    count = len(objects)
    bounds = shapely.bounds(objects.geometry) if count else np.zeros((0, 4))
    centres_N2 = (bounds[:, :2] + bounds[:, 2:]) / 2
    if scene.crs is None:
        box, _ = oriented(objects.geometry, centres_N2, np.broadcast_to(np.eye(2), (count, 2, 2)))
        return Measures(box=box, area=None, length=None, width=None, heading=None)
    metric_N22 = pixel_metres(centres_N2, scene)
    box, sides_N22 = oriented(objects.geometry, centres_N2, metric_N22)
    lengths_N2 = np.linalg.norm(sides_N22, axis=-1)
    longer = lengths_N2.argmax(axis=1)
    east, north = sides_N22[np.arange(count), longer].T if count else np.zeros((2, 0))
    return Measures(
        box=box,
        area=objects.area * np.abs(np.linalg.det(metric_N22)),
        length=lengths_N2.max(axis=1, initial=0),
        width=lengths_N2.min(axis=1, initial=np.inf),
        heading=np.degrees(np.arctan2(east, north)) % 180,
    )


def pixel_metres(points_N2: Floats, scene: Scene) -> Floats:
    """Metres east and north (rows) that a step of one column and of one row (columns) makes, N x 2 x 2.

    Steps are taken in space, so they have their length at the poles, too, where east is that of the point's longitude.
    """
    steps_42 = np.array([[0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]])
    around_N42 = points_N2[:, None] + steps_42
    places_N43 = _in_space(to_degrees(around_N42.reshape(-1, 2), scene)).reshape(-1, 4, 3)
    steps_N23 = places_N43[:, 0::2] - places_N43[:, 1::2]
    longitude, latitude = np.radians(to_degrees(points_N2, scene)).T
    zero = np.zeros_like(longitude)
    east_N3 = np.stack([-np.sin(longitude), np.cos(longitude), zero], axis=-1)
    up = np.sin(latitude)
    north_N3 = np.stack([-up * np.cos(longitude), -up * np.sin(longitude), np.cos(latitude)], axis=-1)
    return np.asarray(np.einsum("nki,nsi->nks", np.stack([east_N3, north_N3], axis=1), steps_N23))


def _in_space(degrees_N2: Floats) -> Floats:
    """Metres from the centre of the Earth, of points on the ellipsoid, N x 3."""
    longitude, latitude = np.radians(degrees_N2).T
    radius = SEMI_MAJOR / np.sqrt(1 - ECCENTRICITY_2 * np.sin(latitude) ** 2)
    around = radius * np.cos(latitude)
    up = radius * (1 - ECCENTRICITY_2) * np.sin(latitude)
    return np.stack([around * np.cos(longitude), around * np.sin(longitude), up], axis=-1)


def to_degrees(points_N2: Floats, scene: Scene) -> Floats:
    """Longitude and latitude in WGS 84 of pixel-edge coordinates (column, row)."""
    from rasterio.warp import transform

    world_N2 = scene.to_world(points_N2)
    if len(world_N2) == 0:
        return world_N2
    longitude, latitude = transform(scene.crs, "EPSG:4326", world_N2[:, 0], world_N2[:, 1])
    return np.column_stack([longitude, latitude])


def oriented(geometry: Geometries, centres_N2: Floats, metric_N22: Floats) -> tuple[Floats, Floats]:
    """Rectangles of least area, found in metres.

    Returns
    -------
    Corners N x 4 x 2 in (column, row), clockwise on the screen; and two neighbouring sides, N x 2 x 2, in metres.
    """
    import shapely

    if len(geometry) == 0:
        return np.zeros((0, 4, 2)), np.zeros((0, 2, 2))
    points, owner = shapely.get_coordinates(geometry, return_index=True)
    local = np.einsum("pij,pj->pi", metric_N22[owner], points - centres_N2[owner])
    boxes = shapely.oriented_envelope(shapely.linestrings(local, indices=owner))
    corners_N42 = shapely.get_coordinates(boxes).reshape(-1, 5, 2)[:, :4]
    sides_N22 = np.diff(corners_N42[:, :3], axis=1)
    pixels_N42 = np.einsum("nij,nkj->nki", np.linalg.inv(metric_N22), corners_N42) + centres_N2[:, None]
    return order_corners(pixels_N42), sides_N22
