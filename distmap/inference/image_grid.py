"""Grids of pictures, to see how a training goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from distmap.common.files import replacing
from distmap.common.pictures import Array
from distmap.data.resizing import fit_square
from distmap.inference.model import DistinctionModel

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


def sample_row(model: DistinctionModel, picture_HWC: NDArray[np.generic], label: int) -> list[Pixels]:
    """One row: the picture as the network sees it, what the predictor shows of it, its map."""
    import torch

    side = model.predictor.side
    scaled_HWC = fit_square(model.scaling.apply(picture_HWC), side)
    x_CHW = torch.from_numpy(np.ascontiguousarray(np.moveaxis(scaled_HWC, -1, 0))).to(model.device)
    panels = [panel.picture_CHW.float().cpu().numpy() for panel in model.predictor.panels(x_CHW, label)]
    map_HW = fit_square(model.map(picture_HWC)[..., None], side)[..., 0]
    return [
        show_picture(scaled_HWC),
        *(show_picture(np.moveaxis(panel_CHW, 0, -1)) for panel_CHW in panels),
        show_map(map_HW, float(np.quantile(np.abs(map_HW), 0.995)) + 0.02),
    ]


def write_grid(path: Path, rows: Sequence[Sequence[Pixels]], zoom: int = 2) -> None:
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
        temporary.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
