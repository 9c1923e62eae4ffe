"""How well numbers tell two classes apart."""

from __future__ import annotations

from collections.abc import Sequence


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Area under the ROC curve: how often a positive is greater than a negative; a tie counts half.

    Raises
    ------
    ValueError
        There are none of one class.
    """
    from scipy.stats import rankdata

    if not positive or not negative:
        raise ValueError("no pictures of one class to tell apart")
    ranks = rankdata([*positive, *negative])
    count, others = len(positive), len(negative)
    return float((ranks[:count].sum() - count * (count + 1) / 2) / (count * others))
