"""Scores of pixels: overlap of masks, likeness of a map and an effect, locality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Counts of pixels; add them up to pool pictures."""

    both: int = 0
    """Found and true."""
    found: int = 0
    true: int = 0

    @classmethod
    def of(cls, found_HW: NDArray[np.bool_], true_HW: NDArray[np.bool_]) -> Overlap:
        """Count the pixels of one picture."""
        return cls(
            both=int(np.count_nonzero(found_HW & true_HW)),
            found=int(np.count_nonzero(found_HW)),
            true=int(np.count_nonzero(true_HW)),
        )

    def __add__(self, other: Overlap) -> Overlap:
        return Overlap(both=self.both + other.both, found=self.found + other.found, true=self.true + other.true)

    @property
    def dice(self) -> float | None:
        """2 both / (found + true); None where nothing is found and nothing is true."""
        return 2 * self.both / (self.found + self.true) if self.found + self.true else None

    @property
    def iou(self) -> float | None:
        """Both / either; None where nothing is found and nothing is true."""
        either = self.found + self.true - self.both
        return self.both / either if either else None


def ncc(map_HW: NDArray[np.floating[Any]], effect_HW: NDArray[Any]) -> float | None:
    """Normalised cross-correlation of a map with an effect, in -1..1; None where either is constant."""
    map_centred = np.asarray(map_HW, float) - np.mean(map_HW, dtype=float)
    effect_centred = np.asarray(effect_HW, float) - np.mean(effect_HW, dtype=float)
    scale = float(np.sqrt(np.sum(map_centred**2) * np.sum(effect_centred**2)))
    return float(np.sum(map_centred * effect_centred) / scale) if scale > 0 else None


@dataclass(frozen=True, kw_only=True)
class Locality:
    """Sums of abs(map) outside and inside the truth; add them up to pool pictures."""

    outside: float = 0.0
    inside: float = 0.0
    pixels_outside: int = 0
    pixels_inside: int = 0

    @classmethod
    def of(cls, map_HW: NDArray[np.floating[Any]], true_HW: NDArray[np.bool_]) -> Locality:
        """Sum over one picture."""
        strength_HW = np.abs(map_HW)
        inside = float(strength_HW[true_HW].sum(dtype=float))
        count = int(np.count_nonzero(true_HW))
        return cls(
            outside=float(strength_HW[~true_HW].sum(dtype=float)),
            inside=inside,
            pixels_outside=true_HW.size - count,
            pixels_inside=count,
        )

    def __add__(self, other: Locality) -> Locality:
        return Locality(
            outside=self.outside + other.outside,
            inside=self.inside + other.inside,
            pixels_outside=self.pixels_outside + other.pixels_outside,
            pixels_inside=self.pixels_inside + other.pixels_inside,
        )

    @property
    def ratio(self) -> float | None:
        """Mean outside over mean inside; 0 is best; None where either is empty or the map is 0 inside."""
        if not self.pixels_outside or not self.pixels_inside or self.inside <= 0:
            return None
        return (self.outside / self.pixels_outside) / (self.inside / self.pixels_inside)
