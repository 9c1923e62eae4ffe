"""The student: a segmentation network of segmentation-models-pytorch that makes the maps in one pass."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from distmap.data.statistics import DatasetStats
from distmap.inference.predictor import Predictor

if TYPE_CHECKING:
    from distmap.settings import StudentSettings

STUDENT = "student"  # its kind of map


class StudentPredictor(Predictor):
    """A U-Net. Raw outputs: the logit of WITH at each pixel, B x 1 x H x W; the map is its probability.

    H and W must be multiples of 2 to the power ``encoder_depth``. ``fetch``: start from the downloaded weights that
    ``encoder_weights`` names; without it nothing is downloaded.

    Raises
    ------
    ValueError
        The encoder is not known, cannot be had with this depth, or its weights cannot be had.
    """

    kinds = (STUDENT,)

    def __init__(self, settings: StudentSettings, bands: int, *, side: int, fetch: bool = False) -> None:
        import segmentation_models_pytorch as smp

        super().__init__(side)
        self.multiple = 2**settings.encoder_depth
        try:
            self.unet = smp.Unet(
                settings.encoder,
                encoder_depth=settings.encoder_depth,
                encoder_weights=settings.encoder_weights if fetch else None,
                decoder_channels=[settings.width * 2**level for level in reversed(range(settings.encoder_depth))],
                in_channels=bands,
                classes=1,
            )
        except OSError as error:
            raise ValueError(
                f"setting student.encoder_weights={settings.encoder_weights}: could not be fetched "
                f"({type(error).__name__}); give student.encoder_weights=none where there is no network"
            ) from error
        except (KeyError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"setting student.encoder={settings.encoder!r} with student.encoder_depth={settings.encoder_depth}: "
                f"segmentation-models-pytorch has no such encoder ({error})"
            ) from error

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """See the class."""
        logits: Tensor = self.unet(x_BCHW)
        return logits.float()

    def coarse_map(self, raw_BKHW: Tensor, kind: str | None = None) -> Tensor:
        """See the class."""
        return torch.sigmoid(raw_BKHW[:, 0])


def student_side(stats: DatasetStats, settings: StudentSettings) -> int:
    """Side of the square that the student sees: the usual longer side of a picture, brought up to what the network can
    take, but not above ``max_side``."""
    multiple: int = 2**settings.encoder_depth
    return min(math.ceil(stats.longer_side / multiple) * multiple, settings.max_side)
