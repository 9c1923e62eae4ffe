"""The judge: a classifier trained apart, on real pictures alone, that says what a repainted picture looks like."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from distmap.augment import augment
from distmap.folders import PictureStore, batches
from distmap.networks import Judge
from distmap.seeding import seeded_networks, step_generator

if TYPE_CHECKING:
    from distmap.config import Config

STREAM = 5


def train_judge(
    store: PictureStore, config: Config, bands: int, device: torch.device, out_of_time: Callable[[], bool]
) -> Judge:
    """Train the judge on the training pictures for ``config.judge.steps`` steps, or until ``out_of_time()``."""
    with seeded_networks(config.seed, STREAM):
        judge = Judge(config.judge, bands, config.image_size).to(device)
    optimiser = torch.optim.Adam(judge.parameters(), lr=config.judge.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=config.judge.learning_rate, total_steps=config.judge.steps + 1
    )
    stream = batches(store, config.data.symmetry, config.judge.batch_size, (config.seed, STREAM), start=0)
    judge.train()
    for step, (pictures, labels) in zip(range(config.judge.steps), stream, strict=False):
        if out_of_time():
            break
        generator = step_generator(config.seed, STREAM, step)
        x_BCHW = augment(torch.from_numpy(pictures).to(device), config.discriminator, generator)
        loss = F.cross_entropy(judge(x_BCHW), torch.from_numpy(labels).to(device), label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return judge.eval()
