"""Annotation files. Every module has the verbs `read` and `write` for one format."""

from __future__ import annotations

FORMATS = (
    "coco",
    "coco-results",
    "dota",
    "dota-task1",
    "dota-task2",
    "yolo",
    "yolo-obb",
    "yolo-seg",
    "label-studio",
    "masks",
    "geojson",
    "gpkg",
)
"""Names of the formats, as commands take them."""

FOLDER_FORMATS = frozenset({"dota", "dota-task1", "dota-task2", "yolo", "yolo-obb", "yolo-seg", "masks"})
"""Those that are folders; the others are files."""
