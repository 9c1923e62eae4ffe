"""Objects across tiles are those of the whole map; what the layers say of them is true on the ground."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio  # type: ignore[import-untyped]
import pytest
import rasterio
import shapely
import shapely.affinity
from numpy.typing import NDArray
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from rasterio.transform import Affine
from rasterio.warp import transform as warp

from detect.extraction import ExtractionConfig, find_objects
from distmap.common.object_size import ObjectSize
from distmap.common.progress import Progress, Silent
from pipelines.scenes.geotiffs import OutputOptions, SceneResult, map_scenes
from pipelines.scenes.job import Job, do_tiles
from pipelines.scenes.parts import SceneObjects, mask_of
from pipelines.scenes.source import open_scene
from pipelines.scenes.windows import Floats, Region
from pipelines.scenes.work import Resources
from tests.pipelines.scenes.conftest import UTM, Brightness, WriteScene

PLAIN = Brightness(weight=0.0)
Fields = NDArray[np.uint8]


@pytest.fixture
def blobs(rng: np.random.Generator) -> Fields:
    """Smoothed noise: some hundred blobs of all shapes, many with holes, on 300 x 260."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(rng.standard_normal((300, 260)), 2.5)
    return np.asarray(np.clip(128 + 60 * noise / noise.std(), 0, 255), np.uint8)


def objects_of(path: Path, folder: Path, config: ExtractionConfig, tile_HW: tuple[int, int]) -> SceneObjects:
    job = Job(scene=open_scene(path, None, None), mapper=PLAIN, extraction=config, folder=folder, tile_HW=tile_HW)
    folder.mkdir()
    list(do_tiles(job, job.remaining()))
    assert job.remaining() == []
    return job.objects()[0]


BLOB = ObjectSize(area=80, length=12, width=8)
CONFIGS = [
    ExtractionConfig(threshold=0.6),
    ExtractionConfig(threshold=0.6, connectivity=4, min_area=20),
    ExtractionConfig(threshold=0.75, low_threshold=0.55, min_area=5, max_area=900),
    ExtractionConfig(threshold=0.5, max_hole=40, score="mean"),
    ExtractionConfig(threshold=0.3, value_range=(0.4, 0.9), drop_border=True, score="mass"),
    ExtractionConfig(threshold=0.55, object_size=BLOB, min_area=9, max_area=150),
    ExtractionConfig(threshold=0.65, object_size=BLOB, neck=0, join_gap=4, min_area=40, drop_border=True),
    ExtractionConfig(threshold=0.6, object_size=BLOB, join_gap=3, min_area=20, connectivity=4, score="mean"),
    ExtractionConfig(threshold=0.6, halo=0.93, min_area=5),
    ExtractionConfig(threshold=0.6, object_size=BLOB, join_gap=3, halo=0.95, min_area=10),
    ExtractionConfig(
        threshold=0.6,
        smoothing=1.2,
        close_radius=2,
        open_radius=1.5,
        max_hole=30,
        object_size=BLOB,
        join_gap=3,
        min_area=8,
    ),
]
NAMES = [
    "plain",
    "four",
    "hysteresis",
    "holes",
    "range and border",
    "split",
    "join",
    "split and join",
    "halo",
    "all",
    "morphology",
]


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
@pytest.mark.parametrize("tile_HW", [(64, 64), (37, 51), (3, 260)], ids=str)
def test_objects_do_not_depend_on_tiles(
    tmp_path: Path, write_scene: WriteScene, blobs: Fields, config: ExtractionConfig, tile_HW: tuple[int, int]
) -> None:
    path = write_scene("a.tif", blobs)
    whole = objects_of(path, tmp_path / "whole", config, (512, 512))
    tiled = objects_of(path, tmp_path / "tiled", config, tile_HW)
    assert len(whole) > 15
    np.testing.assert_array_equal(whole.area, tiled.area)
    # Smoothing rounds differently at other places of an array.
    np.testing.assert_allclose(whole.score, tiled.score, atol=1e-6)
    assert all(one.equals(two) for one, two in zip(whole.geometry, tiled.geometry, strict=True))
    # No corner is left where seams were.
    assert [shapely.get_num_coordinates(shape) for shape in whole.geometry] == [
        shapely.get_num_coordinates(shape) for shape in tiled.geometry
    ]


