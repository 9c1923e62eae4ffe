"""Risk against coverage: what is gained where people look at the doubtful pictures and trust the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_POINTS = 101
COVERAGES = (1.0, 0.9, 0.8, 0.5)
"""At which the Dice of the pictures kept is told."""


@dataclass(frozen=True, kw_only=True)
class RiskCoverage:
    """Pictures are kept in order of their confidence, the surest first; the risk is 1 - mean Dice of those kept."""

    coverage: list[float]
    """Fractions of the pictures that are kept, ascending up to 1; at most `MOST_POINTS`."""
    risk: list[float]
    """Of the pictures kept, for each coverage."""
    confidence: list[float]
    """The least of the pictures kept, for each coverage."""
    aurc: float
    """Area under the curve: mean risk over all coverages k / n; less is better."""
    aurc_random: float
    """What pictures in a random order have on average: the mean risk."""
    aurc_best: float
    """What pictures have in the order of their Dice."""
    dice_at: dict[str, float]
    """Mean Dice of the pictures kept, by coverage: "1.0", "0.9", "0.8", "0.5"."""


def risk_coverage(confidence: Sequence[float], dice: Sequence[float]) -> RiskCoverage:
    """The curve of risk against coverage, its area and the bounds of that (Geifman et al. 2019, arXiv 1805.08206).

    Pictures of equal confidence come in no order: each counts as the mean of them, which is what a random order among
    them gives on average.

    Parameters
    ----------
    confidence
        Of each picture, finite.
    dice
        Of each picture, within 0..1.

    Raises
    ------
    ValueError
        There is no picture, or their numbers differ.
    """
    if not confidence or len(confidence) != len(dice):
        raise ValueError(f"{len(confidence)} confidences and {len(dice)} Dice scores, there must be one a picture")
    confidence_N, loss_N = np.asarray(confidence, float), 1 - np.asarray(dice, float)
    count = len(loss_N)
    risk_N = _risks(confidence_N, loss_N)
    kept = np.unique(np.linspace(1, count, min(count, MOST_POINTS)).round().astype(int))
    return RiskCoverage(
        coverage=(kept / count).tolist(),
        risk=risk_N[kept - 1].tolist(),
        confidence=np.sort(confidence_N)[::-1][kept - 1].tolist(),
        aurc=float(risk_N.mean()),
        aurc_random=float(loss_N.mean()),
        aurc_best=float(_risks(-loss_N, loss_N).mean()),
        dice_at={str(coverage): 1 - float(risk_N[_pictures(coverage, count) - 1]) for coverage in COVERAGES},
    )


def _risks(confidence_N: NDArray[np.float64], loss_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean loss of the 1, 2, ... surest pictures."""
    _, group_N, sizes = np.unique(-confidence_N, return_inverse=True, return_counts=True)
    means = np.bincount(group_N, loss_N) / sizes
    return np.asarray(np.cumsum(np.repeat(means, sizes)) / np.arange(1, len(loss_N) + 1))


def _pictures(coverage: float, count: int) -> int:
    """How many pictures are kept, so that it is no less than the coverage."""
    return math.ceil(round(coverage * count, 6))
