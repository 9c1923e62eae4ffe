"""GeoJSON and GeoPackage of other programs: the reference system that they state, world files, layers, file names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyogrio  # type: ignore[import-untyped]
import pytest
import rasterio
import shapely
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from rasterio.warp import transform_geom

from detect.cli import main
from detect.detections import Detections, Instance
from detect.formats import geojson, gpkg
from detect.formats.geo import Georeference, named_crs, read_georeference
from detect.formats.layers import split_layer
from detect.masks import Mask

PLACE = (0.5, 0.0, 500_000.0, 0.0, -0.5, 5_000_000.0)
CRS84 = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["convert", *map(str, arguments)])


def write_scene(path: Path, crs: str | None = "EPSG:32632", transform: tuple[float, ...] = PLACE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "height": 60, "width": 80, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", crs=crs, transform=rasterio.Affine(*transform), **profile) as target:
        target.write(np.zeros((1, 60, 80), np.uint8))
    return path


def outline(crs: str = "EPSG:4326") -> dict[str, Any]:
    """Columns 30 to 50 and rows 20 to 34 of the scene."""
    a, _, c, _, e, f = PLACE
    left, right, top, bottom = c + 30 * a, c + 50 * a, f + 20 * e, f + 34 * e
    ring = [(left, top), (left, bottom), (right, bottom), (right, top), (left, top)]
    geometry: dict[str, Any] = transform_geom("EPSG:32632", crs, {"type": "Polygon", "coordinates": [ring]})
    return geometry


def collection(geometry: dict[str, Any], **members: Any) -> str:
    feature = {"type": "Feature", "properties": {"id": 1}, "geometry": geometry}
    return json.dumps({"type": "FeatureCollection", **members, "features": [feature]})


def boxes(path: Path) -> list[list[float]]:
    return [item["bbox"] for item in json.loads(path.read_text())["annotations"]]


def block(name: str = "a.tif") -> Detections:
    return Detections(
        name=name, height=60, width=80, instances=(Instance(mask=Mask(x=30, y=20, crop_HW=np.ones((14, 20), bool))),)
    )


@pytest.mark.parametrize(
    ("members", "crs"),
    [
        ({}, "EPSG:4326"),
        ({"crs": CRS84}, "EPSG:4326"),
        ({"crs": {"type": "name", "properties": {"name": "EPSG:3857"}}}, "EPSG:3857"),
        ({"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25832"}}}, "EPSG:25832"),
        ({"crs": {"type": "EPSG", "properties": {"code": 32633}}}, "EPSG:32633"),
        ({"crs": None}, "EPSG:32632"),
    ],
)
def test_the_system_of_geojson_is_read(tmp_path: Path, members: dict[str, Any], crs: str) -> None:
    write_scene(tmp_path / "scenes" / "a.tif")
    (tmp_path / "drawn.geojson").write_text(collection(outline(crs), **members))
    result = invoke(tmp_path / "drawn.geojson", tmp_path / "out.json", "--images", tmp_path / "scenes")
    assert result.exit_code == 0, result.output
    assert boxes(tmp_path / "out.json") == [[30, 20, 20, 14]]


@pytest.mark.parametrize(
    ("crs", "message"),
    [
        ({"type": "name", "properties": {"name": "/etc/passwd"}}, "reference system '/etc/passwd' is not known"),
        ({"type": "name", "properties": {"name": "http://127.0.0.1:9/x"}}, "is not known"),
        ({"type": "link", "properties": {"href": "http://127.0.0.1:9/x"}}, "names no reference system"),
        ({"type": "name", "properties": {"name": "EPSG:99999999"}}, "cannot be used"),
        (7, "names no reference system"),
    ],
)
def test_systems_that_are_none_are_named(tmp_path: Path, crs: Any, message: str) -> None:
    write_scene(tmp_path / "scenes" / "a.tif")
    (tmp_path / "drawn.geojson").write_text(collection(outline(), crs=crs))
    result = invoke(tmp_path / "drawn.geojson", tmp_path / "out.json", "--images", tmp_path / "scenes")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {tmp_path / 'drawn.geojson'}: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def write_layers(path: Path, crs: str | None, **layers: NDArray[Any]) -> Path:
    for index, (name, shapes) in enumerate(layers.items()):
        pyogrio.raw.write(
            path,
            geometry=shapely.to_wkb(shapes),
            field_data=[np.arange(len(shapes))],
            fields=["id"],
            geometry_type="Polygon" if shapes[0].geom_type == "Polygon" else "LineString",
            crs=crs,
            layer=name,
            driver="GPKG",
            append=index > 0,
        )
    return path


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3035"])
def test_the_system_of_a_geopackage_is_read(tmp_path: Path, crs: str) -> None:
    write_scene(tmp_path / "scenes" / "a.tif")
    shapes = np.array([shapely.geometry.shape(outline(crs))], object)
    path = write_layers(tmp_path / "drawn.gpkg", crs, drawn=shapes)
    result = invoke(path, tmp_path / "out.json", "--images", tmp_path / "scenes")
    assert result.exit_code == 0, result.output
    assert boxes(tmp_path / "out.json") == [[30, 20, 20, 14]]


def test_a_stated_system_needs_a_place(tmp_path: Path) -> None:
    (tmp_path / "scenes").mkdir()
    cv2.imwrite(str(tmp_path / "scenes" / "a.png"), np.zeros((60, 80), np.uint8))
    (tmp_path / "drawn.geojson").write_text(collection(outline(), crs=CRS84))
    result = invoke(tmp_path / "drawn.geojson", tmp_path / "out.json", "--images", tmp_path / "scenes")
    assert result.exit_code == 2
    assert "feature 1: is in OGC:CRS84, and where a.png lies is not known" in result.stderr


@pytest.mark.parametrize("name", ["a.pgw", "a.pngw", "a.wld", "a.PGW"])
def test_world_files_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "scenes").mkdir()
    cv2.imwrite(str(tmp_path / "scenes" / "a.png"), np.zeros((60, 80), np.uint8))
    (tmp_path / "scenes" / name).write_text("0.5\n0.0\n0.0\n-0.5\n500000.25\n4999999.75\n")
    assert read_georeference(tmp_path / "scenes" / "a.png") == Georeference(transform=PLACE)
    (tmp_path / "drawn.geojson").write_text(collection(outline("EPSG:32632")))
    result = invoke(tmp_path / "drawn.geojson", tmp_path / "out.json", "--images", tmp_path / "scenes")
    assert result.exit_code == 0, result.output
    assert boxes(tmp_path / "out.json") == [[30, 20, 20, 14]]


def test_damaged_world_files_are_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((6, 8), np.uint8))
    for text in ("1\n0\n0\n", "0\n0\n0\n0\n1\n1\n", "a b c d e f", "nan 0 0 1 0 0"):
        (tmp_path / "a.pgw").write_text(text)
        with pytest.raises(ValueError, match=r"a\.pgw: .*correct or remove it"):
            read_georeference(tmp_path / "a.png")


@pytest.mark.parametrize("module", [geojson, gpkg])
def test_a_picture_across_the_antimeridian_comes_back(tmp_path: Path, module: Any) -> None:
    place = Georeference(transform=(0.001, 0.0, 179.96, 0.0, -0.001, -17.0), crs="EPSG:4326")
    path = tmp_path / ("a.geojson" if module is geojson else "a.gpkg")
    module.write(path, [block()], georeferences={"a.tif": place})
    if module is geojson:
        (feature,) = json.loads(path.read_text())["features"]
        geometry = shapely.geometry.shape(feature["geometry"])
        assert geometry.equals_exact(
            shapely.MultiPolygon(
                [shapely.box(179.99, -17.034, 180, -17.02), shapely.box(-180, -17.034, -179.99, -17.02)]
            ).normalize(),
            1e-9,
            normalize=True,
        )
    (again,) = module.read(path, georeferences={"a.tif": place})
    assert [item.bbox for item in again.instances] == [(30, 20, 20, 14)]


class TestLayers:
    def shapes(self) -> NDArray[Any]:
        return np.array([shapely.geometry.shape(outline("EPSG:32632"))], object)

    def test_one_of_several_must_be_named(self, tmp_path: Path) -> None:
        write_scene(tmp_path / "scenes" / "a.tif")
        other = np.array([shapely.box(500_000, 4_999_990, 500_010, 5_000_000)], object)
        path = write_layers(tmp_path / "a.gpkg", "EPSG:32632", draft=other, final=self.shapes())
        result = invoke(path, tmp_path / "out.json", "--images", tmp_path / "scenes")
        assert result.exit_code == 2
        assert result.stderr == (
            f"error: {path}: has several layers (draft, final); choose one as {path}:LAYER, such as {path}:final\n"
        )
        for named, expected in (
            (f"{path}:final", [30, 20, 20, 14]),
            (f"{path}|layername=final", [30, 20, 20, 14]),
            (f"{path}:draft", [0, 0, 20, 20]),
        ):
            result = invoke(named, tmp_path / "out.json", "--images", tmp_path / "scenes")
            assert result.exit_code == 0, result.output
            assert boxes(tmp_path / "out.json") == [expected]
        result = invoke(f"{path}:none", tmp_path / "out.json", "--images", tmp_path / "scenes")
        assert "has no layer 'none' but draft, final" in result.stderr

    def test_names_with_colons(self, tmp_path: Path) -> None:
        path = write_layers(tmp_path / "a.gpkg", "EPSG:32632", **{"x:y": self.shapes()})
        assert split_layer(Path(f"{path}:x:y")) == (path, "x:y")
        odd = path.rename(tmp_path / "b:c.gpkg")
        assert split_layer(odd) == (odd, None)
        assert split_layer(Path(f"{odd}:x:y")) == (odd, "x:y")
        assert split_layer(tmp_path / "none.gpkg:x") == (tmp_path / "none.gpkg:x", None)

    def test_other_files_have_none(self, tmp_path: Path) -> None:
        (tmp_path / "a.geojson").write_text(collection(outline()))
        result = invoke(f"{tmp_path / 'a.geojson'}:x", tmp_path / "out.json")
        assert "a.geojson: has no layers, so leave out 'x'" in result.stderr


@pytest.mark.parametrize(
    "name", ["!out.gpkg", "a!b.gpkg", "a#b.gpkg", "a?b.gpkg", "a%20b.gpkg", "!flights/out.gpkg", "x!y#/%?!.gpkg"]
)
def test_names_of_any_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    gpkg.write(Path(name), [block()])
    assert [path.relative_to(work).as_posix() for path in work.rglob("*") if path.is_file()] == [name]
    (again,) = gpkg.read(Path(name))
    assert [item.bbox for item in again.instances] == [(30, 20, 20, 14)]
    assert list(temporary.iterdir()) == []


def test_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    (tmp_path / "!b.gpkg").write_text("nothing")
    with pytest.raises(ValueError, match=r"!b\.gpkg: not a readable GeoPackage"):
        gpkg.read(tmp_path / "!b.gpkg")
    (tmp_path / "!b.gpkg").unlink()
    bad = Detections(name="a\ud800", height=60, width=80, instances=block().instances)
    with pytest.raises(ValueError, match=r"!a\.gpkg: .*surrogates not allowed"):
        gpkg.write(tmp_path / "!a.gpkg", [bad])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("urn:ogc:def:crs:OGC:1.3:CRS84", "OGC:CRS84"),
        ("urn:ogc:def:crs:EPSG::4326", "EPSG:4326"),
        ("urn:ogc:def:crs:EPSG:6.9:32632", "EPSG:32632"),
        ("http://www.opengis.net/def/crs/EPSG/0/3857", "EPSG:3857"),
        ("http://www.opengis.net/def/crs/OGC/1.3/CRS84", "OGC:CRS84"),
        ("epsg:25832", "EPSG:25832"),
        ("CRS84", "OGC:CRS84"),
    ],
)
def test_names_of_systems(name: str, expected: str) -> None:
    assert named_crs(name) == expected
