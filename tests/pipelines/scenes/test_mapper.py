"""A trained run as what maps windows."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import shapely
from rasterio.transform import Affine

import distmap
from detect.extraction import ExtractionConfig
from pipelines.scenes.job import Job, do_tiles
from pipelines.scenes.mapper import ModelMapper, RunMapper, run_digest
from pipelines.scenes.source import SceneReader, open_scene
from pipelines.scenes.windows import Region, map_canvas, read_canvas
from tests.pipelines.scenes.conftest import UTM, WriteScene

SIDE = 32


@pytest.fixture
def model(tiny_run: Path) -> distmap.DistinctionModel:
    return distmap.load(tiny_run, device="cpu")


@pytest.fixture
def taught(taught_run: Path) -> distmap.DistinctionModel:
    return distmap.load(taught_run, device="cpu")


def scene_map(path: Path, mapper: ModelMapper) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    scene = open_scene(path, None, mapper.bands)
    whole = Region(top=0, left=0, bottom=scene.height, right=scene.width)
    windows = mapper.windows(scene.height, scene.width)
    with SceneReader(scene) as reader:
        return map_canvas(read_canvas(reader, whole, windows), mapper)[0]


def picture(rng: np.random.Generator, height: int = 176) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    pixels = rng.integers(60, 120, (height, 144, 3), np.uint8)
    pixels[60:68, 50:58] = 250
    pixels[100:110, 90:98] = 250
    return pixels


def test_a_part_of_a_scene_has_its_part_of_the_map(
    write_scene: WriteScene, model: distmap.DistinctionModel, rng: np.random.Generator
) -> None:
    """A tile's map depends on no more than its margin around it."""
    for side in (32, 48, 64):
        mapper = ModelMapper(model, side)
        scene = open_scene(write_scene(f"{side}.tif", picture(rng)), None, mapper.bands)
        tile = Region(top=70, left=60, bottom=100, right=90)
        windows = mapper.windows(scene.height, scene.width)
        assert (windows.side, windows.step) == (side, side // 2)
        around = tile.grown(mapper.margin(windows), scene)
        whole = Region(top=0, left=0, bottom=scene.height, right=scene.width)
        with SceneReader(scene) as reader:
            part, _ = map_canvas(read_canvas(reader, around, windows), mapper)
            complete, _ = map_canvas(read_canvas(reader, whole, windows), mapper)
        np.testing.assert_allclose(part[tile.within(around)], complete[tile.within(whole)], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("side", [None, 48, 51], ids=["as trained", "coarser", "odd"])
def test_map_of_a_crop_is_the_crop_of_the_map(
    write_scene: WriteScene, model: distmap.DistinctionModel, rng: np.random.Generator, side: int | None
) -> None:
    pixels, mapper = picture(rng), ModelMapper(model, side)
    whole = scene_map(write_scene("whole.tif", pixels), mapper)
    moved = UTM @ Affine.translation(11, 23)
    crop = scene_map(write_scene("crop.tif", pixels[23:, 11:], transform=moved), mapper)
    border = mapper.side + mapper.margin(mapper.windows(*pixels.shape[:2]))
    assert whole.max() > 0
    np.testing.assert_allclose(crop[border:, border:], whole[23 + border :, 11 + border :], rtol=1e-4, atol=1e-5)


def test_a_part_of_a_scene_has_its_part_of_a_students_map(
    write_scene: WriteScene, taught: distmap.DistinctionModel, rng: np.random.Generator
) -> None:
    mapper = ModelMapper(taught)
    scene = open_scene(write_scene("a.tif", picture(rng, height=400)), None, mapper.bands)
    windows = mapper.windows(scene.height, scene.width)
    assert (windows.side, windows.step, windows.seen) == (6 * 32, 5 * 32, 6 * 32)
    tile = Region(top=170, left=60, bottom=230, right=90)
    around = tile.grown(mapper.margin(windows), scene)
    whole = Region(top=0, left=0, bottom=scene.height, right=scene.width)
    with SceneReader(scene) as reader:
        part, _ = map_canvas(read_canvas(reader, around, windows), mapper)
        complete, _ = map_canvas(read_canvas(reader, whole, windows), mapper)
    np.testing.assert_allclose(part[tile.within(around)], complete[tile.within(whole)], rtol=1e-4, atol=1e-6)


def test_each_source_of_maps(taught_run: Path) -> None:
    for source, kind in (("auto", "student"), ("branch1", "branch1"), ("localizer", "localizer")):
        mapper = RunMapper(run=taught_run, device="cpu", source=source)()
        assert mapper._model.source == kind
        assert (mapper.windows(900, 900).seen == 6 * 32) == (kind == "student")


def test_bands_are_checked(write_scene: WriteScene, model: distmap.DistinctionModel) -> None:
    scene = open_scene(write_scene("a.tif", np.zeros((40, 40, 2), np.uint8)), None, None)
    with pytest.raises(ValueError, match=r"2 band\(s\)"):
        ModelMapper(model).check(scene)


def test_loaded_once_for_each_process(tiny_run: Path) -> None:
    digest = run_digest(tiny_run)
    assert RunMapper(run=tiny_run, digest=digest)() is RunMapper(run=tiny_run, digest=digest)()
    with pytest.raises(ValueError, match="has changed"):
        RunMapper(run=tiny_run, digest="of another run")()


def test_digest_tells_runs_apart(tmp_path: Path, tiny_run: Path) -> None:
    """By their weights and by their settings."""
    found = {run_digest(tiny_run)}
    for name in ("config.yaml", "weights.safetensors"):
        shutil.copytree(tiny_run, tmp_path / name)
        with (tmp_path / name / name).open("a") as file:
            file.write("\n")
        found.add(run_digest(tmp_path / name))
    assert len(found) == 3
    (tmp_path / "config.yaml" / "config.yaml").unlink()
    with pytest.raises(ValueError, match=r"config\.yaml"):
        run_digest(tmp_path / "config.yaml")


def test_other_tiles_and_halves_give_the_same_objects(
    tmp_path: Path, write_scene: WriteScene, tiny_run: Path, rng: np.random.Generator
) -> None:
    pixels = picture(rng, height=304)
    mapper = RunMapper(run=tiny_run, device="cpu")

    def objects(name: str, top: int, tile_HW: tuple[int, int]) -> list[tuple[float, float, float]]:
        """Area, score and row of each object that lies well inside the rows shared by all."""
        moved = UTM @ Affine.translation(0, top)
        scene = open_scene(write_scene(f"{name}.tif", pixels[top:], transform=moved), None, 3)
        (tmp_path / name).mkdir()
        job = Job(scene=scene, mapper=mapper, extraction=config, folder=tmp_path / name, tile_HW=tile_HW)
        list(do_tiles(job, job.remaining()))
        found = job.objects()[0]
        rows = shapely.bounds(found.geometry)[:, 1] + top
        kept = rows > 13 + mapper().side + 2 * mapper().margin(mapper().windows(scene.height, scene.width))
        return list(zip(found.area[kept].tolist(), found.score[kept].tolist(), rows[kept].tolist(), strict=True))

    values = scene_map(write_scene("a.tif", pixels), mapper())
    config = ExtractionConfig(threshold=float(np.quantile(values, 0.97)), min_area=2)
    expected = objects("whole", 0, (512, 512))
    assert len(expected) > 5
    for name, top, tile_HW in (("tiles", 0, (97, 80)), ("half", 13, (512, 512))):
        np.testing.assert_allclose(objects(name, top, tile_HW), expected, rtol=1e-4)
