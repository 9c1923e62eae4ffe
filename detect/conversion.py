"""`convert`: from one annotation format to another; `read_annotations` and `write_annotations` for any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detect.detections import Detections, DetectionSet
from detect.formats import (
    FOLDER_FORMATS,
    FORMATS,
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
from detect.rasters import picture_sizes
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
_BY_SUFFIX = {".json": "coco", ".geojson": "geojson", ".gpkg": "gpkg"}


def convert(
    source: str | Path,
    target: str | Path,
    *,
    source_format: str | None = None,
    target_format: str | None = None,
    images: str | Path | None = None,
    pictures: str | Path | None = None,
) -> DetectionSet:
    """Read annotations in one format and write them in another.

    Parameters
    ----------
    source_format, target_format
        One of `FORMATS`; None: told from the content of `source`, and from the suffix of `target`.
    images
        Folder of the pictures, for formats that do not say the pictures' sizes, and for georeferences.
    pictures
        COCO JSON that numbers the pictures of a COCO results list.

    Returns
    -------
    What was read and written.

    Raises
    ------
    ValueError
        A format is not known or cannot be told, or the content is not what the format wants.
    """
    wanted = target_format or format_of_target(Path(target))
    places = {} if images is None else read_georeferences(Path(images))
    found = read_annotations(source, source_format=source_format, images=images, pictures=pictures)
    write_annotations(target, found, target_format=wanted, georeferences=places)
    return found


def format_of_target(target: Path) -> str:
    """The format that a file name asks for."""
    if target.suffix.lower() not in _BY_SUFFIX:
        raise ValueError(f"{target}: cannot tell the format from this name; say --format, one of {', '.join(FORMATS)}")
    return _BY_SUFFIX[target.suffix.lower()]


def format_of_source(source: Path) -> str:
    """The format of a file or folder, told from what is in it."""
    if source.is_dir():
        return _format_of_folder(source)
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
) -> DetectionSet:
    """Read annotations in any format; see `convert`.

    Parameters
    ----------
    sizes
        Height and width of the pictures, in place of the folder of `images`.
    partial
        Whether annotations of other pictures are left out; otherwise they are an error.
    """
    source = Path(source)
    kind = source_format or format_of_source(source)
    found = _read(kind, source, None if images is None else Path(images), pictures, sizes, partial)
    return found if isinstance(found, DetectionSet) else DetectionSet(pictures=tuple(found))


def _read(
    kind: str,
    source: Path,
    images: Path | None,
    pictures: str | Path | None,
    sizes: Mapping[str, tuple[int, int]] | None,
    partial: bool,
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
        result: Sequence[Detections] = _BY_FOLDER[kind].read(source, sizes=sizes, partial=partial)
        return result
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
    kind = source_format or format_of_source(source)
    if kind == "coco":
        return coco.read_categories(source)
    if kind in ("yolo", "yolo-obb", "yolo-seg"):
        return set((yolo.read_names(source) or {}).values())
    if kind in ("dota-task1", "dota-task2"):
        return dota_submission.read_categories(source)
    return set()


def write_annotations(
    target: str | Path,
    found: Sequence[Detections],
    *,
    target_format: str,
    categories: Sequence[str] = (),
    georeferences: Georeferences | None = None,
) -> None:
    """Write annotations in any format.

    Parameters
    ----------
    target
        A file, or a folder for the formats of `FOLDER_FORMATS`.
    categories
        Names that the file lists even where no object has them, where the format lists names.
    """
    target = Path(target)
    if target_format not in FOLDER_FORMATS and target.is_dir():
        raise ValueError(f"{target}: is a folder, give the name of a file")
    if target_format == "coco":
        coco.write(target, found, categories=categories)
    elif target_format == "coco-results":
        coco.write_results(target, found, categories=categories)
    elif target_format == "dota":
        dota.write(target, found)
    elif target_format in ("dota-task1", "dota-task2"):
        task: dota_submission.Task = 1 if target_format == "dota-task1" else 2
        dota_submission.write(target, found, categories=categories, task=task)
    elif target_format == "yolo":
        yolo.write(target, found, categories=categories)
    elif target_format == "yolo-obb":
        yolo_obb.write(target, found, categories=categories)
    elif target_format == "yolo-seg":
        yolo_seg.write(target, found, categories=categories)
    elif target_format == "label-studio":
        label_studio.write(target, found)
    elif target_format == "masks":
        masks.write(target, found)
    elif target_format == "geojson":
        geojson.write(target, found, georeferences=georeferences)
    elif target_format == "gpkg":
        gpkg.write(target, found, georeferences=georeferences)
    else:
        raise ValueError(f"format {target_format!r} is none of {', '.join(FORMATS)}")
