"""How learning rates change over a training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt, Lt

from distmap.common.kinds import UpToOne


@dataclass(frozen=True, kw_only=True)
class OneCycle:
    """Up from ``first`` over the ``warm_up``, then down to 0, both along a cosine (Smith & Topin 2018).

    What trains until its time is up asks for the fraction of the time, so that it has cooled down whenever it ends.
    """

    warm_up: Annotated[float, Gt(0), Lt(1)] = 0.2
    """Fraction of the training in which the rate rises."""
    first: UpToOne = 0.04
    """Of the highest rate."""

    def __call__(self, progress: float) -> float:
        """Factor on the learning rate after this fraction of the training."""
        if progress < self.warm_up:
            return self.first + (1 - self.first) * (1 - math.cos(math.pi * progress / self.warm_up)) / 2
        return (1 + math.cos(math.pi * (progress - self.warm_up) / (1 - self.warm_up))) / 2
