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
    return Budget(resolve(overrides={"training": training, "student": student}), start=1000.0)


def test_a_student_gets_its_fraction_of_the_time(clock: Clock) -> None:
    alone = budget({"rounds": 0}, time_limit=100.0)
    shared = budget({"rounds": 1, "time_fraction": 0.25}, time_limit=100.0)
    clock.now = 1045.0
    assert alone.progress(1) == 0.5  # of 90 seconds
    assert shared.progress(1) == pytest.approx(2 / 3)  # of 67.5 seconds
    clock.now = 1075.0
    spent = shared.students_time()  # 75 of 100 seconds are over; by 95 it must be done
    assert spent() == 0
    clock.now = 1085.0
    assert spent() == pytest.approx(0.5)
    clock.now = 1100.0
    assert shared.students_time()() == 1


def test_a_part_may_begin_late_and_has_its_time_all_the_same(clock: Clock) -> None:
    late = budget({"rounds": 0}, time_limit=100.0)
    clock.now = 1040.0
    spent, until = late.fraction_from_now(0.2), late.until_finished()
    assert (spent(), until()) == (0, 0)
    clock.now = 1050.0
    assert spent() == pytest.approx(0.5)
    assert until() == pytest.approx(10 / 54)  # by 94 seconds the method must be finished
    clock.now = 1095.0
    assert late.until_finished()() == 1


def test_what_finishes_may_ask_for_a_fraction_of_what_is_left(clock: Clock) -> None:
    late = budget({"rounds": 0}, time_limit=100.0, finish_by=0.9)
    clock.now = 1050.0
    half = late.until_finished(0.5)
    clock.now = 1060.0
    assert half() == pytest.approx(0.5)  # of 20 of 40 seconds


def test_the_choice_is_late_after_its_deadline(clock: Clock) -> None:
    alone = budget({"rounds": 0}, time_limit=100.0)
    shared = budget({"rounds": 1, "time_fraction": 0.25}, time_limit=100.0)
    clock.now = 1073.0
    assert not alone.choice_is_late()
    assert shared.choice_is_late()  # by 96 % of 75 seconds
    clock.now = 1097.0
    assert alone.choice_is_late()


def test_deadlines_are_settings(clock: Clock) -> None:
    hasty = budget({"rounds": 1, "train_by": 0.8, "time_fraction": 0.5}, time_limit=100.0, train_by=0.5, choose_by=0.95)
    clock.now = 1020.0
    assert hasty.progress(1) == pytest.approx(20 / 25)  # the student has the other half of the limit
    clock.now = 1070.0
    spent = hasty.students_time()
    clock.now = 1075.0
    assert spent() == pytest.approx(0.5)


def test_without_a_limit_the_steps_count(clock: Clock) -> None:
    unlimited = budget({"rounds": 2}, steps=8, time_limit=None)
    clock.now = 9999.0
    assert [unlimited.progress(steps) for steps in (0, 2, 8)] == [0, 0.25, 1]
    assert not unlimited.choice_is_late()
    assert unlimited.students_time()() == unlimited.fraction_from_now(0.1)() == unlimited.until_finished()() == 0


def test_what_is_over_first_ends_the_training(clock: Clock) -> None:
    both = budget({"rounds": 0}, steps=10, time_limit=100.0)
    assert both.progress(9) == pytest.approx(0.9)
    clock.now = 1090.0
    assert both.progress(1) == 1
