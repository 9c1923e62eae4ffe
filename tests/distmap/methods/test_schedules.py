"""How learning rates change over a training."""

from __future__ import annotations

import pytest

from distmap.methods.schedules import OneCycle


def test_learning_rate_goes_up_and_down_again() -> None:
    schedule = OneCycle()
    assert schedule(0) == pytest.approx(1 / 25)
    assert schedule(0.1) == pytest.approx((1 + 1 / 25) / 2)
    assert schedule(0.2) == pytest.approx(1)
    assert schedule(0.6) == pytest.approx(0.5)
    assert schedule(1) == pytest.approx(0)


def test_settings_say_how_long_it_rises_and_from_where() -> None:
    schedule = OneCycle(warm_up=0.5, first=0.2)
    assert [schedule(progress) for progress in (0, 0.25, 0.5, 0.75, 1)] == pytest.approx([0.2, 0.6, 1, 0.5, 0])