@pytest.mark.parametrize("config", CONFIGS[:-1], ids=NAMES[:-1])
def test_objects_are_those_of_detect(
    tmp_path: Path, write_scene: WriteScene, blobs: Fields, config: ExtractionConfig
) -> None:
    """The map is the picture but for a ramp in each window, so it is taken from the tiles."""
    assert same_as_detect(write_scene("a.tif", blobs), tmp_path / "out", config) > 15


def same_as_detect(path: Path, out: Path, config: ExtractionConfig) -> int:
    """How many objects there are, once all are found to be those that `find_objects` finds in the scene's map."""
    (done,) = run(path, out, config=config, memory_mb=40)
    with rasterio.open(done.files[0]) as file:
        map_HW = file.read(1)
    expected = find_objects(map_HW, config)
    annotations = COCO(done.files[-1])
    items = annotations.loadAnns(annotations.getAnnIds())
    found = [annotations.annToMask(item).astype(bool) for item in items]
    assert len(found) == len(expected)
    canvas = np.zeros(map_HW.shape, bool)
    for one in expected:
        canvas[:] = False
        assert one.mask is not None
        one.mask.draw(canvas)
        (score,) = [item["score"] for item, mask in zip(items, found, strict=True) if (mask == canvas).all()]
        assert score == pytest.approx(one.score, abs=1e-6)
    return len(expected)


CAR = ObjectSize(area=126, length=14, width=9)
CARS = ExtractionConfig(threshold=0.6, object_size=CAR, join_gap=4, min_area=60)


def rows_of_cars(rng: np.random.Generator) -> tuple[Fields, int]:
    """Blocks of 14 x 9 on 300 x 260, and how many: some in rows, joined by bumpers, some torn in two or three."""
    pixels = rng.integers(0, 20, (300, 260)).astype(np.uint8)
    count = 0
    for top in range(5, 285, 18):
        left = int(rng.integers(3, 20))
        while left + 14 < 255:
            torn = rng.random() < 0.5
            height = top + int(rng.integers(0, 3))
            pixels[height : height + 9, left : left + 14] = rng.integers(200, 255, (9, 14))
            if torn:
                for slit in (5, 10)[: int(rng.integers(1, 3))]:
                    pixels[height : height + 9, left + slit : left + slit + 2] = 0
            count += 1
            touches = not torn and rng.random() < 0.7 and left + 30 < 255
            pixels[top + 4 : top + 7, left + 14 : left + 16] = 200 if touches else 0
            left += 16 if touches else 24
    return pixels, count


@pytest.mark.parametrize("tile_HW", [(64, 64), (29, 41), (7, 260)], ids=str)
def test_rows_and_torn_blocks_across_tiles(
    tmp_path: Path, write_scene: WriteScene, rng: np.random.Generator, tile_HW: tuple[int, int]
) -> None:
    pixels, count = rows_of_cars(rng)
    path = write_scene("a.tif", pixels)
    whole = objects_of(path, tmp_path / "whole", CARS, (512, 512))
    tiled = objects_of(path, tmp_path / "tiled", CARS, tile_HW)
    assert len(whole) == len(tiled) == count > 100
    assert all(one.equals(two) for one, two in zip(whole.geometry, tiled.geometry, strict=True))
    np.testing.assert_array_equal(whole.area, tiled.area)
    np.testing.assert_allclose(whole.score, tiled.score, rtol=1e-12)
    assert same_as_detect(path, tmp_path / "out", CARS) == count


