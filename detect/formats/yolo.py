"""YOLO: ``labels/<picture>.txt`` with ``class cx cy width height`` as fractions of the picture, and ``data.yaml``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detect.detections import DEFAULT_CATEGORY, Detections, Instance
from detect.pairing import beside, pair_files
from distmap.common.checked_files import read_yaml_file
from distmap.common.files import files_by_name, filling, read_lines, write_text

# Ten digits place a corner of a 10,000 pixel picture to a millionth of a pixel.
_DIGITS = 10


def write(
    folder: Path, pictures: Iterable[Detections], *, categories: Sequence[str] = (), scores: bool = False
) -> None:
    """Write axis-aligned boxes. YOLO has no place for masks.

    Parameters
    ----------
    categories
        Names that ``data.yaml`` lists even where no object has them.
    scores
        Put the score behind each line, as predictions are written; trainers refuse such files.
    """

    def numbers(picture: Detections, item: Instance) -> list[float]:
        x, y, width, height = item.bbox
        values = [(x + width / 2) / picture.width, (y + height / 2) / picture.height]
        return [*values, width / picture.width, height / picture.height]

    write_labels(folder, pictures, numbers, categories=categories, scores=scores)


def read(folder: Path, *, sizes: Mapping[str, tuple[int, int]], partial: bool = False) -> list[Detections]:
    """Read a YOLO folder: label files below ``labels/`` (else anywhere), names from ``data.yaml`` (else the numbers).

    Parameters
    ----------
    sizes
        Height and width of the pictures, by name. Label files are matched by path without suffix, then by stem.
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

    def instance(numbers: list[float], height: int, width: int) -> dict[str, Any]:
        x, y, wide, high = numbers
        return {"box": ((x - wide / 2) * width, (y - high / 2) * height, wide * width, high * height)}

    return read_labels(folder, sizes, instance, count=4, partial=partial)


def write_labels(
    folder: Path, pictures: Iterable[Detections], numbers: Any, *, categories: Sequence[str], scores: bool
) -> None:
    """Write label files and ``data.yaml``; `numbers(picture, instance)` gives what stands behind the class."""
    import yaml

    pictures = list(pictures)
    listed = sorted({item.category for picture in pictures for item in picture.instances} | set(categories))
    ids = {name: index for index, name in enumerate(listed or [DEFAULT_CATEGORY])}
    with filling(folder) as temporary:
        for picture in pictures:
            lines = []
            for item in picture.instances:
                values = [f"{value:.{_DIGITS}g}" for value in numbers(picture, item)]
                if scores:
                    values.append(f"{1.0 if item.score is None else item.score:.{_DIGITS}g}")
                lines.append(f"{ids[item.category]} {' '.join(values)}\n")
            file = beside(temporary / "labels", picture.name, ".txt")
            write_text(file, "".join(lines))
        names = {index: name for name, index in ids.items()}
        content = {"path": ".", "train": "images", "val": "images", "names": names}
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        write_text(temporary / "data.yaml", text)


def read_labels(
    folder: Path, sizes: Mapping[str, tuple[int, int]], instance: Any, *, count: int, partial: bool
) -> list[Detections]:
    """Read label files; `instance(numbers, height, width)` gives the shape of an object from its `count` numbers."""
    names = read_names(folder)
    base = folder / "labels" if (folder / "labels").is_dir() else folder
    found = pair_files(sizes, files_by_name(base, {".txt"}), partial=partial)
    pictures = []
    for name, (height, width) in sizes.items():
        instances = []
        for place, line in read_lines(found[name]) if name in found else []:
            category, values, score = _parse(place, line.split(), count, names)
            try:
                instances.append(Instance(**instance(values, height, width), score=score, category=category))
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from None
        pictures.append(Detections(name=name, height=height, width=width, instances=tuple(instances)))
    return pictures


def _parse(
    place: str, fields: list[str], count: int, names: Mapping[int, str] | None
) -> tuple[str, list[float], float | None]:
    if len(fields) not in (count + 1, count + 2):
        raise ValueError(f"{place}: {len(fields)} fields, expected a class, {count} numbers and at most a score")
    try:
        index, values = int(fields[0]), [float(field) for field in fields[1:]]
    except ValueError:
        raise ValueError(f"{place}: {' '.join(fields)!r} is not a class number and {count} numbers") from None
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{place}: holds numbers that are not finite")
    if names is not None and index not in names:
        raise ValueError(f"{place}: data.yaml names no class {index}")
    category = str(index) if names is None else names[index]
    return category, values[:count], values[count] if len(values) > count else None


def read_names(folder: Path) -> dict[int, str] | None:
    """Class names of ``data.yaml`` by number; None where there is no such file."""
    path = folder / "data.yaml"
    if not path.is_file():
        return None
    content = read_yaml_file(path)
    try:
        names = content["names"]
        return {
            int(index): str(name) for index, name in (names.items() if isinstance(names, dict) else enumerate(names))
        }
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: no class names in it ({' '.join(str(error).split())})") from None
