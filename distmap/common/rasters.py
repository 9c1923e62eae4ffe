"""Opening pictures and scenes with GDAL: formats of pictures alone, the way up that viewers show, levels of grey."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distmap.common.headers import (
    ORIENTATION,
    PHOTOMETRIC,
    PICTURE_DRIVERS,
    frame_count,
    header_tags,
    is_whole_png,
    picture_driver,
)
from distmap.common.picture_files import PictureError
from distmap.common.vrt import check_vrt

Window = tuple[int, int, int, int]
"""Top, left, height, width."""

# JPEGs that are cut short are errors; nothing is fetched, and no description makes other files into pixels.
GDAL_OPTIONS = {"GDAL_ERROR_ON_LIBJPEG_WARNING": "YES"}
CLOSED_OPTIONS = {
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_VRT_ENABLE_RAWRASTERBAND": "NO",
}


_UPRIGHT = 1
# For each EXIF orientation: whether rows and columns change places, and whether rows and columns are then turned round.
_TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
_MIN_IS_WHITE, _PALETTE = 0, 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Raster:
    """An open picture in the frame in which viewers show it.

    Attributes
    ----------
    source
        The rasterio data set, in the frame of the file.
    orientation
        As EXIF numbers it, 1 to 8; 1 where the file has a georeference, which holds for its rows as they are stored.
    palette
        Whether the numbers are indices of colours.
    min_is_white
        Whether 0 is white.
    bits
        Of a number, where they are fewer than 8; else 0.
    """

    source: Any
    orientation: int
    palette: bool
    min_is_white: bool
    bits: int

    @property
    def driver(self) -> str:
        return str(self.source.driver)

    @property
    def height(self) -> int:
        return int(self.source.width if _TURNS[self.orientation][0] else self.source.height)

    @property
    def width(self) -> int:
        return int(self.source.height if _TURNS[self.orientation][0] else self.source.width)

    def read(self, bands: Sequence[int], window: Window | None = None, *, full_range: bool = True) -> NDArray[Any]:
        """Numbers H x W x C, white being the highest; without ``full_range`` those of few bits stay as small as they
        are."""
        values_CHW = self.source.read(bands, window=self._stored(window))
        if self.min_is_white and values_CHW.dtype.kind in "ui":
            values_CHW = (2**self.bits - 1) - values_CHW if self.bits else ~values_CHW
        if full_range and self.bits and not self.palette:
            values_CHW = (values_CHW.astype(np.uint16) * 255 // (2**self.bits - 1)).astype(np.uint8)
        return self._turned(np.moveaxis(values_CHW, 0, -1))

    def read_valid(self, bands: Sequence[int], window: Window | None = None) -> NDArray[np.bool_]:
        """Which pixels hold something, H x W: not those under a mask, with alpha 0, or with nodata.

        Whole numbers from 0 on, of which the nodata value is most often one that colours have too, hold nothing where
        all bands that state such a value have it; others where any has.
        """
        from rasterio.enums import MaskFlags

        stated = [band for band in bands if MaskFlags.all_valid not in self.source.mask_flag_enums[band - 1]]
        if not stated:
            return np.ones((self.height, self.width) if window is None else window[2:], bool)
        masks_CHW = self.source.read_masks(stated, window=self._stored(window))
        ordinary = all(np.dtype(self.source.dtypes[band - 1]).kind == "u" for band in stated)
        return self._turned(masks_CHW.any(axis=0) if ordinary else masks_CHW.all(axis=0))

    def read_alpha(self) -> NDArray[Any] | None:
        """Alpha, H x W; None where there is none."""
        from rasterio.enums import ColorInterp

        kinds = self.source.colorinterp
        if ColorInterp.alpha not in kinds:
            return None
        return self._turned(self.source.read(kinds.index(ColorInterp.alpha) + 1))

    def _stored(self, window: Window | None) -> Any:
        """The window in the frame of the file."""
        from rasterio.windows import Window as StoredWindow

        if window is None:
            return None
        top, left, height, width = window
        transposed, rows_turned, columns_turned = _TURNS[self.orientation]
        top = self.height - top - height if rows_turned else top
        left = self.width - left - width if columns_turned else left
        return StoredWindow(top, left, height, width) if transposed else StoredWindow(left, top, width, height)

    def _turned(self, stored: NDArray[Any]) -> NDArray[Any]:
        if self.orientation == _UPRIGHT:
            return stored
        transposed, rows_turned, columns_turned = _TURNS[self.orientation]
        turned = np.swapaxes(stored, 0, 1) if transposed else stored
        turned = turned[::-1] if rows_turned else turned
        return np.ascontiguousarray(turned[:, ::-1] if columns_turned else turned)


@contextmanager
def open_raster(
    path: Path,
    *,
    drivers: frozenset[str] = PICTURE_DRIVERS,
    options: Mapping[str, Any] | None = None,
    trust_vrt: bool = False,
    vrt_checked: bool = False,
) -> Iterator[Raster]:
    """Open a picture or scene.

    Parameters
    ----------
    drivers
        Formats that are allowed, as GDAL calls them. VRT is a format of files named ``.vrt`` alone.
    options
        More of GDAL's options.
    trust_vrt
        Whether a VRT may name files anywhere, and addresses.
    vrt_checked
        Whether what the VRT names was found right already.

    Raises
    ------
    PictureError
        The file is of another format, damaged, or holds several pages, or a VRT names what it may not.
    rasterio.errors.RasterioError
        GDAL cannot read it.
    """
    import rasterio
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    driver = picture_driver(path, drivers)
    if driver == "PNG" and not is_whole_png(path):
        raise PictureError(f"{path}: the file is damaged or cut short; replace or remove it")
    _check_one_page(path, frame_count(path, driver))
    if driver == "VRT" and not (trust_vrt or vrt_checked):
        check_vrt(path)
    closed = {} if trust_vrt else CLOSED_OPTIONS
    with rasterio.Env(**{**GDAL_OPTIONS, **closed, **(options or {})}):
        # For good: contexts of filters are shared by threads.
        warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
        try:
            with rasterio.open(path.absolute(), driver=driver) as source:
                _check_one_page(path, max(len(source.subdatasets), _imagej_images(source)))
                yield _described(path, source)
        except CPLE_BaseError as error:  # GDAL's own, which rasterio lets through where a property is asked for
            raise RasterioError(str(error)) from error


def _check_one_page(path: Path, pages: int) -> None:
    if pages > 1:
        raise PictureError(
            f"{path}: holds {pages} pages; save each as a file of its own (`tiffsplit` does it for TIFF)"
        )


def _imagej_images(source: Any) -> int:
    """How many pictures ImageJ says that a TIFF holds: of large stacks it writes one page alone."""
    text = source.tags().get("TIFFTAG_IMAGEDESCRIPTION", "") if source.driver == "GTiff" else ""
    found = re.search(r"^images=(\d{1,9})$", text, re.MULTILINE) if text.startswith("ImageJ=") else None
    return int(found[1]) if found else 1


def _described(path: Path, source: Any) -> Raster:
    from rasterio.enums import ColorInterp

    tags = header_tags(path, source.driver)
    transform = source.transform
    orientation = tags.get(ORIENTATION, _UPRIGHT)
    if orientation not in _TURNS or not transform.is_identity:
        orientation = _UPRIGHT
    colours = [kind for kind in source.colorinterp if kind != ColorInterp.alpha]
    palette = colours == [ColorInterp.palette]
    if source.driver == "GTiff":  # GDAL makes palettes for what is black and white, too
        palette = palette and tags.get(PHOTOMETRIC, _PALETTE) == _PALETTE
    bits = int(source.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 0)) if source.count else 0
    return Raster(
        source=source,
        orientation=orientation,
        palette=palette,
        min_is_white=source.driver == "GTiff" and tags.get(PHOTOMETRIC) == _MIN_IS_WHITE,
        bits=bits if 0 < bits < 8 and source.dtypes[0] == "uint8" else 0,
    )
