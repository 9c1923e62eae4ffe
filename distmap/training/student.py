"""Training of a student on soft targets of pixels.

What the maps get wrong here and there it cannot learn by heart, and it sees pictures at their own size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from distmap.common.progress import Progress
from distmap.config import Config
from distmap.data.batches import batches
from distmap.data.folders import WITH
from distmap.data.seeding import STUDENT, seeded_networks, step_rng
from distmap.data.statistics import DatasetStats
from distmap.data.warping import colour_jitter, random_affines, warp
from distmap.inference.student import StudentPredictor, student_side
from distmap.methods.classifier_training import set_rates
from distmap.methods.losses import soft_cross_entropy, soft_dice_loss
from distmap.training.soft_targets import TargetStore

LOG_EVERY = 10  # steps


def new_student(config: Config, stats: DatasetStats, round_number: int) -> StudentPredictor:
    """An untrained student of a round, with the weights that (seed, round) gives."""
    with seeded_networks(config.seed, STUDENT + round_number):
        side = student_side(stats, config.student)
        return StudentPredictor(config.student, stats.bands, side=side, precision=config.training.precision)


def train_student(
    student: StudentPredictor,
    store: TargetStore,
    config: Config,
    device: torch.device,
    round_number: int,
    time_spent: Callable[[], float],
    progress: Progress,
) -> None:
    """Train a student on pictures and their targets for ``config.student.steps`` steps, or as many as the method made
    where its steps are limited to fewer, and leave it ready for use.

    The loss is the cross-entropy of pixels, and in pictures WITH 1 - soft Dice. ``time_spent``: fraction of the time
    for it that is over, 0 where there is no limit; the learning rate falls with it, so that a training cut short has
    cooled down as well. All draws depend on (seed, round, step) alone.
    """
    settings = config.student
    stream = STUDENT + round_number
    student.to(device).train()
    optimiser = torch.optim.AdamW(
        student.parameter_groups(settings.learning_rate, settings.backbone_rate), weight_decay=settings.weight_decay
    )
    pictures = batches(store, config.data.symmetry, settings.batch_size, (config.seed, stream), start=0)
    steps = min(settings.steps, config.training.steps or settings.steps)
    for step in range(steps):
        done = max(step / steps, time_spent())
        if done >= 1:
            break
        planes_BKHW, labels_B = (torch.from_numpy(part).to(device) for part in next(pictures))
        x_BCHW, target_BHW = _changed(planes_BKHW, config, step_rng(config.seed, stream, step))
        set_rates(optimiser, config.training.schedule(done))
        logits_BHW = student(x_BCHW)[:, 0]
        loss = soft_cross_entropy(logits_BHW, target_BHW)
        loss = loss + settings.overlap * soft_dice_loss(logits_BHW[labels_B == WITH], target_BHW[labels_B == WITH])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % LOG_EVERY == 0:
            progress.update("teaching the student", done, {"step": step, "loss": float(loss.detach())})
    pictures.close()
    student.eval().requires_grad_(False)


def _changed(planes_BKHW: Tensor, config: Config, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures and targets as the student sees them: warped together, cropped where they are larger than a crop, and
    the pictures' colours jittered."""
    settings = config.student
    side = planes_BKHW.shape[-1]
    crop = min(settings.crop, side)
    any_angle = config.data.symmetry == "all"
    affines = random_affines(len(planes_BKHW), settings.warp, any_angle=any_angle, rng=rng, shown=crop / side)
    pictures = warp(planes_BKHW[:, :-1], affines, beyond="reflection", side=crop)
    target_BHW = warp(planes_BKHW[:, -1:], affines, beyond="reflection", side=crop)[:, 0]
    return colour_jitter(pictures, settings.warp.light, rng), target_BHW
