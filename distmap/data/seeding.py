"""Randomness as a function of (seed, stream, step): a resumed run draws what an uninterrupted one would have drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def _seed(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


def step_generator(seed: int, stream: int, step: int) -> torch.Generator:
    """A CPU generator for one step of one stream of draws."""
    return torch.Generator().manual_seed(_seed(seed, stream, step))


@contextmanager
def seeded_networks(seed: int, stream: int) -> Iterator[None]:
    """Networks made inside get weights that depend on (seed, stream) alone; torch's global state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_seed(seed, stream))
        yield
