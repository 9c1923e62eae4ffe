"""YOLO folders as programs write them: which files are labels, whose they are, what classes are called.

Known are the layouts of Ultralytics (``images/<split>``, ``labels/<split>``), Roboflow (``<split>/images``,
``<split>/labels``), labelImg (all in one folder), CVAT's YOLO 1.1 (``obj_train_data``) and Label Studio's export.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from detect.detections import Category
from detect.pairing import without_suffix
from distmap.common.checked_files import read_utf8, read_yaml_file
from distmap.common.files import files_by_name, files_under, read_json, read_lines, same_form

_NAME_FILES = ("data.yaml", "data.yml", "obj.names", "classes.txt", "notes.json", "_darknet.labels")
_NAMES_KEY = re.compile(r"^['\"]?names['\"]?\s*:", re.MULTILINE)
UNNAMED = f"class names (no {', '.join(_NAME_FILES)} names them)"
_KNOWN_TEXT = re.compile(r"(readme.*|licen[cs]e.*|classes|notes|train|valid|val|test)\.txt", re.IGNORECASE)
_DATA_FOLDER = re.compile(r"obj_(\w+_)?data", re.IGNORECASE)
_KEPT_APART = {"images", "labels", "labeltxt"}
_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_FURTHEST = 2.0  # in pictures: coordinates beyond it are pixels, not fractions


@dataclass(frozen=True, kw_only=True)
class ClassNames:
    """Names of classes by number, and the file that says them."""

    path: Path
    names: Mapping[int, str]

    @property
    def categories(self) -> tuple[Category, ...]:
        """The classes in the order of the file, each name once."""
        first: dict[str, int] = {}
        for number, name in self.names.items():
            first.setdefault(name, number)
        return tuple(Category(name=name, number=number) for number, name in self.names.items() if first[name] == number)


def class_names(folder: Path) -> ClassNames | None:
    """The classes of a folder; None where no file names them.

    They stand in ``data.yaml``, ``data.yml``, ``obj.names``, ``classes.txt``, ``notes.json`` or ``_darknet.labels``, or
    in another YAML file with ``names`` (``coco8.yaml``): in the folder, in its ``labels``, above it where it is a split
    or holds the labels only, or else anywhere below it.

    Raises
    ------
    ValueError
        A file of this kind that names no classes, or two of equal rank that name different ones.
    """
    places, above = [folder, folder / "labels"], folder.absolute()
    while above.name.lower() in _KEPT_APART | _SPLITS.keys() or _DATA_FOLDER.fullmatch(above.name):
        above = above.parent
        places.append(above)
    for place in places:
        for name in _NAME_FILES:
            if _names_classes(path := place / name):
                return ClassNames(path=path, names=read_names(path))
        if place.is_dir() and (listed := _agreeing(sorted(filter(_names_classes, place.iterdir())))):
            return listed
    below = files_under(folder) if folder.is_dir() else []
    return _agreeing([file for file in below if _names_classes(file)])


def _names_classes(path: Path) -> bool:
    """Whether a file is one of those that name classes."""
    if path.name in _NAME_FILES:
        return path.is_file() and not (path.name == "classes.txt" and _holds_labels(path))
    return path.suffix.lower() in (".yaml", ".yml") and path.is_file() and bool(_NAMES_KEY.search(read_utf8(path)))


def _agreeing(files: Sequence[Path]) -> ClassNames | None:
    """The classes that files name, of which no two may differ."""
    found = [ClassNames(path=path, names=read_names(path)) for path in files]
    for other in found[1:]:
        if other.names != found[0].names:
            raise ValueError(f"{other.path}: names other classes than {found[0].path}; keep the right one of them")
    return found[0] if found else None


def read_names(path: Path) -> dict[int, str]:
    """Class names by number of one file: YAML with `names`, ``notes.json``, or a name a line.

    Raises
    ------
    ValueError
        It names no classes.
    """
    if path.suffix in (".yaml", ".yml"):
        return _names_of_yaml(path)
    if path.suffix == ".json":
        content = read_json(path)
        try:
            return {int(item["id"]): str(item["name"]) for item in content["categories"]}
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path}: no class names in it ({error})") from None
    return {number: line.strip() for number, (_, line) in enumerate(read_lines(path))}


def _names_of_yaml(path: Path) -> dict[int, str]:
    content = read_yaml_file(path)
    try:
        names: Any = content["names"]
        pairs: Iterable[tuple[Any, Any]] = names.items() if isinstance(names, dict) else enumerate(names)
        found = {int(index): str(name) for index, name in pairs}
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: no class names in it ({' '.join(str(error).split())})") from None
    if "kpt_shape" in content:
        raise ValueError(f"{path}: its labels hold keypoints (kpt_shape), which are not read")
    return found


def label_files(folder: Path) -> dict[str, Path]:
    """Text files that may be labels, by posix path relative to the folder.

    Those below folders called ``labels``, else those below ``obj_..._data``, else all.
    """
    files = files_by_name(folder, {".txt"})
    folders = {key: [part.lower() for part in PurePosixPath(key).parts[:-1]] for key in files}
    if folder.name.lower() == "labels":
        return files
    inside = {key: file for key, file in files.items() if "labels" in folders[key]}
    return (
        inside or {key: file for key, file in files.items() if any(map(_DATA_FOLDER.fullmatch, folders[key]))} or files
    )


def pair_labels(
    names: Sequence[str], files: Mapping[str, Path], *, partial: bool
) -> tuple[dict[str, Path], Counter[str]]:
    """The label file of each picture that has one, and what was passed over.

    A label file has the path of its picture, ``labels`` in the place of ``images``; or a path that ends as the
    picture's does or the other way round; or a stem that is there once. Files of one split are never those of another.

    Parameters
    ----------
    names
        Posix paths of pictures, relative to their folder.
    files
        As `label_files` gives them.
    partial
        Whether labels without a picture are left out; otherwise they are an error.

    Raises
    ------
    ValueError
        Labels without a picture, or labels or pictures of which several fit.
    """
    found = _match(names, files)
    left_out: Counter[str] = Counter()
    for key in sorted(files.keys() - set(found.values())):
        if _KNOWN_TEXT.fullmatch(PurePosixPath(key).name):
            continue
        if not _holds_labels(files[key], empty=True):
            left_out["text files that hold no labels"] += 1
        elif not partial:
            raise ValueError(f"{files[key]}: no picture has this name, so its size is not known")
    return {name: files[key] for name, key in found.items()}, left_out


def _match(names: Sequence[str], files: Mapping[str, Path]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key_of in (without_suffix, _without_roles):
        of_path: dict[str, list[str]] = {}
        for key in files.keys() - set(found.values()):
            of_path.setdefault(key_of(key), []).append(key)
        left = [name for name in names if name not in found]
        taken = Counter(key_of(name) for name in left)
        for name in left:
            candidates = of_path.get(key_of(name), [])
            if len(candidates) == 1 and taken[key_of(name)] == 1:
                found[name] = candidates[0]
    by_stem: dict[str, list[str]] = {}
    for key in sorted(files.keys() - set(found.values())):
        by_stem.setdefault(PurePosixPath(_without_roles(key)).name, []).append(key)
    taken_by: dict[str | None, str] = {}
    for name in names:
        if name not in found:
            fitting = _alike(name, by_stem.get(PurePosixPath(_without_roles(name)).name, []))
            if fitting in taken_by:
                both = f"{taken_by[fitting]} and {name}"
                raise ValueError(f"{fitting}: fits both {both}; use the same subfolders on both sides")
            if fitting is not None:
                found[name], taken_by[fitting] = fitting, name
    return found


def _alike(name: str, keys: Sequence[str]) -> str | None:
    """The label file of the same stem and split whose path ends as that of the picture does, else the only one."""
    fitting = [key for key in keys if _split(key) == _split(name) or None in (_split(key), _split(name))]
    path = f"/{_without_roles(name)}"
    ends = [key for key in fitting if path.endswith(own := f"/{_without_roles(key)}") or own.endswith(path)]
    fitting = ends or fitting
    if len(fitting) > 1:
        raise ValueError(f"{name}: {' and '.join(fitting[:2])} both fit; keep one, or use the same subfolders")
    return fitting[0] if fitting else None


def _without_roles(name: str) -> str:
    """The path without suffix and without the folders that tell pictures from labels."""
    *folders, stem = without_suffix(same_form(name)).split("/")
    kept = [part for part in folders if part.lower() not in _KEPT_APART and not _DATA_FOLDER.fullmatch(part)]
    return "/".join([*kept, stem])


def _split(name: str) -> str | None:
    """The split that a path says; None where it says none."""
    for part in PurePosixPath(name).parts[:-1]:
        word = part.lower().removeprefix("obj_").removesuffix("_data")
        if word in _SPLITS:
            return _SPLITS[word]
    return None


def variant(files: Iterable[Path]) -> str | None:
    """What lines of label files say: "dota", "yolo", "yolo-obb" or "yolo-seg"; None where they say none of them.

    Raises
    ------
    ValueError
        Lines of DOTA and of YOLO are mixed.
    """
    kinds: dict[str, Path] = {}
    for file in files:
        if _holds_labels(file):
            for _, line in read_lines(file):
                kinds.setdefault(_kind(line.split()), file)
    kinds.pop("", None)
    if "dota" in kinds:
        if len(kinds) > 1:
            other = next(file for kind, file in kinds.items() if kind != "dota")
            raise ValueError(f"{kinds['dota']} holds labels of DOTA, {other} of YOLO; say which with --from")
        return "dota"
    if "polygon" in kinds or {"corners", "box"} <= kinds.keys():
        return "yolo-seg"
    return "yolo-obb" if "corners" in kinds else "yolo" if "box" in kinds else None


def _kind(fields: list[str]) -> str:
    """What a line is of: "dota", "box", "corners", "polygon"; "" for none."""
    numbers = [_number(field) for field in fields]
    if len(fields) in (9, 10) and None not in numbers[:8] and numbers[8] is None:
        return "dota"
    values = [number for number in numbers if number is not None]
    if len(values) < len(fields) or len(fields) < 5 or not float(values[0]).is_integer():
        return ""
    if max(map(abs, values[1:])) > _FURTHEST:
        return "dota" if len(fields) in (9, 10) and max(map(abs, values[1:8])) > _FURTHEST else ""
    if len(fields) in (5, 6):
        return "box"
    return "corners" if len(fields) in (9, 10) else "polygon"


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def _holds_labels(path: Path, *, empty: bool = False) -> bool:
    """Whether a line begins as lines of labels do; `empty`: what files without a line count as."""
    try:
        lines = [line.split() for _, line in read_lines(path)]
    except ValueError:
        return False
    begin = any(len(fields) >= 5 and None not in map(_number, fields[:4]) for fields in lines)
    return begin or (empty and not lines)
