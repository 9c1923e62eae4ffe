"""Training of classifiers, WITHOUT against WITH, on real pictures; for methods that guide, judge or locate by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from distmap.common.auroc import auroc
from distmap.data.batches import PictureStore, batches
from distmap.data.folders import WITH, WITHOUT
from distmap.data.seeding import step_rng
from distmap.methods.base import Frame
from distmap.methods.losses import classification
from distmap.networks.devices import autocast

Change = Callable[[Tensor, torch.Generator], Tensor]
"""Alters pictures B x C x H x W at random."""


class ClassifierSettings(Protocol):
    """What the training of a classifier needs to know."""

    @property
    def steps(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...


def classifier_step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    x_BCHW: Tensor,
    labels_B: Tensor,
    *,
    smoothing: float,
    precision: str,
) -> Tensor:
    """One update of a classifier; gives its loss, detached."""
    with autocast(precision, x_BCHW.device):
        logits = network(x_BCHW.contiguous(memory_format=torch.channels_last))
    loss = classification(logits, labels_B, smoothing)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return loss.detach()


def new_optimiser(network: nn.Module, settings: ClassifierSettings) -> torch.optim.AdamW:
    """The usual optimiser of a classifier."""
    return torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)


def set_rates(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Set the learning rate of each group of parameters to ``factor`` times that which it began with."""
    for group in optimiser.param_groups:
        group["lr"] = factor * group.setdefault("initial_lr", group["lr"])


def train_classifier(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    settings: ClassifierSettings,
    store: PictureStore,
    frame: Frame,
    *,
    stream: int,
    change: Change,
    smoothing: float,
    time_spent: Callable[[], float],
) -> None:
    """Train a classifier on pictures as ``change`` alters them, and leave it ready for use.

    The learning rate falls with the steps or the time, whichever is over first; ``time_spent``: fraction of the time
    for it that is over. All draws depend on (seed, stream, step) alone.
    """
    network.requires_grad_(True)
    pictures = batches(store, frame.symmetry, settings.batch_size, (frame.seed, stream), start=0)
    network.train()
    for step, (x, y) in zip(range(settings.steps), pictures, strict=False):
        progress = max(step / settings.steps, time_spent())
        if progress >= 1:
            break
        set_rates(optimiser, frame.schedule(progress))
        x_BCHW = change(torch.from_numpy(x).to(frame.device), step_rng(frame.seed, stream, step))
        labels_B = torch.from_numpy(y).to(frame.device)
        classifier_step(network, optimiser, x_BCHW, labels_B, smoothing=smoothing, precision=frame.precision)
    network.eval().requires_grad_(False)


def classifier_auroc(network: nn.Module, store: PictureStore, device: torch.device) -> float:
    """How well a trained classifier tells the pictures of a store apart: area under the ROC curve, 0.5 is chance."""
    logits = classifier_logits(network, store, device)
    return auroc(logits[WITH], logits[WITHOUT])


def classifier_certainty(network: nn.Module, store: PictureStore, device: torch.device) -> float:
    """How sure a trained classifier is of the pictures of a store: its mean probability of WITH in pictures WITH less
    that in pictures WITHOUT; 1 at most, 0 where it knows nothing."""
    logits = classifier_logits(network, store, device)
    with_, without = (torch.tensor(logits[label]).sigmoid().mean() for label in (WITH, WITHOUT))
    return float(with_ - without)


def classifier_logits(network: nn.Module, store: PictureStore, device: torch.device) -> dict[int, list[float]]:
    """What a trained classifier says for WITH and against WITHOUT of each picture, by the pictures' class."""
    logits: dict[int, list[float]] = {WITH: [], WITHOUT: []}
    with torch.inference_mode():
        for index, picture in enumerate(store.pictures):
            x_BCHW = torch.from_numpy(store[index])[None].to(device)
            without, with_ = network(x_BCHW)[0].tolist()
            logits[picture.label].append(with_ - without)
    return logits
