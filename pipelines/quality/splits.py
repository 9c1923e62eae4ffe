"""Which groups (patients, cases, places, scenes) train and which are set aside: fixed, and the same for everybody."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

ORDER_SEED = 7


@dataclass(frozen=True, kw_only=True)
class SplitGroups:
    """Groups that train and groups that are scored; no group is both."""

    train: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        both = set(self.train) & set(self.test)
        if both:
            raise ValueError(f"group {min(both)}: trains and is scored; name it on one side")
        if not self.train or not self.test:
            raise ValueError(f"no group is left {'to train on' if not self.train else 'to be scored'}")


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """By lot: groups are sorted and then shuffled by ``numpy.random.default_rng(7)``; places count from 0."""

    first: int = 0
    """Place of the first group that is scored. Those before it are in neither split."""
    train_from: int
    """Place of the first group that trains; those from ``first`` to there are scored."""

    def apply(self, groups: Iterable[str]) -> SplitGroups:
        """Raises ValueError where there are too few groups."""
        order = sorted(set(groups))
        np.random.default_rng(ORDER_SEED).shuffle(order)
        return SplitGroups(train=tuple(order[self.train_from :]), test=tuple(order[self.first : self.train_from]))


@dataclass(frozen=True, kw_only=True)
class Named:
    """By name: groups that begin with one of some prefixes; others are in neither split."""

    train: tuple[str, ...]
    test: tuple[str, ...]

    def apply(self, groups: Iterable[str]) -> SplitGroups:
        """Raises ValueError where a group begins with prefixes of both sides, or a side has none."""
        available = sorted(set(groups))
        train, test = (tuple(name for name in available if name.startswith(side)) for side in (self.train, self.test))
        return SplitGroups(train=train, test=test)


Split: TypeAlias = Drawn | Named
