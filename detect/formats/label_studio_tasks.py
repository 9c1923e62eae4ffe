"""What stands in Label Studio's exports: tasks, the annotation of each that counts, whose picture it is, and regions.

Known are JSON and JSON-MIN; rectangles, polygons, ellipses and brush strokes, each with its labels or with those of a
`Labels` tag beside it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qs, unquote, urlparse

from detect.detections import DEFAULT_CATEGORY, Category
from detect.pairing import match_names, without_suffix
from detect.rasters import side_length
from distmap.common.checked_files import shortened
from distmap.common.files import read_json
from distmap.common.picture_files import PICTURE_SUFFIXES

_UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")
_SHAPES: dict[str, Literal["brush", "polygon", "ellipse"]] = {"rle": "brush", "points": "polygon", "radiusX": "ellipse"}
_GEOMETRY = ("x", "y", "width", "height", "rotation", "radiusX", "radiusY", "points", "rle")
_PLAIN = {"rectangle", "polygon", "ellipse", "brush"}  # shapes whose labels stand in an entry of their own
_SHOWN = 3  # tasks in a message

Size: TypeAlias = tuple[int | None, int | None]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task: its picture, and the annotation that counts."""

    number: int
    """From 1, as messages call it."""
    image: str
    """What the task calls its picture."""
    result: Sequence[Mapping[str, Any]]
    size: Size = (None, None)
    """Height and width, where the task says them."""
    skipped: bool = False
    """Whether a person skipped it and nobody annotated it."""
    picture: int | None = None
    """The id that `detect` wrote for the picture."""
    confidence: float | None = None
    """Of the picture, as `detect` wrote it; None where a person annotated it since, for it is that of the model."""
    categories: tuple[Category, ...] = ()
    """Those that `detect` wrote for the data set."""
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Region:
    """One region of a picture."""

    identity: str
    shape: Literal["rectangle", "polygon", "ellipse", "brush"]
    value: Mapping[str, Any]
    category: str = DEFAULT_CATEGORY
    score: Any = None
    notes: Sequence[str] = ()
    size: Size = (None, None)


def are_tasks(content: Any) -> bool:
    """Whether a JSON file's content is a list of tasks, of JSON or JSON-MIN."""
    if not isinstance(content, list) or not content or not all(isinstance(item, dict) for item in content):
        return False
    return all("data" in item for item in content) or _are_minimal(content)


def _are_minimal(content: Sequence[Mapping[str, Any]]) -> bool:
    return all("image_id" not in item and _picture_of(item) is not None for item in content)


def read_tasks(path: Path) -> list[Task]:
    """Tasks of an export.

    Raises
    ------
    ValueError
        Not Label Studio's tasks, or a task that names no picture.
    """
    content = read_json(path)
    if isinstance(content, list) and all(isinstance(task, dict) and "data" in task for task in content):
        make = _task
    elif are_tasks(content):
        make = _minimal_task
    else:
        raise ValueError(f"{path}: no list of Label Studio tasks")
    return [make(path, task, number) for number, task in enumerate(content, start=1)]


