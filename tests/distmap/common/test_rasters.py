"""The way up that viewers show, levels of grey, formats that are allowed."""

from __future__ import annotations

from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rasterio._err import CPLE_AppDefinedError

from distmap.common.headers import PICTURE_DRIVERS, SCENE_DRIVERS
from distmap.common.picture_files import PictureError
from distmap.common.pictures import opened_picture, picture_size, read_picture, read_placed_picture, size_limit
from distmap.common.rasters import open_raster

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
ORIENTATION = 274


def wedge() -> NDArray[np.uint8]:
    """A picture that no turn leaves alone, smooth enough for JPEG."""
    return np.add.outer(np.arange(24) * 8, np.arange(40)).astype(np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_pictures_are_turned_as_viewers_do(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"a.{suffix}"
    stored = Image.fromarray(np.stack([wedge()] * 3, axis=-1))
    if suffix == "tif":
        stored.save(path, tiffinfo={ORIENTATION: orientation})
    else:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        stored.save(path, exif=exif, lossless=True)
    with Image.open(path) as picture:
        shown = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    read = read_picture(path)
    assert read.shape == shown.shape
    assert np.abs(read.astype(int) - shown).max() <= 2  # JPEG decoders differ by so much
    assert picture_size(path) == shown.shape[:2]


def test_windows_are_those_of_the_turned_picture(tmp_path: Path) -> None:
    for orientation in range(1, 9):
        path = tmp_path / f"{orientation}.tif"
        tifffile.imwrite(path, wedge(), extratags=[(ORIENTATION, 3, 1, orientation, True)])
        with open_raster(path) as raster:
            whole = raster.read([1])
            np.testing.assert_array_equal(raster.read([1], (3, 5, 7, 11)), whole[3:10, 5:16])


def test_a_georeference_holds_for_rows_as_they_are_stored(tmp_path: Path) -> None:
    scale, tie_point = (33550, 12, 3, (1.0, 1.0, 0.0), True), (33922, 12, 6, (0.0, 0.0, 0.0, 100.0, 200.0, 0.0), True)
    tags = [(ORIENTATION, 3, 1, 3, True), scale, tie_point]
    tifffile.imwrite(tmp_path / "a.tif", wedge(), extratags=tags)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif")[..., 0], wedge())


def test_a_spoilt_exif_block_does_no_harm(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 99
    Image.fromarray(wedge()).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png")[..., 0], wedge())
    Image.fromarray(wedge()).save(tmp_path / "b.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(read_picture(tmp_path / "b.png")[..., 0], wedge())


@pytest.mark.parametrize("driver", ["PNG", "GTiff"])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_of_few_bits_has_the_full_range(tmp_path: Path, driver: str, bits: int) -> None:
    levels = np.arange(2**bits, dtype=np.uint8)[None].repeat(3, axis=0)
    profile = {"driver": driver, "height": 3, "width": 2**bits, "count": 1, "dtype": "uint8", "nbits": bits}
    with rasterio.open(tmp_path / "a.png", "w", **profile) as file:
        file.write(levels, 1)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png")[0, :, 0], levels[0] * (255 // (2**bits - 1)))


def test_16_bit_pictures_keep_their_numbers(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256, 65535]], np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values)
    read = read_picture(tmp_path / "a.tif")
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read[..., 0], values)


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_white_is_the_highest_number(tmp_path: Path, dtype: type[np.unsignedinteger], white: int) -> None:
    values = np.array([[0, 3, white]], dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    read = read_picture(tmp_path / "a.tif")
    assert read.dtype == dtype
    assert read[..., 0].tolist() == [[white, white - 3, 0]]


@pytest.mark.parametrize(("bits", "expected"), [(1, [255, 0]), (4, [255, 238])])
def test_white_of_few_bits(tmp_path: Path, bits: int, expected: list[int]) -> None:
    profile = {"driver": "GTiff", "height": 1, "width": 2, "count": 1, "dtype": "uint8"}
    with rasterio.open(tmp_path / "a.tif", "w", nbits=bits, photometric="MINISWHITE", **profile) as file:
        file.write(np.array([[0, 1]], np.uint8), 1)
    assert read_picture(tmp_path / "a.tif")[..., 0].tolist() == [expected]


def test_several_pages_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 8, 9), np.uint8), photometric="minisblack")
    for read in (read_picture, picture_size):
        with pytest.raises(PictureError, match=r"a\.tif: holds 3 pages; save each as a file"):
            read(tmp_path / "a.tif")


