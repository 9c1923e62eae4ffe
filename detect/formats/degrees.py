"""Longitude and latitude as RFC 7946 wants them: cut at the antimeridian, valid at the poles; and boxes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from detect.masks import Polygon

Points: TypeAlias = NDArray[np.float64]
ToDegrees: TypeAlias = Callable[[Points], Points]

LONGEST_STEP = 45.0  # degrees of longitude along an edge
TOLERANCE = 1e-4  # of the ring's extent: how far an edge straight on the scene may be from one straight on the map
HALVINGS = 16  # of an edge; one that runs through a pole stays as it is then
NEAR_POLE = 89.0
PRECISION = 1e-9  # degrees, of what is cut: a tenth of a millimetre
WORLD = 180.0, 90.0


def to_geometry(polygons: Sequence[Polygon], to_degrees: ToDegrees) -> Any:
    """Polygons as one shapely geometry in degrees, within -180..180 and -90..90, outer rings counter-clockwise.

    Parameters
    ----------
    polygons
        Rings that are not closed, in any coordinates.
    to_degrees
        What gives longitude and latitude of such coordinates. Longitudes may run over 180 or jump there.
    """
    import shapely
    from shapely.geometry.polygon import orient

    parts: list[Any] = []
    for polygon in polygons:
        rings = [to_degrees(np.concatenate([ring, ring[:1]])) for ring in polygon]
        if all(map(_is_plain, rings)):
            parts.append(shapely.Polygon(rings[0], rings[1:]))
            continue
        outer, *holes = (_on_the_map(_walk(ring, to_degrees)) for ring in polygon)
        cut = shapely.difference(outer, shapely.union_all(holes)) if holes else outer
        parts += _polygons_of(shapely.set_precision(cut, PRECISION))
    parts = [orient(part) for part in parts]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _polygons_of(shape: Any) -> list[Any]:
    import shapely

    parts = shapely.get_parts(shape if shape.is_valid else shapely.make_valid(shape)).tolist()
    found: list[Any] = []
    for part in parts:
        if part.geom_type == "Polygon":
            found.append(part)
        elif part.geom_type in ("MultiPolygon", "GeometryCollection"):
            found += _polygons_of(part)
    return [part for part in found if part.area > 0]


def _is_plain(ring: Points) -> bool:
    """Whether a ring lies away from the antimeridian and the poles."""
    longitude, latitude = np.abs(ring).max(axis=0)
    return bool(longitude <= WORLD[0] and latitude < NEAR_POLE and np.abs(np.diff(ring[:, 0])).max() <= LONGEST_STEP)


def _walk(ring: Points, to_degrees: ToDegrees) -> Points:
    """A ring, closed, in degrees whose longitudes run on without a jump; long edges get corners between."""
    corners = np.concatenate([ring, ring[:1]])
    for _ in range(HALVINGS):
        middles = (corners[:-1] + corners[1:]) / 2
        ends, between = to_degrees(corners), to_degrees(middles)
        whole, first = _steps(ends[:-1], ends[1:]), _steps(ends[:-1], between)
        second = _steps(between, ends[1:])
        aside = np.abs(first - whole / 2)
        aside[:, 0] *= np.cos(np.radians(between[:, 1]))
        split = np.flatnonzero(
            (np.abs(whole[:, 0]) > LONGEST_STEP)
            | (np.abs(first[:, 0] + second[:, 0] - whole[:, 0]) > 1)
            | (aside.max(axis=1) > TOLERANCE * _extent(ends))
        )
        if not len(split):
            break
        corners = np.insert(corners, split + 1, middles[split], axis=0)
    ends = to_degrees(corners)
    longitude = ends[0, 0] + np.append(0, np.cumsum(_steps(ends[:-1], ends[1:])[:, 0]))
    return np.column_stack([longitude, ends[:, 1]])


def _extent(ring: Points) -> float:
    """How far a ring reaches, in degrees."""
    longitude, latitude = np.radians(ring).T
    around = np.cos(latitude)
    on_the_globe = np.stack([around * np.cos(longitude), around * np.sin(longitude), np.sin(latitude)])
    return float(np.degrees(np.linalg.norm(np.ptp(on_the_globe, axis=1))))


def _steps(start: Points, end: Points) -> Points:
    """From points to others, the short way round."""
    steps = end - start
    steps[:, 0] = (steps[:, 0] + 180) % 360 - 180
    return steps


def _on_the_map(ring: Points) -> Any:
    """What a closed ring of running longitudes has inside, within -180..180."""
    import shapely
    from shapely.affinity import translate

    turn = 360 * round((ring[-1, 0] - ring[0, 0]) / 360)
    if turn:
        # It goes around a pole, which on the map is a line from west to east.
        pole = np.copysign(90.0, ring[:, 1].mean())
        once = np.array([turn, 0.0])
        line = np.concatenate([ring[:-1] - once, ring[:-1], ring + once])
        ring = np.concatenate([line, [[line[-1, 0], pole], [line[0, 0], pole]]])
        return shapely.intersection(shapely.make_valid(shapely.Polygon(ring)), shapely.box(-180, -90, 180, 90))
    # Closed to the last bit, which a sum of steps is not.
    inside = shapely.make_valid(shapely.Polygon(ring[:-1]))
    west, east = ring[:, 0].min(), ring[:, 0].max()
    first, last = int(np.floor((west + 180) / 360)), int(np.floor((east + 180) / 360))
    cut = []
    for number in range(first, last + 1):
        shift = 360.0 * number
        here = shapely.intersection(inside, shapely.box(shift - 180, -90, shift + 180, 90))
        cut.append(translate(here, xoff=-shift))
    return shapely.union_all([part for shape in cut for part in _polygons_of(shape)])


def to_json(geometry: Any, decimals: int) -> dict[str, Any]:
    """GeoJSON of a polygon or multipolygon."""
    import shapely

    polygons = [
        [shapely.get_coordinates(ring).round(decimals).tolist() for ring in (part.exterior, *part.interiors)]
        for part in shapely.get_parts(geometry)
    ]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def bounding_box(geometries: Iterable[Any]) -> list[float]:
    """West, south, east and north as RFC 7946 (5.2) has them: west is the greater where the box spans the antimeridian.

    The box is the narrowest; it reaches around the world where a pole is inside.
    """
    import shapely

    bounds = shapely.bounds(np.concatenate([shapely.get_parts(geometry) for geometry in geometries]))
    south, north = float(bounds[:, 1].min()), float(bounds[:, 3].max())
    ranges: list[list[float]] = []
    for west, east in sorted(bounds[:, [0, 2]].tolist()):
        if ranges and west <= ranges[-1][1]:
            ranges[-1][1] = max(ranges[-1][1], east)
        else:
            ranges.append([west, east])
    # The widest gap is left out: between two ranges, or from the last one over the antimeridian to the first.
    gaps = [(ranges[0][0] + 360 - ranges[-1][1], ranges[0][0], ranges[-1][1])]
    gaps += [(after[0] - before[1], after[0], before[1]) for before, after in pairwise(ranges)]
    _, west, east = max(gaps, key=lambda gap: gap[0])
    return [west, south, east, north]
