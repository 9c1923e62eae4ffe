"""Rounds of self-training: maps give targets of pixels, a student learns them, its maps give the next ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from distmap.common.detection_settings import DetectionSettings
from distmap.common.picture_files import PictureFile
from distmap.common.pictures import Array
from distmap.common.progress import Progress
from distmap.config import Config
from distmap.data.folders import WITH, LabelledPicture, Split, stratified_subsample
from distmap.data.resizing import fit_square
from distmap.inference.model import DistinctionModel
from distmap.inference.student import student_side
from distmap.selection.validation import calibrated
from distmap.training.soft_targets import TargetStore, soft_target
from distmap.training.student import new_student, train_student


def learn_from_maps(
    model: DistinctionModel,
    detection: DetectionSettings,
    split: Split,
    config: Config,
    rounds: int,
    time_spent: Callable[[], float],
    progress: Progress,
) -> tuple[DistinctionModel, DetectionSettings]:
    """Train a student in each round, on how sure the maps of the one before are of each pixel.

    Returns the model with the last student, and the detection settings of its maps. ``time_spent``: fraction of the
    time for all rounds that is over, 0 where there is no limit. A round that no time is left for is left out; a student
    that finds little of what it was taught, or tells the validation pictures apart clearly worse than its teacher does,
    is not used: the line that says so begins with ``warning:``.
    """
    for number in range(1, rounds + 1):
        start, deadline = time_spent(), number / rounds
        if start >= deadline:
            progress.say(f"warning: no time left for round {number} of self-training; give more")
            break

        def of_round(start: float = start, deadline: float = deadline) -> float:
            return (time_spent() - start) / (deadline - start)

        student = new_student(config, model.stats, number)
        if note := student.load_imagenet_weights():
            progress.say(f"warning: {note}")
        store = _targets(model, split.train, detection, config, progress)
        train_student(student, store, config, model.device, number, of_round, progress)
        taught = model.with_student(student)
        # Those that it was trained on it has learnt by heart, so that they are not typical.
        candidate = calibrated(
            taught,
            split.validation,
            split.validation,
            config.selection,
            step=detection.step,
            progress=progress,
        )
        few = stratified_subsample(split.validation, config.selection.least_pictures)
        agreed = agreement((model, detection.threshold), (taught, candidate.threshold), few)
        before, after = (settings.validation_scores["auroc"] for settings in (detection, candidate))
        if agreed < config.student.least_agreement or after < before - config.selection.tie:
            progress.say(
                f"warning: the student of round {number} finds too little of what it was taught (dice {agreed:.2f}, "
                f"auroc {after:.2f} after {before:.2f}), so the maps stay as they were; give more time"
            )
            break
        sources = {**detection.sources, detection.map_kind: detection.as_source()}
        sources.pop(candidate.map_kind, None)  # of a student before
        scores = detection.validation_scores | candidate.validation_scores
        model, detection = taught, replace(candidate, sources=sources, validation_scores=scores)
    return model, detection


def agreement(
    teacher: tuple[DistinctionModel, float],
    student: tuple[DistinctionModel, float],
    pictures: Sequence[LabelledPicture],
) -> float:
    """Dice of what two models, each at its threshold, take in pictures WITH, over all their pixels.

    0 where neither takes anything.
    """
    files = [picture.file for picture in pictures if picture.label == WITH]
    both = taken = 0
    for masks in zip(*(_masks(model, threshold, files) for model, threshold in (teacher, student)), strict=True):
        both += int(np.logical_and(*masks).sum())
        taken += sum(int(mask_HW.sum()) for mask_HW in masks)
    return 2 * both / taken if taken else 0.0


def _masks(model: DistinctionModel, threshold: float, files: Sequence[PictureFile]) -> Iterator[NDArray[np.bool_]]:
    return (result.map_HW >= threshold for result in model.map_files(files, explained=False))


def _targets(
    model: DistinctionModel,
    pictures: Sequence[LabelledPicture],
    detection: DetectionSettings,
    config: Config,
    progress: Progress,
) -> TargetStore:
    """Pictures with the targets of their pixels: some of those WITH, and all of those WITHOUT."""
    side, settings = student_side(model.stats, config.student), config.student
    countable = detection.object_size is not None and detection.object_size.countable
    power = settings.sharpness_if_countable if countable else settings.sharpness
    taught = [picture for picture in stratified_subsample(pictures, settings.pictures) if picture.label == WITH]
    targets: list[Array | None] = []
    maps = model.map_files([picture.file for picture in taught], explained=False, averaged=False)
    for index, result in enumerate(maps):
        progress.update("making targets", index / len(taught), {})
        target_HW = soft_target(result.map_HW, WITH, detection.threshold, power)
        targets.append(fit_square(target_HW[..., None], side)[..., 0])
    without = [picture for picture in pictures if picture.label != WITH]
    nothing = [None] * len(without)
    return TargetStore([*taught, *without], [*targets, *nothing], model.scaling, side, config.data.cache_mb)
