"""Patches from scenes and a layer of areas, by hand-computed places."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result
from rasterio.transform import Affine

from pipelines.cli import main

PLACE = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """200 x 300 pixels of two bands: the row and the column, halved."""
    rows, columns = np.mgrid[:200, :300] // 2
    path = tmp_path / "town.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=200, width=300, count=2, dtype="uint8", crs="EPSG:32633", transform=PLACE
    ) as file:
        file.write(np.stack([rows, columns]).astype(np.uint8))
    return path


def polygon(left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    ring = [PLACE @ corner for corner in ((left, top), (left, bottom), (right, bottom), (right, top), (left, top))]
    return {"type": "Polygon", "coordinates": [ring]}


def point(column: float, row: float) -> dict[str, Any]:
    return {"type": "Point", "coordinates": PLACE @ (column, row)}


def write_layer(path: Path, *features: tuple[dict[str, Any], object], degrees: bool = False) -> Path:
    from rasterio.warp import transform_geom

    code = "EPSG::4326" if degrees else "EPSG::32633"
    collection = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": f"urn:ogc:def:crs:{code}"}},
        "features": [
            {
                "type": "Feature",
                "properties": {"present": value},
                "geometry": transform_geom("EPSG:32633", "EPSG:4326", shape) if degrees else shape,
            }
            for shape, value in features
        ],
    }
    if degrees:
        del collection["crs"]
    path.write_text(json.dumps(collection))
    return path


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["areas", *map(str, arguments)])


FEATURES = (
    (point(150.0, 50.0), 1),
    (polygon(10.5, 20, 80, 60), 1),  # two patches of 32 across, one down
    (polygon(200, 100, 204, 104), 1),  # smaller than a patch: one around it
    (polygon(0, 120, 64, 184), 0),  # four patches
    (polygon(100, 150, 110, 160), 0),  # smaller than a patch: none
    (point(3.0, 3.0), 0),  # its patch leaves the scene
)


@pytest.mark.parametrize("degrees", [False, True], ids=["metres", "degrees"])
def test_patches_lie_where_the_areas_are(tmp_path: Path, scene: Path, degrees: bool) -> None:
    layer = write_layer(tmp_path / "areas.geojson", *FEATURES, degrees=degrees)
    result = invoke(scene, tmp_path / "set", "--layer", layer, "--patch", 32, "--test", 0, "--json")
    assert result.exit_code == 0, result.stderr
    names = {path.relative_to(tmp_path / "set").as_posix() for path in (tmp_path / "set").rglob("*.tif")}
    expected = {
        "train/with/town_area1_34_134.tif",
        "train/with/town_area2_20_11.tif",
        "train/with/town_area2_20_43.tif",
        "train/with/town_area3_86_186.tif",
        *(f"train/without/town_area4_{top}_{left}.tif" for top in (120, 152) for left in (0, 32)),
    }
    assert names == expected
    assert json.loads(result.stdout) == {
        "patches": {"train": {"with": 4, "without": 4}, "test": {"with": 0, "without": 0}},
        "areas_without_patch": 2,
        "dropped": {"beyond_the_scene": 1},
        "without_patch": {"too_small": 1, "beyond_the_scene": 1},
        "filled": 0,
    }
    assert "1 areas without a patch: too small to hold a patch of 32 pixels" in result.stderr
    with rasterio.open(tmp_path / "set/train/with/town_area1_34_134.tif") as file:
        assert (file.count, file.shape, file.transform @ (0, 0)) == (2, (32, 32), PLACE @ (134, 34))
        rows, columns = file.read()
    np.testing.assert_array_equal(rows[:, 0], np.arange(34, 66) // 2)
    np.testing.assert_array_equal(columns[0], np.arange(134, 166) // 2)


def test_areas_stay_on_one_side(tmp_path: Path, scene: Path) -> None:
    features = [(polygon(x, y, x + 40, y + 40), int(y > 80)) for x in range(0, 240, 40) for y in (0, 40, 100, 150)]
    layer = write_layer(tmp_path / "areas.geojson", *features)
    result = invoke(scene, tmp_path / "set", "--layer", layer, "--patch", 16, "--test", 0.5)
    assert result.exit_code == 0, result.stderr
    sides: dict[str, set[str]] = {"train": set(), "test": set()}
    for path in (tmp_path / "set").rglob("*.tif"):
        sides[path.relative_to(tmp_path / "set").parts[0]].add(path.stem.split("_")[1])
    assert not sides["train"] & sides["test"]
    assert len(sides["train"]) == len(sides["test"]) == 12


@pytest.mark.parametrize(
    ("features", "options", "named"),
    [
        ([(point(150, 50), "maybe"), (point(150, 50), 0)], (), "maybe"),
        ([(point(150, 50), 1)], (), "absent"),
        ([(point(150, 50), 1), (point(9e4, 50), 0)], (), "absent"),
        ([(point(150, 50), 1), (point(50, 50), 0)], ("--field", "kind"), "kind"),
        ([(point(150, 50), 1), (point(50, 50), 0)], ("--patch", 4), "--patch"),
        ([(point(150, 50), 1), (point(50, 50), 0)], ("--test", 1.5), "--test"),
        ([({"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, 1)], (), "neither point nor polygon"),
    ],
)
def test_wrong_layer_or_option(
    tmp_path: Path, scene: Path, features: list[Any], options: tuple[object, ...], named: str
) -> None:
    layer = write_layer(tmp_path / "areas.geojson", *features)
    result = invoke(scene, tmp_path / "set", "--layer", layer, *options)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert named in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["areas.geojson", "town.tif"]


def test_a_few_pixels_of_nodata_are_filled(tmp_path: Path) -> None:
    """Value 0 is nodata: a pixel in the first area, a tenth of the second and one pixel more."""
    values = np.full((64, 128), 7, np.uint8)
    values[3, 4], values[3, 5] = 0, 9
    values[32, 40:72], values[33, 40:72], values[34, 40:72], values[35, 40:47] = 0, 0, 0, 0
    path = tmp_path / "a.tif"
    profile = {"height": 64, "width": 128, "count": 1, "dtype": "uint8", "crs": "EPSG:32633", "nodata": 0}
    with rasterio.open(path, "w", driver="GTiff", transform=PLACE, **profile) as file:
        file.write(values[None])
    features = (
        (polygon(0, 0, 32, 32), 1),
        (polygon(40, 32, 72, 64), 1),
        (polygon(80, 0, 112, 32), 0),
        (point(9e4, 9), 0),
        (polygon(120, 0, 128, 8), 0),
    )
    layer = write_layer(tmp_path / "areas.geojson", *features)
    result = invoke(path, tmp_path / "set", "--layer", layer, "--patch", 32, "--test", 0, "--json")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.splitlines()[2:] == [
        "1 patches dropped: more than 10% of the pixels hold nothing (--max-nodata)",
        "1 areas without a patch: on no scene",
        "1 areas without a patch: too small to hold a patch of 32 pixels",
        "1 areas without a patch: more than 10% of the pixels hold nothing (--max-nodata)",
        "1 patches have pixels that hold nothing, filled from the nearest ones",
    ]
    assert json.loads(result.stdout)["without_patch"] == {"on_no_scene": 1, "too_small": 1, "nodata": 1}
    with rasterio.open(tmp_path / "set/train/with/a_area1_0_0.tif") as file:
        (filled,) = file.read()
        assert file.nodata is None
    assert filled[3, 4] in (7, 9)
    filled[3, 4] = 0
    np.testing.assert_array_equal(filled, values[:32, :32])

    result = invoke(path, tmp_path / "more", "--layer", layer, "--patch", 32, "--test", 0, "--max-nodata", 0.2)
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "more/train/with/a_area2_32_40.tif").is_file()
    result = invoke(path, tmp_path / "none", "--layer", layer, "--patch", 32, "--test", 0, "--max-nodata", 0)
    assert result.exit_code == 2
    assert "present says present; 2 areas: more than 0% of the pixels hold nothing (--max-nodata)" in result.stderr
    assert invoke(path, tmp_path / "none", "--layer", layer, "--max-nodata", 1).exit_code == 2


class TestLayers:
    def write(self, path: Path, **layers: tuple[str, tuple[tuple[dict[str, Any], int], ...]]) -> Path:
        """Layers by name: the name of their field, and features."""
        import pyogrio  # type: ignore[import-untyped]
        import shapely

        for index, (name, (field, features)) in enumerate(layers.items()):
            pyogrio.raw.write(
                path,
                geometry=shapely.to_wkb(np.array([shapely.geometry.shape(shape) for shape, _ in features], object)),
                field_data=[np.array([value for _, value in features])],
                fields=[field],
                geometry_type="Unknown",
                crs="EPSG:32633",
                layer=name,
                driver="GPKG",
                append=index > 0,
            )
        return path

    def patches(self, scene: Path, layer: object, out: Path) -> Result:
        return invoke(scene, out, "--layer", layer, "--patch", 32, "--test", 0)

    def test_the_one_that_has_the_field(self, tmp_path: Path, scene: Path) -> None:
        path = self.write(
            tmp_path / "a.gpkg",
            roads=("name", ((point(9, 9), 1),)),
            areas=("present", FEATURES),
            more=("kind", FEATURES),
        )
        result = self.patches(scene, path, tmp_path / "set")
        assert result.exit_code == 0, result.stderr
        assert (tmp_path / "set/train/with/town_area1_34_134.tif").is_file()
        result = self.patches(scene, f"{path}:roads", tmp_path / "other")
        assert result.exit_code == 2
        assert "has no field 'present' but name" in result.stderr

    def test_one_of_several(self, tmp_path: Path, scene: Path, recwarn: pytest.WarningsRecorder) -> None:
        swapped = tuple((shape, 1 - value) for shape, value in FEATURES)
        path = self.write(tmp_path / "a.gpkg", draft=("present", swapped), areas=("present", FEATURES))
        result = self.patches(scene, path, tmp_path / "set")
        assert result.exit_code == 2
        assert result.stderr == (
            f"error: {path}: has several layers (draft, areas); choose one as {path}:LAYER, such as {path}:areas\n"
        )
        for number, layer in enumerate((f"{path}:areas", f"{path}|layername=areas")):
            result = self.patches(scene, layer, tmp_path / f"set{number}")
            assert result.exit_code == 0, result.stderr
            assert (tmp_path / f"set{number}/train/with/town_area1_34_134.tif").is_file()
        assert not [warning for warning in recwarn if "layer" in str(warning.message)]

    def test_none_has_the_field(self, tmp_path: Path, scene: Path) -> None:
        path = self.write(tmp_path / "a.gpkg", one=("name", FEATURES), two=("kind", FEATURES))
        result = self.patches(scene, path, tmp_path / "set")
        assert result.stderr == (
            f"error: {path}: none of its layers one, two has a field 'present'; choose another with --field\n"
        )

    def test_names_of_any_kind(self, tmp_path: Path, scene: Path) -> None:
        for name in ("!areas.gpkg", "a!b#c?d%20.gpkg"):
            path = self.write(tmp_path / "plain.gpkg", areas=("present", FEATURES)).rename(tmp_path / name)
            result = self.patches(scene, path, tmp_path / f"set-{name}")
            assert result.exit_code == 0, result.stderr


def test_areas_on_both_sides_of_the_antimeridian(tmp_path: Path) -> None:
    """A scene in degrees that runs over 180, and areas as RFC 7946 has them."""
    place = Affine(0.001, 0, 179.95, 0, -0.001, -17)
    path = tmp_path / "fiji.tif"
    profile = {"height": 64, "width": 100, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
    with rasterio.open(path, "w", driver="GTiff", transform=place, **profile) as file:
        file.write(np.ones((1, 64, 100), np.uint8))
    west, east = [179.97, -17.03], [-179.97, -17.03]
    layer = write_layer(
        tmp_path / "areas.geojson",
        ({"type": "Point", "coordinates": west}, 1),
        ({"type": "Point", "coordinates": east}, 0),
    )
    content = json.loads(layer.read_text())
    del content["crs"]
    layer.write_text(json.dumps(content))
    result = invoke(path, tmp_path / "set", "--layer", layer, "--patch", 16, "--test", 0)
    assert result.exit_code == 0, result.stderr
    names = {path.name for path in (tmp_path / "set").rglob("*.tif")}
    assert names == {"fiji_area1_22_12.tif", "fiji_area2_22_72.tif"}


def test_not_a_layer(tmp_path: Path, scene: Path) -> None:
    (tmp_path / "areas.gpkg").write_text("nothing")
    result = invoke(scene, tmp_path / "set", "--layer", tmp_path / "areas.gpkg")
    assert result.exit_code == 2
    assert "areas.gpkg: not a readable layer" in result.stderr


def test_pyogrio_is_needed(tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = write_layer(tmp_path / "areas.geojson", (point(100, 100), 1), (point(40, 40), 0))
    monkeypatch.setitem(sys.modules, "pyogrio", None)
    result = invoke(scene, tmp_path / "set", "--layer", layer)
    assert result.exit_code == 2
    assert result.stderr == "error: needs pyogrio; install it with pip install 'distmap[scenes]'\n"
    assert not (tmp_path / "set").exists()
