"""GeoPackage: one layer `objects` of multipolygons; see `detect.formats.geo` for the fields. Needs pyogrio."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detect.detections import Detections
from detect.formats.geo import Georeferences, common_crs, features, named_crs, pictures_of
from detect.formats.layers import read_layer, replacing_layers, split_layer
from detect.masks import Polygon
from distmap.common.extras import need

LAYER = "objects"
_TEXT = ("picture", "category", "shape", "obb")
_SHARES = ("picture_confidence", "score")  # NaN: none
_WHOLE = ("picture_width", "picture_height", "difficult", "crowd")


def write(path: Path, pictures: Iterable[Detections], *, georeferences: Georeferences | None = None) -> None:
    """Write a GeoPackage.

    Parameters
    ----------
    georeferences
        Where the pictures lie, by name.

    Raises
    ------
    ValueError
        Pyogrio is not installed.
    """
    need("pyogrio", extra="scenes")
    import pyogrio  # type: ignore[import-untyped]
    import shapely

    pictures, places = list(pictures), georeferences or {}
    items = list(features(pictures, places))
    geometry = np.array([shapely.to_wkb(_multipolygon(polygons)) for polygons, _ in items], object)
    columns: dict[str, Any] = {name: np.array([row[name] for _, row in items], object) for name in _TEXT}
    columns |= {name: np.array([row[name] for _, row in items], np.int32) for name in _WHOLE}
    for name in _SHARES:
        columns[name] = np.array([np.nan if row[name] is None else row[name] for _, row in items], float)
    with replacing_layers(path) as temporary, warnings.catch_warnings():
        # Plain pixels have no reference system, and that is meant.
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        pyogrio.raw.write(
            temporary,
            geometry=geometry,
            field_data=list(columns.values()),
            fields=list(columns),
            geometry_type="MultiPolygon",
            crs=common_crs(pictures, places),
            layer=LAYER,
            driver="GPKG",
        )


def _multipolygon(polygons: list[Polygon]) -> Any:
    import shapely

    return shapely.MultiPolygon([(polygon[0], polygon[1:]) for polygon in polygons])


def read(
    path: Path,
    *,
    sizes: Mapping[str, tuple[int, int]] | None = None,
    georeferences: Georeferences | None = None,
) -> list[Detections]:
    """Read a layer; see `detect.formats.geojson.read`.

    Parameters
    ----------
    path
        The file, or FILE:LAYER. Where no layer is named it is `objects`, or the only one.

    Raises
    ------
    ValueError
        See `detect.formats.geojson.read`; or there are several layers, and none is named.
    """
    file, name = split_layer(path)
    layer = read_layer(file, name, choose=_own, kind="GeoPackage")
    crs = _read_crs(file, layer.crs)
    items = _items(file, layer.geometry, layer.fields)
    return pictures_of(file, items, sizes, georeferences or {}, crs=crs, stated=crs is not None)


def _read_crs(path: Path, name: str | None) -> str | None:
    """The reference system of a layer; None also for those that say of themselves that they are none."""
    if name is None or name.startswith(("LOCAL_CS", "ENGCRS")) or "Undefined" in name:
        return None
    try:
        return named_crs(name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _own(names: Sequence[str]) -> Sequence[str]:
    return [LAYER] if LAYER in names else names


def _items(path: Path, geometry: Any, rows: Mapping[str, Any]) -> Iterator[tuple[list[Polygon], dict[str, Any]]]:
    import shapely

    for index, shape in enumerate(geometry):
        if shape is None or shape.geom_type not in ("Polygon", "MultiPolygon") or shape.is_empty:
            raise ValueError(f"{path}: feature {index + 1} is no polygon or multipolygon")
        polygons = [
            [shapely.get_coordinates(ring)[:-1] for ring in (part.exterior, *part.interiors)]
            for part in shapely.get_parts(shape)
        ]
        yield polygons, {name: values[index] for name, values in rows.items()}
