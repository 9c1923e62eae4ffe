"""Rounds of self-training: maps give pseudo-labels, a student learns them, its maps give the next ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from distmap.common.detection_settings import DetectionSettings
from distmap.common.picture_files import PictureFile
from distmap.common.progress import Progress
from distmap.config import Config
from distmap.data.folders import WITH, LabelledPicture, Split, stratified_subsample
from distmap.data.resizing import fit_square
from distmap.inference.model import DistinctionModel
from distmap.inference.student import STUDENT, student_side
from distmap.selection.validation import calibrated
from distmap.training.pseudo_labels import NEGATIVE, PseudoLabelledStore, pseudo_label
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
    """Train a student in each round, on what the maps of the one before are sure of at their threshold.

    Returns the model with the last student, and the detection settings of its maps. ``time_spent``: fraction of the
    time for all rounds that is over, 0 where there is no limit; a round that no time is left for is left out, and so is
    one for which no picture WITH is sure anywhere, and one whose student had too little time to learn what it was
    shown: the line that says so begins with ``warning:``.
    """
    for number in range(1, rounds + 1):
        store = _labelled(model, split.train, detection.threshold, config, progress)
        if not any(picture.label == WITH for picture in store.pictures):
            progress.say(
                f"warning: no picture WITH reaches {config.student.positive_ratio:g} times the threshold, so there is "
                "nothing to train a student on"
            )
            break
        start, deadline = time_spent(), number / rounds
        if start >= deadline:
            progress.say(f"warning: no time left for round {number} of self-training; give more")
            break

        def of_round(start: float = start, deadline: float = deadline) -> float:
            return (time_spent() - start) / (deadline - start)

        student = new_student(config, model.stats, number)
        train_student(student, store, config, model.device, number, of_round, progress)
        taught = model.with_student(student)
        # Those that it was trained on it has learnt by heart, so that they are not typical.
        candidate = calibrated(
            taught,
            split.validation,
            split.validation,
            config.selection,
            map_kind=STUDENT,
            step=detection.step,
            progress=progress,
        )
        few = stratified_subsample(split.validation, config.selection.least_pictures)
        agreed = agreement((model, detection.threshold), (taught, candidate.threshold), few)
        if agreed < config.student.least_agreement:
            progress.say(
                f"warning: the student of round {number} finds little of what it was taught (dice {agreed:.2f}), "
                "so the maps stay as they were; give more time"
            )
            break
        model, detection = taught, candidate
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


def _labelled(
    model: DistinctionModel,
    pictures: Sequence[LabelledPicture],
    threshold: float,
    config: Config,
    progress: Progress,
) -> PseudoLabelledStore:
    """The pictures whose pixels can be labelled, with their labels."""
    side, settings = student_side(model.stats, config.student), config.student
    with_ = [picture for picture in pictures if picture.label == WITH]
    kept: list[LabelledPicture] = []
    labels: list[NDArray[np.uint8]] = []
    maps = model.map_files([picture.file for picture in with_], explained=False)
    for index, (picture, result) in enumerate(zip(with_, maps, strict=True)):
        progress.update("labelling", index / len(with_), {})
        map_HW = fit_square(result.map_HW[..., None], side)[..., 0]
        high, low = settings.positive_ratio * threshold, settings.negative_fraction * threshold
        label_HW = pseudo_label(map_HW, WITH, high, low)
        if label_HW is not None:
            kept.append(picture)
            labels.append(label_HW)
    without = [picture for picture in pictures if picture.label != WITH]
    nothing = np.full((side, side), NEGATIVE, np.uint8)
    return PseudoLabelledStore(
        [*kept, *without],
        [*labels, *(nothing for _ in without)],
        model.scaling,
        side,
        config.data.cache_mb,
    )
