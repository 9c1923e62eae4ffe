"""Reading masks: which pixels of a picture belong to something, as numbers of which 0 says that they do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distmap.common.nodata import Valid
from distmap.common.notices import notice
from distmap.common.pictures import check_size, check_values, expand_palette, opened_picture
from distmap.common.rasters import Raster

HALF = 128  # of the range of 8 bits


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskFile:
    """A mask as it was read.

    Attributes
    ----------
    values_HW
        In the numbers of the file, 0 where nothing is; of several bands the greatest. Palettes have the indices.
    ignored_HW
        Pixels of the value to be ignored, whose value is 0 here; None where none was to be.
    lossy
        Whether the file blurs edges, as JPEG does: then the numbers are 0 and 255.
    faint
        The greatest number of a lossy file where that is below half of the range, so that nothing belongs to an object.
    without_data
        Pixels that hold no data, or no finite value, in the file, and are 0 here.
    """

    values_HW: NDArray[Any]
    ignored_HW: Valid | None = None
    lossy: bool = False
    faint: int = 0
    without_data: int = 0


def read_masks(files: Mapping[str, Path], *, ignore: int | None = None) -> Iterator[tuple[str, MaskFile]]:
    """Read masks, in order, each with its name; at the end one line tells what was taken otherwise than it stands.

    ``ignore``: see `read_mask`.
    """
    lossy: list[Path] = []
    faint: list[tuple[Path, int]] = []
    without_data: list[Path] = []
    for name, file in files.items():
        mask = read_mask(file, ignore=ignore)
        lossy += [file] * mask.lossy
        faint += [(file, mask.faint)] * bool(mask.faint)
        without_data += [file] * bool(mask.without_data)
        yield name, mask
    if lossy:
        notice(
            f"{lossy[0]}: JPEG blurs masks, so what has half of the range ({HALF}) or more belongs to an object, in "
            f"{len(lossy)} of {len(files)} masks; save them as PNG"
        )
    if faint:
        file, greatest = faint[0]
        notice(
            f"{file}: nothing in it reaches half of the range (its greatest number is {greatest}), so it holds no "
            f"object, in {len(faint)} of {len(files)} masks; if they mark something, save the originals as PNG"
        )
    if without_data:
        notice(
            f"{without_data[0]}: pixels without data (nodata, not finite) belong to no object, in {len(without_data)} "
            f"of {len(files)} masks"
        )


def read_mask(path: Path, *, ignore: int | None = None) -> MaskFile:
    """Read a mask picture of any depth.

    A palette gives its indices (but that of a BMP of greys, which keeps all greys so), min-is-white is turned, and the
    frame is that of viewers. Of a JPEG (or lossy WebP) what has half of the range belongs to something. Where alpha
    is 0 nothing is; where all that alpha shows is black, alpha is the mask.

    Parameters
    ----------
    ignore
        Number that marks pixels of which nothing is known, such as the border of 255 in Pascal VOC.

    Raises
    ------
    PictureError
        See `distmap.common.pictures.read_placed_picture`; and a file of several pages.
    """
    from rasterio.enums import ColorInterp

    with opened_picture(path) as raster:
        source = raster.source
        bands = [index for index, kind in enumerate(source.colorinterp, start=1) if kind != ColorInterp.alpha]
        check_values(path, source.dtypes)
        check_size(path, raster, source.count)
        alpha_HW = raster.read_alpha()
        if bands or alpha_HW is None:
            values_HWC = raster.read(bands, full_range=False)
        else:
            values_HWC = np.zeros((*alpha_HW.shape, 1), alpha_HW.dtype)
        lossy = _is_lossy(raster)
        valid_HW = raster.read_valid(bands) if source.nodata is not None and source.driver == "GTiff" else None
        if raster.palette and source.driver == "BMP":
            colours_HWC = expand_palette(values_HWC[..., 0], source.colormap(1))
            values_HWC = colours_HWC if colours_HWC.shape[2] == 1 else values_HWC
    ignored_HW = None if ignore is None or lossy else (values_HWC == ignore).all(axis=2)
    values_HW = values_HWC.max(axis=2)
    values_HW, without_data = _without_nodata(values_HW, valid_HW)
    faint = 0
    if lossy:
        greatest = int(values_HW.max())
        faint = greatest if greatest < HALF else 0
        values_HW = np.where(values_HW >= HALF, np.uint8(255), np.uint8(0))
    if alpha_HW is not None and alpha_HW.any() and not alpha_HW.all():
        shown_HW = np.where(alpha_HW > 0, values_HW, values_HW.dtype.type(0))
        values_HW = shown_HW if shown_HW.any() else alpha_HW
    if ignored_HW is not None:
        values_HW = np.where(ignored_HW, values_HW.dtype.type(0), values_HW)
    return MaskFile(values_HW=values_HW, ignored_HW=ignored_HW, lossy=lossy, faint=faint, without_data=without_data)


def _is_lossy(raster: Raster) -> bool:
    if raster.source.dtypes[0] != "uint8" or raster.palette:
        return False
    structure = raster.source.tags(ns="IMAGE_STRUCTURE")
    compressed = raster.driver == "JPEG" or "JPEG" in structure.get("COMPRESSION", "")
    return compressed or structure.get("COMPRESSION_REVERSIBILITY", "").upper() == "LOSSY"


def _without_nodata(values_HW: NDArray[Any], valid_HW: Valid | None) -> tuple[NDArray[Any], int]:
    """The mask with 0 where nothing is held, and how many pixels that changed."""
    lost_HW = np.zeros(values_HW.shape, bool) if valid_HW is None else ~valid_HW & (values_HW != 0)
    if values_HW.dtype.kind == "f":
        lost_HW |= ~np.isfinite(values_HW)
    count = int(np.count_nonzero(lost_HW))
    return (np.where(lost_HW, values_HW.dtype.type(0), values_HW) if count else values_HW), count
