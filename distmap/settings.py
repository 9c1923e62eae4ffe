"""What all methods share: how long a fit takes, what it keeps on the way, and the student that may follow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from distmap.common.kinds import BatchSize, Channels, Count, NonNegative, Positive, UpToOne
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
    train_by: Deadline = 0.9
    """Fraction of the method's time by which the last step must be done,"""
    finish_by: Deadline = 0.94
    """by which the method must be finished (the branched GAN's judge),"""
    choose_by: Deadline = 0.96
    """and by which earlier weights must have been looked at."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """auto: bf16 where the device computes it natively."""
    schedule: OneCycle = field(default_factory=OneCycle)
    """Learning rates of classifiers and of the student."""
    candidates: tuple[UpToOne, ...] = ()
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
    """The segmentation network (a U-Net) that learns what the method's maps show, and then makes the maps itself."""

    rounds: Annotated[int, Ge(0), Le(100)] = 0
    """How often one is trained; each after the first learns from the maps of the one before. 0: none. The branched GAN
    has one by default."""
    encoder: str = "tf_efficientnet_lite0"
    """Network of timm; it begins with what it knows of ImageNet, or at random where that cannot be had."""
    decoder_widths: tuple[Channels, Channels, Channels, Channels, Channels] = (96, 64, 48, 32, 16)
    """Channels of the decoder, from the coarsest level to the finest."""
    least_side: Annotated[int, Ge(32), Le(8192)] = 128
    """It sees pictures at their own size, but smaller ones enlarged to this longer side"""
    max_side: Annotated[int, Ge(32), Le(8192)] = 256
    """and larger ones reduced to this one;"""
    crop: Annotated[int, Ge(32), Le(8192)] = 128
    """it learns from parts of them as large as this."""
    pictures: Count = 600
    """Training pictures WITH whose maps teach it, at most."""
    sharpness: Positive = 1.5
    """Power k of its targets m^k / (m^k + threshold^k),"""
    sharpness_if_countable: Positive = 4.0
    """and where the things have a typical size, so that neighbours stay apart."""
    overlap: NonNegative = 0.5
    """Weight of 1 - soft Dice beside the cross-entropy of pixels."""
    warp: WarpSettings = field(default_factory=WarpSettings)
    """How far its pictures are warped and relit."""
    steps: Count = 1000
    """Of a round, at most, and not more than ``training.steps``."""
    batch_size: BatchSize = 8
    """Pictures a step, half of them of each class."""
    learning_rate: Positive = 2e-3
    """Highest of the one-cycle schedule."""
    backbone_rate: UpToOne = 0.25
    """Of that rate, for the encoder."""
    weight_decay: NonNegative = 0.05
    """Of AdamW."""
    time_fraction: Annotated[float, Gt(0), Lt(0.8)] = 0.5
    """Fraction of the time limit that is kept for it;"""
    train_by: Deadline = 0.95
    """it must be done by this fraction of the limit."""
    least_agreement: UpToOne = 0.4
    """Dice of its masks with its teacher's on validation pictures, below which it has learnt too little to be used."""
