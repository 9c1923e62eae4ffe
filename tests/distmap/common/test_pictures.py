"""Reading pictures of any kind, with what holds something in them and where they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from numpy.typing import NDArray
from PIL import Image

from distmap.common.picture_files import PictureError
from distmap.common.pictures import grid_anchor, read_filled_picture, read_picture, read_placed_picture

HEIGHT, WIDTH = 40, 30

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def noise(rng: np.random.Generator, *bands: int) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (HEIGHT, WIDTH, *bands), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff", "TIF"])
@pytest.mark.parametrize("bands", [(), (3,)])
def test_lossless_formats(tmp_path: Path, rng: np.random.Generator, suffix: str, bands: tuple[int, ...]) -> None:
    picture = noise(rng, *bands)
    Image.fromarray(picture).save(tmp_path / f"a.{suffix}")
    read = read_picture(tmp_path / f"a.{suffix}")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, picture.reshape(HEIGHT, WIDTH, -1))


def test_lossless_webp(tmp_path: Path, rng: np.random.Generator) -> None:
    picture = noise(rng, 3)
    Image.fromarray(picture).save(tmp_path / "a.webp", lossless=True)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.webp"), picture)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp"])
def test_lossy_formats(tmp_path: Path, suffix: str) -> None:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    picture = np.stack([rows * 4, columns * 5, rows + columns], axis=-1).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / f"a.{suffix}", quality=95)
    read = read_picture(tmp_path / f"a.{suffix}")
    assert read.shape == picture.shape
    assert np.abs(read.astype(int) - picture.astype(int)).mean() < 4


def test_grey_jpeg(tmp_path: Path, rng: np.random.Generator) -> None:
    Image.fromarray(noise(rng)).save(tmp_path / "a.jpg")
    assert read_picture(tmp_path / "a.jpg").shape == (HEIGHT, WIDTH, 1)


def test_alpha_is_dropped(tmp_path: Path, rng: np.random.Generator) -> None:
    rgba, grey_alpha = noise(rng, 4), noise(rng, 2)
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    Image.fromarray(grey_alpha, mode="LA").save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "rgba.png"), rgba[..., :3])
    np.testing.assert_array_equal(read_picture(tmp_path / "la.png"), grey_alpha[..., :1])


def test_palettes_are_expanded(tmp_path: Path, rng: np.random.Generator) -> None:
    picture = Image.fromarray(noise(rng, 3)).quantize(7)
    picture.save(tmp_path / "colours.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "colours.png"), np.asarray(picture.convert("RGB")))


def test_tiff_with_a_plane_a_band(tmp_path: Path, rng: np.random.Generator) -> None:
    planes = rng.random((5, 9, 8))
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="minisblack", planarconfig="separate")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), np.moveaxis(planes, 0, -1))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("bands", [1, 2, 5])
def test_tiff_of_any_bands_and_type(tmp_path: Path, rng: np.random.Generator, dtype: str, bands: int) -> None:
    picture = (rng.random((9, 8, bands)) * 100).astype(dtype)
    tifffile.imwrite(
        tmp_path / "a.tif", picture, photometric="minisblack", planarconfig="contig" if bands > 1 else None
    )
    read = read_picture(tmp_path / "a.tif")
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, picture)


def test_16_bit_png(tmp_path: Path) -> None:
    picture = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 50
    Image.fromarray(picture).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png")[..., 0], picture)


@pytest.mark.parametrize("name", ["a b#c%20.png", "ü?x.png", "s3:x.png", "zip!x.png", "[1].png"])
def test_names_are_taken_literally(tmp_path: Path, rng: np.random.Generator, name: str) -> None:
    Image.fromarray(noise(rng)).save(tmp_path / name, format="png")
    assert read_picture(tmp_path / name).shape == (HEIGHT, WIDTH, 1)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "webp"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
def test_files_cut_short_are_refused(tmp_path: Path, rng: np.random.Generator, suffix: str, share: float) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise(rng, 3)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(PictureError, match=rf"a\.{suffix}: .*damaged or cut short"):
        read_picture(path)


def test_a_large_jpeg_cut_near_its_end_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(rng.integers(0, 256, (600, 800, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(PictureError, match=r"a\.jpg"):
        read_picture(path)


@pytest.mark.parametrize(("suffix", "wrong"), [("jpg", "png"), ("png", "jpg"), ("tif", "png")])
def test_a_wrong_suffix_does_no_harm(tmp_path: Path, rng: np.random.Generator, suffix: str, wrong: str) -> None:
    Image.fromarray(noise(rng, 3)).save(tmp_path / f"a.{suffix}")
    content = (tmp_path / f"a.{suffix}").read_bytes()
    (tmp_path / f"b.{wrong}").write_bytes(content)
    np.testing.assert_array_equal(read_picture(tmp_path / f"b.{wrong}"), read_picture(tmp_path / f"a.{suffix}"))
    (tmp_path / f"c.{wrong}").write_bytes(content[: len(content) // 2])
    with pytest.raises(PictureError, match=rf"c\.{wrong}"):
        read_picture(tmp_path / f"c.{wrong}")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "webp"])
def test_text_under_a_picture_name_is_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a.{suffix}").write_text("hello")
    with pytest.raises(PictureError, match=rf"a\.{suffix}: not a whole picture"):
        read_picture(tmp_path / f"a.{suffix}")


def test_complex_values_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 4), np.complex64))
    with pytest.raises(PictureError, match=r"a\.tif: .*complex64"):
        read_picture(tmp_path / "a.tif")


# --- what holds something, and where -----------------------------------------------------------------------------


def write_geotiff(path: Path, bands_CHW: NDArray[np.uint8], **profile: object) -> None:
    count, height, width = bands_CHW.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype="uint8", **profile
    ) as target:
        target.write(bands_CHW)


def test_pixels_of_nodata_in_all_bands_hold_nothing(tmp_path: Path) -> None:
    bands_CHW = np.array([[[0, 0, 1], [2, 0, 3]], [[0, 5, 6], [7, 0, 8]]], np.uint8)
    write_geotiff(tmp_path / "a.tif", bands_CHW, nodata=0)
    placed = read_placed_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(placed.pixels_HWC, np.moveaxis(bands_CHW, 0, -1))
    assert placed.valid_HW is not None
    assert placed.valid_HW.tolist() == [[False, True, True], [True, False, True]]


def test_pixels_under_a_mask_hold_nothing(tmp_path: Path) -> None:
    bands_CHW = np.full((3, 2, 3), 9, np.uint8)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", count=3, height=2, width=3, dtype="uint8") as target,
    ):
        target.write(bands_CHW)
        target.write_mask(np.array([[255, 0, 255], [0, 255, 255]], np.uint8))
    placed = read_placed_picture(tmp_path / "a.tif")
    assert placed.valid_HW is not None
    assert placed.valid_HW.tolist() == [[True, False, True], [False, True, True]]
    assert placed.pixels_HWC.shape == (2, 3, 3)


def test_pixels_with_alpha_0_hold_nothing(tmp_path: Path) -> None:
    rgba = np.full((2, 3, 4), 200, np.uint8)
    rgba[0, 1, 3] = 0
    rgba[1, 2, 3] = 1  # hardly to be seen, but there
    Image.fromarray(rgba).save(tmp_path / "a.png")
    placed = read_placed_picture(tmp_path / "a.png")
    assert placed.valid_HW is not None
    assert placed.valid_HW.tolist() == [[True, False, True], [True, True, True]]
    assert placed.pixels_HWC.shape == (2, 3, 3)


def test_pixels_that_hold_nothing_are_filled_for_training(tmp_path: Path) -> None:
    bands_CHW = np.array([[[0, 5, 6], [0, 7, 0]]], np.uint8)
    write_geotiff(tmp_path / "a.tif", bands_CHW, nodata=0)
    filled = read_filled_picture(tmp_path / "a.tif")[..., 0]
    assert filled[:, :2].tolist() == [[5, 5], [7, 7]]
    assert filled[1, 2] in (6, 7)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif")[..., 0], bands_CHW[0])


@pytest.mark.parametrize("value", [0, 9])
def test_where_all_or_nothing_is_valid_there_is_no_mask(tmp_path: Path, value: int) -> None:
    write_geotiff(tmp_path / "nodata.tif", np.full((1, 4, 4), value, np.uint8), nodata=0)
    assert read_placed_picture(tmp_path / "nodata.tif").valid_HW is None
    write_geotiff(tmp_path / "plain.tif", np.full((1, 4, 4), value, np.uint8))
    assert read_placed_picture(tmp_path / "plain.tif").valid_HW is None


def test_the_anchor_is_where_the_grid_has_the_first_pixel(tmp_path: Path) -> None:
    # Pixels of 0.5; the first begins at x = 100, y = 50: 200 columns right of the origin, 100 rows above it.
    assert grid_anchor((0.5, 0, 100, 0, -0.5, 50)) == (-100, 200)
    assert grid_anchor((0.5, 0, 101.5, 0, -0.5, 48)) == (-96, 203)  # cut three columns and four rows further
    assert grid_anchor((1, 0, 0, 0, 1, 0)) == (0, 0)
    bands_CHW = np.ones((1, 4, 4), np.uint8)
    transform = rasterio.Affine(0.5, 0, 101.5, 0, -0.5, 48)
    write_geotiff(tmp_path / "a.tif", bands_CHW, transform=transform, crs="EPSG:32633")
    assert read_placed_picture(tmp_path / "a.tif").anchor == (-96, 203)


def test_the_anchor_of_a_turned_grid() -> None:
    # x = 2 row + 6, y = 2 column - 4: the origin lies at column 2, row -3.
    assert grid_anchor((0, 2, 6, 2, 0, -4)) == (3, -2)


@pytest.mark.parametrize("error", [-0.15, -1e-6, 0.0, 1e-6, 0.15])
@pytest.mark.parametrize("start", [0.0, 0.5])
def test_the_anchor_bears_rounding_of_grids_that_start_at_whole_or_half_pixels(start: float, error: float) -> None:
    anchor = grid_anchor((1.0, 0, 7 + start + error, 0, -1.0, -(3 + start + error)))
    assert anchor == (3, 7)


def test_without_georeference_the_anchor_is_0(tmp_path: Path, rng: np.random.Generator) -> None:
    Image.fromarray(noise(rng)).save(tmp_path / "a.png")
    assert read_placed_picture(tmp_path / "a.png").anchor == (0, 0)
