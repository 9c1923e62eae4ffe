"""Slices of a volume: which are WITH and WITHOUT, what their level alone tells, and their bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detect.scores.ranking import Ranking
from pipelines.scans.volumes import Volume

ROUNDING = 1e-9  # of a level
LEVELS = 10  # bins of the level when its AUROC is measured


@dataclass(frozen=True, kw_only=True, eq=False)
class Slice:
    """A slice that was chosen: its number, its level (0 the lowest of the case, 1 the highest), its label.

    ``part``: the hemisphere that it is of, ``left`` or ``right``; empty where slices are whole.
    """

    case: str
    number: int
    level: float
    tumour: bool
    part: str = ""

    @property
    def stem(self) -> str:
        """Of its files: ``<case>_<number>``, and the hemisphere."""
        return "_".join(filter(None, (self.case, f"{self.number:03d}", self.part)))


def choose_slices(case: str, volume: Volume, *, min_tumour: int, min_brain: float) -> list[Slice]:
    """Slices with enough brain that hold enough tumour, or none at all."""
    brain_Z = np.count_nonzero(volume.brain, axis=(1, 2))
    tumour_Z = np.count_nonzero(volume.tumour_ZHW, axis=(1, 2))
    enough = np.flatnonzero(brain_Z >= min_brain * brain_Z.max())
    lowest, highest = enough[0], enough[-1]
    return [
        Slice(
            case=case,
            number=int(number),
            level=float((number - lowest) / max(1, highest - lowest)),
            tumour=bool(tumour_Z[number]),
        )
        for number in enough
        if tumour_Z[number] == 0 or tumour_Z[number] >= min_tumour
    ]


def slice_picture(volume: Volume, number: int, neighbours: int) -> NDArray[np.uint8]:
    """A slice and ``neighbours`` slices either side of it as bands, uint8, H x W x C.

    From the lowest slice to the highest, each with its bands in the volume's order; beyond the ends of the volume the
    last slice is repeated.
    """
    numbers = np.arange(number - neighbours, number + neighbours + 1).clip(0, len(volume.picture_ZHWC) - 1)
    return np.concatenate([volume.picture_ZHWC[at] for at in numbers], axis=-1)


def is_near(level: float, levels: Sequence[float], margin: float) -> bool:
    """Whether one of the levels is at most ``margin`` away."""
    return any(abs(level - other) <= margin + ROUNDING for other in levels)


def level_auroc(slices: Sequence[Slice]) -> float | None:
    """AUROC of the level alone, in tenths, between slices WITH and slices WITHOUT; None unless there are both.

    Each tenth counts by its fraction of slices WITH, so a class that has the middle to itself is seen as well.
    """
    levels = np.array([min(int(piece.level * LEVELS), LEVELS - 1) for piece in slices], int)
    tumour = np.array([piece.tumour for piece in slices], bool)
    total_L = np.bincount(levels, minlength=LEVELS)
    fraction_L = np.bincount(levels, weights=tumour, minlength=LEVELS) / np.maximum(total_L, 1)
    return Ranking(fraction_L[levels[tumour]], fraction_L[levels[~tumour]]).auroc()
