"""Sheets of pictures, to see how a training goes: picture, branches, repainted picture, map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from distmap.common.files import replacing
from distmap.common.pictures import Array
from distmap.inference.model import Painting

Pixels = NDArray[np.uint8]
GAP = 2


def show_picture(scaled_HWC: Array) -> Pixels:
    """[-1, 1] -> 8-bit RGB; one band is shown grey, more than three by their first three, two with a blank third."""
    bands = scaled_HWC.shape[-1]
    chosen = scaled_HWC[..., [0, 0, 0]] if bands == 1 else scaled_HWC[..., :3]
    if chosen.shape[-1] == 2:
        chosen = np.concatenate([chosen, np.full_like(chosen[..., :1], -1)], axis=-1)
    shown: Pixels = np.clip((chosen + 1) * 127.5, 0, 255).astype(np.uint8)
    return shown


def show_map(map_HW: Array, scale: float) -> Pixels:
    """Map -> 8-bit RGB: white at 0, red at ``scale`` (only in WITH), blue at ``-scale`` (only in WITHOUT)."""
    strength = np.clip(map_HW / max(scale, 1e-6), -1, 1)
    faded = 255 * (1 - np.abs(strength))
    red = np.where(strength > 0, 255, faded)
    blue = np.where(strength < 0, 255, faded)
    shown: Pixels = np.stack([red, faded, blue], axis=-1).astype(np.uint8)
    return shown


def painting_row(painting: Painting, label: int) -> list[Pixels]:
    """One row: the picture, its branches under the other class, that repainting, the map."""
    branches = painting.without_NHWC if label else painting.with_NHWC
    other = branches.sum(axis=0)
    distinction = painting.distinction()
    return [
        show_picture(painting.picture_HWC),
        *(show_picture(branch) for branch in branches),
        show_picture(other),
        show_map(distinction, float(np.quantile(np.abs(distinction), 0.995)) + 0.02),
    ]


def write_sheet(path: Path, rows: Sequence[Sequence[Pixels]], zoom: int = 2) -> None:
    """Write rows of equally many pictures as one PNG; each is placed in a cell as large as the largest."""
    height = max(cell.shape[0] for row in rows for cell in row)
    width = max(cell.shape[1] for row in rows for cell in row)
    columns = max(len(row) for row in rows)
    sheet = np.full((len(rows) * (height + GAP), columns * (width + GAP), 3), 255, np.uint8)
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            top, left = r * (height + GAP), c * (width + GAP)
            sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    sheet = cv2.resize(sheet, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST)
    with replacing(path) as temporary:
        if not cv2.imwrite(str(temporary), sheet[..., ::-1]):
            raise OSError(f"{path}: could not be written")
