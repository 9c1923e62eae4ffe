"""`calibrate`: the threshold that gives a stated rate of false alarms, from maps of pictures that hold nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.extraction import find_objects, smooth
from detect.extraction_settings import extraction_config
from detect.scores.bootstrap import resampling_weights
from distmap.common.detection_settings import DetectionSettings, Unit

Map = NDArray[np.floating[Any]]

# The table that other rates are read from.
_PIXEL_RATES = np.logspace(-5, -1, 33)
# Thresholds at which objects are counted: those with these fractions of pixels above them.
_OBJECT_FRACTIONS = np.concatenate([[0.0], np.logspace(-6, -0.7, 48)])
_LEAST_THRESHOLD = 1e-6
# Fraction of the pixels that is kept in order: the highest ones.
_MOST_PIXELS = 0.25

UNCALIBRATED = DetectionSettings(threshold=1.0, false_alarm=0.001)


@dataclass(frozen=True, kw_only=True)
class CalibrationReport:
    """A calibration and how far to trust it. Rates are fractions of pixels, or objects a picture, as the unit says."""

    settings: DetectionSettings
    expected: float
    """Rate that was asked for."""
    reached: float
    """Rate at the threshold on the pictures that gave it; at most `expected`."""
    measured: float | None
    """Rate on pictures that did not take part: a threshold from either half of the groups, tried on the other."""
    objects_per_picture: float
    """False objects a picture at the threshold, after clean-up."""
    threshold_interval: tuple[float, float] | None
    """95 % bootstrap interval of the threshold over groups; None for a single group."""
    groups: int

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, the detection settings among them as ``detector``."""
        content = dataclasses.asdict(self)
        return {"detector": content.pop("settings"), **content}


def calibrate(
    maps: Iterable[Map],
    *,
    false_alarm: float = 0.001,
    unit: Unit = "pixel",
    settings: DetectionSettings = UNCALIBRATED,
    groups: Sequence[str] | None = None,
    samples: int = 200,
    seed: int = 0,
) -> CalibrationReport:
    """Find the least threshold whose rate of false alarms on empty pictures is at most the one asked for.

    Parameters
    ----------
    maps
        Maps of pictures without the thing; their smoothed values are kept, 4 bytes a pixel.
    false_alarm
        Fraction of pixels at or above the threshold (before clean-up), in (0, 0.25); or objects a picture (after
        clean-up).
    settings
        What is calibrated anew: all but its thresholds, rates and unit stays, and counts here, too. The low threshold
        keeps its ratio.
    groups
        Group (patient, scene) of each map; groups are drawn and held out as a whole. None: each map for itself.
    samples
        Bootstrap draws.

    Raises
    ------
    ValueError
        No map, a rate outside its range, or a map that is not finite.
    """
    _check_rate(false_alarm, unit)
    smoothed = [smooth(map_HW, settings.smoothing) for map_HW in maps]
    if not smoothed:
        raise ValueError("no picture to calibrate on")
    names = [str(index) for index in range(len(smoothed))] if groups is None else list(groups)
    if len(names) != len(smoothed):
        raise ValueError(f"{len(names)} groups for {len(smoothed)} maps")
    _, group_N = np.unique(np.array(names), return_inverse=True)
    single = dataclasses.replace(settings, low_threshold=None)

    def count_objects(map_HW: NDArray[np.float32], threshold: float) -> int:
        """Of a map that is smoothed already."""
        return len(find_objects(map_HW, extraction_config(single, threshold=threshold, overrides={"smoothing": 0.0})))

    counter: _Pixels | _Objects
    counter = _Pixels(smoothed, group_N) if unit == "pixel" else _Objects(smoothed, group_N, count_objects)
    everyone = np.ones(group_N.max() + 1, np.int64)
    threshold = counter.threshold(false_alarm, everyone)
    rates, thresholds = counter.table(everyone)
    return CalibrationReport(
        settings=dataclasses.replace(
            settings,
            threshold=threshold,
            low_threshold=_low_threshold(settings, threshold),
            false_alarm=false_alarm,
            rates=rates,
            thresholds=thresholds,
            pictures=len(smoothed),
            unit=unit,
        ),
        expected=false_alarm,
        reached=counter.rate(threshold, everyone),
        measured=_held_out(counter, false_alarm, everyone.size, seed),
        objects_per_picture=sum(count_objects(map_HW, threshold) for map_HW in smoothed) / len(smoothed),
        threshold_interval=_interval(counter, false_alarm, everyone.size, samples, seed),
        groups=everyone.size,
    )


def _check_rate(false_alarm: float, unit: Unit) -> None:
    if unit not in ("pixel", "object"):
        raise ValueError(f"unit {unit!r} is neither pixel nor object")
    most = _MOST_PIXELS if unit == "pixel" else float("inf")
    if not 0 < false_alarm < most:
        raise ValueError(f"false alarm {false_alarm}: give a rate above 0 and below {most} ({unit}s)")