def test_pieces_equally_near_do_not_depend_on_tiles(
    tmp_path: Path, write_scene: WriteScene, rng: np.random.Generator
) -> None:
    """Squares on a lattice, some of them missing: any two neighbours could be joined first."""
    pixels = np.zeros((80, 100), np.uint8)
    pixels[np.ix_(np.arange(80) % 4 < 3, np.arange(100) % 4 < 3)] = 255
    pixels &= np.kron(rng.random((20, 25)) < 0.7, np.full((4, 4), 255, np.uint8)).astype(np.uint8)
    path = write_scene("a.tif", pixels)
    config = ExtractionConfig(threshold=0.6, object_size=ObjectSize(area=100, length=10, width=10), join_gap=2)
    whole = objects_of(path, tmp_path / "whole", config, (512, 512))
    tiled = objects_of(path, tmp_path / "tiled", config, (21, 30))
    assert whole.area.max() > 60
    assert {shape.wkb for shape in whole.geometry} == {shape.wkb for shape in tiled.geometry}
    assert same_as_detect(path, tmp_path / "out", config) == len(whole)


def test_the_map_is_read_again_for_touching_objects_only(
    tmp_path: Path, write_scene: WriteScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Region] = []
    map_of = Job.map_of

    def note(self: Job, region: Region) -> Floats:
        asked.append(region)
        return map_of(self, region)

    monkeypatch.setattr(Job, "map_of", note)
    pixels = rectangle(10, 5, 9, 14) | rectangle(10, 21, 9, 14) | rectangle(13, 19, 3, 2) | rectangle(40, 5, 9, 14)
    assert len(objects_of(write_scene("a.tif", pixels), tmp_path / "a", CARS, (64, 64))) == 3
    assert asked == [Region(top=10, left=5, bottom=19, right=35)]


