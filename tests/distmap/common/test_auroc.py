"""How well numbers tell two classes apart."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from distmap.common.auroc import auroc


def test_auroc_is_the_area_under_the_curve(rng: np.random.Generator) -> None:
    with_, without = rng.integers(3, 12, 40).tolist(), rng.integers(0, 9, 30).tolist()
    expected = roc_auc_score([1] * 40 + [0] * 30, with_ + without)
    assert auroc(with_, without) == pytest.approx(expected)
    assert auroc([2.0], [1.0]) == 1
    assert auroc([1.0, 1.0], [1.0]) == 0.5


def test_auroc_needs_both_classes() -> None:
    for positive, negative in (([1.0], []), ([], [1.0])):
        with pytest.raises(ValueError, match="no pictures of one class"):
            auroc(positive, negative)
