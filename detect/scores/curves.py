"""Curves behind the scores, as data and as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detect.detections import Detections
from detect.scores.objects import centre_matches
from detect.scores.ranking import Ranking
from detect.scores.risk import RiskCoverage
from distmap.common.extras import need
from distmap.common.files import filling, replacing, write_json

_MOST_POINTS = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Points of a curve, the greatest threshold first."""

    title: str
    x_label: str
    y_label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    """Map value, score or confidence at and above which things count."""


def pixel_precision_recall(ranking: Ranking) -> Curve:
    """Precision against recall of pixels; of many thresholds, a thousand spread evenly over recall are kept."""
    recall = ranking.hits / max(ranking.hits[-1], 1) if ranking.hits.size else np.zeros(0)
    precision = ranking.hits / np.maximum(ranking.hits + ranking.false_alarms, 1)
    kept = np.arange(recall.size)
    if recall.size > _MOST_POINTS:
        kept = np.unique(np.searchsorted(recall, np.linspace(recall[0], 1, _MOST_POINTS)).clip(max=recall.size - 1))
    return Curve(
        title="Pixels",
        x_label="recall",
        y_label="precision",
        x=recall[kept],
        y=precision[kept],
        thresholds=ranking.thresholds[kept].astype(float),
    )


def object_precision_recall(
    found: Sequence[Detections], truth: Sequence[Detections], *, use_categories: bool = True
) -> Curve:
    """Precision against recall of objects, a hit being a centre inside a free truth box."""
    scores, hits, alarms, true = _object_counts(found, truth, use_categories)
    return Curve(
        title="Objects (centre hits)",
        x_label="recall",
        y_label="precision",
        x=hits / max(true, 1),
        y=hits / np.maximum(hits + alarms, 1),
        thresholds=scores,
    )


def free_response(found: Sequence[Detections], truth: Sequence[Detections], *, use_categories: bool = True) -> Curve:
    """FROC: fraction of true objects that are hit against false alarms a picture."""
    scores, hits, alarms, true = _object_counts(found, truth, use_categories)
    return Curve(
        title="Free response (centre hits)",
        x_label="false alarms a picture",
        y_label="true objects hit",
        x=alarms / max(len(found), 1),
        y=hits / max(true, 1),
        thresholds=scores,
    )


def risk_curve(found: RiskCoverage) -> Curve:
    """Risk against coverage; the thresholds are confidences of pictures."""
    return Curve(
        title="Surest pictures first",
        x_label="coverage",
        y_label="risk (1 - mean dice)",
        x=np.array(found.coverage),
        y=np.array(found.risk),
        thresholds=np.array(found.confidence),
    )


def _object_counts(
    found: Sequence[Detections], truth: Sequence[Detections], use_categories: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], int]:
    """Distinct scores, descending; hits and false alarms at or above each; true objects."""
    matches = centre_matches(found, truth, use_categories=use_categories)
    scores = np.array([1.0 if item.score is None else item.score for item, _ in matches], float)
    hit = np.array([hit for _, hit in matches], bool)
    thresholds = np.unique(scores)[::-1]
    order = np.argsort(-scores, kind="stable")
    reached = np.searchsorted(-scores[order], -thresholds, side="right")
    hits = np.append(0, np.cumsum(hit[order]))[reached]
    return thresholds, hits, reached - hits, sum(len(picture.instances) for picture in truth)


def write_curves(folder: Path, curves: Mapping[str, Curve]) -> None:
    """Write ``curves.json`` (title, labels and points by name) and ``<name>.png`` for each curve.

    Raises
    ------
    ValueError
        Matplotlib is not installed.
    """
    need("matplotlib", extra="report")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    content = {
        name: {
            "title": curve.title,
            "x_label": curve.x_label,
            "y_label": curve.y_label,
            "x": curve.x.tolist(),
            "y": curve.y.tolist(),
            "thresholds": curve.thresholds.tolist(),
        }
        for name, curve in curves.items()
    }
    with filling(folder) as temporary:
        write_json(temporary / "curves.json", content)
        for name, curve in curves.items():
            figure = Figure(figsize=(5, 4), layout="constrained")
            axes = figure.add_subplot()
            axes.plot(curve.x, curve.y, marker="." if curve.x.size < 30 else "")
            axes.set(title=curve.title, xlabel=curve.x_label, ylabel=curve.y_label, ylim=(0, 1.02))
            axes.set_xlim(0, 1.02 if curve.x_label in ("recall", "coverage") else max(0.1, *curve.x.tolist(), 0) * 1.02)
            axes.grid(alpha=0.3)
            FigureCanvasAgg(figure)
            with replacing(temporary / f"{name}.png") as unfinished:
                figure.savefig(unfinished)
