"""The calibration that a run carries: which threshold gives which rate of false alarms, and the clean-up."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detect.detections import DEFAULT_CATEGORY
from detect.extraction import ExtractionConfig, ThresholdRule
from detect.files import whole_file


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
    smoothing: float = 0.0
    low_threshold: float | None = None
    rates: tuple[float, ...] = ()
    """False-alarm rates of the table, each above 0."""
    thresholds: tuple[float, ...] = ()
    """The threshold for each of `rates`."""
    min_area: float = 1
    open_radius: float = 0.0
    close_radius: float = 0.0
    split_distance: float = 0.0
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
        category: str = DEFAULT_CATEGORY,
    ) -> ExtractionConfig:
        """Settings for extraction. With another threshold the low one keeps its ratio to it; a rule has no low one."""
        if threshold is not None and false_alarm is not None:
            raise ValueError("give a threshold or a false-alarm rate, not both")
        high = self.threshold if threshold is None else threshold
        if false_alarm is not None:
            high = self.threshold_at(false_alarm)
        low = None
        if self.low_threshold is not None and not isinstance(high, str):
            low = high * (self.low_threshold / self.threshold)
        return ExtractionConfig(
            threshold=high,
            low_threshold=low,
            smoothing=self.smoothing,
            close_radius=self.close_radius,
            open_radius=self.open_radius,
            split_distance=self.split_distance,
            min_area=math.ceil(self.min_area) if min_area is None else min_area,
            category=category,
        )

    def write(self, path: Path) -> None:
        """Write ``detector.json``; what else an existing file holds stays in it."""
        kept = _load(path) if path.is_file() else {}
        with whole_file(path) as temporary:
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
