"""Grids of pictures with captions, to see how a training goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from distmap.common.files import replacing
from distmap.common.pictures import Array
from distmap.data.folders import WITH
from distmap.data.resizing import fit_square
from distmap.inference.model import DistinctionModel

Pixels = NDArray[np.uint8]
GAP = 4  # pixels of the sheet between cells
LINE, LETTERS = 16, 12  # height of a line of captions, and of its letters, in pixels of the sheet
LEAST_WIDTH = 96  # pixels of the sheet that a caption has


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A picture of a sheet, 8-bit RGB, and what it shows."""

    caption: str
    pixels_HWC: Pixels


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


def sample_row(model: DistinctionModel, picture_HWC: NDArray[np.generic], label: int, name: str) -> list[Cell]:
    """One row: the picture as the network sees it, what the predictor shows of it, its map."""
    import torch

    side = model.predictor.side
    scaled_HWC = fit_square(model.scaling.apply(picture_HWC), side)
    x_CHW = torch.from_numpy(np.ascontiguousarray(np.moveaxis(scaled_HWC, -1, 0))).to(model.device)
    map_HW = fit_square(model.map(picture_HWC)[..., None], side)[..., 0]
    panels = [
        Cell(caption=panel.title, pixels_HWC=show_picture(np.moveaxis(panel.picture_CHW.float().cpu().numpy(), 0, -1)))
        for panel in model.predictor.panels(x_CHW, label)
    ]
    picture = Cell(caption=f"{'WITH' if label == WITH else 'WITHOUT'} {name}", pixels_HWC=show_picture(scaled_HWC))
    return [picture, *panels, map_cell(map_HW, float(np.quantile(np.abs(map_HW), 0.995)) + 0.02)]


def map_cell(map_HW: Array, scale: float) -> Cell:
    """A map as `show_map` shows it, with its scale."""
    return Cell(caption=f"map, red: {scale:.2g}", pixels_HWC=show_map(map_HW, scale))


def write_grid(path: Path, rows: Sequence[Sequence[Cell]], zoom: int = 2) -> None:
    """Write rows of equally many cells as one PNG.

    Each picture is enlarged ``zoom`` times and stands below its caption, in a cell as large as the largest; captions
    that do not fit are shortened in their middle.
    """
    height = zoom * max(cell.pixels_HWC.shape[0] for row in rows for cell in row) + LINE
    width = max(LEAST_WIDTH, zoom * max(cell.pixels_HWC.shape[1] for row in rows for cell in row))
    columns = max(len(row) for row in rows)
    sheet = np.full((len(rows) * (height + GAP), columns * (width + GAP), 3), 255, np.uint8)
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            top, left = r * (height + GAP), c * (width + GAP)
            pixels_HWC = cell.pixels_HWC.repeat(zoom, axis=0).repeat(zoom, axis=1)
            sheet[top : top + LINE, left : left + width] = _caption(cell.caption, width)
            rows_drawn, columns_drawn = pixels_HWC.shape[:2]
            sheet[top + LINE : top + LINE + rows_drawn, left : left + columns_drawn] = pixels_HWC
    with replacing(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())


def _caption(text: str, width: int) -> Pixels:
    """One line of black letters on white, `LINE` x width x 3."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(LETTERS)
    kept, shown = len(text), text
    while kept and font.getlength(shown) > width:
        kept -= 1
        shown = f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}"
    line = Image.new("RGB", (width, LINE), "white")
    ImageDraw.Draw(line).text((0, 1), shown, fill="black", font=font)
    drawn: Pixels = np.asarray(line)
    return drawn
