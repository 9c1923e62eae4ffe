"""The truth to score against: a folder of masks, a COCO JSON, or a DOTA labelTxt folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detect.detections import Detections
from detect.formats import coco, dota, masks
from detect.pairing import match_names
from distmap.common.files import files_under
from distmap.common.mask_files import read_masks


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """What is known of one picture."""

    objects: Detections
    effect_HW: NDArray[np.float32] | None = None
    """The effect itself where the file holds floating-point values, not merely where it is."""
    ignored_HW: NDArray[np.bool_] | None = None
    """Pixels of which nothing is known, so that they count neither way."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TruthSet:
    """What is known of many pictures."""

    pictures: Mapping[str, Truth]
    """By picture name, as the annotations call it."""
    source: str
    """"masks", "coco" or "dota"."""

    @property
    def has_masks(self) -> bool:
        """Whether the objects have masks; otherwise pixels are scored against filled boxes."""
        objects = [instance for truth in self.pictures.values() for instance in truth.objects.instances]
        return self.source == "masks" or (bool(objects) and all(item.mask is not None for item in objects))


def read_truth(path: str | Path, sizes: Mapping[str, tuple[int, int]], *, ignore: int | None = None) -> TruthSet:
    """Read the truth for pictures of known size.

    Pictures are matched by path without suffix, then by stem; truth for further pictures is left out, and so are
    pictures without truth. In a mask everything that is not 0 is truth, and the objects are its 8-connected components;
    a mask of floating-point values is kept as the effect as well.

    Parameters
    ----------
    sizes
        Height and width of the pictures, by name.
    ignore
        Number in masks that marks pixels of which nothing is known, such as the border of 255 in Pascal VOC.

    Raises
    ------
    ValueError
        The truth is none of the three kinds, no picture has truth, or a size differs.
    """
    path = Path(path)
    if path.is_dir():
        pictures, source = _read_folder(path, sizes, ignore)
    elif path.is_file():
        pictures, source = _read_coco(path, sizes), "coco"
    else:
        raise ValueError(f"{path}: no such file or folder")
    if not pictures:
        example = next(iter(sizes), "")
        raise ValueError(f"{path}: has the truth of none of the {len(sizes)} pictures, such as {example}")
    return TruthSet(pictures=pictures, source=source)


def _read_folder(path: Path, sizes: Mapping[str, tuple[int, int]], ignore: int | None) -> tuple[dict[str, Truth], str]:
    files = masks.mask_files(path)
    if not files and files_under(path, {".txt"}):
        return {item.name: Truth(objects=item) for item in dota.read(path, sizes=sizes, partial=True)}, "dota"
    if not files:
        raise ValueError(f"{path}: holds neither masks nor labelTxt files")
    pictures = {}
    found = match_names(sizes, files)
    for name, mask in read_masks(found, ignore=ignore):
        mask_HW = mask.values_HW
        effect_HW = mask_HW.astype(np.float32) if np.issubdtype(mask_HW.dtype, np.floating) else None
        objects = masks.objects(name, sizes[name], found[name], mask_HW)
        pictures[name] = Truth(objects=objects, effect_HW=effect_HW, ignored_HW=mask.ignored_HW)
    return pictures, "masks"


def _read_coco(path: Path, sizes: Mapping[str, tuple[int, int]]) -> dict[str, Truth]:
    available = {item.name: item for item in coco.read(path, sizes=sizes)}
    pictures = {}
    for name, item in match_names(sizes, available).items():
        if (item.height, item.width) != tuple(sizes[name]):
            height, width = sizes[name]
            raise ValueError(f"{path}: image {item.name} is {item.width} x {item.height}, not {width} x {height}")
        pictures[name] = Truth(objects=item)
    return pictures
