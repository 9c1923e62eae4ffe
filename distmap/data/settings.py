"""How pictures become batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from distmap.common.kinds import BatchSize, Count

Symmetry = Literal["none", "mirror", "all"]


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """How pictures become batches."""

    group: str | None = None
    """Regular expression; files whose first group agrees are either all trained on or all kept for validation."""
    holdout: Annotated[float, Gt(0), Lt(1)] = 0.15
    """Fraction of each folder kept out of training for validation: to choose and score by."""
    symmetry: Symmetry = "mirror"
    """What leaves the label alone: nothing, left-right mirroring, or all flips and right-angle turns."""
    batch_size: BatchSize = 8
    """Pictures a step, half of them of each class."""
    cache_mb: Annotated[int, Ge(0), Le(10**9)] = 4096
    """Memory for decoded pictures; those beyond it are read again each time."""
    whole_slack: Annotated[float, Ge(1), Le(1000)] = 1.25
    """Pictures up to so many times as long as the longest one trained on are seen whole; larger ones in windows."""
    tail: Annotated[float, Ge(0), Lt(0.5)] = 0.0005
    """Fraction of values cut at either end when the scaling of 16-bit or float pictures is decided."""
    sampled_pixels: Count = 4096
    """About so many pixels of each picture help to decide the scaling."""
