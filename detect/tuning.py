"""`tune`: the extraction settings that do best on a little truth, kept beside the label-free ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from detect.detections import Detections
from detect.extraction import ExtractionConfig, find_objects
from detect.extraction_settings import extraction_config
from detect.scores.coco import coco_scores
from detect.scores.objects import centre_hits
from detect.scores.pixels import Overlap
from detect.settings import parse_settings
from detect.truth import TruthSet
from distmap.common.checked_files import checked
from distmap.common.detection_settings import DetectionSettings
from distmap.common.files import read_json, write_json

TUNED = "tuned.json"
TunedScore = Literal["ap50", "ap25", "centre_f1", "dice"]
ROUNDS = 2  # through all settings, each by itself
BETTER = 1e-4  # what is gained by less changes nothing


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Settings that were tuned, and what they give."""

    settings: tuple[str, ...]
    """Those that differ from the label-free ones, as ``KEY=VALUE``."""
    score: TunedScore
    """What was tuned for."""
    tuned: float
    """That score with these settings on the pictures that they were tuned on: in hindsight."""
    label_free: float
    """The same with the settings that need no truth."""
    held_out: float | None
    """The same on pictures that took no part: tuned on either half, scored on the other. None for a single group."""
    pictures: int

    def write(self, run: Path) -> None:
        """Write ``RUN/tuned.json``."""
        write_json(run / TUNED, dataclasses.asdict(self))


@dataclass(frozen=True, kw_only=True)
class _TunedFile:
    """What of ``RUN/tuned.json`` is read."""

    settings: tuple[str, ...]


def read_tuned(run: Path) -> dict[str, Any]:
    """The settings in ``RUN/tuned.json``, by name.

    Raises
    ------
    ValueError
        The file is not there, or is not such a file.
    """
    path = run / TUNED
    if not path.is_file():
        raise ValueError(f"{path}: not there; `detect tune` makes it")
    tuned: _TunedFile = checked(_TunedFile, read_json(path), path)
    try:
        settings = parse_settings(tuned.settings)
        # Whether all are within their ranges; thresholds of the run itself come later.
        ExtractionConfig(**{"threshold": settings.get("low_threshold") or 1.0, **settings})
    except ValueError as error:
        raise ValueError(f"{path}: {str(error).removeprefix('--set ')}; make it anew with `detect tune`") from None
    return settings


def tune(
    maps: Mapping[str, NDArray[np.float32]],
    truth: TruthSet,
    settings: DetectionSettings,
    *,
    score: TunedScore = "ap50",
    groups: Sequence[str] | None = None,
    category: str = "object",
    tell: Callable[[str], None] = lambda line: None,
) -> Tuning:
    """Find the settings that do best: one after the other is varied, the best kept, twice through all.

    Parameters
    ----------
    maps
        By picture name; those without truth take no part.
    settings
        Of the run; the search begins at its settings.
    groups
        Group (patient, scene) of each map, so that a group is held out as a whole. None: each map for itself.
    category
        Of the truth, where it names several; where it does not name this one, all count.
    tell
        Is told, in one line, of each setting that changes.

    Raises
    ------
    ValueError
        No map has truth, or there is no such score.
    """
    if score not in get_args(TunedScore):
        raise ValueError(f"score {score!r} is none of {', '.join(get_args(TunedScore))}")
    names = [name for name in maps if name in truth.pictures]
    if not names:
        raise ValueError("the truth knows none of the pictures that have maps")
    group_of = dict(zip(maps, maps if groups is None else groups, strict=True))
    samples = [_Sample(map_HW=maps[name], truth=_of(truth.pictures[name].objects, category, truth)) for name in names]
    start = extraction_config(settings, category=category)
    label_free = _rated(samples, start, score)
    best, tuned = _search(samples, start, score, tell)
    changed = [
        f"{name}={getattr(best, name)}" for name in _candidates(start) if getattr(best, name) != getattr(start, name)
    ]
    halves = _halves([group_of[name] for name in names])
    held_out = None
    if halves is not None:
        found = []
        for half in halves:
            inside = [sample for sample, kept in zip(samples, half, strict=True) if kept]
            outside = [sample for sample, kept in zip(samples, half, strict=True) if not kept]
            found.append(_rated(outside, _search(inside, start, score, lambda line: None)[0], score))
        held_out = float(np.mean(found))
    return Tuning(
        settings=tuple(changed),
        score=score,
        tuned=tuned,
        label_free=label_free,
        held_out=held_out,
        pictures=len(names),
    )


