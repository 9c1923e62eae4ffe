"""A threshold without labels: from maps of kept-out pictures that hold nothing.

``RUN/detector.json`` is the contract with whatever turns maps into objects; its fields are those of ``Detector``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from distmap.files import read_json, write_text
from distmap.images import Array

DETECTOR = "detector.json"
USUAL_SHARE = 0.25  # of the usual maximum of pictures WITH; a few pictures WITHOUT do not raise the threshold beyond
RATES = tuple(float(rate) for rate in np.round(np.geomspace(0.2, 1e-5, 44), 8))


@dataclass(frozen=True, kw_only=True)
class Detector:
    """How maps of a run become objects.

    ``threshold``: a pixel is taken where map >= threshold; ``low_threshold``: grown into down to this value.
    ``false_alarm``: the share of the pixels of kept-out pictures WITHOUT that is taken; ``rates`` and ``thresholds``:
    the thresholds that take at most other shares. ``pictures``: how many such pictures there were. ``smoothing``:
    further smoothing of the maps, sigma in pixels of the picture; ``open_radius``, ``close_radius``, ``min_area``:
    morphology and the smallest object, in pixels.
    """

    threshold: float
    low_threshold: float
    false_alarm: float
    rates: tuple[float, ...]
    thresholds: tuple[float, ...]
    pictures: int
    smoothing: float = 0.0
    open_radius: float = 0.0
    close_radius: float = 0.0
    min_area: int = 1
    unit: str = "pixel"
    kept_out_scores: dict[str, float] = field(default_factory=dict)
    """``psnr`` (dB), ``residual`` and ``flip_rate`` on the kept-out pictures (see ``DistinctionModel.explain``), and
    their ``separation`` (see ``distmap.choice``); ``background``: mean map of pictures WITHOUT over that of WITH."""
    map_kind: str = "placed"
    step: int = 0
    """After which the weights were taken."""
    warnings: tuple[str, ...] = ()
    """What the scores say against the maps; see ``distmap.health``."""


def threshold_for(values: Array, rate: float) -> float:
    """The smallest threshold > 0 that at most a share ``rate`` of ``values`` reaches (value >= threshold).

    Raises
    ------
    ValueError
        There are no values, or the rate is not between 0 and 1.
    """
    if not 0 < rate < 1:
        raise ValueError(f"false alarm rate {rate}: must lie between 0 and 1")
    if values.size == 0:
        raise ValueError("no map to calibrate on")
    allowed = int(rate * values.size)
    highest_refused = np.partition(values.ravel(), values.size - 1 - allowed)[values.size - 1 - allowed]
    return float(np.nextafter(np.float32(max(highest_refused, 0)), np.float32(np.inf)))


def calibrate(without_maps: Sequence[Array], with_maps: Sequence[Array], false_alarm: float) -> Detector:
    """Threshold from maps (H x W each) of kept-out pictures of both folders, pooled over their pixels.

    Pictures WITHOUT hold nothing, so the share of their pixels that a threshold takes is its false-alarm rate; at most
    ``false_alarm`` is allowed. But some folders WITHOUT do hold the thing here and there, and a few such pictures would
    set the threshold where nothing is found. So where that is above a quarter of what is usual in pictures WITH (the
    median of their maxima), the rate must be met in half of the pictures WITHOUT each by itself, and need not in the
    others. Where pictures WITH are stronger than all that needs, the threshold rises to half the median of what it
    takes in them: a blurred object ends where it has faded to half its strength, and what the repainting changes around
    a strong object is weaker than that. No label of a pixel is used.
    """
    empty = np.empty(0, np.float32)
    nothing = np.concatenate([map_HW.ravel() for map_HW in without_maps] or [empty])
    something = np.concatenate([map_HW.ravel() for map_HW in with_maps] or [empty])
    threshold = threshold_for(nothing, false_alarm)
    if with_maps:
        usual = float(np.median([map_HW.max() for map_HW in with_maps]))
        in_half = float(np.median([threshold_for(map_HW, false_alarm) for map_HW in without_maps]))
        threshold = min(threshold, max(in_half, USUAL_SHARE * usual))
    taken = something[something >= threshold]
    if taken.size:
        threshold = max(threshold, float(np.median(taken)) / 2)
    return Detector(
        threshold=threshold,
        low_threshold=threshold,
        false_alarm=float((nothing >= threshold).mean()),
        rates=RATES,
        thresholds=tuple(threshold_for(nothing, rate) for rate in RATES),
        pictures=len(without_maps),
    )


def explained(scores: Sequence[tuple[int, dict[str, float]]]) -> dict[str, float]:
    """Means over kept-out pictures, each given as (label, its ``explain``): same-class PSNR, residual, flip rate."""
    names = ("without", "with")
    figures = {
        "psnr": [score[f"psnr_{names[label]}"] for label, score in scores],
        "residual": [score["residual"] for _, score in scores],
        "flip_rate": [
            score[f"flips_to_{names[1 - label]}"] for label, score in scores if f"flips_to_{names[1 - label]}" in score
        ],
    }
    return {name: float(np.mean(values)) for name, values in figures.items() if values}


def read_detector(run: Path) -> Detector:
    """Read ``RUN/detector.json``; raises ValueError where it is not there or damaged. Unknown keys are passed over."""
    path = run / DETECTOR
    if not path.is_file():
        raise ValueError(f"{run}: holds no {DETECTOR} yet; finish its training with `distmap fit ... --resume`")
    content = read_json(path)
    known = {one.name for one in fields(Detector)}
    try:
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in content.items() if key in known
        }
        return Detector(**values)
    except (AttributeError, TypeError) as error:
        raise ValueError(f"{path}: damaged; make it anew with `detect calibrate`") from error


def write_detector(run: Path, detector: Detector) -> None:
    """Write ``RUN/detector.json``."""
    write_text(run / DETECTOR, json.dumps(asdict(detector), indent=2) + "\n")
