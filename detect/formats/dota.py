"""DOTA ``labelTxt``: a text file a picture, a line an object: ``x1 y1 x2 y2 x3 y3 x4 y4 category difficult``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from detect.detections import Detections, DetectionSet, Instance
from detect.formats.yolo_folder import pair_labels
from detect.pairing import beside
from distmap.common.files import files_by_name, filling, read_lines, write_text

_HEADERS = ("imagesource:", "gsd:", "acquisition dates:")


def write(folder: Path, pictures: Iterable[Detections], *, replace: bool = True) -> None:
    """Write ``<picture's path without suffix>.txt`` for every picture, empty where it has no object.

    Corners are printed so that they read back as the same numbers. DOTA has no place for masks and scores; spaces in a
    category become ``-``. ``replace``: see `distmap.common.files.filling`.
    """
    with filling(folder, replace=replace) as temporary:
        for picture in pictures:
            file = beside(temporary, picture.name, ".txt")
            write_text(file, "".join(f"{_line(instance)}\n" for instance in picture.instances))


def _line(instance: Instance) -> str:
    return f"{corner_text(instance)} {category_text(instance.category)} {int(instance.difficult)}"


def corner_text(instance: Instance) -> str:
    """The oriented box as eight numbers, the shortest that read back as the same."""
    return " ".join(f"{value:.0f}" if value == int(value) else repr(value) for value in instance.obb.ravel().tolist())


def category_text(category: str) -> str:
    """The category as one word."""
    return "-".join(category.split())


def read(folder: Path, *, sizes: Mapping[str, tuple[int, int]], partial: bool = False) -> DetectionSet:
    """Read a labelTxt folder.

    Parameters
    ----------
    sizes
        Height and width of the pictures, by name. Label files are matched by path without suffix, then by stem.
    partial
        Whether label files without a picture are left out; otherwise they are an error.

    Returns
    -------
    The pictures that have a label file, in the order of `sizes`. The last field may be missing (not difficult) or any
    whole number (difficult unless 0).

    Raises
    ------
    ValueError
        A line that is none of the format's; names the file and the line.
    """
    files = files_by_name(folder, {".txt"})
    if not files:
        raise ValueError(f"{folder}: no labelTxt file (*.txt) in this folder")
    found, left_out = pair_labels(list(sizes), files, partial=partial)
    pictures = tuple(
        Detections(name=name, height=sizes[name][0], width=sizes[name][1], instances=tuple(_objects(found[name])))
        for name in sizes
        if name in found
    )
    if len(pictures) < len(sizes):
        left_out["pictures without a label file"] = len(sizes) - len(pictures)
    return DetectionSet(pictures=pictures, left_out=left_out)


def _objects(file: Path) -> list[Instance]:
    lines = [(place, line) for place, line in read_lines(file) if not line.lower().startswith(_HEADERS)]
    return [_object(place, line.split()) for place, line in lines]


def _object(place: str, fields: list[str]) -> Instance:
    if len(fields) not in (9, 10):
        raise ValueError(f"{place}: {len(fields)} fields, expected 8 numbers, a category and 0 or 1 for difficult")
    try:
        numbers = [float(field) for field in fields[:8]]
        difficult = int(fields[9]) if len(fields) == 10 else 0
    except ValueError:
        raise ValueError(f"{place}: {' '.join(fields)!r} is not 8 numbers, a category and 0 or 1") from None
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{place}: holds numbers that are not finite")
    try:
        return Instance(corners_42=np.array(numbers).reshape(4, 2), category=fields[8], difficult=difficult != 0)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
