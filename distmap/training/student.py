"""Training of a student on the pseudo-labels of pictures.

What the maps get wrong here and there it cannot learn by heart, and it sees pictures at their own size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from distmap.common.progress import Progress
from distmap.config import Config
from distmap.data.batches import batches
from distmap.data.pasting import paste
from distmap.data.seeding import STUDENT, seeded_networks, step_rng
from distmap.data.statistics import DatasetStats
from distmap.data.warping import colour_jitter, random_affines, warp
from distmap.inference.student import StudentPredictor, student_side
from distmap.methods.losses import pixel_cross_entropy
from distmap.networks.devices import autocast
from distmap.training.pseudo_labels import PseudoLabelledStore

LOG_EVERY = 10  # steps


def new_student(config: Config, stats: DatasetStats, round_number: int) -> StudentPredictor:
    """An untrained student of a round, with the weights that (seed, round) gives."""
    with seeded_networks(config.seed, STUDENT + round_number):
        side = student_side(stats, config.student)
        return StudentPredictor(config.student, stats.bands, side=side, fetch=True)


def train_student(
    student: StudentPredictor,
    store: PseudoLabelledStore,
    config: Config,
    device: torch.device,
    round_number: int,
    time_spent: Callable[[], float],
    progress: Progress,
) -> None:
    """Train a student on pseudo-labelled pictures for ``config.student.steps`` steps, and leave it ready for use.

    ``time_spent``: fraction of the time for it that is over, 0 where there is no limit; the learning rate falls with
    it, so that a training cut short has cooled down as well. All draws depend on (seed, round, step) alone.
    """
    settings = config.student
    stream = STUDENT + round_number
    student.to(device).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(student.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    pictures = batches(store, config.data.symmetry, settings.batch_size, (config.seed, stream), start=0)
    for step in range(settings.steps):
        done = max(step / settings.steps, time_spent())
        if done >= 1:
            break
        planes_BKHW, labels_B = (torch.from_numpy(part).to(device) for part in next(pictures))
        rng = step_rng(config.seed, stream, step)
        x_BCHW, target, weight = _changed(paste(planes_BKHW, labels_B, settings.paste, rng), config, rng)
        optimiser.param_groups[0]["lr"] = settings.learning_rate * config.training.schedule(done)
        with autocast(config.training.precision, device):
            logits = student(x_BCHW.contiguous(memory_format=torch.channels_last))[:, 0]
        loss = pixel_cross_entropy(
            logits, target, weight, of_positive=settings.target_positive, of_negative=settings.target_negative
        )
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % LOG_EVERY == 0:
            progress.update(f"self-training, round {round_number}", done, {"step": step, "loss": float(loss.detach())})
    pictures.close()
    student.eval().requires_grad_(False)


def _changed(planes_BKHW: Tensor, config: Config, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures, targets and weights as the student sees them: warped together, and the pictures' colours jittered."""
    settings = config.student.warp
    affines = random_affines(len(planes_BKHW), settings, any_angle=config.data.symmetry == "all", rng=rng)
    pictures = warp(planes_BKHW[:, :-2], affines, beyond="reflection")
    target, weight = warp(planes_BKHW[:, -2:], affines, beyond="zeros").unbind(dim=1)
    return colour_jitter(pictures, settings.light, rng), target, weight
