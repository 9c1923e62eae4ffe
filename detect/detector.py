"""The calibration that a run carries: which threshold gives which rate of false alarms, and the clean-up."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from detect.detections import DEFAULT_CATEGORY
from detect.extraction import ExtractionConfig, ThresholdRule
from distmap.common.files import replacing
from distmap.common.object_size import ObjectSize

# What follows the typical object: radii in multiples of its diameter, the least area in multiples of its area, the gap
# over which pieces are joined in multiples of its width; the neck and the halo do not depend on it. The second line is
# where objects are not countable.
OPEN, CLOSE, LEAST, NECK, GAP, HALO = 0.1, 0.0, 0.25, 0.9, 0.5, 0.45
OPEN_ELSE, CLOSE_ELSE, LEAST_ELSE = 0.05, 0.05, 0.05


def following(size: ObjectSize) -> dict[str, Any]:
    """The settings of `ExtractionConfig` that follow the typical object. Where objects are not countable nothing is
    split or joined, no halo is left out, and little is opened."""
    if size.countable:
        open_radius, close_radius, least, neck, gap, halo = OPEN, CLOSE, LEAST, NECK, GAP, HALO
    else:
        open_radius, close_radius, least, neck, gap, halo = OPEN_ELSE, CLOSE_ELSE, LEAST_ELSE, 0.0, 0.0, 0.0
    return {
        "object_size": size,
        "open_radius": open_radius * size.diameter,
        "close_radius": close_radius * size.diameter,
        "min_area": math.ceil(least * size.area),
        "neck": neck,
        "join_gap": gap * size.width,
        "halo": halo,
    }


@dataclass(frozen=True, kw_only=True)
class Detector:
    """Contents of ``detector.json``. Lengths and areas in pixels, thresholds in the map's own unit.

    Raises
    ------
    ValueError
        The table of rates is not a table, or a threshold is not a finite number above 0.
    """

    threshold: float
    false_alarm: float
    """Share of WITHOUT pixels at or above `threshold`, or objects in a WITHOUT picture, as `unit` says."""
    object_size: ObjectSize | None = None
    """The typical object, which the extraction follows, see `following`."""
    low_threshold: float | None = None
    rates: tuple[float, ...] = ()
    """False-alarm rates of the table, each above 0."""
    thresholds: tuple[float, ...] = ()
    """The threshold for each of `rates`."""
    smoothing: float = 0.0
    min_area: float = 1
    """This and the two radii count where no object size is known."""
    open_radius: float = 0.0
    close_radius: float = 0.0
    pictures: int = 0
    """WITHOUT pictures behind the calibration."""
    unit: str = "pixel"

    def __post_init__(self) -> None:
        if len(self.rates) != len(self.thresholds):
            raise ValueError(f"{len(self.rates)} rates and {len(self.thresholds)} thresholds, they must go together")
        numbers = (self.threshold, *self.thresholds, *self.rates)
        if not all(math.isfinite(number) for number in numbers) or self.threshold <= 0:
            raise ValueError(f"threshold {self.threshold}: thresholds must be finite, the one in use above 0")

    def threshold_at(self, false_alarm: float) -> float:
        """Threshold for another false-alarm rate, from the table, linear in the logarithm of the rate.

        Raises
        ------
        ValueError
            The table does not reach this rate.
        """
        table = sorted(
            (rate, threshold) for rate, threshold in zip(self.rates, self.thresholds, strict=True) if rate > 0
        )
        if not table:
            raise ValueError("the run's detector.json holds no table of false-alarm rates; run `detect calibrate`")
        if not table[0][0] <= false_alarm <= table[-1][0]:
            raise ValueError(f"false alarm {false_alarm}: the calibration reaches from {table[0][0]} to {table[-1][0]}")
        import numpy as np

        rates, thresholds = zip(*table, strict=True)
        return float(np.interp(math.log(false_alarm), np.log(rates), thresholds))

    def config(
        self,
        *,
        threshold: float | ThresholdRule | None = None,
        false_alarm: float | None = None,
        min_area: int | None = None,
        object_size: ObjectSize | None = None,
        category: str = DEFAULT_CATEGORY,
        settings: Mapping[str, Any] = MappingProxyType({}),
    ) -> ExtractionConfig:
        """Settings for extraction.

        Parameters
        ----------
        threshold, false_alarm
            In place of the calibration's; one of them. The low threshold keeps its ratio; a rule has no low one.
        object_size
            In place of the one found; what follows it follows this one.
        settings
            Any settings of `ExtractionConfig`, by name; they count more than all else.
        """
        if threshold is not None and false_alarm is not None:
            raise ValueError("give a threshold or a false-alarm rate, not both")
        high = self.threshold if false_alarm is None else self.threshold_at(false_alarm)
        high = settings.get("threshold", high if threshold is None else threshold)
        low = None
        if self.low_threshold is not None and not isinstance(high, str):
            low = high * (self.low_threshold / self.threshold)
        size = settings.get("object_size", self.object_size if object_size is None else object_size)
        values: dict[str, Any] = {
            "threshold": high,
            "low_threshold": low,
            "smoothing": self.smoothing,
            "category": category,
        }
        if size is None:
            values |= {
                "close_radius": self.close_radius,
                "open_radius": self.open_radius,
                "min_area": math.ceil(self.min_area),
            }
        else:
            values |= following(size)
        if min_area is not None:
            values["min_area"] = min_area
        return ExtractionConfig(**{**values, **settings})

    def write(self, path: Path) -> None:
        """Write ``detector.json``; what else an existing file holds stays in it."""
        kept = _load(path) if path.is_file() else {}
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(kept | dataclasses.asdict(self), indent=2, allow_nan=False) + "\n")


def read_detector(path: str | Path) -> Detector:
    """Read ``detector.json``; keys that are not known are ignored.

    Raises
    ------
    ValueError
        The file is not such a file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: not there; is the folder a run whose `distmap fit` has ended?")
    content = _load(path)
    known = {field.name for field in dataclasses.fields(Detector)}
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in content.items() if key in known
    }
    try:
        if values.get("object_size") is not None:
            values["object_size"] = ObjectSize(**values["object_size"])
        return Detector(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def _load(path: Path) -> dict[str, Any]:
    try:
        content: Any = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds {type(content).__name__}, expected one object")
    return content
