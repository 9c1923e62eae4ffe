"""The two classifiers, WITHOUT against WITH, trained on real pictures alone.

The locator is trained before the generator, guides it and says where a picture looks like WITH. The judge is trained
after it, sees other batches and has another shape, so that it can say whether repainting a picture changed its class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from distmap.augment import augment, mix_bands
from distmap.devices import autocast
from distmap.folders import PictureStore, batches
from distmap.losses import classification
from distmap.networks import Judge, Locator
from distmap.seeding import seeded_networks, step_generator

if TYPE_CHECKING:
    from distmap.config import Config, JudgeConfig, LocatorConfig

JUDGE_STREAM, LOCATOR_STREAM = 5, 6


def train_locator(
    locator: Locator, store: PictureStore, config: Config, device: torch.device, out_of_time: Callable[[], bool]
) -> None:
    """Train the locator on the training pictures for ``config.locator.steps`` steps, or until ``out_of_time()``."""

    def change(x_BCHW: Tensor, draws: torch.Generator) -> Tensor:
        return mix_bands(augment(x_BCHW, config.discriminator, draws), config.locator.band_mixing, draws)

    _train(locator, config.locator, LOCATOR_STREAM, change, store, config, device, out_of_time)


def train_judge(
    store: PictureStore, config: Config, bands: int, device: torch.device, out_of_time: Callable[[], bool]
) -> Judge:
    """A judge trained on the training pictures for ``config.judge.steps`` steps, or until ``out_of_time()``."""
    with seeded_networks(config.seed, JUDGE_STREAM):
        judge = Judge(config.judge, bands, config.image_size).to(device).to(memory_format=torch.channels_last)

    def change(x_BCHW: Tensor, draws: torch.Generator) -> Tensor:
        return augment(x_BCHW, config.discriminator, draws)

    _train(judge, config.judge, JUDGE_STREAM, change, store, config, device, out_of_time)
    return judge


def _train(
    network: nn.Module,
    settings: JudgeConfig | LocatorConfig,
    stream: int,
    change: Callable[[Tensor, torch.Generator], Tensor],
    store: PictureStore,
    config: Config,
    device: torch.device,
    out_of_time: Callable[[], bool],
) -> None:
    """Train a classifier on pictures as ``change`` alters them, and leave it ready for use.

    All draws depend on (seed, stream, step) alone.
    """
    network.requires_grad_(True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=settings.learning_rate, total_steps=settings.steps + 1
    )
    pictures = batches(store, config.data.symmetry, settings.batch_size, (config.seed, stream), start=0)
    network.train()
    for step, (x, y) in zip(range(settings.steps), pictures, strict=False):
        if out_of_time():
            break
        x_BCHW = change(torch.from_numpy(x).to(device), step_generator(config.seed, stream, step))
        with autocast(config.training.precision, device):
            logits = network(x_BCHW.contiguous(memory_format=torch.channels_last))
        loss = classification(logits, torch.from_numpy(y).to(device))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    network.eval().requires_grad_(False)
