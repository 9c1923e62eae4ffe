"""Reading pictures of any kind: arrays H x W x C in the file's own numbers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distmap.common.picture_files import PictureError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


# JPEGs that are cut short are errors; a picture is its own file, whatever lies beside it (and large folders open fast).
GDAL_OPTIONS = {"GDAL_ERROR_ON_LIBJPEG_WARNING": "YES", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}


Array = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class PlacedPicture:
    """A picture with what holds something in it and where it lies.

    ``pixels_HWC``: as ``read_picture`` gives them. ``valid_HW``: False under a mask, with alpha 0, or with a nodata
    value in all bands; None where all hold something. ``anchor``: see ``grid_anchor``; (0, 0) without georeference.
    """

    pixels_HWC: NDArray[np.generic]
    valid_HW: NDArray[np.bool_] | None
    anchor: tuple[int, int]


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


def read_picture(path: Path) -> NDArray[np.generic]:
    """A picture's numbers as they are in the file, H x W x C; alpha is dropped, palettes are expanded.

    C = 1 for grey, and for palettes of greys, which is how BMP keeps grey pictures.

    Raises
    ------
    PictureError
        The file is damaged, cut short, not a picture, complex-valued, or holds values that are not finite.
    """
    return read_placed_picture(path).pixels_HWC


def read_placed_picture(path: Path) -> PlacedPicture:
    """A picture with what holds something in it and where it lies.

    Raises
    ------
    PictureError
        The file is damaged, cut short, not a picture, complex-valued, or holds values that are not finite.
    """
    import rasterio
    from rasterio.enums import ColorInterp, MaskFlags
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
    if _is_broken_png(path):
        raise PictureError(f"{path}: the file is damaged or cut short; replace or remove it")
    try:
        with rasterio.Env(**GDAL_OPTIONS), rasterio.open(path) as source:
            kinds = source.colorinterp
            bands = [index for index, kind in enumerate(kinds, start=1) if kind != ColorInterp.alpha]
            picture = np.moveaxis(source.read(bands), 0, -1)
            if kinds[0] == ColorInterp.palette and len(bands) == 1:
                picture = _expand_palette(picture[..., 0], source.colormap(1))
            flags = [source.mask_flag_enums[band - 1] for band in bands]
            masked = not all(MaskFlags.all_valid in of_band for of_band in flags)
            valid = source.read_masks(bands).any(axis=0) if masked else None
            transform = tuple(source.transform)[:6]
    except RasterioError as error:
        raise PictureError(f"{path}: not a whole picture (damaged or cut short?); replace or remove it") from error
    if picture.dtype.kind not in "uif":
        raise PictureError(f"{path}: values of type {picture.dtype} cannot be used; save it as integers or floats")
    if picture.dtype.kind == "f" and not np.isfinite(picture).all():
        raise PictureError(f"{path}: holds values that are not finite; fill them in or remove the file")
    if valid is not None and (valid.all() or not valid.any()):
        valid = None
    placed = transform[0] * transform[4] != transform[1] * transform[3]
    return PlacedPicture(pixels_HWC=picture, valid_HW=valid, anchor=grid_anchor(transform) if placed else (0, 0))


def _expand_palette(indices_HW: NDArray[np.generic], colours: Mapping[int, tuple[int, ...]]) -> NDArray[np.uint8]:
    table = np.zeros((256**indices_HW.dtype.itemsize, 3), np.uint8)
    for value, rgba in colours.items():
        table[value] = rgba[:3]
    grey = (table == table[:, :1]).all()
    expanded: NDArray[np.uint8] = table[:, : 1 if grey else 3][indices_HW]
    return expanded


def _is_broken_png(path: Path) -> bool:
    """GDAL fills a PNG that is cut short with zeros and says nothing; a whole one ends with its IEND chunk."""
    with path.open("rb") as file:
        if file.read(len(PNG_SIGNATURE)) != PNG_SIGNATURE:
            return False
        file.seek(max(0, path.stat().st_size - 1024))
        return b"IEND" not in file.read()
