"""What the files of a run say of its training: settings, numbers of pictures, and curves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distmap.common.checked_files import LARGEST_RUN_FILE, parse_json, read_utf8, read_yaml_file
from distmap.common.files import read_json
from distmap.common.settings import flatten

CONFIG, DATASET, METRICS = "config.yaml", "dataset.json", "metrics.jsonl"
MOST_POINTS = 240  # of a curve
NOT_CURVES = frozenset({"step", "seconds"})


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One figure over the steps of a training."""

    name: str
    steps: list[float]
    values: list[float]


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Each is empty where the run has no such file."""

    name: str
    settings: dict[str, Any]
    """By dotted key."""
    pictures: dict[str, dict[str, int]]
    """Numbers of pictures: ``train`` and ``validation``, each ``with`` and ``without``."""
    curves: tuple[Curve, ...]


def read_run_facts(run: Path) -> RunFacts:
    """Read them; raises ValueError that names a file which is not what `distmap fit` writes."""
    return RunFacts(
        name=run.resolve().name,
        settings=_settings(run / CONFIG),
        pictures=_pictures(run / DATASET),
        curves=_curves(run / METRICS),
    )


def _settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content = read_yaml_file(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds {type(content).__name__}, expected settings by name")
    return {str(key): value for key, value in flatten(content).items()}


def _pictures(path: Path) -> dict[str, dict[str, int]]:
    if not path.is_file():
        return {}
    content = read_json(path)
    try:
        return {
            side: {name: len(content[side][name]) for name in ("with", "without")} for side in ("train", "validation")
        }
    except (KeyError, TypeError):
        raise ValueError(f"{path}: does not list the pictures of a run") from None


def _curves(path: Path) -> tuple[Curve, ...]:
    if not path.is_file():
        return ()
    points: dict[str, list[tuple[float, float]]] = {}
    # What follows the last line end was cut short by a crash.
    for number, line in enumerate(read_utf8(path, LARGEST_RUN_FILE).split("\n")[:-1], start=1):
        content = parse_json(line.encode("utf-8"), f"{path}: line {number}")
        if not isinstance(content, dict) or not _is_number(content.get("step")):
            raise ValueError(f"{path}: line {number}: is no object with a step")
        for name, value in content.items():
            if name not in NOT_CURVES and _is_number(value):
                points.setdefault(name, []).append((float(content["step"]), float(value)))
    return tuple(_thinned(name, found) for name, found in points.items())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _thinned(name: str, points: list[tuple[float, float]]) -> Curve:
    """At most 240 points, each the mean of as many neighbours as it needs."""
    parts = np.array_split(np.array(points), min(MOST_POINTS, len(points)))
    means = np.array([part.mean(axis=0) for part in parts])
    return Curve(
        name=name,
        steps=[float(f"{step:.6g}") for step in means[:, 0]],
        values=[float(f"{value:.4g}") for value in means[:, 1]],
    )
