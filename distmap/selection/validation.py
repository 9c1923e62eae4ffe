"""What a model does on validation pictures: its threshold and its scores, with no label drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distmap.common.auroc import auroc
from distmap.common.detection_settings import DetectionSettings
from distmap.common.object_size import describe_objects, find_object_size
from distmap.common.pictures import Array
from distmap.common.progress import Progress
from distmap.data.batches import symmetries
from distmap.data.folders import WITH, WITHOUT, LabelledPicture, stratified_subsample
from distmap.inference.model import DistinctionModel
from distmap.selection.choice import strength
from distmap.selection.settings import SelectionSettings
from distmap.selection.threshold import calibrate, mean_scores
from distmap.selection.warnings import warnings


def calibrated(
    model: DistinctionModel,
    validation: Iterable[LabelledPicture],
    typical: Iterable[LabelledPicture],
    settings: SelectionSettings,
    *,
    map_kind: str,
    step: int,
    progress: Progress,
) -> DetectionSettings:
    """The detection settings of a model: its threshold from maps of ``typical`` pictures WITH, the typical object from
    these and those of ``validation``, its scores from maps of ``validation`` pictures of both folders.

    Validation pictures may be of one place or patient alone, whose maps are stronger or weaker than others'. Where a
    threshold parts maps in two does not depend on whether their pictures were trained on, so that ``typical`` may be
    pictures of all groups.
    """
    count = affordable(settings.threshold_views, model.data.symmetry, settings)
    chosen = stratified_subsample(validation, count)
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
    with_thing = [picture.file for picture in stratified_subsample(typical, count) if picture.label == WITH]
    new = [file for file in with_thing if file.name not in by_name]
    for index, result in enumerate(model.map_files(new, explained=False)):
        progress.update("setting the threshold", index / len(new), {})
        by_name[result.name] = result.map_HW
    found = calibrate(maps[WITHOUT], [by_name[file.name] for file in with_thing], model.mapper.threshold_rule)
    object_size = find_object_size(by_name.values(), found.threshold)
    strengths = {
        label: [strength(map_HW, settings.strength_fraction) for map_HW in some] for label, some in maps.items()
    }
    validation_scores = mean_scores(scores) | {
        "auroc": auroc(strengths[WITH], strengths[WITHOUT]),
        "background": _mean(maps[WITHOUT]) / max(_mean(maps[WITH]), 1e-12),
        "taken": _mean([map_HW >= found.threshold for map_HW in maps[WITH]]),
    }
    notes = tuple(warnings(validation_scores, found.false_alarm))
    progress.say(f"objects: {describe_objects(object_size)}")
    for note in notes:
        progress.say(f"warning: {note}")
    return replace(
        found,
        object_size=object_size,
        validation_scores=validation_scores,
        map_kind=map_kind,
        follow_edges=model.predictor.follow_edges,
        step=step,
        warnings=notes,
    )


def affordable(views: int, symmetry: str, settings: SelectionSettings) -> int:
    """How many pictures may be looked at where each is seen in all its symmetries, and ``views`` are to be enough."""
    return max(settings.least_pictures, views // len(symmetries(symmetry)))


def _mean(maps: Sequence[NDArray[Any]]) -> float:
    return float(np.mean([map_HW.mean() for map_HW in maps]))
