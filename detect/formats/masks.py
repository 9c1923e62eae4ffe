"""Mask pictures: one 0/255 PNG a picture; what is not 0 belongs to an object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from detect.detections import Detections, DetectionSet, Instance
from detect.extraction import components
from detect.pairing import beside, pair_files
from detect.rasters import write_mask
from distmap.common.files import files_by_name, files_under, filling
from distmap.common.mask_files import read_masks
from distmap.common.picture_files import CLUTTER, PICTURE_SUFFIXES


def write(folder: Path, pictures: Iterable[Detections], *, replace: bool = True) -> None:
    """Write ``<picture's path without suffix>.png`` for every picture, black where it has no object.

    ``replace``: see `distmap.common.files.filling`.
    """
    with filling(folder, replace=replace) as temporary:
        for picture in pictures:
            write_mask(beside(temporary, picture.name, ".png"), picture.union_mask())


def read(
    folder: Path, *, sizes: Mapping[str, tuple[int, int]], partial: bool = False, ignore: int | None = None
) -> DetectionSet:
    """Read a folder of masks; objects are the 8-connected components.

    Parameters
    ----------
    sizes
        Height and width of the pictures, by name. Masks are matched by path without suffix, then by stem.
    partial
        Whether masks without a picture are left out; otherwise they are an error.
    ignore
        Number in the masks that marks pixels of which nothing is known; here they belong to no object.

    Returns
    -------
    The pictures that have a mask, in the order of `sizes`.

    Raises
    ------
    ValueError
        There is no mask, or one that fits no picture or two.
    """
    masks = mask_files(folder)
    if not masks:
        raise ValueError(f"{folder}: holds no mask (PNG, JPEG, BMP, WebP or TIFF)")
    found = pair_files(sizes, masks, partial=partial)
    ordered = {name: found[name] for name in sizes if name in found}
    pictures = tuple(
        objects(name, sizes[name], ordered[name], mask.values_HW) for name, mask in read_masks(ordered, ignore=ignore)
    )
    left_out = {
        "pictures without a mask": len(sizes) - len(pictures),
        "files of a kind that masks are not read from": sum(
            file not in masks.values() and file.name.lower() not in CLUTTER for file in files_under(folder)
        ),
    }
    return DetectionSet(pictures=pictures, left_out={reason: count for reason, count in left_out.items() if count})


def mask_files(folder: Path) -> dict[str, Path]:
    """Mask pictures below a folder, by posix path relative to it."""
    return files_by_name(folder, PICTURE_SUFFIXES)


def objects(name: str, size: tuple[int, int], file: Path, mask_HW: NDArray[Any]) -> Detections:
    """The components of a mask as the objects of picture `name`.

    Raises
    ------
    ValueError
        The mask's size is not the picture's.
    """
    if mask_HW.shape != tuple(size):
        height, width = mask_HW.shape
        raise ValueError(f"{file}: is {width} x {height}, but its picture {name} is {size[1]} x {size[0]}")
    instances = tuple(Instance(mask=mask) for mask in components(mask_HW != 0))
    return Detections(name=name, height=size[0], width=size[1], instances=instances)
