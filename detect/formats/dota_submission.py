"""Files for the DOTA server: ``Task1_<category>.txt`` (oriented) or ``Task2_<category>.txt`` (horizontal).

A line is ``picture score x1 y1 x2 y2 x3 y3 x4 y4`` or ``picture score xmin ymin xmax ymax``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from detect.categories import with_those_of
from detect.detections import Category, Detections, DetectionSet, Instance
from detect.formats.dota import category_text, corner_text
from distmap.common.files import files_under, filling, read_lines, write_text
from distmap.common.output_names import output_path

Task = Literal[1, 2]


def write(
    folder: Path,
    pictures: Iterable[Detections],
    *,
    categories: Sequence[Category | str] = (),
    task: Task = 1,
    replace: bool = True,
) -> None:
    """Write one file a category; objects without a score count as sure (1).

    Parameters
    ----------
    categories
        Categories that get a file even where no object has them, as the server wants.
    replace
        See `distmap.common.files.filling`.

    Raises
    ------
    ValueError
        A picture's name holds a space, which the format cannot say; or no file can have a category's name.
    """
    pictures = list(pictures)
    lines: dict[str, list[str]] = {category_text(item.name): [] for item in with_those_of(pictures, categories)}
    for picture in pictures:
        stem = PurePosixPath(picture.name).stem
        if len(stem.split()) != 1:
            raise ValueError(f"{picture.name}: the DOTA server takes no spaces in names, rename the picture")
        for item in picture.instances:
            x, y, width, height = item.bbox
            box = " ".join(f"{value:.12g}" for value in (x, y, x + width, y + height))
            score = 1.0 if item.score is None else item.score
            line = f"{stem} {score!r} {corner_text(item) if task == 1 else box}\n"
            lines[category_text(item.category)].append(line)
    with filling(folder, replace=replace) as temporary:
        for category, content in lines.items():
            path = output_path(temporary, f"Task{task}_{category}.", "txt")
            if path.parent != temporary:
                raise ValueError(f"category {category!r}: no file can have this name; rename the category")
            write_text(path, "".join(content))


def read(folder: Path, *, sizes: Mapping[str, tuple[int, int]], partial: bool = False) -> DetectionSet:
    """Read a folder of submission files.

    Parameters
    ----------
    sizes
        Height and width of the pictures, by name; lines name pictures by their stem.
    partial
        Whether lines of other pictures are left out; otherwise they are an error.

    Raises
    ------
    ValueError
        A line that is none of the format's; names the file and the line.
    """
    names = {PurePosixPath(name).stem: name for name in sizes}
    if len(names) < len(sizes):
        raise ValueError(f"{folder}: two pictures share a stem, which this format cannot tell apart")
    found: dict[str, list[Instance]] = {name: [] for name in sizes}
    for category, file in _files(folder):
        for place, line in read_lines(file):
            fields = line.split()
            if fields[0] in names:
                found[names[fields[0]]].append(_instance(place, fields, category))
            elif not partial:
                raise ValueError(f"{place}: no picture is called {fields[0]}")
    pictures = tuple(
        Detections(name=name, height=height, width=width, instances=tuple(found[name]))
        for name, (height, width) in sizes.items()
    )
    categories = tuple(Category(name=name) for name in sorted(read_categories(folder)))
    return DetectionSet(pictures=pictures, categories=categories)


def read_categories(folder: Path) -> set[str]:
    """Categories that have a file, those without a line in it too."""
    return {category for category, _ in _files(folder)}


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Category and file, for every file of either task."""
    files = [file for file in files_under(folder, {".txt"}) if re.match(r"Task[12]_.", file.name)]
    if not files:
        raise ValueError(f"{folder}: no Task1_<category>.txt or Task2_<category>.txt in this folder")
    return [(file.stem.split("_", 1)[1], file) for file in files]


def _instance(place: str, fields: list[str], category: str) -> Instance:
    try:
        score, *numbers = [float(field) for field in fields[1:]]
    except ValueError:
        raise ValueError(f"{place}: {' '.join(fields)!r} is not a picture, a score and numbers") from None
    if len(numbers) not in (4, 8) or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{place}: expected a picture, a score and 8 (Task 1) or 4 (Task 2) finite numbers")
    try:
        if len(numbers) == 8:
            return Instance(corners_42=np.array(numbers).reshape(4, 2), score=score, category=category)
        left, top, right, bottom = numbers
        return Instance(box=(left, top, right - left, bottom - top), score=score, category=category)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
