"""Scores of a ranking: how well values tell what is true from what is not. Exact, ties included."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]


class Ranking:
    """Values of true and of false items (pixels, pictures), and the scores of their order.

    The values are kept once, sorted (4 bytes a pixel for float32 maps), and nothing is binned, so scores equal those of
    the definitions to rounding.

    Parameters
    ----------
    true, false
        Values of the items of either kind, one-dimensional, finite. Both are copied.
    """

    def __init__(self, true: Values, false: Values) -> None:
        self._true = np.sort(true)
        self.false = np.sort(false)
        """Values of the false items, ascending."""
        # Every score changes only where the threshold passes a true value.
        self.thresholds: Values = np.unique(self._true)[::-1]
        """Distinct values of true items, descending."""
        self.hits = self._true.size - np.searchsorted(self._true, self.thresholds, side="left")
        """True items at or above each threshold."""
        self.false_alarms = self.false.size - np.searchsorted(self.false, self.thresholds, side="left")
        """False items at or above each threshold."""

    def average_precision(self) -> float | None:
        """Sum of precision times gain in recall over all thresholds (scikit-learn's); None without true items."""
        if self._true.size == 0:
            return None
        precision = self.hits / (self.hits + self.false_alarms)
        return float(np.sum(np.diff(self.hits, prepend=0) / self._true.size * precision))

    def auroc(self) -> float | None:
        """Probability that a true item has the greater value, ties half; None unless there are items of both kinds."""
        if self._true.size == 0 or self.false.size == 0:
            return None
        count = np.diff(self.hits, prepend=0).astype(float)
        below = np.searchsorted(self.false, self.thresholds, side="left")
        ties = np.searchsorted(self.false, self.thresholds, side="right") - below
        return float(np.sum(count * (below + ties / 2)) / self._true.size / self.false.size)

    def best_dice(self) -> tuple[float, float] | None:
        """Greatest Dice of any threshold, and that threshold; None without true items."""
        if self._true.size == 0:
            return None
        dice = 2 * self.hits / (self._true.size + self.hits + self.false_alarms)
        best = int(np.argmax(dice))
        return float(dice[best]), float(self.thresholds[best])
