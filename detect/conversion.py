"""`convert`: from one annotation format to another; `read_annotations` and `write_annotations` for any of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from detect.categories import with_those_of
from detect.detections import Category, Detections, DetectionSet, Instance
from detect.formats import (
    FOLDER_FORMATS,
    FORMATS,
    category_list,
    coco,
    dota,
    dota_submission,
    geojson,
    gpkg,
    label_studio,
    label_studio_tasks,
    masks,
    yolo,
    yolo_folder,
    yolo_obb,
    yolo_seg,
)
from detect.formats.geo import Georeferences, read_georeferences
from detect.formats.layers import split_layer
from detect.losses import describe
from detect.pairing import match_names
from detect.rasters import picture_sizes
from distmap.common.errors import naming
from distmap.common.files import files_under, read_json
from distmap.common.picture_files import PICTURE_SUFFIXES

_BY_FOLDER: dict[str, Any] = {
    "dota": dota,
    "dota-task1": dota_submission,
    "dota-task2": dota_submission,
    "yolo": yolo,
    "yolo-obb": yolo_obb,
    "yolo-seg": yolo_seg,
    "masks": masks,
}
_ROBOFLOW = "_annotations.coco.json"
_SHOWN = 3  # names in a message
_BY_SUFFIX = {".json": "coco", ".geojson": "geojson", ".gpkg": "gpkg"}


def convert(
    source: str | Path,
    target: str | Path,
    *,
    source_format: str | None = None,
    target_format: str | None = None,
    images: str | Path | None = None,
    pictures: str | Path | None = None,
    categories: str | Path | None = None,
    strict: bool = False,
    overwrite: bool = False,
    ignore: int | None = None,
) -> DetectionSet:
    """Read annotations in one format and write them in another.

    Parameters
    ----------
    source
        A file or folder; FILE:LAYER for one of several layers of a GeoPackage.
    source_format, target_format
        One of `FORMATS`; None: told from the content of `source`, and from the suffix of `target`.
    images
        Folder of the pictures, for formats that do not say the pictures' sizes, and for georeferences.
    pictures
        COCO JSON that numbers the pictures and categories of a COCO results list, which is read or written, or of a
        COCO JSON that is written.
    categories
        The categories to write, in this order: names with commas between them, or a file of them
        (`detect.formats.category_list`). Objects of others are left out. None: those of the source.
    strict
        Whether anything left out is an error. What `detect.losses.without_place` counts is none.
    overwrite
        Whether files in a folder `target` that say something else are replaced; otherwise they are an error, since they
        may be those of another data set.
    ignore
        Number in masks that marks pixels of which nothing is known; they belong to no object.

    Returns
    -------
    What was read and written; `left_out` counts what was not.

    Raises
    ------
    ValueError
        A format is not known or cannot be told, the content is not what the format wants, or `strict` refuses; or
        `target` holds something else and `overwrite` is not given.
    """
    wanted = target_format or format_of_target(Path(target))
    kind = source_format or format_of_source(Path(source))
    if pictures is not None and kind != "coco-results" and wanted not in ("coco", "coco-results"):
        raise ValueError(
            f"--pictures {pictures}: numbers pictures of coco and coco-results, not of {wanted}; leave it out"
        )
    places = {} if images is None else read_georeferences(Path(images))
    found = read_annotations(source, source_format=kind, images=images, pictures=pictures, ignore=ignore)
    if categories is not None:
        found = _of_categories(found, category_list.read(categories), named=not kind.startswith("yolo"))
    if pictures is not None and wanted in ("coco", "coco-results"):
        found = _numbered(found, Path(pictures), strict_numbers=wanted == "coco-results")
    if strict and found.left_out:
        raise ValueError(f"{source}: --strict, and left out would be {describe(found.left_out)}")
    write_annotations(target, found, target_format=wanted, georeferences=places, replace=overwrite)
    return found


def _of_categories(found: DetectionSet, listed: tuple[Category, ...], *, named: bool) -> DetectionSet:
    """The objects of the categories listed alone; without names of its own, a set's numbers are places in the list."""
    names = {item.name: item.name for item in listed}
    if not named and not found.categories:
        names |= {str(place): item.name for place, item in enumerate(listed)}
        left_out = {reason: count for reason, count in found.left_out.items() if reason != yolo_folder.UNNAMED}
        found = replace(found, left_out=left_out)
    others = Counter(item.category for picture in found for item in picture.instances if item.category not in names)
    return _with_objects(
        found,
        lambda item: replace(item, category=names[item.category]) if item.category in names else None,
        categories=listed,
        left_out={f"objects of categories that are not listed ({_some(others)})": others.total()},
    )


