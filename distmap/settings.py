"""What all methods share: how long a fit takes, what it keeps on the way, and the student that may follow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from distmap.common.kinds import BatchSize, Channels, Count, NonNegative, Positive, UpToOne
from distmap.data.pasting import PasteSettings
from distmap.data.warping import WarpSettings
from distmap.methods.schedules import OneCycle

Deadline = Annotated[float, Gt(0), Le(1)]


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How long, how precisely, and what is kept on the way."""

    steps: Count | None = None
    """Steps to train; None: until the time is up."""
    time_limit: Positive | None = None
    """Seconds for the whole of ``fit``, calibration included; None: until the steps are done."""
    train_by: Deadline = 0.88
    """Fraction of the method's time by which the last step must be done,"""
    finish_by: Deadline = 0.925
    """by which the method must be finished (the branched GAN's judge),"""
    choose_by: Deadline = 0.945
    """and by which earlier weights must have been looked at."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """auto: bf16 where the device computes it natively."""
    schedule: OneCycle = field(default_factory=OneCycle)
    """Learning rates of classifiers and of the student."""
    candidates: tuple[UpToOne, ...] = (0.5, 0.75)
    """Fractions of the training after which weights are kept to choose from."""
    log_every: Count = 10
    """Steps between lines of ``metrics.jsonl``."""
    review_every: Count = 100
    """Steps between reviews, in which a method may change what goes wrong."""
    breakdowns: Annotated[int, Ge(0)] = 3
    """How often a loss that is not a number takes the training back to its last state before it is given up;"""
    breakdown_slowdown: Annotated[float, Gt(0), Lt(1)] = 0.5
    """learning rates are multiplied by this each time."""
    save_every: Positive = 60.0
    """Seconds between saved states."""
    sample_every: Positive = 60.0
    """Seconds between sample sheets."""


@dataclass(frozen=True, kw_only=True)
class StudentSettings:
    """The segmentation network (a U-Net) that learns what the maps are sure of, and then makes the maps itself."""

    rounds: Annotated[int, Ge(0), Le(100)] | Literal["auto"] = "auto"
    """How often one is trained; each after the first learns from the maps of the one before. 0: none; auto: once where
    edge contrast is low, so that maps cannot follow the thing's edges."""
    encoder: str = "resnet18"
    """Of segmentation-models-pytorch, by its name there."""
    encoder_weights: Literal["imagenet"] | None = None
    """imagenet: start from weights that are downloaded; None: from random ones."""
    encoder_depth: Annotated[int, Ge(3), Le(5)] = 4
    """Halvings of the size."""
    width: Channels = 8
    """Channels of the decoder's finest level; doubled a level."""
    max_side: Annotated[int, Ge(32), Le(8192)] = 128
    """It sees pictures at their own size, up to this longer side."""
    positive_ratio: Annotated[float, Ge(1)] = 1.5
    """In pictures WITH, pixels from so many times the threshold on are taken for the thing,"""
    negative_fraction: Annotated[float, Gt(0), Le(1)] = 0.01
    """and those below this fraction of it for free of the thing."""
    target_positive: UpToOne = 0.92
    """What the label 1 counts as, for more of the pixels that a map takes are wrong"""
    target_negative: UpToOne = 0.02
    """than of those it leaves: what the label 0 counts as."""
    paste: PasteSettings = field(default_factory=PasteSettings)
    """Pieces of what is sure, pasted onto pictures WITHOUT, so that outlines are learnt."""
    warp: WarpSettings = field(default_factory=WarpSettings)
    """How far its pictures are warped and relit."""
    steps: Count = 600
    """Of a round."""
    batch_size: BatchSize = 8
    """Pictures a step, half of them of each class."""
    learning_rate: Positive = 1e-3
    """Highest of the one-cycle schedule."""
    weight_decay: NonNegative = 0.01
    """Of AdamW."""
    time_fraction: Annotated[float, Gt(0), Lt(0.8)] = 0.5
    """Fraction of the time limit that is kept for it;"""
    train_by: Deadline = 0.95
    """it must be done by this fraction of the limit."""
    least_agreement: UpToOne = 0.4
    """Dice of its masks with its teacher's on validation pictures, below which it has learnt too little to be used."""
