"""One map: a picture has the same through files, through a scene of the same pixels, and through the exported graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from rasterio.transform import Affine

import distmap
from distmap.common.detection_settings import read_detection_settings
from distmap.inference.export import export_onnx
from pipelines.scenes.mapper import ModelMapper
from pipelines.scenes.source import SceneReader, open_scene
from pipelines.scenes.windows import Region, map_canvas, read_canvas
from tests.pipelines.scenes.conftest import WriteScene

SCALES = (0.5, 1.0, 2.0, 4.0, 1.7)
PLACE = Affine(0.3, 0, 500_013.3, 0, -0.3, 4_649_776.7)


def at_scale(run: Path, scale: float) -> distmap.DistinctionModel:
    """The run as if it had been trained on pictures with so many pixels for each of the network's."""
    model = distmap.load(run, device="cpu")
    side = int(32 * scale)
    model.stats = replace(model.stats, longer_side=side, longest_side=side)
    model.predictor.follow_edges = True
    return model


def picture(rng: np.random.Generator, height: int, width: int, scale: float) -> NDArray[np.uint8]:
    noise = rng.integers(60, 120, (height, width, 3), np.uint8)
    pixels = np.asarray(cv2.GaussianBlur(noise, (0, 0), max(scale, 0.8)), np.uint8)
    block = max(2, int(8 * scale))
    pixels[2 : 2 + block, 3 : 3 + block] = 250
    return pixels


def through_files(model: distmap.DistinctionModel, path: Path) -> NDArray[np.floating[Any]]:
    (result,) = model.maps([path])
    return result.map_HW


def through_a_scene(model: distmap.DistinctionModel, path: Path) -> NDArray[np.float32]:
    mapper = ModelMapper(model)
    scene = open_scene(path, None, mapper.bands)
    whole = Region(top=0, left=0, bottom=scene.height, right=scene.width)
    with SceneReader(scene) as reader:
        return map_canvas(read_canvas(reader, whole, mapper.windows(scene.height, scene.width)), mapper)[0]


def agree(found: NDArray[Any], expected: NDArray[Any]) -> None:
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * expected.max())


@pytest.fixture(params=["of the method", "of a student"])
def run(request: pytest.FixtureRequest, tiny_run: Path, taught_run: Path) -> Path:
    return tiny_run if request.param == "of the method" else taught_run


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", ["square", "oblong", "windows", "large windows"])
@pytest.mark.parametrize("nodata", [False, True])
def test_files_and_scenes(
    write_scene: WriteScene, run: Path, rng: np.random.Generator, scale: float, shape: str, nodata: bool
) -> None:
    """A student sees up to six pictures at once along a side, and more in windows."""
    side = int(32 * scale)
    height, width = {
        "square": (side, side),
        "oblong": (side, side * 3 // 4),
        "windows": (side * 3 + 5, side * 2 + 9),
        "large windows": (side * 8 + 5, side + 3),
    }[shape]
    pixels = picture(rng, height, width, scale)
    if nodata:
        pixels[height // 2 :, width // 2 :] = 0
        pixels[:, :2] = 0
    model = at_scale(run, scale)
    path = write_scene("a.tif", pixels, transform=PLACE, nodata=0 if nodata else None)
    found, expected = through_a_scene(model, path), through_files(model, path)
    agree(found, expected)
    if nodata:
        assert not expected[:, :2].any()


@pytest.mark.parametrize(("scale", "oblong"), [(0.5, False), (1.0, False), (2.0, False), (4.0, False), (1.7, True)])
def test_files_and_the_exported_graph(
    tmp_path: Path, run: Path, rng: np.random.Generator, scale: float, oblong: bool
) -> None:
    side = int(32 * scale)
    size = side, side * 3 // 4 if oblong else side
    pixels = picture(rng, *size, scale)
    model = at_scale(run, scale)
    assert cv2.imwrite(str(tmp_path / "a.png"), pixels[..., ::-1])
    export_onnx(model, read_detection_settings(run), tmp_path / "map.onnx", size)
    session = onnxruntime.InferenceSession(tmp_path / "map.onnx", providers=["CPUExecutionProvider"])
    scaled_BCHW = np.ascontiguousarray(np.moveaxis(model.scaling.apply(pixels), -1, 0)[None])
    (found,) = session.run(["map"], {"picture": scaled_BCHW})
    agree(found[0], through_files(model, tmp_path / "a.png"))
