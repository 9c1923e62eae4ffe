"""GeoJSON: objects as polygons on the ground, for GIS programs; see `detect.formats.geo` for the properties.

Coordinates stay in the pictures' own reference system, which the file names in a `crs` member as GDAL and QGIS do;
plain pixels (x right, y down) where pictures have none. What lies across the antimeridian in degrees is cut there. In
files of other programs coordinates are in the system of the `crs` member, and in WGS 84 where there is none (RFC 7946).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from detect.detections import Detections
from detect.formats import degrees
from detect.formats.geo import WGS_84, Georeferences, common_crs, features, is_geographic, named_crs, pictures_of
from detect.masks import Polygon
from distmap.common.files import read_json, write_json

DECIMALS = 12  # of a degree that is cut


def write(path: Path, pictures: Iterable[Detections], *, georeferences: Georeferences | None = None) -> None:
    """Write a FeatureCollection.

    Parameters
    ----------
    georeferences
        Where the pictures lie, by name.
    """
    pictures, places = list(pictures), georeferences or {}
    collection: dict[str, Any] = {"type": "FeatureCollection"}
    crs = common_crs(pictures, places)
    if crs is not None:
        code = f"urn:ogc:def:crs:{crs.replace(':', '::')}" if crs.startswith("EPSG:") else crs
        collection["crs"] = {"type": "name", "properties": {"name": code}}
    in_degrees = crs is not None and is_geographic(crs)
    collection["features"] = [
        {"type": "Feature", "properties": properties, "geometry": _geometry(polygons, in_degrees=in_degrees)}
        for polygons, properties in features(pictures, places)
    ]
    write_json(path, collection)


def _geometry(polygons: list[Polygon], *, in_degrees: bool) -> dict[str, Any]:
    if in_degrees and any(np.abs(ring[:, 0]).max() > degrees.WORLD[0] for polygon in polygons for ring in polygon):
        return degrees.to_json(degrees.to_geometry(polygons, lambda points_N2: points_N2), DECIMALS)
    # Rings are closed: the first corner comes again at the end.
    coordinates = [[[*ring.tolist(), ring[0].tolist()] for ring in polygon] for polygon in polygons]
    if len(coordinates) == 1:
        return {"type": "Polygon", "coordinates": coordinates[0]}
    return {"type": "MultiPolygon", "coordinates": coordinates}


def read(
    path: Path,
    *,
    sizes: Mapping[str, tuple[int, int]] | None = None,
    georeferences: Georeferences | None = None,
) -> list[Detections]:
    """Read a FeatureCollection of polygons and multipolygons.

    Parameters
    ----------
    sizes
        Height and width of pictures, for features of other programs that do not say them.
    georeferences
        Where the pictures lie, by name, in any reference system.

    Raises
    ------
    ValueError
        No such file, a reference system that is not known, or a feature that is no polygon; names the file and the
        feature's number.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("features"), list):
        raise ValueError(f"{path}: not GeoJSON, it has no list 'features'")
    crs, stated = _read_crs(path, content)
    items = _items(path, content["features"])
    return pictures_of(path, items, sizes, georeferences or {}, crs=crs, stated=stated)


def _read_crs(path: Path, content: Mapping[str, Any]) -> tuple[str | None, bool]:
    """The reference system and whether the file states it; None where it says that there is none."""
    if "crs" not in content:
        return WGS_84, False
    member = content["crs"]
    if member is None:
        return None, False
    properties = member.get("properties") if isinstance(member, dict) else None
    if isinstance(properties, dict):
        if isinstance(properties.get("name"), str):
            try:
                return named_crs(properties["name"]), True
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
        if str(member.get("type")).upper() == "EPSG" and str(properties.get("code")).isdigit():
            return f"EPSG:{properties['code']}", True
    raise ValueError(f"{path}: its member 'crs' names no reference system; write {{'name': 'EPSG:NUMBER'}} there")


def _items(path: Path, items: list[Any]) -> Iterator[tuple[list[Polygon], Mapping[str, Any]]]:
    for number, item in enumerate(items, start=1):
        try:
            geometry = item["geometry"]
            coordinates = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
            if geometry["type"] not in ("Polygon", "MultiPolygon"):
                raise ValueError(f"is a {geometry['type']}")
            polygons = [[np.asarray(ring, float)[:-1, :2] for ring in polygon] for polygon in coordinates]
            if (
                not polygons
                or not all(polygons)
                or not all(np.isfinite(ring).all() and len(ring) >= 3 for part in polygons for ring in part)
            ):
                raise ValueError("has a ring of fewer than 3 corners or with numbers that are not finite")
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ValueError(f"{path}: feature {number} is no polygon or multipolygon ({error})") from None
        properties = item.get("properties")
        yield polygons, properties if isinstance(properties, dict) else {}
