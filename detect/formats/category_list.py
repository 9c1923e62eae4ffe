"""A list of categories that a user gives: names, or a file of them."""

from __future__ import annotations

from pathlib import Path

from detect.detections import Category
from detect.formats import coco_categories, yolo_folder
from distmap.common.files import read_json


def read(text: str | Path) -> tuple[Category, ...]:
    """The categories that a text or a file lists.

    Parameters
    ----------
    text
        Names with commas between them; or a file: COCO JSON, ``data.yaml``, or a name a line.

    Raises
    ------
    ValueError
        It lists none, or one twice.
    """
    path = Path(text)
    if path.is_file() and path.suffix.lower() == ".json":
        found = coco_categories.listed(path, read_json(path))
    elif path.is_file():
        found = yolo_folder.ClassNames(path=path, names=yolo_folder.read_names(path)).categories
        found = tuple(Category(name=item.name) for item in found)
    else:
        found = tuple(Category(name=name.strip()) for name in str(text).split(",") if name.strip())
    names = [item.name for item in found]
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"categories {str(text)!r}: give each name once, such as car,bus, or a file with a name a line"
        )
    return found
