"""How sure a map is of its mask, against values worked out by hand."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from distmap.common.confidence import as_probabilities, soft_dice_confidence

sides = st.shared(hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), key="shape")
probabilities = hnp.arrays(np.float32, sides, elements=st.floats(0, 1, width=32))
masks = hnp.arrays(bool, sides)


def test_by_hand() -> None:
    probability_HW = np.array([[0.9, 0.7, 0.2], [0.0, 0.2, 0.0]])
    found_HW = probability_HW >= 0.5
    assert soft_dice_confidence(probability_HW, found_HW) == pytest.approx(2 * 1.6 / (2.0 + 2))
    assert soft_dice_confidence(probability_HW, np.ones((2, 3), bool)) == pytest.approx(2 * 2.0 / (2.0 + 6))
    assert soft_dice_confidence(probability_HW, np.zeros((2, 3), bool)) == pytest.approx(0.1)
    assert soft_dice_confidence(np.zeros((2, 3)), np.ones((2, 3), bool)) == 0


def test_what_is_certain_is_1() -> None:
    true_HW = np.eye(4, dtype=bool)
    assert soft_dice_confidence(true_HW.astype(np.float32), true_HW) == 1
    assert soft_dice_confidence(np.zeros((4, 4)), np.zeros((4, 4), bool)) == 1


@given(probabilities, masks)
def test_it_is_the_dice_where_the_probabilities_are_the_truth(
    probability_HW: NDArray[np.float32], mask_HW: NDArray[np.bool_]
) -> None:
    assert 0 <= soft_dice_confidence(probability_HW, mask_HW) <= 1
    true_HW = probability_HW >= 0.5
    if mask_HW.any():
        dice = 2 * (true_HW & mask_HW).sum() / (true_HW.sum() + mask_HW.sum())
        assert soft_dice_confidence(true_HW.astype(np.float32), mask_HW) == pytest.approx(dice)


def test_maps_as_probabilities() -> None:
    map_HW = np.array([[-2.0, 0.0, 0.1], [0.3, 0.9, 1e30]], np.float32)
    probability_HW = as_probabilities(map_HW, 0.3)
    assert probability_HW.dtype == np.float32
    np.testing.assert_allclose(probability_HW, [[0, 0, 0.25], [0.5, 0.75, 1]], rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "found", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2), bool), r"shape \(2, 3\) and a mask of shape \(3, 2\)"),
        (np.zeros((0, 3)), np.zeros((0, 3), bool), "shape"),
        (np.array([[-0.1, 0.5]]), np.ones((1, 2), bool), r"from -0\.1 to 0\.5"),
        (np.array([[0.0, 1.5]]), np.ones((1, 2), bool), r"from 0\.0 to 1\.5"),
        (np.array([[0.0, np.nan]]), np.ones((1, 2), bool), "from nan to nan"),
    ],
)
def test_what_is_no_probability_is_refused(values: NDArray[np.float64], found: NDArray[np.bool_], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        soft_dice_confidence(values, found)


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan")])
def test_a_threshold_is_above_0(threshold: float) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        as_probabilities(np.ones((2, 2), np.float32), threshold)


def test_it_needs_no_torch() -> None:
    code = "import sys, distmap.common.confidence; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
