"""How sure a map is of a picture's mask: a number in 0..1 that orders pictures by how good their masks are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_probabilities(map_HW: NDArray[np.floating[Any]], threshold: float) -> NDArray[np.float32]:
    """A map without an upper bound as probabilities: m / (m + threshold) where it is above 0, else 0.

    So 0.5 is the threshold, as it is in the scores of objects.

    Raises
    ------
    ValueError
        The threshold is not above 0.
    """
    if not threshold > 0:
        raise ValueError(f"threshold {threshold}: must be above 0")
    positive_HW = np.maximum(map_HW, np.float32(0))
    return np.asarray(positive_HW / (positive_HW + np.float32(threshold)), np.float32)


def soft_dice_confidence(probability_HW: NDArray[np.floating[Any]], mask_HW: NDArray[np.bool_]) -> float:
    """Soft Dice Confidence: the Dice that the mask has where the probabilities are taken for the truth.

    2 sum(p m) / (sum(p) + sum(m)), near the Dice to be expected of the mask (Borges et al. 2024, "Soft Dice Confidence:
    A Near-Optimal Confidence Estimator for Selective Prediction in Semantic Segmentation", arXiv 2402.10665). That is 0
    for every empty mask, which says nothing, so an empty one has 1 - max(p): how sure it is that nothing is there.

    Parameters
    ----------
    probability_HW
        p, within 0..1.
    mask_HW
        m, of the same shape.

    Returns
    -------
    Within 0..1, 1 being certain.

    Raises
    ------
    ValueError
        The shapes differ, there is no pixel, or a probability is not within 0..1.
    """
    if probability_HW.shape != mask_HW.shape or not probability_HW.size:
        raise ValueError(f"probabilities of shape {probability_HW.shape} and a mask of shape {mask_HW.shape}")
    least, most = float(probability_HW.min()), float(probability_HW.max())
    if not (least >= 0 and most <= 1):
        raise ValueError(f"probabilities reach from {least} to {most}, they must be within 0..1")
    area = int(np.count_nonzero(mask_HW))
    if not area:
        return 1 - most
    inside = float(probability_HW[mask_HW].sum(dtype=np.float64))
    return min(1.0, 2 * inside / (float(probability_HW.sum(dtype=np.float64)) + area))
