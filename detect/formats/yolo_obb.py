"""YOLO-OBB: as YOLO, with the four corners of the oriented box: ``class x1 y1 x2 y2 x3 y3 x4 y4``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detect.detections import Category, Detections, DetectionSet, Instance
from detect.formats.yolo import read_labels, write_labels


def write(
    folder: Path,
    pictures: Iterable[Detections],
    *,
    categories: Sequence[Category | str] = (),
    scores: bool = False,
    replace: bool = True,
) -> None:
    """Write oriented boxes; see `detect.formats.yolo.write`."""

    def numbers(picture: Detections, item: Instance) -> list[float]:
        corners: list[float] = (item.obb / [picture.width, picture.height]).ravel().tolist()
        return corners

    write_labels(folder, pictures, numbers, categories=categories, scores=scores, replace=replace)


def read(folder: Path, *, sizes: Mapping[str, tuple[int, int]], partial: bool = False) -> DetectionSet:
    """Read a YOLO-OBB folder; see `detect.formats.yolo.read`."""

    def shape(numbers: list[float], height: int, width: int) -> dict[str, Any] | None:
        if not all(max(axis) >= 0 and min(axis) <= 1 for axis in (numbers[::2], numbers[1::2])):
            return None
        return {"corners_42": np.array(numbers).reshape(4, 2) * [width, height]}

    return read_labels(folder, sizes, shape, says="a class number and 8 numbers", count=8, partial=partial)
