"""The thresholds of the slider."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detect.report.cards import MOST_LEVELS
from detect.report.ladder import threshold_ladder


def test_ends_and_the_middle() -> None:
    ladder = threshold_ladder(0.0195425897, 3.0)
    assert len(ladder) == 23
    assert ladder[11] == 0.0195425897
    assert ladder[0] == 0.00195
    assert ladder[-1] == pytest.approx(0.0195425897 * 10 ** (11 / 12), rel=0.01)


def test_nothing_above_what_the_maps_reach() -> None:
    assert threshold_ladder(0.9, 1.0)[-1] < 1.0
    assert threshold_ladder(0.9, 0.5)[-1] == 0.9  # no map reaches the threshold
    assert len(threshold_ladder(0.9, 0.5)) == 12


@given(st.floats(1e-320, 1e308), st.floats(-1, 1e308))
def test_rising_and_few(chosen: float, highest: float) -> None:
    ladder = threshold_ladder(chosen, highest)
    assert chosen in ladder
    assert list(ladder) == sorted(set(ladder))
    assert ladder[0] > 0
    assert len(ladder) <= MOST_LEVELS
