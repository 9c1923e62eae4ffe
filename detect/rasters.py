"""Sizes of pictures in files; maps and masks as files."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distmap.common.files import files_by_name, replacing
from distmap.common.picture_files import PICTURE_SUFFIXES
from distmap.common.pictures import picture_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LONGEST_SIDE = 2**31


@contextmanager
def open_raster(path: Path) -> Iterator[Any]:
    """Open a picture with GDAL, which reads every compression and layout of bands; rows are those of the file."""
    from rasterio.errors import RasterioError

    from distmap.common import rasters

    try:
        with rasters.open_raster(path) as raster:
            yield raster.source
    except RasterioError as error:
        raise ValueError(f"{path}: not a readable picture ({error})") from None


def picture_sizes(folder: Path) -> dict[str, tuple[int, int]]:
    """Height and width of every picture below a folder, by posix path relative to it."""
    files = files_by_name(folder, PICTURE_SUFFIXES)
    if not files:
        raise ValueError(f"{folder}: no picture in this folder")
    return {name: picture_size(file) for name, file in files.items()}


def write_mask(path: Path, mask_HW: NDArray[np.bool_]) -> None:
    """Write a mask as an 8-bit PNG of 0 and 255."""
    import cv2
    import numpy as np

    encoded = cv2.imencode(".png", mask_HW.astype(np.uint8) * 255)[1]
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def write_map(path: Path, map_HW: NDArray[np.floating[Any]]) -> None:
    """Write a map as a float32 TIFF, deflate-compressed, same height and width."""
    import numpy as np
    import tifffile

    with replacing(path) as temporary:
        tifffile.imwrite(temporary, map_HW.astype(np.float32), compression="zlib")


def read_map(path: Path) -> NDArray[np.float32]:
    """Read a map written by `write_map` (or any single-band picture) as float32, H x W.

    Raises
    ------
    ValueError
        The file has several bands, or values that are not finite.
    """
    import numpy as np

    from distmap.common.pictures import read_placed_picture

    picture = read_placed_picture(path)
    picture_HWC = picture.pixels_HWC
    if not picture.finite:
        raise ValueError(f"{path}: holds values that are not finite; a map has one for every pixel")
    if picture_HWC.shape[2] != 1:
        raise ValueError(f"{path}: a map has one band, this has {picture_HWC.shape[2]}")
    return picture_HWC[..., 0].astype(np.float32)


def side_length(value: Any) -> int | None:
    """A picture's height or width as a file says it: 640 and 640.0 are 640; "640", NaN, 0 and the like are None."""
    if isinstance(value, numbers.Integral | float) and 0 < float(value) < _LONGEST_SIDE and float(value).is_integer():
        return int(value)
    return None
