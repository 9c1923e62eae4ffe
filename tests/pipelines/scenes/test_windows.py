"""Which windows a region sees, and that a map does not depend on the extent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import Affine
from torch import Tensor

from distmap.common.pictures import read_picture
from distmap.inference.sliding_window import Windows, window_starts
from pipelines.scenes.source import SceneReader, open_scene
from pipelines.scenes.windows import Region, map_canvas, read_canvas, rounded, touching
from tests.pipelines.scenes.conftest import UTM, Brightness, WriteScene


def map_of(path: Path, mapper: Brightness, region: Region | None = None) -> NDArray[np.float32]:
    scene = open_scene(path, None, None)
    region = region or Region(top=0, left=0, bottom=scene.height, right=scene.width)
    with SceneReader(scene) as reader:
        return map_canvas(read_canvas(reader, region, mapper.windows(scene.height, scene.width)), mapper)[0]


@given(st.integers(1, 20), st.integers(1, 5), st.integers(-(10**9), 10**9), st.integers(1, 300), st.data())
def test_windows_that_touch_a_region(step: int, steps: int, anchor: int, length: int, data: st.DataObject) -> None:
    """Whether they overlap or just meet."""
    side = steps * step
    starts = window_starts(length, Windows(side=side, step=step, seen=side), anchor)
    first = data.draw(st.integers(0, length - 1))
    end = data.draw(st.integers(first + 1, length))
    begin, stop = touching(starts, first, end, side)
    assert begin in starts
    assert stop - side in starts
    assert begin <= first
    assert stop >= end
    assert all(begin <= start <= stop - side for start in starts if start < end and start + side > first)


def test_blend_of_what_windows_agree_on_is_that(write_scene: WriteScene, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (70, 90), np.uint8)

    class Plain(Brightness):
        def see(self, x_BCHW: Tensor) -> Tensor:
            return x_BCHW

    np.testing.assert_allclose(map_of(write_scene("a.tif", pixels), Plain()), pixels, rtol=3.1e-5, atol=1e-3)


@pytest.mark.parametrize(
    "transform",
    [
        UTM,
        Affine(0.5, 0, 500_000, 0, 0.5, 5_000_000),  # south-up
        Affine.translation(500_000.25, 5_000_000) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5),
        Affine(1e-6, 0, 8.5, 0, -1e-6, 47.123456),
        Affine(0.100235, 0, 252645.951, 0, -0.0997475, 4107315.949),
    ],
    ids=["north-up", "south-up", "rotated", "degrees", "odd"],
)
@pytest.mark.parametrize(("top", "left"), [(0, 0), (16, 32), (21, 13), (47, 3)])
def test_map_of_a_crop_is_the_crop_of_the_map(
    write_scene: WriteScene, rng: np.random.Generator, brightness: Brightness, transform: Affine, top: int, left: int
) -> None:
    pixels = rng.integers(0, 256, (200, 220, 3), np.uint8)
    whole = map_of(write_scene("whole.tif", pixels, transform=transform), brightness)
    moved = transform @ Affine.translation(left, top)
    crop = map_of(write_scene("crop.tif", pixels[top : top + 140, left : left + 150], transform=moved), brightness)
    border = brightness.side
    inner = slice(border, -border)
    difference = crop[inner, inner] - whole[top : top + 140, left : left + 150][inner, inner]
    assert np.abs(difference).max() == 0
    # The windows do look different when the lattice is cut anew from the crop's corner.
    if (top, left) == (21, 13):
        own = map_of(write_scene("own.tif", pixels[top : top + 140, left : left + 150]), brightness)
        assert np.abs(own - whole[top : top + 140, left : left + 150])[inner, inner].max() > 1e-3


def test_map_of_a_region_is_the_region_of_the_map(
    write_scene: WriteScene, rng: np.random.Generator, brightness: Brightness
) -> None:
    path = write_scene("a.tif", rng.integers(0, 256, (150, 130, 3), np.uint8))
    whole = map_of(path, brightness)
    region = Region(top=37, left=61, bottom=101, right=130)
    np.testing.assert_array_equal(map_of(path, brightness, region), whole[37:101, 61:130])


def test_rounding() -> None:
    values = np.array([[0, 1, -1, 1 + 2**-13, 1 + 2**-14, 1 + 2**-15, -(1 + 2**-14), 3e-7]], np.float32)
    expected = np.array([[0, 1, -1, 1 + 2**-13, 1 + 2**-13, 1, -(1 + 2**-13), 3e-7]], np.float32)
    np.testing.assert_allclose(rounded(values), expected, rtol=0, atol=1e-11)
    noise = np.random.default_rng(0).standard_normal((50, 50)).astype(np.float32)
    np.testing.assert_allclose(rounded(noise), noise, rtol=2**-14)
    assert len(np.unique(rounded(np.float32(0.4) + noise * np.float32(1e-7)))) <= 2


def test_nodata_leaves_no_edge(write_scene: WriteScene, brightness: Brightness) -> None:
    """A grey field beside nodata 0: the map is that of a grey field without nodata."""
    pixels = np.full((96, 96, 3), 100, np.uint8)
    full = map_of(write_scene("full.tif", pixels), brightness)
    pixels[:, :41] = 0
    half = map_of(write_scene("half.tif", pixels, nodata=0), brightness)
    np.testing.assert_allclose(half[:, 41:], full[:, 41:], atol=1e-6)
    assert (half[:, :41] == 0).all()


@pytest.mark.parametrize("kind", ["nodata", "alpha", "mask", "nan"])
def test_what_holds_nothing(write_scene: WriteScene, kind: str) -> None:
    pixels = np.full((40, 50, 3), 9, np.float32 if kind == "nan" else np.uint8)
    hole = (slice(10, 20), slice(30, 50))
    expected = np.ones((40, 50), bool)
    expected[hole] = False
    if kind == "alpha":
        path = write_scene("a.tif", pixels, alpha=expected.astype(np.uint8) * 255)
    elif kind == "mask":
        path = write_scene("a.tif", pixels)
        with rasterio.open(path, "r+") as file:
            file.write_mask(expected)
    else:
        pixels[hole] = np.nan if kind == "nan" else 0
        path = write_scene("a.tif", pixels, nodata=0 if kind == "nodata" else None)
    scene = open_scene(path, None, 3)
    assert scene.bands == (1, 2, 3)
    with SceneReader(scene) as reader:
        found, valid = reader.read(-5, -5, 50, 60)
    np.testing.assert_array_equal(valid[5:45, 5:55], expected)
    assert valid.sum() == expected.sum()
    np.testing.assert_array_equal(found[5:45, 5:55][expected], pixels[expected])


@pytest.mark.parametrize(
    "profile",
    [
        {"tiled": True, "blockxsize": 64, "blockysize": 32},
        {"tiled": False, "blockysize": 7, "compress": "lzw"},
        {"compress": "deflate", "predictor": 2, "interleave": "band"},
        {"BIGTIFF": "YES", "compress": "zstd"},
    ],
    ids=["tiled", "stripped", "band by band", "BigTIFF"],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_however_it_is_stored(
    write_scene: WriteScene, rng: np.random.Generator, profile: dict[str, Any], dtype: str
) -> None:
    if dtype.startswith("float") and "predictor" in profile:
        profile = profile | {"predictor": 3}
    pixels = rng.integers(0, 255, (100, 150, 16)).astype(dtype)
    path = write_scene("a", pixels, **profile)
    if profile.get("tiled"):
        with rasterio.open(path, "r+") as file:
            file.build_overviews([2, 4])
    scene = open_scene(path, None, None)
    with SceneReader(scene) as reader:
        found, valid = reader.read(20, 30, 60, 90)
    assert found.dtype == dtype
    assert valid.all()
    np.testing.assert_array_equal(found, pixels[20:80, 30:120])


# --- the way up, formats ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_as_viewers_do(tmp_path: Path, rng: np.random.Generator, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save(tmp_path / "a.png", exif=exif)
    whole = read_picture(tmp_path / "a.png")
    scene = open_scene(tmp_path / "a.png", None, 3)
    assert (scene.height, scene.width) == whole.shape[:2]
    with SceneReader(scene) as reader:
        pixels, valid = reader.read(-3, 7, 20, 50)
    height, width = min(17, whole.shape[0]), min(50, whole.shape[1] - 7)
    np.testing.assert_array_equal(pixels[3 : 3 + height, :width], whole[:height, 7 : 7 + width])
    assert valid.sum() == height * width


def test_vrts_of_scenes_below_their_folder(write_scene: WriteScene, tmp_path: Path, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (30, 40), np.uint8)
    write_scene("scenes/a.tif", pixels)
    text = (
        '<VRTDataset rasterXSize="40" rasterYSize="30"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        '<SourceFilename relativeToVRT="1">{}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>'
    )
    (tmp_path / "a.vrt").write_text(text.format("scenes/a.tif"))
    with SceneReader(open_scene(tmp_path / "a.vrt", None, None)) as reader:
        np.testing.assert_array_equal(reader.read(0, 0, 30, 40)[0][..., 0], pixels)
    outside = tmp_path / "scenes" / "b.vrt"
    (tmp_path / "b.tif").write_bytes((tmp_path / "scenes" / "a.tif").read_bytes())
    outside.write_text(text.format("../b.tif"))
    with pytest.raises(ValueError, match=r"b\.vrt: names '../b\.tif'.*--trust-vrt"):
        open_scene(outside, None, None)
    with SceneReader(open_scene(outside, None, None, trust_vrt=True)) as reader:
        np.testing.assert_array_equal(reader.read(0, 0, 30, 40)[0][..., 0], pixels)
    outside.rename(tmp_path / "scenes" / "b.tif")
    with pytest.raises(ValueError, match=r"b\.tif: is text that describes a picture"):
        open_scene(tmp_path / "scenes" / "b.tif", None, None)
