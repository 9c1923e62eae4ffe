"""Randomness as a function of (seed, stream, step): a resumed run draws what an uninterrupted one would have drawn.

Streams keep draws for different ends apart; no two ends share one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

SPLIT, BATCHES, NETWORKS, STEPS, JUDGE, LOCALIZER, PICTURE_GUIDE = range(1, 8)
STUDENT = 100  # and those after it: one a round
MEMBER_STRIDE = 1000  # between the streams of the localizer's members, past all others


def _seed(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


def step_rng(seed: int, stream: int, step: int) -> torch.Generator:
    """A CPU generator for one step of one stream."""
    return torch.Generator().manual_seed(_seed(seed, stream, step))


@contextmanager
def seeded_networks(seed: int, stream: int) -> Iterator[None]:
    """Networks made inside get weights that depend on (seed, stream) alone; torch's global state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_seed(seed, stream))
        yield