def _low_threshold(settings: DetectionSettings, threshold: float) -> float | None:
    """Beside a new threshold, in the same ratio."""
    if settings.low_threshold is None:
        return None
    return threshold * (settings.low_threshold / settings.threshold)


def _held_out(counter: _Pixels | _Objects, false_alarm: float, groups: int, seed: int) -> float | None:
    if groups < 2:
        return None
    half = np.zeros(groups, np.int64)
    half[np.random.default_rng(seed).permutation(groups)[: groups // 2]] = 1
    sides = [(half, 1 - half), (1 - half, half)]
    return float(np.mean([counter.rate(counter.threshold(false_alarm, fit), test) for fit, test in sides]))


def _interval(
    counter: _Pixels | _Objects, false_alarm: float, groups: int, samples: int, seed: int
) -> tuple[float, float] | None:
    if groups < 2 or samples < 2:
        return None
    drawn = [counter.threshold(false_alarm, weights) for weights in resampling_weights(groups, samples, seed)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


class _Pixels:
    """Pixels of all maps in descending order, each with its group; a group's weight says how often it counts."""

    def __init__(self, maps: Sequence[NDArray[np.float32]], group_N: NDArray[np.intp]) -> None:
        values = np.concatenate([map_HW.ravel() for map_HW in maps])
        owners = np.repeat(group_N.astype(np.int32), [map_HW.size for map_HW in maps])
        tail = min(values.size, int(values.size * _MOST_PIXELS) + 1)
        kept = np.argpartition(values, values.size - tail)[values.size - tail :]
        order = kept[np.argsort(-values[kept], kind="stable")]
        self._values = values[order]
        self._owners = owners[order]
        self._sizes = np.bincount(owners, minlength=int(group_N.max()) + 1)

    def threshold(self, rate: float, weights: NDArray[np.int64]) -> float:
        total = int(self._sizes @ weights)
        count = min(self._values.size, int(rate * total * 4) + 1000)
        while True:
            above = np.cumsum(weights[self._owners[:count]])
            if above[-1] > rate * total or count == self._values.size:
                break
            count = min(self._values.size, count * 4)
        # The first pixel that would be one too many sets the threshold: just above it.
        place = int(np.searchsorted(above, rate * total, side="right"))
        if place == self._values.size:
            return max(float(self._values[-1]), _LEAST_THRESHOLD)
        return max(float(np.nextafter(self._values[place], np.float32(np.inf))), _LEAST_THRESHOLD)

    def rate(self, threshold: float, weights: NDArray[np.int64]) -> float:
        count = int(np.searchsorted(-self._values, -np.float32(threshold), side="right"))
        return float(weights[self._owners[:count]].sum() / (self._sizes @ weights))

    def table(self, weights: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        thresholds = [self.threshold(float(rate), weights) for rate in _PIXEL_RATES]
        return tuple(_PIXEL_RATES.tolist()), tuple(thresholds)


class _Objects:
    """Objects of every group at a ladder of thresholds, highest first."""

    def __init__(
        self,
        maps: Sequence[NDArray[np.float32]],
        group_N: NDArray[np.intp],
        count: Callable[[NDArray[np.float32], float], int],
    ) -> None:
        values = np.concatenate([map_HW.ravel() for map_HW in maps])
        # Just above the highest value there is no object; below, a step for each fraction of pixels.
        ladder = np.quantile(values, 1 - _OBJECT_FRACTIONS)
        ladder[0] = np.nextafter(ladder[0], np.float32(np.inf), dtype=np.float32)
        self._thresholds = np.unique(np.maximum(ladder, _LEAST_THRESHOLD))[::-1]
        groups = int(group_N.max()) + 1
        self._pictures = np.bincount(group_N, minlength=groups)
        counts_TG = np.zeros((self._thresholds.size, groups))
        for step, threshold in enumerate(self._thresholds.tolist()):
            for map_HW, group in zip(maps, group_N.tolist(), strict=True):
                counts_TG[step, group] += count(map_HW, threshold)
        self._counts_TG = counts_TG

    def _rates(self, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        rates = self._counts_TG @ weights / (self._pictures @ weights)
        # Where objects grow together there are fewer of them again: that is no fewer false alarms.
        return np.asarray(np.maximum.accumulate(rates))

    def threshold(self, rate: float, weights: NDArray[np.int64]) -> float:
        allowed = np.flatnonzero(self._rates(weights) <= rate)
        return float(self._thresholds[allowed[-1] if allowed.size else 0])

    def rate(self, threshold: float, weights: NDArray[np.int64]) -> float:
        step = int(np.argmin(np.abs(self._thresholds - threshold)))
        return float(self._counts_TG[step] @ weights / (self._pictures @ weights))

    def table(self, weights: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        rates, last = np.unique(self._rates(weights)[::-1], return_index=True)
        thresholds = self._thresholds[::-1][last]
        kept = rates > 0
        return tuple(rates[kept].tolist()), tuple(thresholds[kept].tolist())
