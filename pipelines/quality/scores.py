"""Scores of single rows beside those of `detect.evaluate`, and what all of them are called on the page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detect.evaluation import Evaluation
from detect.pairing import match_names
from detect.rasters import read_map
from distmap.common.files import files_by_name, files_under
from distmap.common.mask_files import read_mask
from distmap.common.picture_files import PICTURE_SUFFIXES

RIM = 3  # pixels around a shape that count as on it


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a score is shown."""

    label: str
    lower_is_better: bool = False
    digits: int = 3


KINDS = {
    "pixel_ap": Kind(label="pixel_ap"),
    "branch1_pixel_ap": Kind(label="pixel_ap of branch 1 alone"),
    "localizer_pixel_ap": Kind(label="pixel_ap of the localizer alone"),
    "ncc": Kind(label="ncc"),
    "psnr": Kind(label="psnr, dB", digits=1),
    "dice": Kind(label="dice, label-free threshold"),
    "dice_oracle": Kind(label="dice, best threshold in hindsight"),
    "dice_lost": Kind(label="dice lost to the label-free threshold", lower_is_better=True),
    "ap50": Kind(label="ap50"),
    "ap25": Kind(label="ap25"),
    "centre_f1": Kind(label="centre_f1"),
    "flip_rate": Kind(label="flip_rate"),
    "locality": Kind(label="locality", lower_is_better=True),
    "on_shape": Kind(label=f"fraction of abs(map) on the dark shape widened by {RIM} px"),
}


def every_score(found: Evaluation, maps: Path, shapes: Path) -> dict[str, object]:
    """What `detect.evaluate` says, `dice_lost`, and `on_shape` where there is a folder of shapes; plain values."""
    scores: dict[str, object] = json.loads(json.dumps(found.to_dict()))
    if found.dice is not None and found.dice_oracle is not None:
        scores["dice_lost"] = found.dice_oracle - found.dice
    if shapes.is_dir():
        scores["on_shape"] = on_shape(maps, shapes)
    return scores


def on_shape(maps: Path, shapes: Path) -> float | None:
    """Fraction of abs(map), summed over all pictures, on their shapes widened by 3 pixels; None where all maps are 0.

    Parameters
    ----------
    maps
        Folder of maps, as `detect extract --maps` writes it.
    shapes
        Folder of masks of the same stems; not 0: the shape.

    Raises
    ------
    ValueError
        A map has no shape.
    """
    files = files_by_name(maps, PICTURE_SUFFIXES)
    known = match_names(files, {file.name: file for file in files_under(shapes, PICTURE_SUFFIXES)})
    on = total = 0.0
    for name, file in files.items():
        if name not in known:
            raise ValueError(f"{file}: has no shape in {shapes}")
        strength_HW = np.abs(read_map(file))
        on += float(strength_HW[widened(read_mask(known[name]).values_HW > 0, RIM)].sum(dtype=float))
        total += float(strength_HW.sum(dtype=float))
    return on / total if total > 0 else None


def widened(mask_HW: NDArray[np.bool_], pixels: float) -> NDArray[np.bool_]:
    """The mask and all within ``pixels`` of it, between the centres of pixels."""
    from scipy import ndimage

    if not mask_HW.any():
        return mask_HW
    distance_HW: NDArray[np.float64] = ndimage.distance_transform_edt(~mask_HW)
    return distance_HW <= pixels
