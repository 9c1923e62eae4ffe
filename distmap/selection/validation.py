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

Maps = dict[str, Array]
"""Of one picture, by their kind."""


def calibrated(
    model: DistinctionModel,
    validation: Iterable[LabelledPicture],
    typical: Iterable[LabelledPicture],
    settings: SelectionSettings,
    *,
    step: int,
    progress: Progress,
) -> DetectionSettings:
    """The detection settings of a model: its threshold from maps of ``typical`` pictures WITH, the typical object from
    these and those of ``validation``, its scores from maps of ``validation`` pictures of both folders. Thresholds and
    typical objects go with each of its kinds of map, the scores with the one in use.

    Validation pictures may be of one place or patient alone, whose maps are stronger or weaker than others'. Where a
    threshold parts maps in two does not depend on whether their pictures were trained on, so that ``typical`` may be
    pictures of all groups.
    """
    kinds = model.mapper.kinds
    count = affordable(settings.threshold_views, model, settings)
    chosen = stratified_subsample(validation, count)
    maps: dict[int, list[Maps]] = {WITH: [], WITHOUT: []}
    by_name: dict[str, Maps] = {}
    scores = []
    seen = model.maps_by_kind([picture.file for picture in chosen], kinds)
    for index, (picture, (of_picture, explained)) in enumerate(zip(chosen, seen, strict=True)):
        progress.update("calibrating", index / len(chosen), {})
        maps[picture.label].append(of_picture)
        if picture.label == WITH:
            by_name[picture.file.name] = of_picture
        scores.append((picture.label, explained))
    with_thing = [picture.file for picture in stratified_subsample(typical, count) if picture.label == WITH]
    new = [file for file in with_thing if file.name not in by_name]
    for index, (file, (of_picture, _)) in enumerate(zip(new, model.maps_by_kind(new, kinds), strict=True)):
        progress.update("setting the threshold", index / len(new), {})
        by_name[file.name] = of_picture

    def of_kind(kind: str) -> DetectionSettings:
        typical_maps = [by_name[file.name][kind] for file in with_thing]
        found = calibrate([of_picture[kind] for of_picture in maps[WITHOUT]], typical_maps, model.mapper.threshold)
        everything = [of_picture[kind] for of_picture in by_name.values()]
        return replace(found, object_size=find_object_size(everything, found.threshold))

    found = of_kind(model.source)
    object_size = found.object_size
    strengths = {
        label: [strength(of_picture[model.source], settings.strength_fraction) for of_picture in some]
        for label, some in maps.items()
    }
    without, with_ = ([of_picture[model.source] for of_picture in maps[label]] for label in (WITHOUT, WITH))
    validation_scores = mean_scores(scores) | {
        "auroc": auroc(strengths[WITH], strengths[WITHOUT]),
        "background": _mean(without) / max(_mean(with_), 1e-12),
        "taken": _mean([map_HW >= found.threshold for map_HW in with_]),
    }
    notes = tuple(warnings(validation_scores, found.false_alarm))
    progress.say(f"objects: {describe_objects(object_size)}")
    for note in notes:
        progress.say(f"warning: {note}")
    return replace(
        found,
        sources={kind: of_kind(kind).as_source() for kind in kinds if kind != model.source},
        validation_scores=validation_scores,
        map_kind=model.source,
        follow_edges=model.predictor.follow_edges,
        step=step,
        warnings=notes,
    )


def affordable(views: int, model: DistinctionModel, settings: SelectionSettings) -> int:
    """How many pictures may be looked at where each is seen in all its symmetries, and ``views`` are to be enough."""
    times = len(symmetries(model.data.symmetry)) if model.mapper.averaged else 1
    return max(settings.least_pictures, views // times)


def _mean(maps: Sequence[NDArray[Any]]) -> float:
    return float(np.mean([map_HW.mean() for map_HW in maps]))
