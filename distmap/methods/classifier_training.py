"""Training of classifiers, WITHOUT against WITH, on real pictures; for methods that guide, judge or locate by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Protocol

import numpy as np
import torch
from annotated_types import Gt, Lt
from torch import Tensor, nn

from distmap.common.auroc import auroc
from distmap.common.kinds import Count, Fraction, NonNegative, UpToOne
from distmap.data.batches import PictureStore, batches
from distmap.data.folders import WITH, WITHOUT
from distmap.data.seeding import step_rng
from distmap.methods.base import Frame
from distmap.methods.losses import classification
from distmap.networks.devices import autocast

Change = Callable[[Tensor, torch.Generator], Tensor]
"""Alters pictures B x C x H x W at random."""


@dataclass(frozen=True, kw_only=True)
class AdversarialSettings:
    """Adversarial perturbation of the pictures that classifiers are trained on, where they are nearly always right."""

    strength: NonNegative = 0.3
    """Greatest change of a picture, as a fraction of the pictures' spread (L2); 0: none."""
    accuracy: UpToOne = 0.95
    """Running accuracy above which the change grows; below it shrinks."""
    memory: Annotated[float, Gt(0), Lt(1)] = 0.1
    """Weight of the newest batch in that accuracy."""
    pace: Fraction = 0.03
    """By how much it grows or shrinks a step."""
    least: Annotated[float, Gt(0), Lt(1)] = 0.01
    """Of the greatest change, below which there is none."""
    spread_pictures: Count = 200
    """About so many pictures tell the spread."""


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


class AdversarialPerturbation:
    """Pictures changed the way that misleads a classifier most (Goodfellow et al. 2015, with the L2 norm), as far as it
    is right nearly always all the same.

    What convinces a classifier that withstands such changes looks like the class to people, too (Santurkar et al.
    2019); any other is convinced by faint stripes, and a generator that it guides makes them. Where the classes are
    hard to tell apart nothing is changed, since it would cost the classifier what little it can see.

    ``greatest``: L2 norm of the greatest change of a picture. ``size``: that of the present one.
    """

    def __init__(self, settings: AdversarialSettings, greatest: float) -> None:
        self.greatest = greatest
        self.size = 0.0
        self._settings = settings
        self._accuracy = 0.5

    @classmethod
    def none(cls) -> AdversarialPerturbation:
        """One that changes nothing."""
        return cls(AdversarialSettings(), 0.0)

    @classmethod
    def of_pictures(cls, settings: AdversarialSettings, store: PictureStore) -> AdversarialPerturbation:
        """One whose greatest change is a fraction of the pictures' spread."""
        count = len(store)
        some = np.stack([store[index] for index in range(0, count, max(1, count // settings.spread_pictures))])
        return cls(settings, settings.strength * float(np.linalg.norm(some.std(axis=0))))

    def perturb(self, network: nn.Module, x_BCHW: Tensor, labels_B: Tensor, smoothing: float, precision: str) -> Tensor:
        """The pictures, changed by ``size`` each."""
        if not self.size:
            return x_BCHW
        x_BCHW = x_BCHW.contiguous(memory_format=torch.channels_last).requires_grad_(True)
        with autocast(precision, x_BCHW.device):
            loss = classification(network(x_BCHW), labels_B, smoothing)
        (gradient,) = torch.autograd.grad(loss, x_BCHW)
        length = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]
        perturbed: Tensor = (x_BCHW + self.size * gradient / length).detach()
        return perturbed

    def adapt(self, logits_B2: Tensor, labels_B: Tensor) -> None:
        """Change more if the classifier is right nearly always, else less."""
        settings = self._settings
        right = float((logits_B2.argmax(dim=1) == labels_B).float().mean())
        self._accuracy += settings.memory * (right - self._accuracy)
        least = settings.least * self.greatest
        if self._accuracy > settings.accuracy:
            self.size = min(self.greatest, max(least, self.size * (1 + settings.pace)))
        else:
            self.size = self.size * (1 - settings.pace) if self.size > least else 0.0

    def state_dict(self) -> dict[str, float]:
        """What going on needs."""
        return {"size": self.size, "accuracy": self._accuracy, "greatest": self.greatest}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from what ``state_dict`` gave."""
        self.size, self._accuracy, self.greatest = state["size"], state["accuracy"], state["greatest"]


def classifier_step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    x_BCHW: Tensor,
    labels_B: Tensor,
    perturbation: AdversarialPerturbation,
    *,
    smoothing: float,
    precision: str,
) -> Tensor:
    """One update of a classifier; gives its loss, detached."""
    x_BCHW = perturbation.perturb(network, x_BCHW, labels_B, smoothing, precision)
    with autocast(precision, x_BCHW.device):
        logits = network(x_BCHW.contiguous(memory_format=torch.channels_last))
    loss = classification(logits, labels_B, smoothing)
    perturbation.adapt(logits, labels_B)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return loss.detach()


def train_classifier(
    network: nn.Module,
    settings: ClassifierSettings,
    store: PictureStore,
    frame: Frame,
    *,
    stream: int,
    change: Change,
    perturbation: AdversarialPerturbation,
    smoothing: float,
    time_spent: Callable[[], float],
) -> None:
    """Train a classifier on pictures as ``change`` and then ``perturbation`` alter them, and leave it ready for use.

    The learning rate falls with the steps or the time, whichever is over first; ``time_spent``: fraction of the time
    for it that is over. All draws depend on (seed, stream, step) alone.
    """
    network.requires_grad_(True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    pictures = batches(store, frame.symmetry, settings.batch_size, (frame.seed, stream), start=0)
    network.train()
    for step, (x, y) in zip(range(settings.steps), pictures, strict=False):
        progress = max(step / settings.steps, time_spent())
        if progress >= 1:
            break
        optimiser.param_groups[0]["lr"] = settings.learning_rate * frame.schedule(progress)
        x_BCHW = change(torch.from_numpy(x).to(frame.device), step_rng(frame.seed, stream, step))
        labels_B = torch.from_numpy(y).to(frame.device)
        classifier_step(
            network, optimiser, x_BCHW, labels_B, perturbation, smoothing=smoothing, precision=frame.precision
        )
    network.eval().requires_grad_(False)


def classifier_auroc(network: nn.Module, store: PictureStore, device: torch.device) -> float:
    """How well a trained classifier tells the pictures of a store apart: area under the ROC curve, 0.5 is chance."""
    logits: dict[int, list[float]] = {WITH: [], WITHOUT: []}
    with torch.inference_mode():
        for index, picture in enumerate(store.pictures):
            x_BCHW = torch.from_numpy(store[index])[None].to(device)
            logits[picture.label].append(float(network(x_BCHW)[0, WITH]))
    return auroc(logits[WITH], logits[WITHOUT])
