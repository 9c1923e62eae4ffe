"""A threshold without labels of pixels, from maps of pictures of both folders.

``RUN/detector.json`` is the contract with whatever turns maps into objects; its fields are those of ``Detector``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from distmap.common.files import read_json, write_text
from distmap.common.object_size import ObjectSize
from distmap.common.pictures import Array

DETECTOR = "detector.json"
RATES = tuple(float(rate) for rate in np.round(np.geomspace(0.2, 1e-5, 44), 8))


@dataclass(frozen=True, kw_only=True)
class Detector:
    """How maps of a run become objects.

    ``threshold``: a pixel is taken where map >= threshold; ``low_threshold``: grown into down to this value.
    ``false_alarm``: the share of the pixels of kept-out pictures WITHOUT that is taken; ``rates`` and ``thresholds``:
    the thresholds that take at most other shares. ``pictures``: how many such pictures there were. ``object_size``: the
    typical object, by which objects are cut out of the maps; None where too few were found.
    """

    threshold: float
    low_threshold: float
    false_alarm: float
    rates: tuple[float, ...]
    thresholds: tuple[float, ...]
    pictures: int
    object_size: ObjectSize | None = None
    unit: str = "pixel"
    kept_out_scores: dict[str, float] = field(default_factory=dict)
    """``psnr`` (dB), ``residual`` and ``flip_rate`` on the kept-out pictures (see ``DistinctionModel.explain``), and
    their ``separation`` (see ``choice``); ``background``: mean map of pictures WITHOUT over that of WITH;
    ``taken``: share of the pixels of pictures WITH that reach the threshold."""
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


def calibrate(without_maps: Sequence[Array], with_maps: Sequence[Array], map_kind: str) -> Detector:
    """Threshold from maps (H x W each), pooled over their pixels: of pictures WITHOUT that were kept out of training,
    and of pictures WITH.

    The threshold parts the pixels of pictures WITH in two. Few of a placed map's pixels are more than faint, and
    minimum cross-entropy (Li & Tam 1998) suits such a distribution; other maps are more evenly spread, and there the
    greatest variance between the two parts (Otsu 1979) does. A rate of false alarms in pictures WITHOUT, the usual
    criterion, depends on a few strong pixels of what may be a dozen pictures; here they only tell what share of their
    pixels is taken, at this and at other thresholds. No label of a pixel is used.

    Raises
    ------
    ValueError
        There are no maps of one of the folders.
    """
    if not without_maps or not with_maps:
        raise ValueError("no map to calibrate on")
    nothing, something = (
        np.concatenate([map_HW.ravel() for map_HW in maps]).astype(np.float32) for maps in (without_maps, with_maps)
    )
    threshold = parting(something, map_kind)
    return Detector(
        threshold=threshold,
        low_threshold=threshold,
        false_alarm=float((nothing >= threshold).mean()),
        rates=RATES,
        thresholds=tuple(threshold_for(nothing, rate) for rate in RATES),
        pictures=len(without_maps),
    )


def parting(values: Array, map_kind: str) -> float:
    """The value > 0 that parts the pixels of maps of one kind in two; above the greatest where all are the same."""
    from skimage.filters import threshold_li, threshold_otsu

    greatest = float(values.max())
    if float(values.min()) == greatest:
        return float(np.nextafter(np.float32(max(greatest, 0)), np.float32(np.inf)))
    rule: Callable[[Array], float] = threshold_li if map_kind == "placed" else threshold_otsu
    return float(rule(values))


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
        if values.get("object_size") is not None:
            values["object_size"] = ObjectSize(**values["object_size"])
        return Detector(**values)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged; make it anew with `detect calibrate`") from error


def write_detector(run: Path, detector: Detector) -> None:
    """Write ``RUN/detector.json``."""
    write_text(run / DETECTOR, json.dumps(asdict(detector), indent=2) + "\n")