def test_overviews_are_no_pages(tmp_path: Path) -> None:
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", height=64, width=64, count=1, dtype="uint8", tiled=False
    ) as file:
        file.write(np.ones((64, 64), np.uint8), 1)
    with rasterio.open(tmp_path / "a.tif", "r+") as file:
        file.build_overviews([2, 4])
    assert read_picture(tmp_path / "a.tif").shape == (64, 64, 1)


# --- values that are not finite --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_hold_nothing(tmp_path: Path, value: float) -> None:
    picture = np.full((4, 4, 2), 7, np.float32)
    picture[1, 2, 0] = value
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="minisblack", planarconfig="contig")
    placed = read_placed_picture(tmp_path / "a.tif")
    assert not placed.finite
    assert placed.valid_HW is not None
    assert np.argwhere(~placed.valid_HW).tolist() == [[1, 2]]
    assert np.isfinite(placed.pixels_HWC).all()
    tifffile.imwrite(tmp_path / "b.tif", np.full((4, 4), value, np.float32))
    with pytest.raises(PictureError, match=r"b\.tif: holds nothing but values that are not finite"):
        read_picture(tmp_path / "b.tif")


# --- size ------------------------------------------------------------------------------------------------------------


def test_large_pictures_are_refused_with_the_memory_that_they_would_take(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "tiled": True, "sparse_ok": True}
    with rasterio.open(tmp_path / "a.tif", "w", height=60_000, width=60_000, **profile):
        pass
    assert picture_size(tmp_path / "a.tif") == (60_000, 60_000)
    with pytest.raises(PictureError, match=r"a\.tif: 60000 x 60000 .* 61.2 GB .*geotiff.*--max-megapixels 3600"):
        read_picture(tmp_path / "a.tif")
    Image.fromarray(wedge()).save(tmp_path / "b.png")
    with size_limit(0.0005), pytest.raises(PictureError, match=r"b\.png: 40 x 24 .*--max-megapixels 1"):
        read_picture(tmp_path / "b.png")
    assert read_picture(tmp_path / "b.png").shape == (24, 40, 1)


# --- formats ---------------------------------------------------------------------------------------------------------

WMS = "<GDAL_WMS><Service name='TMS'><ServerUrl>http://127.0.0.1:9/${z}/${x}/${y}.png</ServerUrl></Service></GDAL_WMS>"


PYTHON = "<PixelFunctionLanguage>Python</PixelFunctionLanguage>"


