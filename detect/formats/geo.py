"""What GeoJSON and GeoPackage share: where pictures lie on the ground, and objects as features.

A feature's geometry is a polygon or multipolygon along the pixel edges, holes included. Its properties say what the
geometry cannot: `picture`, `picture_width`, `picture_height`, `picture_confidence` (the same in all objects of a
picture), `category`, `score`, `difficult`, `crowd`, `shape`
("mask", "box" or "oriented box") and `obb`, eight numbers in pixels. Pictures without objects leave no trace in these
formats.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from detect.detections import Detections, Instance
from detect.masks import Polygon, mask_of_outlines, outlines
from detect.rasters import open_raster, side_length
from distmap.common.files import files_under, same_form
from distmap.common.picture_files import PICTURE_SUFFIXES

Points: TypeAlias = NDArray[np.float64]

WGS_84 = "OGC:CRS84"
"""Longitude and latitude, in this order."""
_NAMED = re.compile(
    r"(?:urn:(?:x-)?ogc:def:crs:|https?://www\.opengis\.net/def/crs/)?(EPSG|OGC|ESRI)[:/].*?([A-Z]*\d+)", re.I
)
_WRITTEN_OUT = re.compile(r"\s*(GEOGCRS|GEODCRS|PROJCRS|BOUNDCRS|COMPOUNDCRS|GEOGCS|PROJCS|COMPD_CS)\s*\[", re.I)
_FIRST_AND_LAST = 2  # letters of a suffix that a world file's begins with
_NUMBERS = 6  # in a world file


@dataclass(frozen=True, kw_only=True)
class Georeference:
    """Where a picture's pixel edges lie: x' = a x + b y + c, y' = d x + e y + f, as in an affine transform."""

    transform: tuple[float, float, float, float, float, float] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    """a, b, c, d, e, f; as it stands: pixels, y down."""
    crs: str | None = None
    """Coordinate reference system, such as "EPSG:32632"; None: not known, as with world files, or plain pixels."""

    def to_world(self, points_N2: Points) -> Points:
        """World coordinates of pixel-edge coordinates."""
        a, b, c, d, e, f = self.transform
        return np.asarray(points_N2 @ np.array([[a, d], [b, e]]) + [c, f])

    def to_pixels(self, points_N2: Points) -> Points:
        """Pixel-edge coordinates of world coordinates."""
        a, b, c, d, e, f = self.transform
        return np.asarray((points_N2 - [c, f]) @ np.linalg.inv(np.array([[a, d], [b, e]])))


Georeferences: TypeAlias = Mapping[str, Georeference]
PIXELS = Georeference()


def read_georeferences(source: Path) -> dict[str, Georeference]:
    """Georeferences of a GeoTIFF, or of those below a folder, by posix path relative to it; others are left out."""
    folder = source.parent if source.is_file() else source
    result = {}
    for file in [source] if source.is_file() else files_under(source, PICTURE_SUFFIXES):
        found = read_georeference(file)
        if found is not None:
            result[same_form(file.relative_to(folder).as_posix())] = found
    return result


def read_georeference(path: Path) -> Georeference | None:
    """Georeference of a GeoTIFF, or of a picture beside which its world file lies; None for a picture without one.

    Raises
    ------
    ValueError
        The world file is damaged.
    """
    if path.suffix.lower() in {".tif", ".tiff"}:
        with open_raster(path) as source:
            if source.crs is not None:
                epsg = source.crs.to_epsg()
                crs = f"EPSG:{epsg}" if epsg else source.crs.to_wkt()
                a, b, c, d, e, f = tuple(source.transform)[:6]
                return Georeference(transform=(a, b, c, d, e, f), crs=crs)
    world = _world_file(path)
    return None if world is None else Georeference(transform=_read_world_file(world))


def _world_file(path: Path) -> Path | None:
    """The file of a picture's place: `a.pgw`, `a.pngw` or `a.wld` for `a.png`."""
    suffix = path.suffix
    if len(suffix) < _FIRST_AND_LAST + 1:
        return None
    for end in (f".{suffix[1]}{suffix[-1]}w", f"{suffix}w", ".wld"):
        for candidate in (path.with_suffix(end), path.with_suffix(end.lower()), path.with_suffix(end.upper())):
            if candidate.is_file():
                return candidate
    return None


