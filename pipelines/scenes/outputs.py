"""The files that a scene ends as: map, layers for GIS programs, COCO JSON, STAC item."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from detect.formats import degrees
from detect.formats.layers import replacing_layers
from detect.masks import Mask, Polygon, run_lengths
from distmap.common.extras import need
from distmap.common.files import read_json, write_json
from pipelines.scenes.geodesy import Measures, oriented, to_degrees
from pipelines.scenes.job import Job
from pipelines.scenes.parts import SceneObjects, pixels_of
from pipelines.scenes.source import IDENTITY, Scene, quiet_open

LAYER, BOX_LAYER = "objects", "boxes"
STRIP_PIXELS = 2**22  # of a mask at one time
DECIMALS = 9  # of a degree: a tenth of a millimetre
COG_OPTIONS = {
    "compress": "DEFLATE",
    "predictor": "YES",
    "blocksize": 512,
    "overview_resampling": "AVERAGE",
    "bigtiff": "IF_SAFER",
    "num_threads": "ALL_CPUS",
}


@dataclass(frozen=True, kw_only=True)
class Names:
    """Where a scene's outputs stand. ``geojson`` and ``stac`` are there only for scenes with a reference system."""

    map: Path
    gpkg: Path
    geojson: Path
    coco: Path
    stac: Path

    @classmethod
    def of(cls, folder: Path, stem: str) -> Names:
        """Names in a folder."""
        return cls(
            map=folder / f"{stem}_map.tif",
            gpkg=folder / f"{stem}.gpkg",
            geojson=folder / f"{stem}.geojson",
            coco=folder / f"{stem}_coco.json",
            stac=folder / f"{stem}_stac.json",
        )

    def all(self) -> tuple[Path, ...]:
        """Every name."""
        return self.map, self.gpkg, self.geojson, self.coco, self.stac


def write_map(path: Path, job: Job) -> None:
    """Write the cloud-optimised GeoTIFF from the tiles: float32, NaN where the scene holds nothing.

    Raises
    ------
    OSError
        The disk is full, or the like.
    """
    import rasterio.shutil
    from rasterio.errors import RasterioError

    mosaic = job.folder / "mosaic.vrt"
    mosaic.write_text(_mosaic(job))
    try:
        with rasterio.Env(GDAL_CACHEMAX=128):
            rasterio.shutil.copy(mosaic, path, driver="COG", **COG_OPTIONS)
            _check(path, job.scene)
    except RasterioError as error:
        raise OSError(f"{path.name}: cannot be written, is the disk full? ({error})") from error
    except Exception as error:  # GDAL's own errors have no public base
        if type(error).__module__ != "rasterio._err":
            raise
        raise OSError(f"{path.name}: cannot be written, is the disk full? ({error})") from error


def _check(path: Path, scene: Scene) -> None:
    """Read the ends of the file: GDAL does not say so whenever it could not write them."""
    with quiet_open(path) as written:
        if written.shape != (scene.height, scene.width):
            raise OSError(f"{path.name}: was not written whole, is the disk full?")
        for _, window in list(written.block_windows(1))[-1:]:
            written.read(1, window=window)


def _mosaic(job: Job) -> str:
    """A GDAL virtual raster of the tiles; what is in none of them is NaN."""
    scene = job.scene
    a, b, c, d, e, f = scene.transform
    lines = [f'<VRTDataset rasterXSize="{scene.width}" rasterYSize="{scene.height}">']
    if scene.crs is not None:
        lines.append(f"<SRS>{escape(scene.crs)}</SRS>")
    if scene.transform != IDENTITY:
        lines.append(f"<GeoTransform>{c!r}, {a!r}, {b!r}, {f!r}, {d!r}, {e!r}</GeoTransform>")
    lines.append(
        '<VRTRasterBand dataType="Float32" band="1" blockXSize="512" blockYSize="512"><NoDataValue>nan</NoDataValue>'
    )
    for tile in (tile for row in job.grid() for tile in row if job.map_file(tile).exists()):
        height, width = tile.shape
        lines += [
            f'<SimpleSource><SourceFilename relativeToVRT="1">{job.map_file(tile).name}</SourceFilename>',
            f'<SourceBand>1</SourceBand><SourceProperties RasterXSize="{width}" RasterYSize="{height}" '
            'DataType="Float32" BlockXSize="512" BlockYSize="512"/>',
            f'<SrcRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/>',
            f'<DstRect xOff="{tile.left}" yOff="{tile.top}" xSize="{width}" ySize="{height}"/></SimpleSource>',
        ]
    return "\n".join([*lines, "</VRTRasterBand></VRTDataset>", ""])