def vrt(source: str, *, relative: int = 1, band: str = "", extra: str = "") -> str:
    return (
        f'<VRTDataset rasterXSize="40" rasterYSize="24">{extra}<VRTRasterBand dataType="Byte" band="1" {band}>'
        f'<SimpleSource><SourceFilename relativeToVRT="{relative}">{source}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )


@pytest.mark.parametrize("content", [WMS, vrt("b.png"), f"\n {vrt('b.png')}"])
@pytest.mark.parametrize("suffix", ["tif", "png", "jpg"])
def test_descriptions_under_the_name_of_a_picture_are_refused(tmp_path: Path, content: str, suffix: str) -> None:
    Image.fromarray(wedge()).save(tmp_path / "b.png")
    (tmp_path / f"a.{suffix}").write_text(content)
    for drivers in (PICTURE_DRIVERS, SCENE_DRIVERS):
        with (
            pytest.raises(PictureError, match=rf"a\.{suffix}: is text that describes a picture"),
            open_raster(tmp_path / f"a.{suffix}", drivers=drivers),
        ):
            pass


def test_formats_of_other_kinds_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x0a\x05\x01\x08" + bytes(128))  # PCX
    with pytest.raises(PictureError, match=r"a\.png: not a whole picture of a known format"):
        read_picture(tmp_path / "a.png")
    Image.fromarray(wedge()).save(tmp_path / "a.gif")
    (tmp_path / "a.gif").rename(tmp_path / "a.png")
    with pytest.raises(PictureError, match=r"a\.png: is a GIF"):
        read_picture(tmp_path / "a.png")


def _stack(path: Path, kind: str) -> None:
    frames = [Image.fromarray(wedge()).convert("RGB"), Image.fromarray(wedge()[::-1].copy()).convert("RGB")]
    layers = np.stack([wedge(), wedge()[::-1]])
    if kind == "png":
        frames[0].save(path, format="PNG", save_all=True, append_images=frames[1:])
    elif kind == "webp":
        frames[0].save(path, format="WEBP", save_all=True, append_images=frames[1:], lossless=True)
    elif kind == "tiff":
        tifffile.imwrite(path, layers, photometric="minisblack")
    elif kind == "tiff of one page with layers":
        tifffile.imwrite(path, layers, photometric="minisblack", volumetric=True, tile=(1, 16, 16))
    else:  # as ImageJ writes what is larger than 4 GB: one page, and the others behind it
        tifffile.imwrite(path, wedge(), description="ImageJ=1.53t\nimages=2\nslices=2\n", metadata=None)


@pytest.mark.parametrize("kind", ["png", "webp", "tiff", "tiff of one page with layers", "imagej"])
def test_several_pages_are_refused_in_every_format(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("a.png" if kind == "png" else "a.webp" if kind == "webp" else "a.tif")
    _stack(path, kind)
    with pytest.raises(PictureError, match=r"a\.\w+: holds 2 pages"):
        read_picture(path)


@pytest.mark.parametrize(
    ("dtype", "nodata", "empty"),
    [("float32", -9999, "any"), ("int16", -9999, "any"), ("uint8", 0, "all"), ("uint16", 65535, "all")],
)
def test_nodata_of_single_bands(tmp_path: Path, dtype: str, nodata: int, empty: str) -> None:
    """What is no colour says that nothing is there, in one band too; what may be one has to stand in all."""
    values_CHW = np.full((3, 4, 5), 100, dtype)
    values_CHW[0, 0] = nodata
    values_CHW[:, 1] = nodata
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", height=4, width=5, count=3, dtype=dtype, nodata=nodata
    ) as target:
        target.write(values_CHW)
    valid_HW = read_placed_picture(tmp_path / "a.tif").valid_HW
    assert valid_HW is not None
    assert valid_HW.all(axis=1).tolist() == [empty == "all", False, True, True]


def test_a_picture_of_nothing_but_nodata(tmp_path: Path) -> None:
    for dtype, nodata in (("float32", -9999), ("uint8", 0)):
        with rasterio.open(
            tmp_path / f"{dtype}.tif", "w", driver="GTiff", height=4, width=5, count=1, dtype=dtype, nodata=nodata
        ) as target:
            target.write(np.full((1, 4, 5), nodata, dtype))
    with pytest.raises(PictureError, match=r"float32\.tif: holds nothing but nodata"):
        read_picture(tmp_path / "float32.tif")
    assert not read_picture(tmp_path / "uint8.tif").any()  # a black picture


def test_a_vrt_reads_pictures_below_its_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    Image.fromarray(wedge()).save(tmp_path / "deep" / "b.png")
    (tmp_path / "inner.vrt").write_text(vrt("deep/b.png"))
    (tmp_path / "a.vrt").write_text(vrt("inner.vrt"))
    with open_raster(tmp_path / "a.vrt", drivers=SCENE_DRIVERS) as raster:
        np.testing.assert_array_equal(raster.read([1])[..., 0], wedge())


@pytest.mark.parametrize(
    "content",
    [
        vrt("../b.png"),
        vrt("/etc/hostname", relative=0),
        vrt("http://127.0.0.1:9/b.png", relative=0),
        vrt("/vsicurl/http://127.0.0.1:9/b.png", relative=0),
        vrt("missing.png"),
        vrt("linked.png"),
        vrt("words.png"),
        vrt("inner.vrt"),
        vrt("in.png", band='subClass="VRTRawRasterBand"'),
        vrt("in.png", band='subclass="VRTRawRasterBand"'),
        vrt("in.png", band='subClass="VRTDerivedRasterBand"', extra=PYTHON),
        vrt("in.png").replace("SourceFilename", "sourcefilename").replace("in.png", "../b.png"),
        vrt("in.png").replace("<VRTDataset", '<VRTDataset xmlns="a"').replace("in.png", "../b.png"),
        vrt("../b.png<!-- -->/../in.png"),
        '<!DOCTYPE a [<!ENTITY b "c">]>' + vrt("in.png"),
        vrt("in.png")[:-20],
        WMS,
    ],
)  # fmt: skip
def test_a_vrt_names_nothing_else_unless_it_is_trusted(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "scenes"
    folder.mkdir()
    Image.fromarray(wedge()).save(tmp_path / "b.png")
    Image.fromarray(wedge()).save(folder / "in.png")
    (folder / "linked.png").symlink_to(tmp_path / "b.png")
    (folder / "words.png").write_text(vrt("../b.png"))
    (folder / "inner.vrt").write_text(vrt("../b.png"))
    (folder / "a.vrt").write_text(content)
    with pytest.raises(PictureError, match=r"\.(vrt|png): "), open_raster(folder / "a.vrt", drivers=SCENE_DRIVERS):
        pass


def test_a_trusted_vrt_reads_other_folders(tmp_path: Path) -> None:
    (tmp_path / "scenes").mkdir()
    Image.fromarray(wedge()).save(tmp_path / "b.png")
    (tmp_path / "scenes" / "a.vrt").write_text(vrt("../b.png"))
    with open_raster(tmp_path / "scenes" / "a.vrt", drivers=SCENE_DRIVERS, trust_vrt=True) as raster:
        np.testing.assert_array_equal(raster.read([1])[..., 0], wedge())


def test_errors_of_gdal_are_those_of_a_damaged_picture(tmp_path: Path) -> None:
    """GDAL's own errors, which are no RasterioError, come from properties such as the colours of a damaged TIFF."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint8))
    with (
        pytest.raises(PictureError, match=r"a\.tif: not a whole picture"),
        opened_picture(tmp_path / "a.tif"),
    ):
        raise CPLE_AppDefinedError(1, 1, "a tag that cannot be read")


@given(
    values_HW=hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int16, np.float32]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements={"allow_nan": False, "allow_infinity": False},
    ),
    compression=st.sampled_from([None, "zlib"]),
    big=st.booleans(),
)
def test_tiffs_hold_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, values_HW: NDArray[np.generic], compression: str | None, big: bool
) -> None:
    path = tmp_path_factory.mktemp("pictures") / "a.tif"
    tifffile.imwrite(
        path, values_HW, compression=compression, byteorder=">" if big else "<", photometric="minisblack", metadata=None
    )
    np.testing.assert_array_equal(read_picture(path)[..., 0], values_HW)


@given(data=st.data(), kind=st.sampled_from(["png", "tif", "webp", "bmp", "jpg"]))
def test_damaged_pictures_are_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str
) -> None:
    path = tmp_path_factory.mktemp("pictures") / f"a.{kind}"
    Image.fromarray(wedge()).save(path)
    content = bytearray(path.read_bytes())
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6)):
        content[place % len(content)] = value
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        assert read_picture(path).ndim == 3
    except PictureError as error:
        if path.name not in str(error):
            raise AssertionError(f"names no {path.name}: {error}") from error