def _read_world_file(path: Path) -> tuple[float, float, float, float, float, float]:
    """The transform of pixel edges; the file has that of pixel centres, column by column."""
    try:
        numbers = [float(word.replace(",", ".")) for word in path.read_text(encoding="ascii").split()]
        a, d, b, e, c, f = numbers[:_NUMBERS]
    except (ValueError, OSError):
        raise ValueError(f"{path}: not a world file of six numbers; correct or remove it") from None
    if not all(map(math.isfinite, (a, b, c, d, e, f))) or a * e == b * d:
        raise ValueError(f"{path}: its numbers give the pixels no area; correct or remove it")
    return a, b, c - (a + b) / 2, d, e, f - (d + e) / 2


def named_crs(name: str) -> str:
    """The reference system of a name as GeoJSON and GeoPackage write it: "EPSG:32632", "OGC:CRS84", or WKT.

    Raises
    ------
    ValueError
        Not the name of a system. Addresses on a network and names of files are none.
    """
    found = _NAMED.fullmatch(name.strip())
    if found is not None:
        return f"{found[1].upper()}:{found[2].upper()}"
    if name.strip().upper() in ("CRS84", "WGS84"):
        return WGS_84
    if _WRITTEN_OUT.match(name) is None:
        raise ValueError(f"reference system {name!r} is not known; write it as EPSG:NUMBER")
    return name


@cache
def _same_system(one: str, other: str) -> bool:
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    if one == other:
        return True
    try:
        return bool(CRS.from_user_input(one) == CRS.from_user_input(other))
    except CRSError as error:
        raise ValueError(f"reference system {one[:60]!r} or {other[:60]!r} cannot be used ({error})") from None


@cache
def is_geographic(crs: str) -> bool:
    """Whether a system's coordinates are degrees."""
    from rasterio.crs import CRS

    return bool(CRS.from_user_input(crs).is_geographic)


def _brought(points_N2: Points, crs: str, place: Georeference, height: int, width: int) -> Points:
    """Coordinates of a system in that of a picture; longitudes on the picture's side of the antimeridian."""
    from rasterio.warp import transform

    assert place.crs is not None
    points_N2 = points_N2.copy()
    if not _same_system(crs, place.crs):
        try:
            points_N2 = np.column_stack(transform(crs, place.crs, points_N2[:, 0], points_N2[:, 1]))
        except Exception as error:  # GDAL's own errors have no public base
            raise ValueError(f"cannot be brought from {crs[:60]} to {place.crs[:60]} ({error})") from None
        if not np.isfinite(points_N2).all():
            raise ValueError(f"has corners outside of {place.crs[:60]}, the system of its picture")
    if is_geographic(place.crs):
        centre = place.to_world(np.array([[width / 2, height / 2]]))[0, 0]
        middle = (points_N2[:, 0].min() + points_N2[:, 0].max()) / 2
        points_N2[:, 0] += 360 * round((centre - middle) / 360)
    return points_N2


def common_crs(pictures: Sequence[Detections], georeferences: Georeferences) -> str | None:
    """The one reference system of all pictures.

    Raises
    ------
    ValueError
        The pictures lie in different systems.
    """
    systems = {picture.name: georeferences.get(picture.name, PIXELS).crs for picture in pictures}
    if len(set(systems.values())) > 1:
        (first, one), (second, two) = _differing(systems)
        raise ValueError(f"{first} is in {one}, {second} in {two}; one file holds one system, convert them apart")
    return next(iter(systems.values()), None)


def _differing(systems: Mapping[str, str | None]) -> list[tuple[str, str]]:
    seen: dict[str | None, str] = {}
    for name, crs in systems.items():
        seen.setdefault(crs, name)
    return [(name, crs.split("[")[0] if crs else "plain pixels") for crs, name in seen.items()][:2]


def features(
    pictures: Iterable[Detections], georeferences: Georeferences
) -> Iterator[tuple[list[Polygon], dict[str, Any]]]:
    """Polygons in world coordinates and properties of every object."""
    for picture in pictures:
        place = georeferences.get(picture.name, PIXELS)
        polygons = iter(outlines([item.mask for item in picture.instances if item.mask is not None]))
        for item in picture.instances:
            parts = [[item.obb]] if item.mask is None else next(polygons)
            properties = {
                "picture": picture.name,
                "picture_width": picture.width,
                "picture_height": picture.height,
                "picture_confidence": picture.confidence,
                "category": item.category,
                "score": item.score,
                "difficult": int(item.difficult),
                "crowd": int(item.crowd),
                "shape": item.shape,
                "obb": json.dumps(item.obb.ravel().tolist()),
            }
            yield [[place.to_world(ring) for ring in part] for part in parts], properties


