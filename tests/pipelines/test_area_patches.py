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
    }
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
