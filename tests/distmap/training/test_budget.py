from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from distmap.config import resolve
from distmap.training.budget import Budget


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def budget(student: Mapping[str, Any], **training: Any) -> Budget:
    return Budget(resolve(overrides={"training": training, "student": student}), begun=1000.0)


def test_a_student_gets_its_share_of_the_time(clock: Clock) -> None:
    alone = budget({"rounds": 0}, time_limit=100.0)
    shared = budget({"rounds": 1, "time_share": 0.25}, time_limit=100.0)
    clock.now = 1044.0
    assert alone.trained(1) == 0.5  # of 88 seconds
    assert shared.trained(1) == pytest.approx(2 / 3)  # of 66 seconds
    assert not alone.over(0.5)
    assert shared.over(0.5)
    clock.now = 1075.0
    spent = shared.students_time()  # 75 of 100 seconds are over; by 95 it must be done
    assert spent() == 0
    clock.now = 1085.0
    assert spent() == pytest.approx(0.5)
    clock.now = 1100.0
    assert shared.students_time()() == 1


def test_time_for_painting_shrinks_once_a_student_is_decided_on(clock: Clock) -> None:
    open_ = budget({"time_share": 0.3}, time_limit=100.0)
    assert open_.rounds is None
    clock.now = 1044.0
    assert open_.trained(1) == 0.5
    open_.rounds = 1
    assert open_.trained(1) == pytest.approx(5 / 7)  # of 70 % of that time
    open_.rounds = 0
    assert open_.trained(1) == 0.5


def test_a_part_may_begin_late_and_has_its_time_all_the_same(clock: Clock) -> None:
    late = budget({"rounds": 0}, time_limit=100.0)
    clock.now = 1040.0
    spent, until = late.time_for(0.2), late.time_until(0.6)
    assert (spent(), until()) == (0, 0)
    clock.now = 1050.0
    assert spent() == pytest.approx(0.5)
    assert until() == pytest.approx(0.5)
    assert late.time_until(0.5)() == 1


def test_without_a_limit_the_steps_count(clock: Clock) -> None:
    unlimited = budget({"rounds": 2}, steps=8, time_limit=None)
    clock.now = 9999.0
    assert [unlimited.trained(steps) for steps in (0, 2, 8)] == [0, 0.25, 1]
    assert not unlimited.over(0.01)
    assert unlimited.students_time()() == unlimited.time_for(0.1)() == unlimited.time_until(0.1)() == 0


def test_what_is_over_first_ends_the_training(clock: Clock) -> None:
    both = budget({"rounds": 0}, steps=10, time_limit=100.0)
    assert both.trained(9) == pytest.approx(0.9)
    clock.now = 1088.0
    assert both.trained(1) == 1
