"""Risk against coverage: values worked out by hand, random orders, and the best order as the bound."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detect.scores.curves import risk_curve
from detect.scores.risk import risk_coverage

# Few distinct values, so that ties come up all the time.
pictures = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 8)), min_size=1, max_size=30)


def test_three_pictures_by_hand() -> None:
    found = risk_coverage([0.5, 0.9, 0.7], [0.0, 0.8, 1.0])
    assert found.coverage == pytest.approx([1 / 3, 2 / 3, 1])
    assert found.risk == pytest.approx([0.2, 0.1, 0.4])
    assert found.confidence == [0.9, 0.7, 0.5]
    assert found.aurc == pytest.approx(0.7 / 3)
    assert found.aurc_random == pytest.approx(0.4)
    assert found.aurc_best == pytest.approx((0 + 0.1 + 0.4) / 3)
    # Of three, 0.9 and 0.8 keep all, and 0.5 keeps two.
    assert found.dice_at == pytest.approx({"1.0": 0.6, "0.9": 0.6, "0.8": 0.6, "0.5": 0.9})


def test_a_tenth_and_a_fifth_are_left_out() -> None:
    found = risk_coverage([index / 10 for index in range(10)], [0.0, 0.25, *[1.0] * 8])
    assert found.dice_at == pytest.approx({"1.0": 0.825, "0.9": 8.25 / 9, "0.8": 1.0, "0.5": 1.0})


def test_the_order_of_the_dice_is_the_best_and_the_other_way_round_the_worst() -> None:
    dice = [0.1, 0.9, 0.5, 0.7]
    best, worst = risk_coverage(dice, dice), risk_coverage([1 - value for value in dice], dice)
    assert best.aurc == best.aurc_best < best.aurc_random < worst.aurc


def test_ties_count_as_a_random_order_does() -> None:
    """All orders of the three tied pictures, one by one."""
    dice = [0.0, 0.5, 0.9, 1.0]
    tied = risk_coverage([0.3, 0.3, 0.3, 0.8], dice)
    orders = [
        risk_coverage([*[0.3 + 0.01 * place for place in places], 0.8], dice)
        for places in itertools.permutations(range(3))
    ]
    np.testing.assert_allclose(tied.risk, np.mean([order.risk for order in orders], axis=0))
    assert tied.aurc == pytest.approx(np.mean([order.aurc for order in orders]))
    alike = risk_coverage([0.5] * 4, dice)
    assert alike.aurc == pytest.approx(alike.aurc_random)


@given(pictures)
def test_no_order_is_better_than_the_best(items: list[tuple[int, int]]) -> None:
    confidence, dice = [item[0] / 4 for item in items], [item[1] / 8 for item in items]
    found = risk_coverage(confidence, dice)
    assert found.aurc_best <= found.aurc + 1e-12
    assert found.aurc_best <= found.aurc_random + 1e-12
    assert found.risk[-1] == pytest.approx(found.aurc_random)
    assert found.dice_at["1.0"] == pytest.approx(sum(dice) / len(dice))
    order = sorted(range(len(items)), key=lambda index: index % 3)
    again = risk_coverage([confidence[index] for index in order], [dice[index] for index in order])
    assert again.risk == pytest.approx(found.risk), "the order in the file says nothing"


def test_a_random_order_has_the_mean_risk(rng: np.random.Generator) -> None:
    dice = rng.random(50).tolist()
    areas = [risk_coverage(rng.random(50).tolist(), dice).aurc for _ in range(2000)]
    assert np.mean(areas) == pytest.approx(risk_coverage([0.0] * 50, dice).aurc_random, abs=0.01)


def test_long_curves_are_thinned(rng: np.random.Generator) -> None:
    confidence, dice = rng.random(5000), rng.random(5000)
    found = risk_coverage(confidence.tolist(), dice.tolist())
    assert len(found.coverage) == len(found.risk) == len(found.confidence) == 101
    assert (found.coverage[0], found.coverage[-1]) == (1 / 5000, 1)
    losses = 1 - dice[np.argsort(-confidence)]
    risks = [losses[: round(coverage * 5000)].mean() for coverage in found.coverage]
    assert found.risk == pytest.approx(risks)
    assert found.aurc == pytest.approx(np.mean([losses[:kept].mean() for kept in range(1, 5001)]))
    assert len(risk_coverage([0.5] * 101, [1.0] * 101).coverage) == 101


def test_the_curve_has_the_same_points() -> None:
    found = risk_coverage([0.5, 0.9], [0.0, 0.8])
    curve = risk_curve(found)
    assert (curve.x.tolist(), curve.y.tolist()) == (found.coverage, found.risk)
    assert curve.thresholds.tolist() == [0.9, 0.5]


def test_there_is_one_of_each_a_picture() -> None:
    for confidence, dice in (([], []), ([0.5], [1.0, 0.5])):
        with pytest.raises(ValueError, match="there must be one a picture"):
            risk_coverage(confidence, dice)