def columns(objects: SceneObjects, measures: Measures, scene: Scene, category: str) -> dict[str, NDArray[Any]]:
    """What the layers say of each object; numbers in metres only where the scene has a reference system."""
    count = len(objects)
    table: dict[str, NDArray[Any]] = {
        "score": np.round(objects.score, 6),
        "category": np.full(count, category, object),
        "area_px": objects.area,
    }
    if measures.area is not None:
        for name, values in (
            ("area_m2", measures.area),
            ("length_m", measures.length),
            ("width_m", measures.width),
            ("heading", measures.heading),
        ):
            table[name] = np.round(np.asarray(values, float), 4)
    # What `detect convert` needs to bring the layer into other formats.
    table["picture"] = np.full(count, scene.name, object)
    table["picture_width"] = np.full(count, scene.width, np.int32)
    table["picture_height"] = np.full(count, scene.height, np.int32)
    return table


def write_gpkg(path: Path, objects: SceneObjects, measures: Measures, scene: Scene, category: str) -> None:
    """Write a GeoPackage in the scene's reference system: a layer of outlines and one of oriented boxes.

    Without a reference system coordinates are what the transform gives, else columns and rows (y down).
    """
    need("pyogrio", extra="scenes")
    import pyogrio  # type: ignore[import-untyped]
    import shapely

    table = columns(objects, measures, scene, category)
    outlines = shapely.transform(objects.geometry, scene.to_world) if len(objects) else objects.geometry
    boxes = np.array([shapely.Polygon(scene.to_world(corners)) for corners in measures.box], object)
    with replacing_layers(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")  # it has been said already
        for layer, geometry, kind in ((LAYER, outlines, "MultiPolygon"), (BOX_LAYER, boxes, "Polygon")):
            pyogrio.raw.write(
                temporary,
                geometry=shapely.to_wkb(geometry) if len(objects) else np.empty(0, object),
                field_data=list(table.values()),
                fields=list(table),
                geometry_type=kind,
                crs=scene.crs,
                layer=layer,
                driver="GPKG",
                append=layer != LAYER,
            )


def write_geojson(path: Path, objects: SceneObjects, measures: Measures, scene: Scene, category: str) -> None:
    """Write GeoJSON as RFC 7946 wants it: WGS 84, longitude first, outer rings counter-clockwise, no ``crs``; what
    lies across the antimeridian is cut there, what is around a pole reaches it.

    ``box`` of a feature: the corners of its oriented box, longitude and latitude.
    """
    table = {name: values.tolist() for name, values in columns(objects, measures, scene, category).items()}
    corners = to_degrees(measures.box.reshape(-1, 2), scene)
    beyond = np.abs(corners[:, 0]) > degrees.WORLD[0]
    corners[beyond, 0] = (corners[beyond, 0] + 180) % 360 - 180
    boxes = corners.reshape(-1, 4, 2).round(DECIMALS).tolist()
    features = [
        {
            "type": "Feature",
            "properties": {name: values[index] for name, values in table.items()} | {"box": boxes[index]},
            "geometry": degrees.to_json(_to_map(_polygons(shape), scene), DECIMALS),
        }
        for index, shape in enumerate(objects.geometry)
    ]
    write_json(path, {"type": "FeatureCollection", "features": features})


def _polygons(shape: Any) -> list[Polygon]:
    import shapely

    return [
        [shapely.get_coordinates(ring)[:-1] for ring in (part.exterior, *part.interiors)]
        for part in shapely.get_parts(shape)
    ]


def _to_map(polygons: list[Polygon], scene: Scene) -> Any:
    """Polygons of a scene's pixel edges in WGS 84."""
    return degrees.to_geometry(polygons, partial(to_degrees, scene=scene))


def origin(path: Path) -> tuple[str | None, int]:
    """What `write_coco` was told the file is made with, None where it says nothing; and how many objects it has."""
    try:
        content = read_json(path)
        return content["info"].get("made_with"), len(content["annotations"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, 0


def write_coco(path: Path, objects: SceneObjects, scene: Scene, category: str, made_with: str) -> None:
    """Write COCO JSON in pixel coordinates; like `detect`, polygons, or RLE where an object has holes.

    ``made_with``: what `origin` gives back.
    """
    import shapely

    bounds = shapely.bounds(objects.geometry) if len(objects) else np.zeros((0, 4))
    centres_N2 = (bounds[:, :2] + bounds[:, 2:]) / 2
    boxes, _ = oriented(objects.geometry, centres_N2, np.broadcast_to(np.eye(2), (len(objects), 2, 2)))
    annotations = []
    for index, (shape, (left, top, right, bottom)) in enumerate(zip(objects.geometry, bounds.tolist(), strict=True)):
        annotations.append(
            {
                "id": index + 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": [int(left), int(top), int(right - left), int(bottom - top)],
                "area": int(objects.area[index]),
                "segmentation": _segmentation(shape, scene),
                "iscrowd": 0,
                "score": float(objects.score[index]),
                "attributes": {"obb": boxes[index].ravel().round(4).tolist()},
            }
        )
    content = {
        "info": {"description": "objects found by detect", "made_with": made_with},
        "licenses": [],
        "images": [{"id": 1, "file_name": scene.name, "width": scene.width, "height": scene.height}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": category, "supercategory": ""}],
    }
    write_json(path, content)


def _segmentation(shape: Any, scene: Scene) -> Any:
    import shapely

    if any(len(polygon.interiors) for polygon in shapely.get_parts(shape)):
        from pycocotools import mask as coco

        size = [scene.height, scene.width]
        rle = coco.frPyObjects({"size": size, "counts": _run_lengths(shape, scene)}, *size)
        return {"size": size, "counts": rle["counts"].decode("ascii")}
    rings = [shapely.get_coordinates(polygon.exterior)[:-1] for polygon in shapely.get_parts(shape)]
    return [ring.astype(int).ravel().tolist() for ring in rings]


def _run_lengths(shape: Any, scene: Scene) -> list[int]:
    """COCO's run lengths of an object in its scene; the mask is made in strips, as it may be as large as the scene."""
    left, top, right, bottom = (int(edge) for edge in shape.bounds)
    step = max(1, STRIP_PIXELS // (bottom - top))
    counts = [left * scene.height]
    for first in range(left, right, step):
        columns = min(step, right - first)
        strip = Mask(x=0, y=top, crop_HW=pixels_of(shape, first, top, first + columns, bottom))
        zeros, *others = run_lengths(strip, scene.height, columns)
        # Runs alternate, zeros first: those on both sides of the seam are one where they are of one kind.
        if len(counts) % 2:
            counts[-1] += zeros
        elif zeros:
            counts.append(zeros)
        else:
            counts[-1] += others.pop(0)
        counts += others
    rest = (scene.width - right) * scene.height
    if len(counts) % 2:
        counts[-1] += rest
    elif rest:
        counts.append(rest)
    return counts


def write_stac(path: Path, scene: Scene, names: Names) -> None:
    """Write a STAC 1.0 item whose assets are the files beside it."""
    corners = [(0, 0), (0, scene.height), (scene.width, scene.height), (scene.width, 0)]
    footprint = _to_map([[np.array(corners, float)]], scene)
    box = [round(value, DECIMALS) for value in degrees.bounding_box([footprint])]
    written = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert scene.crs is not None
    code = {"proj:code": scene.crs} if scene.crs.startswith("EPSG:") else {"proj:code": None, "proj:wkt2": scene.crs}
    assets = {
        "map": (names.map, "image/tiff; application=geotiff; profile=cloud-optimized", "data"),
        "objects": (names.gpkg, "application/geopackage+sqlite3", "data"),
        "objects-wgs84": (names.geojson, "application/geo+json", "data"),
        "annotations": (names.coco, "application/json", "data"),
    }
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": ["https://stac-extensions.github.io/projection/v2.0.0/schema.json"],
        "id": scene.path.stem,
        "bbox": box,
        "geometry": degrees.to_json(footprint, DECIMALS),
        "properties": {
            "datetime": written,
            "proj:shape": [scene.height, scene.width],
            "proj:transform": list(scene.transform),
            **code,
        },
        "links": [],
        "assets": {
            key: {"href": f"./{file.name}", "type": kind, "roles": [role]} for key, (file, kind, role) in assets.items()
        },
    }
    write_json(path, item)