def pictures_of(
    path: Path,
    items: Iterable[tuple[list[Polygon], Mapping[str, Any]]],
    sizes: Mapping[str, tuple[int, int]] | None,
    georeferences: Georeferences,
    *,
    crs: str | None = None,
    stated: bool = False,
) -> list[Detections]:
    """Pictures of features; the inverse of `features`, which also takes features of other programs.

    Parameters
    ----------
    items
        Polygons in world coordinates and properties.
    crs, stated
        The reference system of the coordinates, None for that of the pictures; and whether the file says so itself.
        Pictures without a georeference have pixels as coordinates, where the file does not state a system.
    sizes
        Height and width of pictures, for features that do not say them; those without objects come back empty.
    """
    known = dict(sizes or {})
    found: dict[str, list[Instance]] = {name: [] for name in known}
    confidences: dict[str, float | None] = {}
    for number, (polygons, properties) in enumerate(items, start=1):
        where = f"{path}: feature {number}"
        name = properties.get("picture") or (next(iter(known)) if len(known) == 1 else None)
        if not isinstance(name, str):
            raise ValueError(f"{where}: has no property 'picture', and there is not just one picture it could be in")
        if name not in known:
            height, width = side_length(properties.get("picture_height")), side_length(properties.get("picture_width"))
            if height is None or width is None:
                raise ValueError(f"{where}: the size of {name} is not known, give the folder of its pictures")
            known[name] = height, width
            found[name] = []
        place = georeferences.get(name, PIXELS)
        try:
            moved = _in_pixels(polygons, properties, crs, stated, name, place, known[name])
            instance = _instance(moved, properties, *known[name])
            confidences.setdefault(name, _share(properties, "picture_confidence"))
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise ValueError(f"{where}: {error}") from None
        if instance is None:
            systems = f" (coordinates in {crs[:60]}, the picture in {place.crs[:60]})" if crs and place.crs else ""
            raise ValueError(f"{where}: has no pixel inside {name}{systems}; is the georeference the right one?")
        found[name].append(instance)
    return [
        Detections(
            name=name,
            height=height,
            width=width,
            instances=tuple(found[name]),
            confidence=confidences.get(name),
        )
        for name, (height, width) in known.items()
    ]


def _in_pixels(
    polygons: list[Polygon],
    properties: Mapping[str, Any],
    crs: str | None,
    stated: bool,
    name: str,
    place: Georeference,
    size: tuple[int, int],
) -> list[Polygon]:
    """Polygons as the picture has them."""
    if properties.get("shape") in ("box", "oriented box"):
        return polygons  # their corners are in the properties
    if place == PIXELS and stated:
        raise ValueError(
            f"is in {str(crs)[:60]}, and where {name} lies is not known; give --images, "
            "a folder where it is a GeoTIFF or has its world file"
        )
    if crs is None or place.crs is None:
        return [[place.to_pixels(ring) for ring in polygon] for polygon in polygons]
    return [[place.to_pixels(_brought(ring, crs, place, *size)) for ring in polygon] for polygon in polygons]


def _instance(polygons: list[Polygon], properties: Mapping[str, Any], height: int, width: int) -> Instance | None:
    common: dict[str, Any] = {
        "score": _share(properties, "score"),
        "category": str(properties.get("category") or "object"),
        "difficult": bool(properties.get("difficult")),
        "crowd": bool(properties.get("crowd")),
    }
    shape = properties.get("shape")
    if shape in ("box", "oriented box"):
        corners = np.array(json.loads(properties["obb"]), float).reshape(4, 2)
        if shape == "oriented box":
            return Instance(corners_42=corners, **common)
        (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        return Instance(box=(left, top, right - left, bottom - top), **common)
    mask = mask_of_outlines(polygons, height, width)
    return None if mask is None else Instance(mask=mask, **common)


def _share(properties: Mapping[str, Any], name: str) -> float | None:
    """A number within 0..1; None where there is none, which tables say as NaN."""
    value = properties.get(name)
    if value is None or value != value:
        return None
    if not 0 <= float(value) <= 1:
        raise ValueError(f"{name} {value} is not within 0..1")
    return float(value)
