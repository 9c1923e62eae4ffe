"""The line that brings a file's numbers to [-1, 1], decided once from the training folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distmap.common.picture_files import PictureError
from distmap.common.pictures import Array

MOST_BANDS = 4096
FLOAT32 = 3.4e38  # the greatest number that float32 has, about
NUMBER_KINDS = frozenset({"float", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))})


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """The line that brings each band to [-1, 1]: ``low`` -> -1, ``high`` -> 1, cut beyond; and what it applies to."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    dtype: str

    def __post_init__(self) -> None:
        whole = all(-FLOAT32 <= low < high <= FLOAT32 for low, high in zip(self.low, self.high, strict=False))
        if not (whole and 1 <= len(self.low) == len(self.high) <= MOST_BANDS):
            raise ValueError(
                f"scaling from {self.low} to {self.high}: each of 1 to {MOST_BANDS} bands must have a finite low value "
                "and a higher one"
            )
        if self.dtype not in NUMBER_KINDS:
            raise ValueError(f"dtype {self.dtype[:80]!r}: must be one of {', '.join(sorted(NUMBER_KINDS))}")

    @property
    def bands(self) -> int:
        return len(self.low)

    def check(self, picture_HWC: NDArray[np.generic], path: str | Path) -> None:
        """Raise PictureError where a picture's bands or number type are not those the scaling was made for."""
        if picture_HWC.shape[-1] != self.bands:
            raise PictureError(
                f"{path}: has {picture_HWC.shape[-1]} band(s) where the training pictures have {self.bands}; convert it"
            )
        if number_kind(picture_HWC.dtype) != self.dtype:
            raise PictureError(
                f"{path}: has {number_kind(picture_HWC.dtype)} values where the training pictures have {self.dtype}; "
                "convert it"
            )

    def apply(self, picture_HWC: NDArray[np.generic]) -> Array:
        """Numbers of the file -> float32 in [-1, 1]."""
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        scaled = (picture_HWC.astype(np.float32) - low) * (2 / (high - low)) - 1
        return np.clip(scaled, -1, 1, out=scaled)

    def undo(self, scaled_HWC: Array) -> Array:
        """[-1, 1] -> numbers of the file, as float32."""
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        restored: Array = (scaled_HWC + 1) * ((high - low) / 2) + low
        return restored


def number_kind(dtype: np.dtype[np.generic]) -> str:
    """uint8, uint16, ... for integers; all floats count as one kind."""
    return "float" if dtype.kind == "f" else str(dtype)


def decide_scaling(samples_NC: NDArray[np.generic], tail: float) -> Scaling:
    """Scaling from pixels of the training pictures, N x C.

    8-bit: the range that occurs. 16-bit and float: the range without a fraction ``tail`` at either end, so that a few
    hot pixels do not squeeze everything else. A band that is constant is mapped to -1.
    """
    if samples_NC.dtype.itemsize == 1:
        low, high = samples_NC.min(axis=0).astype(float), samples_NC.max(axis=0).astype(float)
    else:
        low, high = np.quantile(samples_NC.astype(np.float64), [tail, 1 - tail], axis=0)
    # In float32, as the scaling is applied: a range that is lost there is as good as none.
    constant = high.astype(np.float32) <= low.astype(np.float32)
    high = np.where(constant, low + np.maximum(1, 1e-3 * np.abs(low)), high)
    return Scaling(low=tuple(map(float, low)), high=tuple(map(float, high)), dtype=number_kind(samples_NC.dtype))
