"""``RUN/detector.json``: how the maps of a run become objects. `distmap` writes it, `detect` goes by it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from distmap.common.checked_files import checked
from distmap.common.files import read_json, write_json
from distmap.common.object_size import ObjectSize

DETECTOR = "detector.json"

LARGEST_SIGMA = 100.0  # pixels; a Gaussian takes longer with it
LARGEST_RADIUS = 1000.0  # pixels, of the disks that open and close
LARGEST_AREA = 2**40

Unit = Literal["pixel", "object"]


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """What of `DetectionSettings` goes with the maps of one source; see there.

    Raises
    ------
    ValueError
        The threshold is not a finite number above 0.
    """

    threshold: float
    false_alarm: float
    rates: tuple[float, ...] = ()
    thresholds: tuple[float, ...] = ()
    object_size: ObjectSize | None = None

    def __post_init__(self) -> None:
        if not 0 < self.threshold < math.inf:
            raise ValueError(f"threshold {self.threshold}: must be above 0 and finite")


@dataclass(frozen=True, kw_only=True)
class DetectionSettings:
    """How the maps of a run become objects, and what is known of these maps.

    Lengths and areas are in pixels of the pictures, thresholds in the map's own unit.

    Raises
    ------
    ValueError
        The table of rates is not a table, a threshold is not a finite number above 0, or there is no such unit.
    """

    threshold: float
    """A pixel is taken where the map is at least this."""
    false_alarm: float
    """Share of WITHOUT pixels that is taken, or objects in a WITHOUT picture, as `unit` says."""
    low_threshold: float | None = None
    """Objects reach as far as the map is at least this; None: as `threshold`."""
    rates: tuple[float, ...] = ()
    """False-alarm rates of the table, each above 0."""
    thresholds: tuple[float, ...] = ()
    """The threshold for each of `rates`."""
    pictures: int = 0
    """WITHOUT pictures behind the rates."""
    unit: Unit = "pixel"
    """What a rate counts."""
    object_size: ObjectSize | None = None
    """The typical object, by which objects are cut out of the maps; None: not known, or too few were found."""
    smoothing: float = 0.0
    """Standard deviation of the Gaussian put on the map first; 0: none."""
    min_area: float = 1
    """Smaller objects are dropped; this and the two radii count where no object size is known."""
    open_radius: float = 0.0
    """Radius of the disk that removes what is thinner than the disk; 0: none."""
    close_radius: float = 0.0
    """Radius of the disk that closes gaps; 0: none."""
    validation_scores: dict[str, float] = field(default_factory=dict)
    """``psnr`` (dB), ``residual`` and ``flip_rate`` on pictures that training never saw, ``auroc`` of the two
    folders by their maps; ``background``: mean map of pictures WITHOUT over that of WITH; ``taken``: share of the
    pixels of pictures WITH that reach the threshold."""
    map_kind: str = ""
    """What the maps are made of."""
    step: int = 0
    """After which the weights were taken."""
    follow_edges: bool = True
    """Whether the maps follow the pictures' edges."""
    warnings: tuple[str, ...] = ()
    """What the scores say against the maps."""
    sources: dict[str, SourceSettings] = field(default_factory=dict)
    """What goes with the maps of each other source that the run has."""

    def __post_init__(self) -> None:
        for name, most in (
            ("smoothing", LARGEST_SIGMA),
            ("open_radius", LARGEST_RADIUS),
            ("close_radius", LARGEST_RADIUS),
        ):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} {getattr(self, name)}: must be from 0 to {most}")
        if not 0 <= self.min_area <= LARGEST_AREA:
            raise ValueError(f"min_area {self.min_area}: must be from 0 to {LARGEST_AREA}")
        if not 0 <= self.false_alarm < math.inf:
            raise ValueError(f"false_alarm {self.false_alarm}: must be at least 0, and finite")
        if self.low_threshold is not None and not 0 < self.low_threshold < math.inf:
            raise ValueError(f"low_threshold {self.low_threshold}: must be above 0 and finite")
        if len(self.rates) != len(self.thresholds):
            raise ValueError(f"{len(self.rates)} rates and {len(self.thresholds)} thresholds, they must go together")
        numbers = (self.threshold, *self.thresholds, *self.rates)
        if not all(math.isfinite(number) for number in numbers) or self.threshold <= 0:
            raise ValueError(f"threshold {self.threshold}: thresholds must be finite, the one in use above 0")
        if self.unit not in get_args(Unit):
            raise ValueError(f"unit {self.unit!r}: must be {' or '.join(get_args(Unit))}")

    def of_source(self, source: str) -> DetectionSettings:
        """The settings that go with the maps of a source; ``auto`` and the one in use: these.

        Raises
        ------
        ValueError
            The run has no maps of that source.
        """
        if source in ("auto", self.map_kind):
            return self
        if source not in self.sources:
            known = ", ".join(name for name in ("auto", self.map_kind, *self.sources) if name)
            raise ValueError(f"--source {source}: the run has no such maps; choose one of {known}")
        other = self.sources[source]
        return dataclasses.replace(
            self,
            map_kind=source,
            threshold=other.threshold,
            low_threshold=other.threshold,
            false_alarm=other.false_alarm,
            rates=other.rates,
            thresholds=other.thresholds,
            object_size=other.object_size,
        )

    def as_source(self) -> SourceSettings:
        """What of these goes with their maps alone."""
        return SourceSettings(
            threshold=self.threshold,
            false_alarm=self.false_alarm,
            rates=self.rates,
            thresholds=self.thresholds,
            object_size=self.object_size,
        )

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
            raise ValueError(f"the run's {DETECTOR} holds no table of false-alarm rates; run `detect calibrate`")
        if not table[0][0] <= false_alarm <= table[-1][0]:
            raise ValueError(f"false alarm {false_alarm}: the calibration reaches from {table[0][0]} to {table[-1][0]}")
        import numpy as np

        rates, thresholds = zip(*table, strict=True)
        return float(np.interp(math.log(false_alarm), np.log(rates), thresholds))


def read_detection_settings(run: str | Path) -> DetectionSettings:
    """Read ``RUN/detector.json``; keys that are not known are passed over.

    Parameters
    ----------
    run
        The folder, or the file itself.

    Raises
    ------
    ValueError
        The file is not there, or not such a file.
    """
    path = _file(Path(run))
    if not path.is_file():
        raise ValueError(
            f"{path}: not there; is the folder a run whose `distmap fit` has ended? `--resume` goes on with one that "
            "was stopped"
        )
    content = _content(path)
    settings: DetectionSettings = checked(DetectionSettings, content, path)
    return settings


def write_detection_settings(run: str | Path, settings: DetectionSettings) -> None:
    """Write ``RUN/detector.json`` in one move; what else an existing file holds stays in it.

    A score that is not finite says nothing and is left out.

    Parameters
    ----------
    run
        The folder, or the file itself.
    """
    path = _file(Path(run))
    kept = _content(path) if path.is_file() else {}
    content = dataclasses.asdict(settings)
    content["validation_scores"] = {
        name: value for name, value in settings.validation_scores.items() if math.isfinite(value)
    }
    write_json(path, kept | content, indent=2)


def _file(run: Path) -> Path:
    return run if run.name == DETECTOR else run / DETECTOR


def _content(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds {type(content).__name__}, expected one object")
    return content
