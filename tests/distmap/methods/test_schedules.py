from __future__ import annotations

import pytest

from distmap.methods.schedules import one_cycle


def test_learning_rate_goes_up_and_down_again() -> None:
    assert one_cycle(0) == pytest.approx(1 / 25)
    assert one_cycle(0.1) == pytest.approx((1 + 1 / 25) / 2)
    assert one_cycle(0.2) == pytest.approx(1)
    assert one_cycle(0.6) == pytest.approx(0.5)
    assert one_cycle(1) == pytest.approx(0)
