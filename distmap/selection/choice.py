"""Choosing without labels of pixels: which weights, which kind of map and whether it follows the pictures' edges, by
pictures that were kept out of training.

A map is good for something where it is strong in pictures WITH and weak in pictures WITHOUT, and which is which is
known of every picture. On development sets this measure ranked kinds of maps much as the average precision over pixels
did, which nobody can measure without masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import rankdata

from distmap.common.pictures import Array
from distmap.data.folders import WITH, LabelledPicture
from distmap.methods.branched_gan.maps import distinction_map, edge_prominence

if TYPE_CHECKING:
    from distmap.config import MapConfig
    from distmap.inference.model import DistinctionModel, Painting

KINDS: tuple[Literal["plain", "placed"], ...] = ("placed", "plain")  # the first is preferred where edges are followed
STRONGEST = 0.01  # share of a map's pixels that its strength is the mean of
TIE = 0.02  # differences up to this say nothing: as much as a hundred pictures leave uncertain
PROMINENT = 4.0  # `edge_prominence` from which edges are followed; `effect` has 2.4, cars 9 to 10, tumours 28 to 31


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen: the weights after ``step`` steps, the ``kind`` of map, and how well it tells kept-out pictures
    apart (``separation``: area under the ROC curve, 0.5 is chance). ``follow_edges``: the edges in the pictures stand
    out from their texture, so that the map's may move to them."""

    step: int
    kind: Literal["plain", "placed"]
    separation: float
    follow_edges: bool


def strength(map_HW: Array) -> float:
    """How strong a map is: the mean of the strongest hundredth of its pixels, of one pixel at least."""
    count = max(1, round(STRONGEST * map_HW.size))
    return float(np.partition(map_HW.ravel(), map_HW.size - count)[-count:].mean())


def separation(with_strengths: Sequence[float], without_strengths: Sequence[float]) -> float:
    """Area under the ROC curve: how often a picture WITH is stronger than one WITHOUT; a tie counts half.

    Raises
    ------
    ValueError
        There are no pictures of one class.
    """
    if not with_strengths or not without_strengths:
        raise ValueError("no pictures of one class to tell apart")
    ranks = rankdata([*with_strengths, *without_strengths])
    count, others = len(with_strengths), len(without_strengths)
    return float((ranks[:count].sum() - count * (count + 1) / 2) / (count * others))


def choose(
    models: Iterable[tuple[int, DistinctionModel]],
    pictures: Sequence[LabelledPicture],
    out_of_time: Callable[[], bool],
) -> Choice:
    """The best of the models, given as (step, model) with the one that is preferred first, and of the kinds of map.

    Of each model the kind is chosen first, and then the model. Placed maps are preferred, whose outlines are the
    pictures' edges; where these drown in texture, plain ones. Where ``config.map.kind`` names a kind, only the weights
    are chosen. Stops early when ``out_of_time()``, after the first at least.
    """
    found: list[Choice] = []
    for step, model in models:
        if found and out_of_time():
            break
        wanted = model.config.map.kind
        kinds = [kind for kind in KINDS if wanted in (kind, "auto")]
        strengths: dict[tuple[str, int], list[float]] = {}
        prominences: dict[str, list[float | None]] = {kind: [] for kind in kinds}
        for picture, painting in zip(pictures, model.paint_files([p.file for p in pictures]), strict=True):
            evidence = painting.evidence()
            for kind in kinds:
                map_HW = distinction_map(evidence, replace(model.config.map, kind=kind))
                strengths.setdefault((kind, picture.label), []).append(strength(map_HW))
                if picture.label == WITH:
                    prominences[kind].append(_prominence(map_HW, painting, model.config.map))
        typical = {kind: _typical(prominences[kind]) for kind in kinds}
        preferred = typical[kinds[0]]
        drown = preferred is not None and preferred < PROMINENT
        of_model = [
            Choice(
                step=step,
                kind=kind,
                separation=separation(strengths.get((kind, WITH), []), strengths.get((kind, 1 - WITH), [])),
                follow_edges=(typical[kind] or 0) >= PROMINENT,
            )
            for kind in kinds
        ]
        found.append(_clearly_best(of_model[::-1] if drown else of_model))
    return _clearly_best(found)


def _clearly_best(choices: Sequence[Choice]) -> Choice:
    """The first, unless another tells the pictures apart clearly better."""
    best = choices[0]
    for choice in choices[1:]:
        if choice.separation > best.separation + TIE:
            best = choice
    return best


def _prominence(map_HW: Array, painting: Painting, settings: MapConfig) -> float | None:
    return edge_prominence(map_HW, painting.picture_HWC.mean(axis=-1), max(1, round(settings.edge_radius)))


def _typical(prominences: Iterable[float | None]) -> float | None:
    known = [value for value in prominences if value is not None]
    return float(np.median(known)) if known else None
