"""YOLO: ``labels/<picture>.txt`` with ``class cx cy width height`` as fractions of the picture, and ``data.yaml``.

Segmentation sets (``yolo-seg``) have polygons in the place of boxes: ``class x1 y1 x2 y2 x3 y3 ...``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detect.categories import agreeing, default_if_none, positions, with_those_of
from detect.detections import Category, Detections, DetectionSet, Instance
from detect.formats import yolo_folder
from detect.formats.yolo_folder import ClassNames
from detect.masks import mask_of_polygons
from detect.pairing import beside
from distmap.common.files import filling, read_lines, write_text

# Ten digits place a corner of a 10,000 pixel picture to a millionth of a pixel.
_DIGITS = 10
_FURTHEST = 1000  # in pictures: what lies beyond is no outline
_LONGEST_SHOWN = 80  # characters of a line in a message


def write(
    folder: Path,
    pictures: Iterable[Detections],
    *,
    categories: Sequence[Category | str] = (),
    scores: bool = False,
    replace: bool = True,
) -> None:
    """Write axis-aligned boxes. YOLO has no place for masks.

    Parameters
    ----------
    categories
        Those that ``data.yaml`` lists even where no object has them, in this order.
    scores
        Put the score behind each line, as predictions are written; trainers refuse such files.
    replace
        See `distmap.common.files.filling`.
    """

    def numbers(picture: Detections, item: Instance) -> list[float]:
        x, y, width, height = item.bbox
        values = [(x + width / 2) / picture.width, (y + height / 2) / picture.height]
        return [*values, width / picture.width, height / picture.height]

    write_labels(folder, pictures, numbers, categories=categories, scores=scores, replace=replace)


def read(folder: Path, *, sizes: Mapping[str, tuple[int, int]], partial: bool = False) -> DetectionSet:
    """Read a YOLO folder of boxes, polygons or both, in any layout that `detect.formats.yolo_folder` knows.

    Parameters
    ----------
    sizes
        Height and width of the pictures, by name. Label files are matched as `yolo_folder.pair_labels` says.
    partial
        Whether label files without a picture are left out; otherwise they are an error.

    Returns
    -------
    All pictures of `sizes`, in that order; a picture without a label file has no object, as YOLO has it.

    Raises
    ------
    ValueError
        A line that is none of the format's; names the file and the line.
    """
    return read_labels(
        folder, sizes, _shape, says="a class number and 4 numbers (a box) or more (a polygon)", partial=partial
    )


def _shape(numbers: list[float], height: int, width: int) -> dict[str, Any] | None:
    if len(numbers) == 4:
        x, y, wide, high = numbers
        if not (abs(2 * x - 1) <= 1 + wide and abs(2 * y - 1) <= 1 + high):
            return None  # such as pixels in the place of fractions
        return {"box": ((x - wide / 2) * width, (y - high / 2) * height, wide * width, high * height)}
    corners = np.array(numbers).reshape(-1, 2) * [width, height]
    # Outside the picture nothing is lost, and the rasteriser is not asked for the impossible.
    mask = mask_of_polygons([corners], height, width) if np.abs(numbers).max() < _FURTHEST else None
    return None if mask is None else {"mask": mask}


def write_labels(
    folder: Path,
    pictures: Iterable[Detections],
    numbers: Any,
    *,
    categories: Sequence[Category | str],
    scores: bool,
    replace: bool,
) -> None:
    """Write label files and ``data.yaml``; `numbers(picture, instance)` gives what stands behind the class.

    A ``data.yaml`` (or the like, see `yolo_folder.class_names`) that the folder has already stays, and its numbers are
    used.

    Raises
    ------
    ValueError
        It lacks a class that is wanted now.
    """
    import yaml

    pictures = list(pictures)
    ids = class_numbers(folder, with_those_of(pictures, categories))
    with filling(folder, replace=replace) as temporary:
        for picture in pictures:
            lines = []
            for item in picture.instances:
                values = [f"{value:.{_DIGITS}g}" for value in numbers(picture, item)]
                if scores:
                    values.append(f"{1.0 if item.score is None else item.score:.{_DIGITS}g}")
                lines.append(f"{ids[item.category]} {' '.join(values)}\n")
            file = beside(temporary / "labels", picture.name, ".txt")
            write_text(file, "".join(lines))
        if (folder / "data.yaml").is_file():
            return
        names = {index: name for name, index in sorted(ids.items(), key=lambda item: item[1])}
        content = {"path": ".", "train": "images", "val": "images", "names": names}
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        write_text(temporary / "data.yaml", text)


def class_numbers(folder: Path, categories: Sequence[Category]) -> dict[str, int]:
    """The number of each class, by name: as the folder's ``data.yaml`` or the like has it, else as the list has it.

    Raises
    ------
    ValueError
        That file lacks a class, or the folder has labels whose classes no file names.
    """
    classes = yolo_folder.class_names(folder)
    if classes is not None:
        # Another split of the data set, whose class numbers must stay true.
        return agreeing(classes.names, positions(categories), classes.path)
    if folder.is_dir() and yolo_folder.variant(yolo_folder.label_files(folder).values()) is not None:
        raise ValueError(f"{folder}: holds labels whose classes no file names; add classes.txt, or name another folder")
    return positions(default_if_none(categories))


def read_labels(
    folder: Path,
    sizes: Mapping[str, tuple[int, int]],
    shape: Callable[[list[float], int, int], dict[str, Any] | None],
    *,
    says: str,
    count: int | None = None,
    partial: bool,
) -> DetectionSet:
    """Read label files.

    Parameters
    ----------
    shape
        Gives the shape of an object from its numbers and the picture's height and width; None: outside the picture.
    says
        What a line is, for messages.
    count
        How many numbers a shape has; None: 4, or 6 and more in pairs.
    """
    classes = yolo_folder.class_names(folder)
    files = yolo_folder.label_files(folder)
    if not files:
        raise ValueError(f"{folder}: holds no label file (*.txt)")
    found, left_out = yolo_folder.pair_labels(list(sizes), files, partial=partial)
    pictures = []
    for name, (height, width) in sizes.items():
        instances = []
        for place, line in read_lines(found[name]) if name in found else []:
            category, values, score = _parse(place, line.split(), says, count, classes)
            try:
                given = shape(values, height, width)
                if given is None:
                    left_out["objects without a pixel inside their picture"] += 1
                else:
                    instances.append(Instance(**given, score=score, category=category))
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from None
        pictures.append(Detections(name=name, height=height, width=width, instances=tuple(instances)))
    categories = () if classes is None else classes.categories
    if classes is not None and len(classes.names) > len(categories):
        left_out["classes that share the name of another"] = len(classes.names) - len(categories)
    if classes is None and (used := {item.category for picture in pictures for item in picture.instances}):
        left_out[yolo_folder.UNNAMED] = len(used)
    return DetectionSet(pictures=tuple(pictures), categories=categories, left_out=left_out)


def _parse(
    place: str, fields: list[str], says: str, count: int | None, classes: ClassNames | None
) -> tuple[str, list[float], float | None]:
    # A score makes the number of numbers odd.
    numbers = (len(fields) - 1) // 2 * 2
    if numbers != count if count is not None else numbers < 4:
        raise ValueError(f"{place}: {len(fields)} fields, expected {says}, and at most a score")
    try:
        index, values = float(fields[0]), [float(field) for field in fields[1:]]
    except ValueError:
        index, values = 0.5, []
    if not index.is_integer():
        raise ValueError(f"{place}: {' '.join(fields)[:_LONGEST_SHOWN]!r} is not {says}")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{place}: holds numbers that are not finite")
    if classes is not None and index not in classes.names:
        raise ValueError(f"{place}: {classes.path.name} names no class {index:.0f}")
    category = f"{index:.0f}" if classes is None else classes.names[int(index)]
    return category, values[:numbers], values[numbers] if len(values) > numbers else None


def read_names(folder: Path) -> dict[int, str] | None:
    """Class names by number; None where no file names them. See `yolo_folder.class_names`."""
    classes = yolo_folder.class_names(folder)
    return None if classes is None else dict(classes.names)
