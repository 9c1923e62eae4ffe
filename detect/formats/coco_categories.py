"""The list of categories of COCO JSON."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from detect.detections import Category


def listed(path: Path, content: Any, used: Iterable[Any] = ()) -> tuple[Category, ...]:
    """The categories in the order of the file, each name once.

    Parameters
    ----------
    used
        Ids that annotations have: of two categories of one name the one that is used stays.

    Raises
    ------
    ValueError
        There is no such list.
    """
    items = content.get("categories") if isinstance(content, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) and "name" in item for item in items):
        raise ValueError(f"{path}: not COCO JSON, it has no list 'categories' with names")
    numbers = set(used)
    found: dict[str, Category] = {}
    for item in items:
        name, parent = str(item["name"]), item.get("supercategory")
        number = item["id"] if type(item.get("id")) is int else None
        if name not in found or (number in numbers and found[name].number not in numbers):
            found[name] = Category(name=name, number=number, parent=parent if isinstance(parent, str) else "")
    return tuple(found.values())