def _numbered(found: DetectionSet, path: Path, *, strict_numbers: bool) -> DetectionSet:
    """Pictures and categories with the numbers that a COCO JSON gives them.

    Parameters
    ----------
    strict_numbers
        Whether pictures and objects that have no number there are left out; otherwise they get the next ones.
    """
    reference = coco.read_numbers(path, {picture.name: (picture.height, picture.width) for picture in found})
    match = match_names([picture.name for picture in found], {item.name: item.number for item in reference})
    known = {item.name for item in reference.categories}
    unknown = [picture.name for picture in found if picture.name not in match]
    if len(unknown) == len(found) and found and strict_numbers:
        raise ValueError(f"{path}: has none of the {len(found)} pictures, such as {unknown[0]}")
    pictures = tuple(
        replace(picture, number=match.get(picture.name))
        for picture in found
        if not strict_numbers or picture.name in match
    )
    result = replace(found, pictures=pictures)
    if not strict_numbers:
        return replace(result, categories=with_those_of((), (*reference.categories, *_new(found.categories, known))))
    others = Counter(item.category for picture in pictures for item in picture.instances if item.category not in known)
    left_out = {
        f"pictures that {path.name} does not have ({_some(unknown)})": len(unknown),
        f"objects of categories that {path.name} does not have ({_some(others)})": others.total(),
    }
    return _with_objects(
        result,
        lambda item: item if item.category in known else None,
        categories=reference.categories,
        left_out=left_out,
    )


def _new(categories: Iterable[Category], known: Collection[str]) -> list[Category]:
    return [Category(name=item.name, parent=item.parent) for item in categories if item.name not in known]


def _with_objects(
    found: DetectionSet,
    keep: Callable[[Instance], Instance | None],
    *,
    categories: tuple[Category, ...],
    left_out: Mapping[str, int],
) -> DetectionSet:
    pictures = tuple(
        replace(picture, instances=tuple(kept for item in picture.instances if (kept := keep(item)) is not None))
        for picture in found
    )
    counts = dict(found.left_out) | {reason: count for reason, count in left_out.items() if count}
    return DetectionSet(pictures=pictures, categories=categories, left_out=counts)


def _some(names: Iterable[str]) -> str:
    some = list(names)
    return ", ".join(some[:_SHOWN]) + (", ..." if len(some) > _SHOWN else "")


def format_of_target(target: Path) -> str:
    """The format that a file name asks for."""
    if target.suffix.lower() not in _BY_SUFFIX:
        raise ValueError(f"{target}: cannot tell the format from this name; say --format, one of {', '.join(FORMATS)}")
    return _BY_SUFFIX[target.suffix.lower()]


def format_of_source(source: Path) -> str:
    """The format of a file or folder, told from what is in it."""
    if source.is_dir():
        return "coco" if _coco_files(source) else _format_of_folder(source)
    source, layer = split_layer(source)
    if layer is not None and source.suffix.lower() != ".gpkg":
        raise ValueError(f"{source}: has no layers, so leave out {layer!r}")
    if not source.is_file():
        raise ValueError(f"{source}: no such file or folder")
    if source.suffix.lower() == ".gpkg":
        return "gpkg"
    content = read_json(source)
    if isinstance(content, dict):
        return "geojson" if "features" in content else "coco"
    if label_studio_tasks.are_tasks(content):
        return "label-studio"
    return "coco-results"


