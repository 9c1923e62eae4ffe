"""What the script of the page reads: plain values, in the order in which they are shown."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from detect.evaluation import Evaluation
from detect.report.cards import Card
from detect.report.glossary import CONFIDENCE, PAGE, TRUTH, VALIDATION
from detect.report.run_facts import RunFacts
from detect.tables import SCORE_ROWS
from distmap.common.detection_settings import DetectionSettings
from distmap.common.object_size import describe_objects

Rows = list[list[str]]

FIRST = ("pixel_ap", "dice", "dice_per_group", "ap50", "centre_f1", "image_auroc")
"""Scores that are shown at once; the others are in the table."""


def page_content(
    facts: RunFacts,
    settings: DetectionSettings,
    cards: Sequence[Card],
    scores: Evaluation | None,
    *,
    ladder: Sequence[float],
    command: Sequence[str],
) -> dict[str, Any]:
    """Everything on the page, of JSON's kinds.

    Parameters
    ----------
    ladder
        Thresholds of the slider, in the order of the cards' masks.
    command
        Words of the command to which ``--threshold`` is added.
    """
    return {
        "run": facts.name,
        "summary": _summary(facts, settings, cards),
        "warnings": list(settings.warnings),
        "validation": _validation(settings),
        "scores": None if scores is None else _scores(scores),
        "calibration": {
            "threshold": settings.threshold,
            "unit": "of the pixels" if settings.unit == "pixel" else "objects a picture",
            "rates": list(settings.rates),
            "thresholds": list(settings.thresholds),
            "pictures": settings.pictures,
        },
        "curves": [dataclasses.asdict(curve) for curve in facts.curves],
        "settings": [[key, _plain(value)] for key, value in facts.settings.items()],
        "glossary": [[name, text] for name, text in _glossary(settings, scores).items()],
        "thresholds": list(ladder),
        "chosen": list(ladder).index(settings.threshold),
        "command": shlex.join(command),
        "cards": [dataclasses.asdict(card) for card in cards],
    }


def _summary(facts: RunFacts, settings: DetectionSettings, cards: Sequence[Card]) -> Rows:
    rows = [["Run", facts.name]]
    rows += [[label, _plain(facts.settings[key])] for label, key in _NAMED if key in facts.settings]
    for side, label in (("train", "Trained on"), ("validation", "Validated on")):
        if side in facts.pictures:
            counts = facts.pictures[side]
            rows.append([label, f"{counts['with']} pictures WITH, {counts['without']} WITHOUT"])
    if settings.map_kind:
        rows.append(["Map", f"{settings.map_kind}, of step {settings.step}"])
    unit = "of the pixels" if settings.unit == "pixel" else "objects a picture"
    rate = f"{100 * settings.false_alarm:.2g} %" if settings.unit == "pixel" else f"{settings.false_alarm:.2g}"
    rows.append(["Threshold", f"{settings.threshold:.4g}"])
    rows.append(["False alarms", f"{rate} {unit}, on {settings.pictures} pictures WITHOUT"])
    rows.append(["Objects", describe_objects(settings.object_size)])
    sizes = sorted({(card.width, card.height) for card in cards})
    size = f"{sizes[0][0]} x {sizes[0][1]} pixels" if len(sizes) == 1 else "of several sizes"
    return [*rows, ["Pictures", f"{len(cards)}, {size}"]]


_NAMED = (("Method", "method"), ("Preset", "preset"), ("Image size", "image_size"), ("Seed", "seed"))


def _validation(settings: DetectionSettings) -> Rows:
    return [
        [name, f"{value:.4g}", VALIDATION.get(name, "")]
        for name, value in settings.validation_scores.items()
        if math.isfinite(value)
    ]


def _scores(scores: Evaluation) -> dict[str, Any]:
    rows = []
    for name, family, text in SCORE_ROWS:
        value = getattr(scores, name)
        if value is not None and math.isfinite(value):
            ends = scores.intervals.get(name)
            interval = "" if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"
            rows.append([family, name, f"{value:.4g}", interval, TRUTH.get(name, text)])
    risk = scores.risk_coverage
    if risk is not None:
        rows.append(["confidence", "aurc", f"{risk.aurc:.4g}", "", CONFIDENCE["aurc"]])
        at = [(f"dice_at {coverage}", dice) for coverage, dice in risk.dice_at.items()]
        rows += [["confidence", name, f"{dice:.4g}", "", CONFIDENCE["dice_at"]] for name, dice in at]
    return {
        "pictures": scores.pictures,
        "without_truth": scores.pictures_without_truth,
        "found": scores.objects_found,
        "true": scores.objects_true,
        "boxes": scores.pixel_truth == "boxes",
        "risk": None if risk is None else {"coverage": risk.coverage, "dice": [1 - value for value in risk.risk]},
        "first": list(FIRST),
        "rows": rows,
    }


def _glossary(settings: DetectionSettings, scores: Evaluation | None) -> Mapping[str, str]:
    """Words that the page shows; those of scores stand in their tables, too."""
    known = {name: VALIDATION[name] for name in settings.validation_scores if name in VALIDATION}
    return {**PAGE, **known, **({} if scores is None else {**TRUTH, **CONFIDENCE})}


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