def test_objects_too_large_to_be_split(
    tmp_path: Path, write_scene: WriteScene, blobs: Fields, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stay whole, and that is said."""
    monkeypatch.setattr("pipelines.scenes.parts.LARGEST_SPLIT", 400)
    said: list[str] = []

    class Told(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    (done,) = run(write_scene("a.tif", blobs), tmp_path / "out", config=CONFIGS[5], progress=Told())
    assert done.objects > 20
    (line,) = said
    assert line.startswith("a.tif: ")
    assert int(line.split()[1]) > 3


def test_objects_too_large_to_be_joined(
    tmp_path: Path, write_scene: WriteScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_scene("a.tif", rectangle(10, 20, 5, 90) | rectangle(17, 20, 5, 90))
    config = ExtractionConfig(threshold=0.6, object_size=ObjectSize(area=1080, length=90, width=12), join_gap=4)
    joined = objects_of(path, tmp_path / "joined", config, (64, 64))
    assert joined.area.tolist() == [900]
    assert {part.bounds for part in joined.geometry[0].geoms} == {(20, 10, 110, 15), (20, 17, 110, 22)}
    monkeypatch.setattr("pipelines.scenes.parts.LARGEST_SPLIT", 400)
    assert objects_of(path, tmp_path / "apart", config, (64, 64)).area.tolist() == [450, 450]


def run(
    path: Path,
    out: Path,
    *,
    config: ExtractionConfig = CONFIGS[0],
    progress: Progress | None = None,
    **resources: Any,
) -> list[SceneResult]:
    return map_scenes(
        {path.stem: open_scene(path, None, None)},
        PLAIN,
        config,
        out=out,
        identity={},
        options=OutputOptions(category="blob", stac=True),
        resources=Resources(**resources),
        progress=progress,
    )


def rectangle(top: int, left: int, height: int, width: int, shape: tuple[int, int] = (120, 150)) -> Fields:
    pixels = np.zeros(shape, np.uint8)
    pixels[top : top + height, left : left + width] = 255
    return pixels


def on_the_map(path: Path) -> tuple[Any, dict[str, Any]]:
    """Geometry of the only feature of a scene's GeoJSON, and its STAC item."""
    (feature,) = json.loads(path.with_suffix(".geojson").read_text())["features"]
    geometry = shapely.geometry.shape(feature["geometry"])
    assert geometry.is_valid
    item = json.loads(path.with_name(f"{path.stem}_stac.json").read_text())
    assert shapely.geometry.shape(item["geometry"]).is_valid
    assert shapely.geometry.shape(item["geometry"]).buffer(1e-9).covers(geometry)
    return geometry, item


@pytest.mark.parametrize("crs", ["EPSG:32760", "EPSG:4326"])
def test_across_the_antimeridian(tmp_path: Path, write_scene: WriteScene, crs: str) -> None:
    """Fiji: 180 degrees runs through the object and the scene."""
    place = (
        Affine(10, 0, 818_700, 0, -10, 8_118_500) if crs == "EPSG:32760" else Affine(1e-4, 0, 179.991, 0, -1e-4, -17)
    )
    run(write_scene("a.tif", rectangle(50, 70, 12, 40), transform=place, crs=crs), tmp_path / "out")
    geometry, item = on_the_map(tmp_path / "out" / "a.tif")
    assert geometry.geom_type == "MultiPolygon"
    (feature,) = json.loads((tmp_path / "out" / "a.geojson").read_text())["features"]
    assert {corner[0] > 0 for corner in feature["properties"]["box"]} == {True, False}
    assert all(abs(corner[0]) <= 180 for corner in feature["properties"]["box"])
    west, east = sorted(geometry.geoms, key=lambda part: -part.bounds[0])
    assert 179.99 < west.bounds[0] < west.bounds[2] == 180
    assert -180 == east.bounds[0] < east.bounds[2] < -179.99
    assert item["bbox"][0] > 179.98
    assert item["bbox"][2] < -179.98
    assert item["geometry"]["type"] == "MultiPolygon"


def test_around_a_pole(tmp_path: Path, write_scene: WriteScene) -> None:
    place = Affine(1000, 0, -90_000, 0, -1000, 56_000)  # the south pole is at column 90, row 56
    run(write_scene("a.tif", rectangle(50, 70, 12, 40), transform=place, crs="EPSG:3031"), tmp_path / "out")
    geometry, item = on_the_map(tmp_path / "out" / "a.tif")
    assert geometry.bounds[0::2] == (-180, 180)
    assert geometry.bounds[1] == -90
    assert geometry.contains(shapely.Point(179.9, -89.97))
    assert not geometry.contains(shapely.Point(0, -89.9))  # 6 km are 0.05 degrees
    assert item["bbox"][:3] == [-180, -90, 180]


@pytest.mark.parametrize("name", ["!flights/a.tif", "a!b.tif", "x#y?%41.tif"])
def test_names_of_any_kind(tmp_path: Path, write_scene: WriteScene, name: str) -> None:
    path = write_scene(name, rectangle(50, 70, 12, 40))
    out = tmp_path / "out" / Path(name).parent.name
    (done,) = run(path, out)
    assert sorted(path.name for path in out.iterdir()) == sorted(file.name for file in done.files)
    for file in done.files:
        assert file.name.startswith(path.stem)
    from detect.formats import gpkg
    from detect.formats.geo import read_georeferences

    (picture,) = gpkg.read(done.files[1], georeferences=read_georeferences(path))
    assert [item.bbox for item in picture.instances] == [(70, 50, 40, 12)]
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".gpkg"] == []


TRANSFORMS = {
    "north-up": (UTM, "EPSG:32633", 90.0),
    "south-up": (Affine(0.5, 0, 500_000, 0, 0.5, 5_000_000), "EPSG:32633", 90.0),
    "rotated": (
        Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5), "EPSG:32633", 60.0
    ),
    # One pixel is 0.5 m east and north at 47 degrees north.
    "degrees": (Affine(6.5734e-6, 0, 15.0, 0, -4.4972e-6, 47.0), "EPSG:4326", 90.0),
    # Mercator's metres are longer than the ground's: 0.5 m there is 0.5 / 1.4632 here.
    "mercator": (Affine(0.73160, 0, 1669792.0, 0, -0.73160, 5909499.0), "EPSG:3395", 90.0),
}  # fmt: skip


