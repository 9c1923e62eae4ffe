"""Reading pictures of any kind, their scaling, and laying them on the network's grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from distmap.common.picture_files import PictureError
from distmap.common.pictures import read_picture
from distmap.data.resizing import fit_square, fitted_size, pad_to, resize, window_starts
from distmap.data.scaling import Scaling, decide_scaling

HEIGHT, WIDTH = 40, 30


def noise(rng: np.random.Generator, *bands: int) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (HEIGHT, WIDTH, *bands), dtype=np.uint8)


# --- reading -----------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    picture = np.zeros((4, 4), np.float32)
    picture[1, 2] = value
    tifffile.imwrite(tmp_path / "a.tif", picture)
    with pytest.raises(PictureError, match=r"a\.tif: .*not finite"):
        read_picture(tmp_path / "a.tif")


def test_complex_values_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 4), np.complex64))
    with pytest.raises(PictureError, match=r"a\.tif: .*complex64"):
        read_picture(tmp_path / "a.tif")


# --- scaling -----------------------------------------------------------------------------------------------------


def samples(*columns: list[Any], dtype: str = "uint8") -> NDArray[Any]:
    return np.array(columns, dtype).T


def test_8_bit_takes_the_range_that_occurs() -> None:
    scaling = decide_scaling(samples([10, 30, 20], [0, 255, 1]))
    assert (scaling.low, scaling.high, scaling.dtype) == ((10, 0), (30, 255), "uint8")
    picture = np.array([[[20, 255]], [[5, 0]]], np.uint8)
    np.testing.assert_allclose(scaling.apply(picture), [[[0, 1]], [[-1, -1]]], atol=1e-6)  # below the range: cut


def test_hot_pixels_of_16_bit_pictures_do_not_squeeze_the_rest(rng: np.random.Generator) -> None:
    values = rng.integers(1000, 2000, (100_000, 1)).astype(np.uint16)
    values[:5] = 65535
    scaling = decide_scaling(values)
    assert scaling.high[0] < 2001
    assert scaling.apply(np.array([[[65535]]], np.uint16)).item() == 1


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_scaling_round_trip(rng: np.random.Generator, dtype: str) -> None:
    picture = (rng.random((50, 40, 3)) * 200).astype(dtype)
    scaling = decide_scaling(np.concatenate([picture.reshape(-1, 3)] * 50))
    scaled = scaling.apply(picture)
    assert scaled.dtype == np.float32
    assert scaled.min() >= -1
    assert scaled.max() <= 1
    inside = (picture >= scaling.low) & (picture <= scaling.high)
    assert inside.mean() > 0.99
    np.testing.assert_allclose(scaling.undo(scaled)[inside], picture[inside], atol=1e-3)


@pytest.mark.parametrize(
    ("value", "dtype"), [(7, "uint8"), (0, "uint16"), (0.25, "float32"), (1e9, "float64"), (-3.4e38, "float32")]
)
def test_a_constant_band_becomes_minus_one(value: float, dtype: str) -> None:
    constant = np.full((3, 2, 1), value, dtype)
    scaled = decide_scaling(constant.reshape(-1, 1)).apply(constant)
    np.testing.assert_array_equal(scaled, -1)


def test_check_names_file_and_difference() -> None:
    scaling = Scaling(low=(0.0,) * 3, high=(1.0,) * 3, dtype="uint8")
    scaling.check(np.zeros((2, 2, 3), np.uint8), "a.png")
    with pytest.raises(PictureError, match=r"a\.png: has 1 band\(s\) where the training pictures have 3"):
        scaling.check(np.zeros((2, 2, 1), np.uint8), "a.png")
    with pytest.raises(PictureError, match=r"a\.png: has uint16 values where the training pictures have uint8"):
        scaling.check(np.zeros((2, 2, 3), np.uint16), "a.png")
    Scaling(low=(0.0,), high=(1.0,), dtype="float").check(np.zeros((2, 2, 1), np.float64), "a.tif")


# --- the network's grid ------------------------------------------------------------------------------------------


def test_resize_averages_where_it_shrinks() -> None:
    picture = np.array([[0, 2, 4, 4], [2, 4, 4, 4]], np.float32)
    np.testing.assert_allclose(resize(picture, 1, 2), [[2, 4]])
    np.testing.assert_allclose(resize(picture[..., None], 1, 2), [[[2], [4]]])


def test_resize_is_linear_where_it_grows() -> None:
    np.testing.assert_allclose(resize(np.array([[0, 1]], np.float32), 1, 4), [[0, 0.25, 0.75, 1]])


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("size", [(5, 7), (50, 33)])
def test_resize_treats_every_band_alike(rng: np.random.Generator, bands: int, size: tuple[int, int]) -> None:
    picture = rng.random((20, 16, bands)).astype(np.float32)
    apart = np.stack([resize(picture[..., band].copy(), *size) for band in range(bands)], axis=-1)
    np.testing.assert_allclose(resize(picture, *size), apart, atol=1e-6)


def test_resize_to_the_same_size_changes_nothing(rng: np.random.Generator) -> None:
    picture = rng.random((6, 5, 2)).astype(np.float32)
    np.testing.assert_array_equal(resize(picture, 6, 5), picture)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1, 50), (1, 32)), ((301, 7), (32, 1)), ((480, 640), (24, 32)), ((5, 5), (32, 32)), ((1, 1), (32, 32))],
)
def test_odd_sizes_fit_the_square(rng: np.random.Generator, size: tuple[int, int], expected: tuple[int, int]) -> None:
    picture = rng.random((*size, 3)).astype(np.float32)
    assert fitted_size(*size, 32) == expected
    square = fit_square(picture, 32)
    assert square.shape == (32, 32, 3)
    height, width = expected
    np.testing.assert_array_equal(square[:height, :width], resize(picture, height, width))
    np.testing.assert_array_equal(
        square[height:, :width], np.broadcast_to(square[height - 1, :width], (32 - height, width, 3))
    )
    np.testing.assert_array_equal(square[:, width:], np.broadcast_to(square[:, width - 1 : width], (32, 32 - width, 3)))


def test_pad_to() -> None:
    padded = pad_to(np.array([[[1.0], [2.0]]]), 2, 4)
    np.testing.assert_array_equal(padded[..., 0], [[1, 2, 2, 2], [1, 2, 2, 2]])
    np.testing.assert_array_equal(pad_to(padded, 1, 1), padded)


@given(st.integers(1, 80), st.integers(0, 400))
def test_windows_cover_everything(side: int, more: int) -> None:
    length = side + more
    starts = list(window_starts(length, side))
    assert starts[0] == 0
    assert starts[-1] == length - side
    assert starts == sorted(set(starts))
    gaps = np.diff(starts)
    assert (gaps <= max(1, side // 2)).all()  # half overlapping at least
