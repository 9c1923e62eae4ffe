"""How learning rates change over a training."""

from __future__ import annotations

import math

WARM_UP = 0.2  # share of the training in which the rate rises
FIRST = 1 / 25  # of the highest rate


def one_cycle(share: float) -> float:
    """Factor on the learning rate after a ``share`` of the training: up from 1/25 over the first fifth, then down to 0,
    both along a cosine (Smith & Topin 2018).

    What trains until its time is up asks for the share of the time, so that it has cooled down whenever it ends.
    """
    if share < WARM_UP:
        return FIRST + (1 - FIRST) * (1 - math.cos(math.pi * share / WARM_UP)) / 2
    return (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP))) / 2