@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_sizes_on_the_ground(tmp_path: Path, write_scene: WriteScene, name: str) -> None:
    """A block of 40 x 12 pixels of half a metre: 20 m x 6 m, 120 square metres."""
    transform, crs, heading = TRANSFORMS[name]
    path = write_scene("a.tif", rectangle(50, 70, 12, 40), transform=transform, crs=crs)
    (done,) = run(path, tmp_path / "out")
    names = [file.name for file in done.files]
    assert names == ["a_map.tif", "a.gpkg", "a.geojson", "a_stac.json", "a_coco.json"]

    with rasterio.open(done.files[0]) as file:
        assert np.allclose(tuple(file.transform), tuple(transform), rtol=1e-12)
        assert file.crs == rasterio.CRS.from_user_input(crs)
        np.testing.assert_array_equal(file.read(1) > 0.6, rectangle(50, 70, 12, 40) > 0)

    for layer, kind in (("objects", "MultiPolygon"), ("boxes", "Polygon")):
        meta, _, geometry, columns = pyogrio.raw.read(done.files[1], layer=layer)
        row = dict(zip(meta["fields"], (column[0] for column in columns), strict=True))
        assert meta["crs"] == crs
        assert meta["geometry_type"] == kind
        assert row["area_px"] == 480
        assert row["area_m2"] == pytest.approx(120, rel=2e-3)
        assert row["length_m"] == pytest.approx(20, rel=1e-3)
        assert row["width_m"] == pytest.approx(6, rel=1e-3)
        assert row["heading"] == pytest.approx(heading, abs=0.5)
        assert (row["category"], row["picture"]) == ("blob", "a.tif")
        (shape,) = shapely.from_wkb(geometry)
        corners = shapely.Polygon([transform @ corner for corner in ((70, 50), (110, 50), (110, 62), (70, 62))])
        assert shape.symmetric_difference(corners).area < 1e-6 * corners.area

    content = json.loads(done.files[2].read_text())
    assert set(content) == {"type", "features"}
    (feature,) = content["features"]
    ring = np.array(feature["geometry"]["coordinates"][0])
    assert feature["geometry"]["type"] == "Polygon"
    assert shapely.is_ccw(shapely.LinearRing(ring))
    corner = transform @ (70, 50)
    expected = np.ravel(warp(crs, "EPSG:4326", [corner[0]], [corner[1]]))
    assert np.abs(ring - expected).max(axis=1).min() < 2e-9
    assert np.abs(np.array(feature["properties"]["box"]) - expected).max(axis=1).min() < 2e-9

    item = json.loads(done.files[3].read_text())
    assert item["bbox"][0] <= ring[:, 0].min() <= ring[:, 0].max() <= item["bbox"][2]
    assert item["properties"]["proj:code"] == crs

    annotations = COCO(done.files[4])
    (annotation,) = annotations.loadAnns(annotations.getAnnIds())
    assert annotation["bbox"] == [70, 50, 40, 12]
    assert annotation["attributes"]["obb"] == [70, 50, 110, 50, 110, 62, 70, 62]
    assert annotations.annToMask(annotation).sum() == 480


