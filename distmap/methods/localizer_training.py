"""Training of a localizer, for methods that locate by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from distmap.common.kinds import BatchSize, Count, Fraction, NonNegative, Positive, UpToOne
from distmap.data.augment import mix_bands
from distmap.data.batches import PictureStore
from distmap.data.seeding import LOCALIZER
from distmap.data.warping import WarpSettings, colour_jitter, random_affines, warp
from distmap.methods.base import Frame
from distmap.methods.classifier_training import Change, train_classifier
from distmap.networks.localizer import Localizer


@dataclass(frozen=True, kw_only=True)
class LocalizerWarp(WarpSettings):
    """How far what a localizer sees is warped and relit: less than what a student sees."""

    zoom: Annotated[float, Ge(0), Le(3)] = 0.2
    """The scale is exp(± this)."""
    shift: Fraction = 0.1
    """Of the side, either way."""
    light: NonNegative = 0.2
    """Colour jitter: change of contrast and brightness, and of the logarithm of gamma."""


@dataclass(frozen=True, kw_only=True)
class LocalizerUpdates:
    """How a localizer is updated: lightly, so that it keeps what its backbone knows."""

    learning_rate: Positive = 2e-3
    """Highest of the one-cycle schedule."""
    backbone_rate: UpToOne = 0.25
    """Of that rate, for the backbone."""
    weight_decay: NonNegative = 0.05
    """Of AdamW."""
    label_smoothing: Fraction = 0.1
    """Of its cross-entropy: beyond 95 % nothing is gained."""
    band_mixing: NonNegative = 0.3
    """How far the colours of what it sees are changed; 0 where colour alone tells the classes apart."""
    warp: LocalizerWarp = field(default_factory=LocalizerWarp)
    """How far what it sees is warped and relit."""


@dataclass(frozen=True, kw_only=True)
class LocalizerTraining(LocalizerUpdates):
    """How a localizer is trained by itself."""

    steps: Count = 300
    """At most."""
    batch_size: BatchSize = 16
    """Pictures a step, half of them of each class."""


def localizer_optimiser(localizer: Localizer, settings: LocalizerUpdates) -> torch.optim.AdamW:
    """The optimiser of a localizer, with the backbone at its own rate."""
    groups = localizer.parameter_groups(settings.learning_rate, settings.backbone_rate)
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay)


def localizer_change(settings: LocalizerUpdates, symmetry: str) -> Change:
    """What changes the pictures that a localizer sees."""

    def change(x_BCHW: Tensor, rng: torch.Generator) -> Tensor:
        affines = random_affines(len(x_BCHW), settings.warp, any_angle=symmetry == "all", rng=rng)
        seen = colour_jitter(warp(x_BCHW, affines, beyond="reflection"), settings.warp.light, rng)
        return mix_bands(seen, settings.band_mixing, rng)

    return change


def train_localizer(
    localizer: Localizer,
    settings: LocalizerTraining,
    store: PictureStore,
    frame: Frame,
    time_spent: Callable[[], float],
) -> None:
    """Train a localizer for ``settings.steps`` steps, or until ``time_spent()`` is 1, and leave it ready for use."""
    train_classifier(
        localizer,
        localizer_optimiser(localizer, settings),
        settings,
        store,
        frame,
        stream=LOCALIZER,
        change=localizer_change(settings, frame.symmetry),
        smoothing=settings.label_smoothing,
        time_spent=time_spent,
    )
