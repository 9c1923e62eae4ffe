"""The student: a segmentation network of segmentation-models-pytorch that learns the pseudo-labels of pictures.

What the maps get wrong here and there it cannot learn by heart, and it sees pictures at their own size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from distmap.common.progress import Progress
from distmap.data.batches import batches
from distmap.data.pasting import paste
from distmap.data.seeding import seeded_networks, step_generator
from distmap.data.statistics import Survey
from distmap.data.warping import random_affines, relight, warp
from distmap.methods.losses import pixel_cross_entropy
from distmap.methods.schedules import one_cycle
from distmap.networks.devices import autocast
from distmap.training.pseudo_labels import PseudoLabelledStore

if TYPE_CHECKING:
    from distmap.config import Config, StudentConfig

STUDENT_STREAM = 100  # and those after it: one a round
LOG_EVERY = 10  # steps


class Student(nn.Module):
    """A U-Net, B x C x H x W in [-1, 1] -> the logit of WITH at each pixel, B x H x W.

    H and W must be multiples of 2 to the power ``encoder_depth``. ``fetch``: start from the downloaded weights that
    ``encoder_weights`` names; without it nothing is downloaded.

    Raises
    ------
    ValueError
        The encoder is not known, cannot be had with this depth, or its weights cannot be had.
    """

    def __init__(self, config: StudentConfig, bands: int, *, fetch: bool = False) -> None:
        import segmentation_models_pytorch as smp

        super().__init__()
        try:
            self.unet = smp.Unet(
                config.encoder,
                encoder_depth=config.encoder_depth,
                encoder_weights=config.encoder_weights if fetch else None,
                decoder_channels=[config.width * 2**level for level in reversed(range(config.encoder_depth))],
                in_channels=bands,
                classes=1,
            )
        except OSError as error:
            raise ValueError(
                f"setting student.encoder_weights={config.encoder_weights}: could not be fetched "
                f"({type(error).__name__}); give student.encoder_weights=none where there is no network"
            ) from error
        except (KeyError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"setting student.encoder={config.encoder!r} with student.encoder_depth={config.encoder_depth}: "
                f"segmentation-models-pytorch has no such encoder ({error})"
            ) from error

    def forward(self, x_BCHW: Tensor) -> Tensor:
        logits: Tensor = self.unet(x_BCHW)
        return logits[:, 0].float()


def student_side(survey: Survey, config: StudentConfig) -> int:
    """Side of the square that the student sees: the usual longer side of a picture, brought up to what the network can
    take, but not above ``max_side``."""
    multiple: int = 2**config.encoder_depth
    return min(math.ceil(survey.longer_side / multiple) * multiple, config.max_side)


def new_student(config: Config, bands: int, round_number: int) -> Student:
    """An untrained student of a round, with the weights that (seed, round) gives."""
    with seeded_networks(config.seed, STUDENT_STREAM + round_number):
        return Student(config.student, bands, fetch=True)


def train_student(
    student: Student,
    store: PseudoLabelledStore,
    config: Config,
    device: torch.device,
    round_number: int,
    time_spent: Callable[[], float],
    progress: Progress,
) -> None:
    """Train a student on pseudo-labelled pictures for ``config.student.steps`` steps, and leave it ready for use.

    ``time_spent``: share of the time for it that is over, 0 where there is no limit; the learning rate falls with it,
    so that a training cut short has cooled down as well. All draws depend on (seed, round, step) alone.
    """
    settings = config.student
    stream = STUDENT_STREAM + round_number
    student.to(device).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(student.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    pictures = batches(store, config.data.symmetry, settings.batch_size, (config.seed, stream), start=0)
    for step in range(settings.steps):
        share = max(step / settings.steps, time_spent())
        if share >= 1:
            break
        planes_BKHW, labels_B = (torch.from_numpy(part).to(device) for part in next(pictures))
        draws = step_generator(config.seed, stream, step)
        pasted = paste(planes_BKHW, labels_B, settings.pasted, draws)
        x_BCHW, target, weight = _changed(pasted, config, draws)
        optimiser.param_groups[0]["lr"] = settings.learning_rate * one_cycle(share)
        with autocast(config.training.precision, device):
            logits = student(x_BCHW.contiguous(memory_format=torch.channels_last))
        loss = pixel_cross_entropy(logits, target, weight)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % LOG_EVERY == 0:
            progress.update(f"self-training, round {round_number}", share, {"step": step, "loss": float(loss.detach())})
    pictures.close()
    student.eval().requires_grad_(False)


def _changed(planes_BKHW: Tensor, config: Config, draws: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures, targets and weights as the student sees them: warped together, and the pictures relit."""
    affines = random_affines(len(planes_BKHW), config.data.symmetry == "all", draws)
    pictures = warp(planes_BKHW[:, :-2], affines, beyond="reflection")
    target, weight = warp(planes_BKHW[:, -2:], affines, beyond="zeros").unbind(dim=1)
    return relight(pictures, draws), target, weight