@dataclass(frozen=True, kw_only=True)
class _Sample:
    map_HW: NDArray[np.float32]
    truth: Detections


def _of(objects: Detections, category: str, truth: TruthSet) -> Detections:
    """The objects of the category, called so; of all where the truth does not name it."""
    known = {item.category for one in truth.pictures.values() for item in one.objects.instances}
    kept = [item for item in objects.instances if category not in known or item.category == category]
    return dataclasses.replace(objects, instances=tuple(dataclasses.replace(item, category=category) for item in kept))


def _halves(groups: Sequence[str]) -> tuple[list[bool], list[bool]] | None:
    """Which pictures are in either half; every other group, in order. None for a single group."""
    order = sorted(set(groups))
    if len(order) < 2:
        return None
    first = [order.index(group) % 2 == 0 for group in groups]
    return first, [not inside for inside in first]


def _search(
    samples: Sequence[_Sample], start: ExtractionConfig, score: TunedScore, tell: Callable[[str], None]
) -> tuple[ExtractionConfig, float]:
    best, reached = start, _rated(samples, start, score)
    for _ in range(ROUNDS):
        before = best
        for name, values in _candidates(start).items():
            for value in values:
                tried = _with(best, name, value)
                rating = _rated(samples, tried, score) if tried != best else reached
                if rating > reached + BETTER:
                    best, reached = tried, rating
                    tell(f"{name}={value}: {score} {rating:.3f}")
        if best == before:
            break
    return best, reached


def _with(config: ExtractionConfig, name: str, value: Any) -> ExtractionConfig:
    """The settings with another value for one; the low threshold keeps its ratio to the threshold."""
    if name == "threshold" and config.low_threshold is not None and not isinstance(config.threshold, str):
        # In this order rounding cannot lift it above the threshold.
        low = value * (config.low_threshold / config.threshold)
        return dataclasses.replace(config, threshold=value, low_threshold=low)
    return dataclasses.replace(config, **{name: value})


def _candidates(start: ExtractionConfig) -> dict[str, list[Any]]:
    """What is tried for each setting, in the order in which they are varied."""
    diameter = 10.0 if start.object_size is None else start.object_size.diameter
    values: dict[str, list[Any]] = {
        "threshold": [start.threshold * factor for factor in (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 8.0)]
        if not isinstance(start.threshold, str)
        else [],
        "halo": [0.0, 0.15, 0.3, 0.45, 0.6],
        "open_radius": [round(factor * diameter, 2) for factor in (0.0, 0.05, 0.1, 0.15, 0.2)],
        "close_radius": [round(factor * diameter, 2) for factor in (0.0, 0.05, 0.1)],
        "min_area": [round(factor * diameter**2) for factor in (0.0, 0.05, 0.1, 0.25, 0.4, 0.6)],
        "score": ["mass", "mean", "peak"],
    }
    if start.object_size is not None:
        values["neck"] = [0.0, 0.7, 0.8, 0.9, 0.95]
        values["join_gap"] = [round(factor * start.object_size.width, 2) for factor in (0.0, 0.25, 0.5, 1.0)]
    return values


def _rated(samples: Iterable[_Sample], config: ExtractionConfig, score: TunedScore) -> float:
    truth = [sample.truth for sample in samples]
    found = [dataclasses.replace(sample.truth, instances=find_objects(sample.map_HW, config)) for sample in samples]
    if score == "dice":
        overlaps = [Overlap.of(a.union_mask(), b.union_mask()) for a, b in zip(found, truth, strict=True)]
        return reduce(add, overlaps).dice or 0.0
    if score == "centre_f1":
        return centre_hits(found, truth).f1 or 0.0
    scores = coco_scores(found, truth)
    return (scores.ap50 if score == "ap50" else scores.ap25) or 0.0
