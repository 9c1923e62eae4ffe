"""Masks as people have them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
import tifffile
from numpy.typing import NDArray
from PIL import Image

from distmap.common.mask_files import read_mask, read_masks
from distmap.common.notices import Notice

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def ellipse() -> NDArray[np.bool_]:
    mask_HW = np.zeros((48, 64), np.uint8)
    cv2.ellipse(mask_HW, (30, 20), (17, 11), 20, 0, 360, 1, -1)
    return mask_HW > 0


def found(path: Path) -> NDArray[np.bool_]:
    return np.asarray(read_mask(path).values_HW != 0)


@pytest.mark.parametrize("colours", [[(68, 1, 84), (253, 231, 37)], [(255,) * 3, (0,) * 3], [(0,) * 3, (0,) * 3]])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_palette_gives_its_indices(tmp_path: Path, suffix: str, colours: list[tuple[int, ...]]) -> None:
    picture = Image.fromarray(ellipse().astype(np.uint8))
    picture.putpalette([value for colour in colours for value in colour])
    picture.save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(found(tmp_path / f"a.{suffix}"), ellipse())


@pytest.mark.parametrize("mode", ["1", "L"])
def test_bmp_masks_of_greys(tmp_path: Path, mode: str) -> None:
    Image.fromarray(ellipse().astype(np.uint8) * 255).convert(mode).save(tmp_path / "a.bmp")
    np.testing.assert_array_equal(found(tmp_path / "a.bmp"), ellipse())


@pytest.mark.parametrize("bits", [1, 4, 8, 16])
def test_masks_stored_min_is_white(tmp_path: Path, bits: int) -> None:
    white = 2**bits - 1
    dtype = np.uint16 if bits > 8 else np.uint8
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", height=48, width=64, count=1, dtype=dtype, nbits=bits,
        photometric="MINISWHITE",
    ) as file:  # fmt: skip
        file.write(np.where(ellipse(), 0, white).astype(dtype), 1)
    np.testing.assert_array_equal(found(tmp_path / "a.tif"), ellipse())


def test_few_bits_stay_class_numbers(tmp_path: Path) -> None:
    profile = {"driver": "PNG", "height": 48, "width": 64, "count": 1, "dtype": "uint8", "nbits": 4}
    with rasterio.open(tmp_path / "a.png", "w", **profile) as file:
        file.write(ellipse().astype(np.uint8) * 3, 1)
    assert np.unique(read_mask(tmp_path / "a.png").values_HW).tolist() == [0, 3]


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.tif"])
def test_lossy_masks_are_taken_at_half_with_one_line(tmp_path: Path, name: str) -> None:
    values = ellipse().astype(np.uint8) * 255
    files = {}
    for number in range(2):
        path = tmp_path / str(number) / name
        path.parent.mkdir()
        if name.endswith("tif"):
            with rasterio.open(
                path, "w", driver="GTiff", compress="jpeg", height=48, width=64, count=1, dtype="uint8"
            ) as file:
                file.write(values, 1)
        else:
            Image.fromarray(values).save(path, quality=80)
        files[str(number)] = path
    with pytest.warns(Notice, match=r"0/a\.\w+: JPEG blurs masks.* 2 of 2 masks") as told:
        masks = dict(read_masks(files))
    assert len(told) == 1
    for mask in masks.values():
        assert mask.lossy
        assert set(np.unique(mask.values_HW).tolist()) == {0, 255}
        assert np.count_nonzero((mask.values_HW > 0) != ellipse()) <= 4


@pytest.mark.parametrize("level", [1, 100])
def test_lossy_masks_that_never_reach_half_are_told(tmp_path: Path, level: int) -> None:
    Image.fromarray(ellipse().astype(np.uint8) * level).save(tmp_path / "a.jpg", quality=95)
    Image.new("L", (64, 48)).save(tmp_path / "b.jpg")
    files = {name: tmp_path / f"{name}.jpg" for name in "ab"}
    with pytest.warns(Notice) as told:
        masks = dict(read_masks(files))
    assert not any(mask.values_HW.any() for mask in masks.values())
    lines = [str(line.message) for line in told]
    assert (
        sum("a.jpg: nothing in it reaches half of the range" in line and "1 of 2 masks" in line for line in lines) == 1
    )


@pytest.mark.parametrize("colour", [0, 255, 90])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_masks_in_alpha_alone_are_seen(tmp_path: Path, mode: str, colour: int) -> None:
    bands = np.full((48, 64, len(mode)), colour, np.uint8)
    bands[..., -1] = ellipse() * 255
    Image.fromarray(bands, mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(found(tmp_path / "a.png"), ellipse())


def test_alpha_that_shows_everything_or_nothing_does_not_count(tmp_path: Path) -> None:
    for alpha in (0, 255):
        bands = np.zeros((48, 64, 4), np.uint8)
        bands[..., 1] = ellipse() * 9
        bands[..., 3] = alpha
        Image.fromarray(bands).save(tmp_path / "a.png")
        np.testing.assert_array_equal(found(tmp_path / "a.png"), ellipse())


def test_the_value_to_be_ignored(tmp_path: Path) -> None:
    labels = ellipse().astype(np.uint8) * 15
    labels[:, :20] = 255
    picture = Image.fromarray(labels)
    picture.putpalette(list(range(256)) * 3)
    picture.save(tmp_path / "a.png")
    mask = read_mask(tmp_path / "a.png", ignore=255)
    assert np.unique(mask.values_HW).tolist() == [0, 15]
    assert mask.ignored_HW is not None
    np.testing.assert_array_equal(mask.ignored_HW, labels == 255)
    assert read_mask(tmp_path / "a.png").ignored_HW is None


def test_pixels_without_data_belong_to_nothing(tmp_path: Path) -> None:
    values = ellipse().astype(np.float32)
    values[0, :5], values[1, :5] = -9999, np.nan
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", height=48, width=64, count=1, dtype="float32", nodata=-9999
    ) as file:
        file.write(values, 1)
    with pytest.warns(Notice, match=r"a\.tif: pixels without data"):
        [(_, mask)] = read_masks({"a": tmp_path / "a.tif"})
    np.testing.assert_array_equal(mask.values_HW, ellipse())
    assert mask.without_data == 10


def test_masks_have_the_frame_of_viewers(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", ellipse().astype(np.uint8), extratags=[(274, 3, 1, 6, True)])
    np.testing.assert_array_equal(found(tmp_path / "a.tif"), np.rot90(ellipse(), -1))
