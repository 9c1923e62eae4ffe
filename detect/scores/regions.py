"""AUPRO: whether maps find every object, large or small, before they find background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]


def aupro(regions: Sequence[Values], background: Values, *, limit: float = 0.3) -> float | None:
    """Area under the per-region overlap curve up to a false-positive rate (Bergmann et al., IJCV 2021), over `limit`.

    The curve shows, for every threshold, the fraction of a region's pixels at or above it, averaged over the regions,
    against the fraction of background pixels at or above it. Every distinct value is a threshold; between them the
    curve is straight.

    Parameters
    ----------
    regions
        Map values of each region (true object), one-dimensional.
    background
        Map values of all pixels outside the truth.
    limit
        Greatest false-positive rate, in (0, 1].

    Returns
    -------
    0..1; None without regions or without background.
    """
    if not len(regions) or not background.size:
        return None
    values = np.concatenate(regions)
    weights = np.concatenate([np.full(region.size, 1 / region.size) for region in regions]) / len(regions)
    order = np.argsort(-values, kind="stable")
    thresholds, first = np.unique(-values[order], return_index=True)
    thresholds = -thresholds
    overlap = np.cumsum(weights[order])[np.append(first[1:], values.size) - 1]
    negative = np.sort(background)
    # Above a threshold, then at it: between two true values only background is added, at one both may be.
    above = (negative.size - np.searchsorted(negative, thresholds, side="right")) / negative.size
    at = (negative.size - np.searchsorted(negative, thresholds, side="left")) / negative.size
    rate = np.concatenate([[0.0], np.column_stack([above, at]).ravel(), [1.0]])
    fraction = np.concatenate([[0.0], np.column_stack([np.append(0.0, overlap[:-1]), overlap]).ravel(), [overlap[-1]]])
    inside = int(np.searchsorted(rate, limit, side="right"))
    beyond = min(inside, rate.size - 1)
    cut = np.interp(limit, rate[[inside - 1, beyond]], fraction[[inside - 1, beyond]])
    return float(np.trapezoid(np.append(fraction[:inside], cut), np.append(rate[:inside], limit)) / limit)
