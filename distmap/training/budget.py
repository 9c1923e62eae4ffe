"""How the steps and the time of a fit are shared out between the networks."""

from __future__ import annotations

import time
from collections.abc import Callable

from distmap.config import Config

LOCATOR_SHARE = 0.2  # of the time for painting, for the locator at most
GUIDE_SHARE = 0.05  # of the same, for the picture guide at most, where there is one
TRAINING_SHARE = 0.88  # of the same, by when the generator must be done
JUDGE_SHARE = 0.925  # by when the judge must be
CHOICE_SHARE = 0.945  # by when earlier weights must have been looked at
STUDENT_SHARE = 0.95  # of the whole time limit, by when the student must be done


class Budget:
    """The steps and the time of a fit that began at ``begun`` (of ``time.monotonic``).

    The time for painting is all of the time limit, less ``student.time_share`` of it where students are to come.
    ``rounds``: how many; None as long as that is open.
    """

    def __init__(self, config: Config, begun: float) -> None:
        self._training = config.training
        self._students_share = config.student.time_share
        self._begun = begun
        self.rounds = None if config.student.rounds == "auto" else config.student.rounds

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._begun

    def trained(self, steps: int) -> float:
        """The share of the generator's training that is over after so many steps; done from 1 on."""
        shares = [0.0]
        if self._training.steps is not None:
            shares.append(steps / self._training.steps)
        limit = self._painting_limit()
        if limit is not None:
            shares.append(self.seconds / (TRAINING_SHARE * limit))
        return max(shares)

    def over(self, share: float) -> bool:
        """Whether this share of the time for painting is over; never without a limit."""
        limit = self._painting_limit()
        return limit is not None and self.seconds > share * limit

    def time_for(self, share: float) -> Callable[[], float]:
        """Tells what part is over of this share of the time for painting, beginning now; 0 without a limit."""
        limit = self._painting_limit()
        return self._time_until(None if limit is None else self.seconds + share * limit)

    def time_until(self, share: float) -> Callable[[], float]:
        """Tells what part is over of the time from now until this share of that for painting; 0 without a limit."""
        limit = self._painting_limit()
        return self._time_until(None if limit is None else share * limit)

    def students_time(self) -> Callable[[], float]:
        """Tells what part is over of the time from now until the students must be done; 0 without a limit."""
        limit = self._training.time_limit
        return self._time_until(None if limit is None else STUDENT_SHARE * limit)

    def _time_until(self, due: float | None) -> Callable[[], float]:
        if due is None:
            return lambda: 0.0
        before = self.seconds
        return lambda: (self.seconds - before) / (due - before) if due > before else 1.0

    def _painting_limit(self) -> float | None:
        limit = self._training.time_limit
        return limit * (1 - self._students_share) if limit is not None and self.rounds else limit
