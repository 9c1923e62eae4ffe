"""How the steps and the time of a fit are divided between the method, the choice and the student."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distmap.config import Config


class Budget:
    """The steps and the time of a fit that started at ``start`` (of ``time.monotonic``).

    The method's time is all of the time limit, less ``student.time_fraction`` of it where students are to come.
    """

    def __init__(self, config: Config, start: float) -> None:
        self._training = config.training
        self._student = config.student
        self._start = start
        self.rounds = config.student.rounds

    @property
    def seconds(self) -> float:
        """Since it started."""
        return time.monotonic() - self._start

    def progress(self, steps: int) -> float:
        """The fraction of the training that is over after so many steps; done from 1 on."""
        fractions = [0.0]
        if self._training.steps is not None:
            fractions.append(steps / self._training.steps)
        limit = self._method_limit()
        if limit is not None:
            fractions.append(self.seconds / (self._training.train_by * limit))
        return max(fractions)

    def choice_is_late(self) -> bool:
        """Whether the time for choosing is over; never without a limit."""
        limit = self._method_limit()
        return limit is not None and self.seconds > self._training.choose_by * limit

    def fraction_from_now(self, fraction: float) -> Callable[[], float]:
        """Tells what part is over of this fraction of the method's time, starting now; 0 without a limit."""
        limit = self._method_limit()
        return self._until(None if limit is None else self.seconds + fraction * limit)

    def until_finished(self, fraction: float = 1.0) -> Callable[[], float]:
        """Tells what part is over of this fraction of the time from now until the method must be finished."""
        limit = self._method_limit()
        if limit is None:
            return self._until(None)
        left = self._training.finish_by * limit - self.seconds
        return self._until(self.seconds + fraction * left)

    def students_time(self) -> Callable[[], float]:
        """Tells what part is over of the time from now until the students must be done; 0 without a limit."""
        limit = self._training.time_limit
        return self._until(None if limit is None else self._student.train_by * limit)

    def _until(self, deadline: float | None) -> Callable[[], float]:
        if deadline is None:
            return lambda: 0.0
        before = self.seconds
        return lambda: (self.seconds - before) / (deadline - before) if deadline > before else 1.0

    def _method_limit(self) -> float | None:
        limit = self._training.time_limit
        return limit * (1 - self._student.time_fraction) if limit is not None and self.rounds else limit
