"""What a model does on pictures that were kept out of training: its threshold and its scores, with no label drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from distmap.common.detection_settings import DetectionSettings
from distmap.common.object_size import describe_objects, find_object_size
from distmap.common.pictures import Array
from distmap.common.progress import Progress
from distmap.data.batches import symmetries
from distmap.data.folders import WITH, WITHOUT, LabelledPicture
from distmap.selection.choice import separation, strength
from distmap.selection.threshold import calibrate, explained
from distmap.selection.warnings import warnings

if TYPE_CHECKING:
    from distmap.inference.model import DistinctionModel

CALIBRATION_VIEWS = 600  # of pictures of each class at most; more would hardly move the threshold
FEWEST = 60  # pictures of each class, where there are as many


def calibrated(
    model: DistinctionModel,
    kept_out: Iterable[LabelledPicture],
    typical: Iterable[LabelledPicture],
    map_kind: str,
    step: int,
    progress: Progress,
) -> DetectionSettings:
    """The detector of a model: its threshold from maps of ``typical`` pictures WITH, the typical object from these and
    those of ``kept_out`` ones, its scores from maps of ``kept_out`` pictures of both folders.

    Kept-out pictures may be of one place or patient alone, whose maps are stronger or weaker than others'. Where a
    threshold parts maps in two does not depend on whether their pictures were trained on, so that ``typical`` may be
    pictures of all groups.
    """
    count = affordable(CALIBRATION_VIEWS, model.config.data.symmetry)
    chosen = few_of_each(kept_out, count)
    maps: dict[int, list[Array]] = {WITH: [], WITHOUT: []}
    by_name: dict[str, Array] = {}
    scores = []
    for index, (picture, result) in enumerate(
        zip(chosen, model.map_files([picture.file for picture in chosen]), strict=True)
    ):
        progress.update("calibrating", index / len(chosen), {})
        maps[picture.label].append(result.map_HW)
        if picture.label == WITH:
            by_name[picture.file.name] = result.map_HW
        scores.append((picture.label, result.scores))
    with_thing = [picture.file for picture in few_of_each(typical, count) if picture.label == WITH]
    new = [file for file in with_thing if file.name not in by_name]
    for index, result in enumerate(model.map_files(new, explained=False)):
        progress.update("setting the threshold", index / len(new), {})
        by_name[result.name] = result.map_HW
    detector = calibrate(maps[WITHOUT], [by_name[file.name] for file in with_thing], map_kind)
    object_size = find_object_size(by_name.values(), detector.threshold)
    strengths = {label: [strength(map_HW) for map_HW in some] for label, some in maps.items()}
    kept_out_scores = explained(scores) | {
        "separation": separation(strengths[WITH], strengths[WITHOUT]),
        "background": _mean(maps[WITHOUT]) / max(_mean(maps[WITH]), 1e-12),
        "taken": _mean([map_HW >= detector.threshold for map_HW in maps[WITH]]),
    }
    notes = tuple(warnings(kept_out_scores, detector.false_alarm))
    progress.say(f"objects: {describe_objects(object_size)}")
    for note in notes:
        progress.say(f"warning: {note}")
    return replace(
        detector,
        object_size=object_size,
        validation_scores=kept_out_scores,
        map_kind=map_kind,
        step=step,
        follow_edges=model.config.map.edge_radius > 0,
        warnings=notes,
    )


def affordable(views: int, symmetry: str) -> int:
    """How many pictures may be looked at where each is seen in all its symmetries, and ``views`` are to be enough."""
    return max(FEWEST, views // len(symmetries(symmetry)))


def few_of_each(pictures: Iterable[LabelledPicture], count: int) -> list[LabelledPicture]:
    """At most ``count`` of each class, spread evenly over the list."""
    few: list[LabelledPicture] = []
    everything = list(pictures)
    for label in (WITH, WITHOUT):
        members = [picture for picture in everything if picture.label == label]
        chosen = np.unique(np.linspace(0, len(members) - 1, min(count, len(members))).round().astype(int))
        few += [members[index] for index in chosen]
    return few


def _mean(maps: Sequence[NDArray[Any]]) -> float:
    return float(np.mean([map_HW.mean() for map_HW in maps]))