def _coco_files(folder: Path) -> list[Path]:
    """Roboflow's COCO JSON of each split."""
    return [file for file in files_under(folder, {".json"}) if file.name == _ROBOFLOW]


def _read_coco_folder(folder: Path, sizes: Mapping[str, tuple[int, int]] | None) -> DetectionSet:
    """The splits as one data set; pictures have the folder of their file before their name.

    Raises
    ------
    ValueError
        There is no such file, or two list different categories.
    """
    files = _coco_files(folder)
    if not files:
        raise ValueError(f"{folder}: is a folder without {_ROBOFLOW}, give the COCO JSON")
    pictures: list[Detections] = []
    categories: dict[Path, tuple[Category, ...]] = {}
    for file in files:
        prefix = "" if file.parent == folder else f"{file.parent.relative_to(folder).as_posix()}/"
        inside = {name.removeprefix(prefix): size for name, size in (sizes or {}).items() if name.startswith(prefix)}
        found = coco.read(file, sizes=inside)
        categories[file] = found.categories
        pictures += [replace(picture, name=f"{prefix}{picture.name}") for picture in found]
        if [(item.name, item.number) for item in found.categories] != [
            (item.name, item.number) for item in categories[files[0]]
        ]:
            raise ValueError(f"{file}: lists other categories than {files[0]}; convert them apart")
    return DetectionSet(pictures=tuple(pictures), categories=categories[files[0]])


def _format_of_folder(source: Path) -> str:
    texts = files_under(source, {".txt"})
    if not texts:
        if files_under(source, PICTURE_SUFFIXES):
            return "masks"
        raise ValueError(f"{source}: holds no annotation file that is known")
    for task in ("Task1_", "Task2_"):
        if any(file.name.startswith(task) for file in texts):
            return f"dota-{task[:-1].lower()}"
    kind = yolo_folder.variant(yolo_folder.label_files(source).values())
    if kind is not None:
        return kind
    if yolo_folder.class_names(source) is not None or (source / "labels").is_dir():
        return "yolo"
    return "dota"


def read_annotations(
    source: str | Path,
    *,
    source_format: str | None = None,
    images: str | Path | None = None,
    pictures: str | Path | None = None,
    sizes: Mapping[str, tuple[int, int]] | None = None,
    partial: bool = False,
    ignore: int | None = None,
) -> DetectionSet:
    """Read annotations in any format; see `convert`.

    Parameters
    ----------
    sizes
        Height and width of the pictures, in place of the folder of `images`.
    partial
        Whether annotations of other pictures are left out; otherwise they are an error.
    """
    source, images = Path(source), None if images is None else Path(images)
    with naming(source, images, pictures):
        kind = source_format or format_of_source(source)
        found = _read(kind, source, images, pictures, sizes, partial, ignore)
    return found if isinstance(found, DetectionSet) else DetectionSet(pictures=tuple(found))


def _read(
    kind: str,
    source: Path,
    images: Path | None,
    pictures: str | Path | None,
    sizes: Mapping[str, tuple[int, int]] | None,
    partial: bool,
    ignore: int | None,
) -> Sequence[Detections]:
    if sizes is None and images is not None:
        sizes = picture_sizes(images)
    if (
        sizes is None
        and kind.startswith(("yolo", "dota"))
        and source.is_dir()
        and files_under(source, PICTURE_SUFFIXES)
    ):
        sizes = picture_sizes(source)
    if kind in _BY_FOLDER:
        if sizes is None:
            raise ValueError(f"{source}: this format does not say the pictures' sizes; give --images, their folder")
        if kind == "masks":
            return masks.read(source, sizes=sizes, partial=partial, ignore=ignore)
        result: Sequence[Detections] = _BY_FOLDER[kind].read(source, sizes=sizes, partial=partial)
        return result
    if kind == "coco" and source.is_dir():
        return _read_coco_folder(source, sizes)
    if kind == "coco":
        return coco.read(source, sizes=sizes)
    if kind == "coco-results":
        if pictures is None:
            raise ValueError(f"{source}: a results list; give --pictures, the COCO JSON that numbers its pictures")
        return coco.read_results(source, Path(pictures))
    if kind == "label-studio":
        return label_studio.read(source, sizes=sizes)
    if kind in ("geojson", "gpkg"):
        places = {} if images is None else read_georeferences(images)
        read = geojson.read if kind == "geojson" else gpkg.read
        return read(source, sizes=sizes, georeferences=places)
    raise ValueError(f"format {kind!r} is none of {', '.join(FORMATS)}")


