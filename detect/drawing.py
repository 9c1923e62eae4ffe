"""Pictures of any kind as 8-bit RGB, and the objects that were found drawn on them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detect.detections import Detections
from distmap.common.files import replacing

Pixels = NDArray[np.uint8]

OUTLINE, BOX = (0, 200, 255), (255, 210, 0)  # RGB
LEAST_SIDE = 512  # pixels of the longer side of what is drawn on, so that lines are thin beside small objects
LINE_SIDE = 500  # pixels of the longer side for each pixel of a line's width
OUTERMOST = 0.005  # of the values of a picture, at either end, that may become black or white


def as_rgb(picture_HWC: NDArray[Any]) -> Pixels:
    """A picture in the numbers of its file -> 8-bit RGB, H x W x 3.

    One band is shown grey, of more the first three, and two with a blank third. 8 bits stay as they are; other numbers
    are scaled from the picture's own range, but for the outermost 0.5 % at either end.
    """
    bands = picture_HWC.shape[2]
    chosen_HWC = picture_HWC[..., [0, 0, 0]] if bands == 1 else picture_HWC[..., :3]
    if chosen_HWC.dtype != np.uint8:
        values_HWC = chosen_HWC.astype(np.float64)
        low, high = np.quantile(values_HWC, [OUTERMOST, 1 - OUTERMOST])
        chosen_HWC = np.clip((values_HWC - low) / max(high - low, np.finfo(np.float64).tiny) * 255, 0, 255)
    shown_HWC = np.zeros((*picture_HWC.shape[:2], 3), np.uint8)
    shown_HWC[..., : chosen_HWC.shape[2]] = chosen_HWC
    return shown_HWC


def draw_objects(picture_HWC: NDArray[Any], found: Detections) -> Pixels:
    """A picture with the outline and the box of each object, 8-bit RGB.

    Small pictures are enlarged by a whole number until the longer side has 512 pixels, so that an outline runs between
    the pixels of the object and those beside it.

    Raises
    ------
    ValueError
        The picture is not of the size that the objects were found in.
    """
    height, width = picture_HWC.shape[:2]
    if (height, width) != (found.height, found.width):
        raise ValueError(f"{found.name}: is {width} x {height}, its objects are in {found.width} x {found.height}")
    zoom = max(1, math.ceil(LEAST_SIDE / max(height, width)))
    canvas_HWC = np.ascontiguousarray(as_rgb(picture_HWC).repeat(zoom, axis=0).repeat(zoom, axis=1))
    line = max(1, round(zoom * max(height, width) / LINE_SIDE))
    for item in found.instances:
        left, top, columns, rows = (round(zoom * value) for value in item.bbox)
        cv2.rectangle(canvas_HWC, (left, top), (left + columns - 1, top + rows - 1), BOX, line)
    for item in found.instances:
        rings = [np.rint(zoom * ring).astype(np.int32) for polygon in item.polygons for ring in polygon]
        cv2.polylines(canvas_HWC, rings, isClosed=True, color=OUTLINE, thickness=line)
    return canvas_HWC


def write_overlay(path: Path, picture_HWC: NDArray[Any], found: Detections) -> None:
    """Write what `draw_objects` gives as a PNG."""
    encoded = cv2.imencode(".png", draw_objects(picture_HWC, found)[..., ::-1])[1]
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
