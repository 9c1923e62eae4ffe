"""What a format has no place for, counted."""

from __future__ import annotations

from collections.abc import Mapping

from detect.detections import DetectionSet
from distmap.common.output_names import name_inside

MASKS, ORIENTED, SCORES, DIFFICULT, CROWD = "masks", "oriented boxes", "scores", "difficult marks", "crowd marks"
NAMES, UNUSED, EMPTY = "categories of objects", "categories without objects", "pictures without objects"
BOXES, PATHS = "boxes without a mask", "names that lead out of the folder"
NUMBERS, MODEL = "numbers of pictures", "groups and model scores of pictures"
CONFIDENCES = "confidences of pictures"

_NO_PLACE: Mapping[str, frozenset[str]] = {
    "coco": frozenset(),
    "coco-results": frozenset({ORIENTED, DIFFICULT, CROWD, UNUSED, EMPTY, MODEL, CONFIDENCES}),
    "dota": frozenset({MASKS, SCORES, CROWD, UNUSED, PATHS, NUMBERS, MODEL, CONFIDENCES}),
    "dota-task1": frozenset({MASKS, DIFFICULT, CROWD, EMPTY, NUMBERS, MODEL, CONFIDENCES}),
    "dota-task2": frozenset({MASKS, ORIENTED, DIFFICULT, CROWD, EMPTY, NUMBERS, MODEL, CONFIDENCES}),
    "yolo": frozenset({MASKS, ORIENTED, SCORES, DIFFICULT, CROWD, PATHS, NUMBERS, MODEL, CONFIDENCES}),
    "yolo-obb": frozenset({MASKS, SCORES, DIFFICULT, CROWD, PATHS, NUMBERS, MODEL, CONFIDENCES}),
    "yolo-seg": frozenset({BOXES, ORIENTED, SCORES, DIFFICULT, CROWD, PATHS, NUMBERS, MODEL, CONFIDENCES}),
    "label-studio": frozenset({CROWD, MODEL}),
    "masks": frozenset({BOXES, ORIENTED, SCORES, DIFFICULT, CROWD, NAMES, UNUSED, PATHS, NUMBERS, MODEL, CONFIDENCES}),
    "geojson": frozenset({UNUSED, EMPTY, NUMBERS, MODEL}),
    "gpkg": frozenset({UNUSED, EMPTY, NUMBERS, MODEL}),
}
"""By format. Where there is no place for masks their boxes are written, and the other way round."""


def without_place(found: DetectionSet, target_format: str) -> dict[str, int]:
    """How many of what `found` holds the format has no place for, by what it is."""
    objects = [item for picture in found for item in picture.instances]
    used = {item.category for item in objects}
    counts = {
        MASKS: sum(item.mask is not None for item in objects),
        BOXES: sum(item.shape == "box" for item in objects),
        ORIENTED: sum(item.shape == "oriented box" for item in objects),
        SCORES: sum(item.score is not None for item in objects),
        DIFFICULT: sum(item.difficult for item in objects),
        CROWD: sum(item.crowd for item in objects),
        NAMES: len(used) if len(used) > 1 else 0,
        UNUSED: sum(item.name not in used for item in found.categories),
        EMPTY: sum(not picture.instances for picture in found),
        PATHS: sum(name_inside(picture.name) != picture.name for picture in found),
        NUMBERS: sum(picture.number is not None for picture in found),
        CONFIDENCES: sum(picture.confidence is not None for picture in found),
        MODEL: sum(picture.group is not None or bool(picture.model) for picture in found),
    }
    result = {what: count for what, count in counts.items() if count and what in _NO_PLACE[target_format]}
    if PATHS in result:
        first = next(picture.name for picture in found if name_inside(picture.name) != picture.name)
        result[f"{PATHS} (such as {first}: {name_inside(first)})"] = result.pop(PATHS)
    return result


def describe(counts: Mapping[str, int]) -> str:
    """Counts in words: "3 masks, 2 scores"; "nothing" where there are none."""
    return ", ".join(f"{count} {what}" for what, count in counts.items()) or "nothing"
