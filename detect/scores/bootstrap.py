"""Bootstrap intervals: how far a score would move with other pictures of the same kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def resampling_weights(units: int, samples: int, seed: int = 0) -> NDArray[np.int64]:
    """How often each unit is drawn in each of `samples` draws of `units` with replacement: samples x units."""
    return np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=samples)


def ratio_interval(
    numerator: ArrayLike,
    denominator: ArrayLike,
    *,
    groups: Sequence[str] | None = None,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Percentile interval of sum(numerator) / sum(denominator) when units are drawn again with replacement.

    Dice pooled over pictures is such a ratio (2 both over found + true), and so is a mean (values over ones).

    Parameters
    ----------
    numerator, denominator
        One value a picture.
    groups
        Pictures of one group (a patient, a scene) are drawn together, since they are alike; None: one by one.

    Returns
    -------
    Lower and upper end; None for fewer than two units, or where a ratio is never defined.
    """
    pairs_N2: NDArray[Any] = np.column_stack([np.asarray(numerator, float), np.asarray(denominator, float)])
    if groups is not None:
        _, unit = np.unique(np.asarray(groups), return_inverse=True)
        totals_N2 = np.zeros((unit.max(initial=-1) + 1, 2))
        np.add.at(totals_N2, unit, pairs_N2)
        pairs_N2 = totals_N2
    if len(pairs_N2) < 2:
        return None
    drawn_S2 = resampling_weights(len(pairs_N2), samples, seed) @ pairs_N2
    defined_S2 = drawn_S2[drawn_S2[:, 1] > 0]
    if not len(defined_S2):
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(defined_S2[:, 0] / defined_S2[:, 1], [tail, 1 - tail])
    return float(low), float(high)