def listed_categories(source: str | Path, *, source_format: str | None = None) -> set[str]:
    """Categories that annotations name beside their objects, and so those that no object has too.

    COCO JSON and YOLO's ``data.yaml`` have a list, submissions to the DOTA server a file for each; the other formats
    name none.
    """
    source = Path(source)
    with naming(source):
        return _listed(source, source_format or format_of_source(source))


def _listed(source: Path, kind: str) -> set[str]:
    if kind == "coco":
        files = _coco_files(source) if source.is_dir() else [source]
        return {name for file in files for name in coco.read_categories(file)}
    if kind in ("yolo", "yolo-obb", "yolo-seg"):
        return set((yolo.read_names(source) or {}).values())
    if kind in ("dota-task1", "dota-task2"):
        return dota_submission.read_categories(source)
    return set()


def check_target(target: Path, *, target_format: str, categories: Sequence[str]) -> None:
    """Refuse, before any work is done, a YOLO folder of other classes.

    Raises
    ------
    ValueError
        The folder's ``data.yaml`` lacks one of the categories.
    """
    if target_format.startswith("yolo"):
        yolo.class_numbers(target, with_those_of((), categories))


def write_annotations(
    target: str | Path,
    found: Sequence[Detections],
    *,
    target_format: str,
    categories: Sequence[Category | str] = (),
    georeferences: Georeferences | None = None,
    replace: bool = True,
) -> None:
    """Write annotations in any format.

    Parameters
    ----------
    target
        A file, or a folder for the formats of `FOLDER_FORMATS`.
    categories
        Those that the file lists even where no object has them, in this order, where the format has a list. None given:
        those of a `DetectionSet`.
    replace
        Whether files of a folder that say something else are replaced; otherwise they are an error.
    """
    target = Path(target)
    if not categories and isinstance(found, DetectionSet):
        categories = found.categories
    if target_format not in FOLDER_FORMATS and target.is_dir():
        raise ValueError(f"{target}: is a folder, give the name of a file")
    if target_format == "coco":
        coco.write(target, found, categories=categories)
    elif target_format == "coco-results":
        coco.write_results(target, found, categories=categories)
    elif target_format == "dota":
        dota.write(target, found, replace=replace)
    elif target_format in ("dota-task1", "dota-task2"):
        task: dota_submission.Task = 1 if target_format == "dota-task1" else 2
        dota_submission.write(target, found, categories=categories, task=task, replace=replace)
    elif target_format == "yolo":
        yolo.write(target, found, categories=categories, replace=replace)
    elif target_format == "yolo-obb":
        yolo_obb.write(target, found, categories=categories, replace=replace)
    elif target_format == "yolo-seg":
        yolo_seg.write(target, found, categories=categories, replace=replace)
    elif target_format == "label-studio":
        label_studio.write(target, found, categories=categories)
    elif target_format == "masks":
        masks.write(target, found, replace=replace)
    elif target_format == "geojson":
        geojson.write(target, found, georeferences=georeferences)
    elif target_format == "gpkg":
        gpkg.write(target, found, georeferences=georeferences)
    else:
        raise ValueError(f"format {target_format!r} is none of {', '.join(FORMATS)}")
