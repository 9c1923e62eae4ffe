"""How maps are extracted: what follows from the settings of their run and the size of its objects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from detect.detections import DEFAULT_CATEGORY
from detect.extraction import ExtractionConfig, ThresholdRule
from distmap.common.detection_settings import LARGEST_RADIUS, DetectionSettings
from distmap.common.object_size import ObjectSize

# What follows the typical object: radii in multiples of its diameter, the least area in multiples of its area, the gap
# over which pieces are joined in multiples of its width; the neck and the halo do not depend on it. The second line is
# where objects are not countable.
OPEN, CLOSE, LEAST, NECK, GAP, HALO = 0.1, 0.0, 0.25, 0.9, 0.5, 0.45
OPEN_ELSE, CLOSE_ELSE, LEAST_ELSE = 0.05, 0.05, 0.05
PROBABILITIES = ("student", "localizer")  # kinds of maps whose values are probabilities


def size_settings(size: ObjectSize) -> dict[str, Any]:
    """The settings of `ExtractionConfig` that follow the typical object. Where objects are not countable nothing is
    split or joined, no halo is left out, and little is opened."""
    if size.countable:
        open_radius, close_radius, least, neck, gap, halo = OPEN, CLOSE, LEAST, NECK, GAP, HALO
    else:
        open_radius, close_radius, least, neck, gap, halo = OPEN_ELSE, CLOSE_ELSE, LEAST_ELSE, 0.0, 0.0, 0.0
    return {
        "object_size": size,
        "open_radius": min(LARGEST_RADIUS, open_radius * size.diameter),
        "close_radius": min(LARGEST_RADIUS, close_radius * size.diameter),
        "min_area": math.ceil(least * size.area),
        "neck": neck,
        "join_gap": min(LARGEST_RADIUS, gap * size.width),
        "halo": halo,
    }


def extraction_config(
    settings: DetectionSettings,
    *,
    threshold: float | ThresholdRule | None = None,
    false_alarm: float | None = None,
    min_area: int | None = None,
    object_size: ObjectSize | None = None,
    category: str = DEFAULT_CATEGORY,
    overrides: Mapping[str, Any] = MappingProxyType({}),
) -> ExtractionConfig:
    """How maps are extracted with the settings of their run.

    Parameters
    ----------
    settings
        Those of the run.
    threshold, false_alarm
        In place of the calibration's; one of them. The low threshold keeps its ratio; a rule has no low one.
    object_size
        In place of the one found; what follows it follows this one.
    overrides
        Any settings of `ExtractionConfig`, by name; they count more than all else.

    Raises
    ------
    ValueError
        A threshold and a rate of false alarms, or a rate that the calibration does not reach.
    """
    if threshold is not None and false_alarm is not None:
        raise ValueError("give a threshold or a false-alarm rate, not both")
    high = settings.threshold if false_alarm is None else settings.threshold_at(false_alarm)
    high = overrides.get("threshold", high if threshold is None else threshold)
    low = None
    if settings.low_threshold is not None and not isinstance(high, str):
        low = high * (settings.low_threshold / settings.threshold)
    size = overrides.get("object_size", settings.object_size if object_size is None else object_size)
    values: dict[str, Any] = {
        "threshold": high,
        "low_threshold": low,
        "smoothing": settings.smoothing,
        "category": category,
        "probabilities": settings.map_kind in PROBABILITIES,
    }
    if size is None:
        values |= {
            "close_radius": settings.close_radius,
            "open_radius": settings.open_radius,
            "min_area": math.ceil(settings.min_area),
        }
    else:
        values |= size_settings(size)
    if min_area is not None:
        values["min_area"] = min_area
    return ExtractionConfig(**{**values, **overrides})
