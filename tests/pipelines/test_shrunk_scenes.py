"""Scenes read in strips at a fraction of their size, against the whole scene shrunk at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from pipelines.scenes.source import open_scene
from pipelines.shrunk_scenes import ShrunkReader, shrunk_size

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def write(path: Path, picture_HWC: NDArray[Any], **options: Any) -> Path:
    height, width, count = picture_HWC.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=count, dtype=picture_HWC.dtype, **options
    ) as file:
        file.write(np.moveaxis(picture_HWC, -1, 0))
    return path


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("scale", [1.0, 0.5, 0.37, 0.1])
def test_strips_are_those_of_the_whole(tmp_path: Path, rng: np.random.Generator, scale: float, dtype: str) -> None:
    picture = rng.integers(0, np.iinfo(dtype).max, (101, 83, 3)).astype(dtype)
    scene = open_scene(write(tmp_path / "a.tif", picture), None, None)
    height, width = shrunk_size(scene, scale)
    assert (height, width) == (round(101 * scale), round(83 * scale))
    expected = cv2.resize(picture.astype(np.float64), (width, height), interpolation=cv2.INTER_AREA)
    with ShrunkReader(scene, scale, 3) as reader:
        for first, count in ((0, height), (0, 3), (height // 2, 4), (height - 1, 1)):
            pixels, valid = reader.rows(first, count)
            assert pixels.dtype == np.dtype(dtype)
            assert (pixels.shape, valid.shape) == ((count, width, 3), (count, width))
            assert valid.all()
            difference = pixels.astype(np.float64) - expected[first : first + count]
            assert np.abs(difference).max() <= 0.51


def test_averages_by_hand(tmp_path: Path) -> None:
    # 5 x 5 to 2 x 2: the middle row and column belong half to either side.
    picture = np.zeros((5, 5, 1), np.uint8)
    picture[2, 2], picture[0, 0], picture[4, 0] = 100, 200, 40
    scene = open_scene(write(tmp_path / "a.tif", picture), None, None)
    with ShrunkReader(scene, 0.4, 1) as reader:
        pixels, _ = reader.rows(0, 2)
    assert pixels[..., 0].tolist() == [[36, 4], [10, 4]]  # (200 + 25) / 6.25, 25 / 6.25, (40 + 25) / 6.25


def test_valid_where_all_of_it_is(tmp_path: Path) -> None:
    picture = np.full((8, 8, 1), 9, np.uint8)
    picture[3, 5] = 0
    scene = open_scene(write(tmp_path / "a.tif", picture, nodata=0), None, None)
    with ShrunkReader(scene, 0.5, 1) as reader:
        assert np.argwhere(~reader.rows(0, 4)[1]).tolist() == [[1, 2]]


@pytest.mark.parametrize("bands", [1, 3])
def test_whole_scene_as_png(tmp_path: Path, rng: np.random.Generator, bands: int) -> None:
    picture = rng.integers(0, 255, (700, 40, 1)).astype(np.uint8)
    scene = open_scene(write(tmp_path / "a.tif", picture), None, None)
    with ShrunkReader(scene, 0.9, bands) as reader:
        reader.write_png(tmp_path / "out" / "a.png")
        expected, _ = reader.rows(0, 630)
    found = cv2.imread(str(tmp_path / "out" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert found is not None
    np.testing.assert_array_equal(found.reshape(630, 36, bands), expected)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
