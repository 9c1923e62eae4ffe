"""What GeoJSON and GeoPackage share: where pictures lie on the ground, and objects as features.

A feature's geometry is a polygon or multipolygon along the pixel edges, holes included. Its properties say what the
geometry cannot: `picture`, `picture_width`, `picture_height`, `category`, `score`, `difficult`, `crowd`, `shape`
("mask", "box" or "oriented box") and `obb`, eight numbers in pixels. Pictures without objects leave no trace in these
formats.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True)
class Georeference:
    """Where a picture's pixel edges lie: x' = a x + b y + c, y' = d x + e y + f, as in an affine transform."""

    transform: tuple[float, float, float, float, float, float] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    """a, b, c, d, e, f; as it stands: pixels, y down."""
    crs: str | None = None
    """Coordinate reference system, such as "EPSG:32632"; None: plain pixels."""

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
    """Georeference of a GeoTIFF; None for a picture without one."""
    if path.suffix.lower() not in {".tif", ".tiff"}:
        return None
    with open_raster(path) as source:
        if source.crs is None:
            return None
        epsg = source.crs.to_epsg()
        crs = f"EPSG:{epsg}" if epsg else source.crs.to_wkt()
        a, b, c, d, e, f = tuple(source.transform)[:6]
        return Georeference(transform=(a, b, c, d, e, f), crs=crs)


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
) -> list[Detections]:
    """Pictures of features; the inverse of `features`, which also takes features of other programs.

    Parameters
    ----------
    items
        Polygons in world coordinates and properties.
    sizes
        Height and width of pictures, for features that do not say them; those without objects come back empty.
    """
    known = dict(sizes or {})
    found: dict[str, list[Instance]] = {name: [] for name in known}
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
        moved = [[place.to_pixels(ring) for ring in polygon] for polygon in polygons]
        try:
            instance = _instance(moved, properties, *known[name])
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise ValueError(f"{where}: {error}") from None
        if instance is None:
            raise ValueError(f"{where}: has no pixel inside {name}; is the georeference the right one?")
        found[name].append(instance)
    return [
        Detections(name=name, height=height, width=width, instances=tuple(found[name]))
        for name, (height, width) in known.items()
    ]


def _instance(polygons: list[Polygon], properties: Mapping[str, Any], height: int, width: int) -> Instance | None:
    score = properties.get("score")
    common: dict[str, Any] = {
        "score": None if score is None or score != score else float(score),
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
