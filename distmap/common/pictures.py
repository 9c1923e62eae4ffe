"""Reading pictures of any kind: arrays H x W x C in the file's own numbers, the way up that viewers show them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distmap.common.nodata import fill_nearest
from distmap.common.picture_files import PictureError
from distmap.common.rasters import Raster, open_raster

# A picture is its own file, whatever lies beside it; and large folders open fast.
OPTIONS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}

Array = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class PlacedPicture:
    """A picture with what holds something in it and where it lies.

    ``pixels_HWC``: as ``read_picture`` gives them. ``valid_HW``: False where nothing is held, see
    `distmap.common.rasters.Raster.read_valid`, or where a value is not finite; None where all hold something.
    ``anchor``: see ``grid_anchor``; (0, 0) without georeference.
    ``finite``: whether all values in the file are; 0 stands for others.
    """

    pixels_HWC: NDArray[np.generic]
    valid_HW: NDArray[np.bool_] | None
    anchor: tuple[int, int]
    finite: bool = True


def grid_anchor(transform: Sequence[float]) -> tuple[int, int]:
    """Row and column of a picture's first pixel, counted from where its grid has the map's origin.

    Pictures cut from one grid agree on it to a pixel, whatever part they hold. ``transform``: a, b, c, d, e, f of
    x = a column + b row + c, y = d column + e row + f.
    """
    a, b, c, d, e, f = transform
    determinant = a * e - b * d
    row, column = (a * f - d * c) / determinant, (e * c - b * f) / determinant
    # Grids start at whole or half pixels more often than not: neither may lie where rounding goes either way.
    return math.floor(row + 0.3), math.floor(column + 0.3)


class _Limit:
    """Megapixels that a picture may have which is read as a whole."""

    megapixels = 200.0


@contextmanager
def size_limit(megapixels: float) -> Iterator[None]:
    """Read pictures of at most so many megapixels, in all threads, while the block lasts."""
    before, _Limit.megapixels = _Limit.megapixels, megapixels
    try:
        yield
    finally:
        _Limit.megapixels = before


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width in pixels of a picture file, as viewers show it, read from its header.

    Raises
    ------
    PictureError
        The file is not a picture.
    """
    with opened_picture(path) as raster:
        return raster.height, raster.width


def read_picture(path: Path) -> NDArray[np.generic]:
    """A picture's numbers as they are in the file, H x W x C; alpha is dropped, palettes are expanded.

    C = 1 for grey, and for palettes of greys, which is how BMP keeps grey pictures. Grey of 1, 2 or 4 bits has the
    range of 8 bits, white is the highest number, and the picture is turned as its file says (EXIF, TIFF). Values that
    are not finite become 0.

    Raises
    ------
    PictureError
        See `read_placed_picture`.
    """
    return read_placed_picture(path).pixels_HWC


def read_filled_picture(path: Path) -> NDArray[np.generic]:
    """As `read_picture`; pixels that hold nothing have the value of the nearest one that does."""
    picture = read_placed_picture(path)
    if picture.valid_HW is None:
        return picture.pixels_HWC
    return fill_nearest(picture.pixels_HWC, picture.valid_HW)


def read_placed_picture(path: Path) -> PlacedPicture:
    """A picture with what holds something in it and where it lies.

    Raises
    ------
    PictureError
        The file is damaged, cut short, not a picture, of several pages, complex-valued, larger than `size_limit`
        allows, or holds no finite value, or nothing but a nodata value that is no colour.
    """
    from rasterio.enums import ColorInterp, MaskFlags

    with opened_picture(path) as raster:
        source = raster.source
        bands = [index for index, kind in enumerate(source.colorinterp, start=1) if kind != ColorInterp.alpha]
        check_values(path, source.dtypes)
        check_size(path, raster, len(bands))
        picture = raster.read(bands)
        if raster.palette:
            picture = expand_palette(picture[..., 0], source.colormap(1))
        masked = not all(MaskFlags.all_valid in source.mask_flag_enums[band - 1] for band in bands)
        valid = raster.read_valid(bands) if masked else None
        transform = tuple(source.transform)[:6]
    if valid is not None and not valid.any() and picture.dtype.kind != "u":
        raise PictureError(f"{path}: holds nothing but nodata; remove the file")
    if valid is not None and (valid.all() or not valid.any()):
        valid = None  # a black picture is one, where black is nodata, too
    finite_HW = np.isfinite(picture).all(axis=-1) if picture.dtype.kind == "f" else None
    finite = finite_HW is None or bool(finite_HW.all())
    if finite_HW is not None and not finite:
        picture = np.where(finite_HW[..., None], picture, picture.dtype.type(0))
        valid = finite_HW if valid is None else valid & finite_HW
        if not valid.any():
            raise PictureError(f"{path}: holds nothing but values that are not finite; fill them in or remove the file")
    placed = transform[0] * transform[4] != transform[1] * transform[3]
    anchor = grid_anchor(transform) if placed else (0, 0)
    return PlacedPicture(pixels_HWC=picture, valid_HW=valid, anchor=anchor, finite=finite)


def check_size(path: Path, raster: Raster, bands: int) -> None:
    """Raise PictureError where a picture is too large to be read as a whole; the message says what that would take."""
    pixels = raster.height * raster.width
    if pixels <= _Limit.megapixels * 1e6:
        return
    # Beside the numbers themselves there are two copies as 32-bit floats, and about two bands that are made of them.
    per_pixel = bands * (np.dtype(raster.source.dtypes[0]).itemsize + 8) + 8
    raise PictureError(
        f"{path}: {raster.width} x {raster.height} pixels, more than {_Limit.megapixels:g} megapixels, would take "
        f"about {pixels * per_pixel / 1e9:.3g} GB of memory; map it in tiles with `pipelines geotiff`, cut it, or give "
        f"--max-megapixels {math.ceil(pixels / 1e6)}"
    )


@contextmanager
def opened_picture(path: Path) -> Iterator[Raster]:
    """A picture file, open; raises PictureError where it is none, or damaged."""
    from rasterio.errors import RasterioError

    try:
        with open_raster(path, options=OPTIONS) as raster:
            yield raster
    except RasterioError as error:
        raise PictureError(f"{path}: not a whole picture (damaged or cut short?); replace or remove it") from error


def check_values(path: Path, types: Sequence[str]) -> None:
    """Raise PictureError where bands are neither integers nor floats."""
    for kind in types:
        if np.dtype(kind).kind not in "uif":
            raise PictureError(f"{path}: values of type {kind} cannot be used; save it as integers or floats")


def expand_palette(indices_HW: NDArray[np.generic], colours: Mapping[int, tuple[int, ...]]) -> NDArray[np.uint8]:
    """Colours of indices, H x W x 3, or H x W x 1 where the palette has greys alone."""
    table = np.zeros((256**indices_HW.dtype.itemsize, 3), np.uint8)
    for value, rgba in colours.items():
        table[value] = rgba[:3]
    grey = (table == table[:, :1]).all()
    expanded: NDArray[np.uint8] = table[:, : 1 if grey else 3][indices_HW]
    return expanded