@pytest.mark.parametrize("strip", [2**22, 20_000], ids=["in one", "in strips"])
def test_ring_across_tiles_keeps_its_hole(
    tmp_path: Path, write_scene: WriteScene, monkeypatch: pytest.MonkeyPatch, strip: int
) -> None:
    monkeypatch.setattr("pipelines.scenes.outputs.STRIP_PIXELS", strip)
    pixels = rectangle(20, 30, 600, 700, (700, 800))
    pixels[40:600, 50:700] = 0
    (done,) = run(write_scene("ring.tif", pixels), tmp_path / "out", memory_mb=42)
    annotations = COCO(done.files[-1])
    (annotation,) = annotations.loadAnns(annotations.getAnnIds())
    np.testing.assert_array_equal(coco_masks.decode(annotation["segmentation"]), pixels // 255)
    (geometry,) = json.loads(done.files[2].read_text())["features"]
    assert len(geometry["geometry"]["coordinates"]) == 2
    assert not shapely.is_ccw(shapely.LinearRing(geometry["geometry"]["coordinates"][1]))


def test_map_is_a_valid_cog_in_place(tmp_path: Path, write_scene: WriteScene, rng: np.random.Generator) -> None:
    from rio_cogeo.cogeo import cog_validate

    pixels = rng.integers(1, 255, (1300, 1100, 3), np.uint8)
    pixels[:, 50:] = 1  # keep the objects few
    pixels[600:, :100] = 0
    (done,) = run(write_scene("a.tif", pixels, nodata=0), tmp_path / "out", memory_mb=48)
    valid, errors, warnings = cog_validate(done.files[0], strict=True)
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(done.files[0]) as file:
        assert (file.crs.to_epsg(), file.transform, file.dtypes, file.overviews(1)) == (
            32633,
            UTM,
            ("float32",),
            [2, 4],
        )
        map_HW = file.read(1)
    assert np.isnan(map_HW[600:, :100]).all()
    assert np.isfinite(map_HW).sum() == 1300 * 1100 - 700 * 100
    np.testing.assert_allclose(map_HW[:500], pixels[:500, :, 0] / 255, atol=0.011)
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_crop_and_halves_give_the_same_objects(tmp_path: Path, write_scene: WriteScene, blobs: Fields) -> None:
    whole = objects_of(write_scene("whole.tif", blobs), tmp_path / "1", CONFIGS[0], (512, 512))
    border = PLAIN.side
    for name, top, bottom in (("north", 0, 160), ("south", 113, 300)):
        moved = UTM @ Affine.translation(0, top)
        path = write_scene(f"{name}.tif", blobs[top:bottom], transform=moved)
        part = objects_of(path, tmp_path / name, CONFIGS[0], (512, 512))
        inner = shapely.box(0, 0 if top == 0 else top + border, 260, bottom if bottom == 300 else bottom - border)
        expected = [shape for shape in whole.geometry if inner.contains(shape)]
        found = [shapely.affinity.translate(shape, 0, top) for shape in part.geometry]
        found = [shape for shape in found if inner.contains(shape)]
        assert len(expected) > 5
        assert all(one.equals(two) for one, two in zip(expected, found, strict=True))


def test_threshold_by_rule_is_refused(tmp_path: Path, write_scene: WriteScene, blobs: Fields) -> None:
    with pytest.raises(ValueError, match="otsu"):
        run(write_scene("a.tif", blobs), tmp_path / "out", config=ExtractionConfig(threshold="otsu"))
    assert not (tmp_path / "out").exists()


def test_mask_of_an_outline() -> None:
    shape = shapely.box(5, 7, 9, 12).difference(shapely.box(6, 8, 7, 9))
    mask = mask_of(shape)
    assert (mask.x, mask.y, mask.area) == (5, 7, 19)


def test_detect_reads_the_layer(tmp_path: Path, write_scene: WriteScene) -> None:
    from detect.formats import gpkg
    from detect.formats.geo import read_georeferences

    path = write_scene("a.tif", rectangle(50, 70, 12, 40))
    (done,) = run(path, tmp_path / "out")
    (picture,) = gpkg.read(done.files[1], georeferences=read_georeferences(path))
    (found,) = picture.instances
    assert found.mask is not None
    assert list(found.mask.box) == [70, 50, 40, 12]
    # The root of the area, as no size is known, times a map of about 1, beside the threshold.
    assert found.score == pytest.approx(480**0.5 / (480**0.5 + 0.6), abs=1e-3)
