"""Choosing without labels of pixels: which weights, which kind of map and whether it follows the pictures' edges, by
validation pictures.

A map is good for something where it is strong in pictures WITH and weak in pictures WITHOUT, and which is which is
known of every picture. On development sets this measure ranked kinds of maps much as the average precision over pixels
did, which nobody can measure without masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from distmap.common.auroc import auroc
from distmap.common.pictures import Array
from distmap.data.folders import WITH, WITHOUT, LabelledPicture
from distmap.inference.model import DistinctionModel
from distmap.inference.refinement import edge_contrast
from distmap.selection.settings import SelectionSettings


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen: the weights after ``step`` steps, the ``kind`` of map, and how well it tells validation pictures
    apart (``auroc``: 0.5 is chance). ``follow_edges``: the edges in the pictures stand out from their texture, so that
    the map's may move to them."""

    step: int
    kind: str
    auroc: float
    follow_edges: bool


def strength(map_HW: Array, fraction: float) -> float:
    """How strong a map is: the mean of the strongest ``fraction`` of its pixels, of one pixel at least."""
    count = max(1, round(fraction * map_HW.size))
    return float(np.partition(map_HW.ravel(), map_HW.size - count)[-count:].mean())


def choose(
    models: Iterable[tuple[int, DistinctionModel]],
    pictures: Sequence[LabelledPicture],
    settings: SelectionSettings,
    out_of_time: Callable[[], bool],
) -> Choice:
    """The best of the models, given as (step, model) with the one that is preferred first, and of the kinds of map.

    Of each model the kind is chosen first, and then the model: each time the first, unless another tells the pictures
    apart clearly better. Stops early when ``out_of_time()``, after the first at least.
    """
    found: list[Choice] = []
    for step, model in models:
        if found and out_of_time():
            break
        found.append(_best_kind(step, model, pictures, settings))
    return _clearly_best(found, settings.tie)


def _best_kind(
    step: int, model: DistinctionModel, pictures: Sequence[LabelledPicture], settings: SelectionSettings
) -> Choice:
    import torch

    kinds = model.predictor.candidates
    strengths: dict[tuple[str, int], list[float]] = {(kind, label): [] for kind in kinds for label in (WITH, WITHOUT)}
    contrasts: dict[str, list[float]] = {kind: [] for kind in kinds}
    files = [picture.file for picture in pictures]
    for picture, (x_HWC, raw_KHW) in zip(pictures, model.raw_files(files), strict=True):
        grey_HW = torch.from_numpy(np.ascontiguousarray(x_HWC.mean(axis=-1)))
        for kind in kinds:
            with torch.inference_mode():
                map_HW = model.predictor.coarse_map(torch.from_numpy(raw_KHW)[None].to(model.device), kind)[0].cpu()
            strengths[kind, picture.label].append(strength(map_HW.numpy(), settings.strength_fraction))
            if picture.label == WITH:
                contrast = edge_contrast(map_HW, grey_HW, settings.edge_radius, saturation=settings.edge_saturation)
                contrasts[kind] += [] if contrast is None else [contrast]
    choices = [
        Choice(
            step=step,
            kind=kind,
            auroc=auroc(strengths[kind, WITH], strengths[kind, WITHOUT]),
            follow_edges=bool(contrasts[kind]) and float(np.median(contrasts[kind])) >= settings.edge_contrast,
        )
        for kind in kinds
    ]
    return _clearly_best(choices, settings.tie)


def _clearly_best(choices: Sequence[Choice], tie: float) -> Choice:
    """The first, unless another tells the pictures apart clearly better."""
    best = choices[0]
    for choice in choices[1:]:
        if choice.auroc > best.auroc + tie:
            best = choice
    return best
