"""GeoJSON: objects as polygons on the ground, for GIS programs; see `detect.formats.geo` for the properties.

Coordinates stay in the pictures' own reference system, which the file names in a `crs` member as GDAL and QGIS do;
plain pixels (x right, y down) where pictures have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from detect.detections import Detections
from detect.formats.geo import Georeferences, common_crs, features, pictures_of
from detect.masks import Polygon
from distmap.common.files import read_json, write_json


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
    collection["features"] = [
        {"type": "Feature", "properties": properties, "geometry": _geometry(polygons)}
        for polygons, properties in features(pictures, places)
    ]
    write_json(path, collection)


def _geometry(polygons: list[Polygon]) -> dict[str, Any]:
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
        Where the pictures lie, by name, in the file's own reference system.

    Raises
    ------
    ValueError
        No such file, or a feature that is no polygon; names the file and the feature's number.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("features"), list):
        raise ValueError(f"{path}: not GeoJSON, it has no list 'features'")
    return pictures_of(path, _items(path, content["features"]), sizes, georeferences or {})


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
