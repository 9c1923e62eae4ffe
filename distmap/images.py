"""Reading pictures of any kind, and laying them on the network's grid.

Pictures are arrays H x W x C in the file's own numbers. ``Scaling`` brings those numbers to [-1, 1] (decided once, from
the training folders); ``fit_square`` lays a whole picture on the square that the network sees.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from distmap.common.picture_files import PictureError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# JPEGs that are cut short are errors; a picture is its own file, whatever lies beside it (and large folders open fast).
GDAL_OPTIONS = {"GDAL_ERROR_ON_LIBJPEG_WARNING": "YES", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
OPENCV_BANDS = 4  # more at once it does not shrink
TAIL = 0.0005  # share of values cut at either end when the scaling of 16-bit or float pictures is decided

Array = NDArray[np.floating]


def read_picture(path: Path) -> NDArray[np.generic]:
    """A picture's numbers as they are in the file, H x W x C; alpha is dropped, palettes are expanded.

    C = 1 for grey, and for palettes of greys, which is how BMP keeps grey pictures.

    Raises
    ------
    PictureError
        The file is damaged, cut short, not a picture, complex-valued, or holds values that are not finite.
    """
    import rasterio
    from rasterio.enums import ColorInterp
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
    except RasterioError as error:
        raise PictureError(f"{path}: not a whole picture (damaged or cut short?); replace or remove it") from error
    if picture.dtype.kind not in "uif":
        raise PictureError(f"{path}: values of type {picture.dtype} cannot be used; save it as integers or floats")
    if picture.dtype.kind == "f" and not np.isfinite(picture).all():
        raise PictureError(f"{path}: holds values that are not finite; fill them in or remove the file")
    whole: NDArray[np.generic] = picture
    return whole


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


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """The line that brings each band to [-1, 1]: ``low`` -> -1, ``high`` -> 1, cut beyond; and what it applies to."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    dtype: str

    @property
    def bands(self) -> int:
        return len(self.low)

    def check(self, picture_HWC: NDArray[np.generic], path: str | Path) -> None:
        """Raise PictureError where a picture's bands or number type are not those the scaling was made for."""
        if picture_HWC.shape[-1] != self.bands:
            raise PictureError(
                f"{path}: has {picture_HWC.shape[-1]} band(s) where the training pictures have {self.bands}; convert it"
            )
        if number_kind(picture_HWC.dtype) != self.dtype:
            raise PictureError(
                f"{path}: has {number_kind(picture_HWC.dtype)} values where the training pictures have {self.dtype}; "
                "convert it"
            )

    def apply(self, picture_HWC: NDArray[np.generic]) -> Array:
        """Numbers of the file -> float32 in [-1, 1]."""
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        scaled = (picture_HWC.astype(np.float32) - low) * (2 / (high - low)) - 1
        return np.clip(scaled, -1, 1, out=scaled)

    def undo(self, scaled_HWC: Array) -> Array:
        """[-1, 1] -> numbers of the file, as float32."""
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        restored: Array = (scaled_HWC + 1) * ((high - low) / 2) + low
        return restored


def number_kind(dtype: np.dtype[np.generic]) -> str:
    """uint8, uint16, ... for integers; all floats count as one kind."""
    return "float" if dtype.kind == "f" else str(dtype)


def decide_scaling(samples_NC: NDArray[np.generic]) -> Scaling:
    """Scaling from pixels of the training pictures, N x C.

    8-bit: the range that occurs. 16-bit and float: the range without the outermost 0.05 % at either end, so that a few
    hot pixels do not squeeze everything else. A band that is constant is mapped to -1.
    """
    if samples_NC.dtype.itemsize == 1:
        low, high = samples_NC.min(axis=0).astype(float), samples_NC.max(axis=0).astype(float)
    else:
        low, high = np.quantile(samples_NC.astype(np.float64), [TAIL, 1 - TAIL], axis=0)
    # In float32, as the scaling is applied: a range that is lost there is as good as none.
    constant = high.astype(np.float32) <= low.astype(np.float32)
    high = np.where(constant, low + np.maximum(1, 1e-3 * np.abs(low)), high)
    return Scaling(low=tuple(map(float, low)), high=tuple(map(float, high)), dtype=number_kind(samples_NC.dtype))


def resize(picture: Array, height: int, width: int) -> Array:
    """H x W x C or H x W to another size: area averages where it shrinks, linear where it grows."""
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = height * width < picture.shape[0] * picture.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    bands_HWC = picture.reshape(*picture.shape[:2], -1)
    resized = np.empty((height, width, bands_HWC.shape[2]), np.float32)
    for first in range(0, bands_HWC.shape[2], OPENCV_BANDS):
        some = slice(first, first + OPENCV_BANDS)
        part = cv2.resize(np.ascontiguousarray(bands_HWC[..., some]), (width, height), interpolation=interpolation)
        resized[..., some] = part.reshape(height, width, -1)
    return resized.reshape(height, width, *picture.shape[2:])


def fitted_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width once the longer side is ``side``; the aspect is kept."""
    scale = side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def fit_square(picture_HWC: Array, side: int) -> Array:
    """A whole picture on a square: longer side scaled to ``side``, the rest filled by repeating the border.

    The picture lies in the upper left corner, ``fitted_size`` large.
    """
    height, width = fitted_size(picture_HWC.shape[0], picture_HWC.shape[1], side)
    return pad_to(resize(picture_HWC, height, width), side, side)


def pad_to(picture_HWC: Array, height: int, width: int) -> Array:
    """Repeat the last row and column until the picture is at least that large."""
    below, right = max(0, height - picture_HWC.shape[0]), max(0, width - picture_HWC.shape[1])
    if not below and not right:
        return picture_HWC
    padded: Array = np.pad(picture_HWC, ((0, below), (0, right), (0, 0)), mode="edge")
    return padded


def window_starts(length: int, side: int) -> Sequence[int]:
    """Where windows of ``side`` start along ``length`` >= side: half overlapping, the last one flush with the end."""
    starts = list(range(0, length - side, max(1, side // 2)))
    return [*starts, length - side]
