"""YOLO segmentation: as YOLO, with a polygon an object: ``class x1 y1 x2 y2 x3 y3 ...``.

An object of several parts or with holes is one polygon all the same: bridges without width join its rings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detect.detections import Category, Detections, Instance
from detect.formats.yolo import read, write_labels
from detect.masks import Polygon

__all__ = ["read", "write"]


def write(
    folder: Path,
    pictures: Iterable[Detections],
    *,
    categories: Sequence[Category | str] = (),
    scores: bool = False,
    replace: bool = True,
) -> None:
    """Write polygons, of objects without a mask those of their oriented boxes; see `detect.formats.yolo.write`."""

    def numbers(picture: Detections, item: Instance) -> list[float]:
        points: list[float] = (one_ring(item.polygons) / [picture.width, picture.height]).ravel().tolist()
        return points

    write_labels(folder, pictures, numbers, categories=categories, scores=scores, replace=replace)


def one_ring(polygons: Sequence[Polygon]) -> NDArray[np.float64]:
    """All rings of an object as one, N x 2: to the first corner of each ring, around it, and back.

    The way there and the way back are the same, so that no pixel is between them. Four corners are closed with a fifth,
    since four are an oriented box in YOLO-OBB.
    """
    first, *others = [np.asarray(ring, float) for polygon in polygons for ring in polygon]
    if not others and len(first) != 4:
        return first
    pieces = [first, first[:1]]
    for ring in others:
        pieces += [ring, ring[:1], first[:1]]
    return np.concatenate(pieces)