def _task(path: Path, task: Mapping[str, Any], number: int) -> Task:
    data = task["data"]
    image = _picture_of(data) if isinstance(data, dict) else None
    if image is None:
        raise ValueError(f"{path}: task {number} has no data.image")
    try:
        answers = [dict(item) for item in task.get("annotations") or task.get("completions") or []]
        given = [item for item in answers if not item.get("was_cancelled") and not item.get("skipped")]
        suggested = [dict(item) for item in task.get("predictions") or []]
        result = given[-1]["result"] if given else suggested[0].get("result", []) if suggested and not answers else []
        meta = dict(task.get("meta") or {})
        return Task(
            number=number,
            image=image,
            result=[dict(item) for item in result],
            size=(side_length(meta.get("height")), side_length(meta.get("width"))),
            skipped=bool(answers) and not given,
            picture=meta["picture"] if type(meta.get("picture")) is int else None,
            confidence=None if given else _confidence(meta.get("confidence")),
            categories=tuple(_categories(meta.get("categories") or [])),
            left_out={
                reason: count
                for reason, count in (
                    ("annotations of tasks that have a later one", max(0, len(given) - 1)),
                    ("drafts that were not submitted", len(task.get("drafts") or [])),
                )
                if count
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: task {number} is not laid out as Label Studio does it ({error!s})") from None


def _minimal_task(path: Path, task: Mapping[str, Any], number: int) -> Task:
    """JSON-MIN: regions stand under the names of their tags, all that there is in one `value`."""
    image = _picture_of(task)
    assert image is not None
    values = [(key, value) for key, items in task.items() if isinstance(items, list) for value in items]
    result = [
        {"id": f"{key} {index}", "value": value}
        | {side: value[side] for side in ("original_width", "original_height") if side in value}
        for index, (key, value) in enumerate(values, start=1)
        if isinstance(value, dict) and any(name in value for name in _GEOMETRY)
    ]
    left_out = {"values that are no regions": len(values) - len(result)} if len(values) > len(result) else {}
    return Task(number=number, image=image, result=result, left_out=left_out)


def _picture_of(data: Mapping[str, Any]) -> str | None:
    """What a task calls its picture: `image`, else the first text that ends as pictures do."""
    image = data.get("image")
    if isinstance(image, str) and image:
        return image
    texts = [text for text in data.values() if isinstance(text, str)]
    return next((text for text in texts if PurePosixPath(_path(text)).suffix.lower() in PICTURE_SUFFIXES), None)


def _confidence(value: Any) -> float | None:
    if value is not None and not (isinstance(value, (int, float)) and 0 <= value <= 1):
        raise ValueError(f"meta.confidence {shortened(value)} is not within 0..1")
    return None if value is None else float(value)


def _categories(items: Sequence[Any]) -> Iterator[Category]:
    for item in items:
        number = item.get("id")
        yield Category(name=str(item["name"]), number=number if type(number) is int else None)


def listed_in(tasks: Sequence[Task]) -> tuple[Category, ...]:
    """The categories that `detect` wrote with the tasks; none in those of other programs."""
    return next((task.categories for task in tasks if task.categories), ())


def _path(image: str) -> str:
    """The path in what a task calls its picture: that of an address, or the file of local storage (`?d=`)."""
    try:
        url = urlparse(image)
    except ValueError:
        return image
    local = parse_qs(url.query).get("d")
    if local:
        return local[0].replace("\\", "/")
    return unquote(url.path) if url.scheme and "://" in image else image


def pair_tasks(
    path: Path, tasks: Sequence[Task], sizes: Mapping[str, Any] | None, left_out: Counter[str]
) -> dict[str, Task]:
    """The task of each picture.

    A task's picture is found by its whole path, by the end of it, by its stem; then in the same ways with what Label
    Studio adds to names of uploads (``1a2b3c4d-``) taken off, and with ``%20`` and the like decoded.

    Parameters
    ----------
    sizes
        By picture name; None: there are no pictures to look among, so names are what the tasks say.
    left_out
        Is told how many tasks have no picture.

    Raises
    ------
    ValueError
        Two tasks are of one picture, or none has a picture.
    """
    if not sizes:
        return _without_pictures(path, tasks)
    by_path = {without_suffix(name): name for name in sizes}
    found: dict[str, Task] = {}
    alone: list[Task] = []
    for task in tasks:
        name = next((name for spelt in _spellings(task.image) if (name := _find(spelt, by_path, sizes))), None)
        if name is None:
            alone.append(task)
        elif name in found:
            raise ValueError(
                f"{path}: two tasks are of the same picture, {found[name].number} and {task.number}: {name}"
            )
        else:
            found[name] = task
    if alone and not found:
        names = ", ".join(f"{task.number} ({task.image})" for task in alone[:_SHOWN])
        raise ValueError(f"{path}: no picture for any of {len(alone)} tasks: {names}; is --images their folder?")
    if alone:
        left_out[f"tasks without a picture, such as {alone[0].number} ({alone[0].image})"] += len(alone)
    return {name: found[name] for name in sizes if name in found}


def _without_pictures(path: Path, tasks: Sequence[Task]) -> dict[str, Task]:
    names = [_path(task.image) for task in tasks]
    plain = [_name_without_pictures(task.image) for task in tasks]
    often = Counter(plain)
    named = {short if often[short] == 1 else name: task for name, short, task in zip(names, plain, tasks, strict=True)}
    if len(named) < len(tasks):
        raise ValueError(f"{path}: two tasks are of the same picture")
    return named


def _name_without_pictures(image: str) -> str:
    name = _path(image)
    if "://" in image:
        name = PurePosixPath(name).name
    if "/data/upload/" in f"/{image}":
        name = _UPLOAD.sub("", unquote(PurePosixPath(name).name))
    return name


def _spellings(image: str) -> Iterator[str]:
    """What a task's picture may be called on disk, the likeliest first."""
    whole = _path(image)
    for name in dict.fromkeys((whole, unquote(whole), image)):
        yield name
    for name in dict.fromkeys((whole, unquote(whole))):
        folder, slash, last = name.rpartition("/")
        if _UPLOAD.match(last):
            yield folder + slash + _UPLOAD.sub("", last)


def _find(name: str, by_path: Mapping[str, str], sizes: Mapping[str, Any]) -> str | None:
    """The picture of this name: by its path, by the end of the path, or by a stem that is there once."""
    if name in sizes:
        return name
    parts = without_suffix(name).split("/")
    for start in range(len(parts)):
        found = by_path.get("/".join(parts[start:]))
        if found is not None:
            return found
    return next(iter(match_names([name], {key: key for key in sizes}).values()), None)


def joined(place: str, result: Sequence[Mapping[str, Any]], left_out: Counter[str]) -> list[Region]:
    """The regions of an annotation; entries of one region are joined: its shape, its labels, its notes.

    Parameters
    ----------
    left_out
        Is told what is no region with a shape that is known, and of labels beyond the first of a region.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    shapeless: list[tuple[str, Mapping[str, Any]]] = []
    first_of: dict[str, tuple[str, str]] = {}
    for number, item in enumerate(result):
        value = item.get("value")
        if not isinstance(value, Mapping):
            left_out[str(item.get("type") or "entries without a value")] += 1
            continue
        # In JSON-MIN entries have no type and no id: those of one region share its shape.
        identity = "" if item.get("type") is None else str(item.get("id") or number)
        shape = {key: value[key] for key in _GEOMETRY if key in value}
        if shape:
            first_of.setdefault(identity, (identity, repr(shape)))
            groups.setdefault((identity, repr(shape)), []).append(item)
        else:
            shapeless.append((identity, item))
    for identity, item in shapeless:
        groups.setdefault(first_of.get(identity, (identity, "")), []).append(item)
    regions = []
    for items in groups.values():
        region = _region(place, items, left_out)
        if region is not None:
            regions.append(region)
    return regions


def _region(place: str, items: Sequence[Mapping[str, Any]], left_out: Counter[str]) -> Region | None:
    identity = str(items[0].get("id", "?"))
    shaped = [item for item in items if _shape(item["value"]) is not None]
    if not shaped:
        left_out[str(items[0].get("type") or "regions without a shape that is known")] += 1
        return None
    first = shaped[0]
    labels: list[str] = []
    for item in items:
        found = _labels(item)
        labels += [label for label in found if label not in labels]
        if not found and item is not first and item.get("type") not in _PLAIN:
            left_out[str(item.get("type") or "values beside the labels")] += 1
    if len(labels) > 1:
        left_out["labels beyond the first of a region"] += len(labels) - 1
    if first.get("image_rotation"):
        left_out["regions of pictures that were turned in Label Studio"] += 1
        return None
    try:
        notes = [text for item in items for text in ((item.get("meta") or {}).get("text") or [])]
        sides = [side_length(first.get(key)) for key in ("original_height", "original_width")]
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{place}, region {identity}: {error!s}") from None
    shape = _shape(first["value"])
    assert shape is not None
    return Region(
        identity=identity,
        shape=shape,
        value=first["value"],
        category=labels[0] if labels else DEFAULT_CATEGORY,
        score=next((item["score"] for item in items if item.get("score") is not None), None),
        notes=notes,
        size=(sides[0], sides[1]) if None not in sides else (None, None),
    )


def _shape(value: Mapping[str, Any]) -> Literal["rectangle", "polygon", "ellipse", "brush"] | None:
    for key, shape in _SHAPES.items():
        if key in value:
            return shape
    return "rectangle" if "width" in value and "height" in value else None


def _labels(item: Mapping[str, Any]) -> list[str]:
    """Labels of an entry: what stands under `labels`, `rectanglelabels` and the like."""
    found = [labels for key, labels in item["value"].items() if str(key).lower().endswith("labels")]
    return [str(label) for labels in found if isinstance(labels, list) for label in labels]
