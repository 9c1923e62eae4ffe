"""The student: a segmentation network of segmentation-models-pytorch that makes the maps in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from distmap.data.statistics import DatasetStats
from distmap.inference.predictor import Predictor
from distmap.networks.backbones import BackboneError, load_imagenet_weights, normalisation
from distmap.networks.devices import autocast

if TYPE_CHECKING:
    from distmap.settings import StudentSettings

STUDENT = "student"  # its kind of map
DEPTH: int = 5  # halvings of the size in the encoder
MULTIPLE = 32  # 2 to the power DEPTH


class StudentPredictor(Predictor):
    """A U-Net on the features of a pretrained network. Raw outputs: the logit of WITH at each pixel, B x 1 x H x W; the
    map is its probability.

    Fully convolutional: H and W are any multiples of 32. Its weights are random until `load_imagenet_weights`.

    Raises
    ------
    ValueError
        timm has no such encoder, or none of five halvings.
    """

    kinds = (STUDENT,)
    span = 6
    averaged = False
    threshold = 0.5  # that of its targets where its teacher's maps are at their threshold

    def __init__(self, settings: StudentSettings, bands: int, *, side: int, precision: str) -> None:
        import segmentation_models_pytorch as smp

        super().__init__(side)
        self.encoder, self.bands, self.precision = settings.encoder, bands, precision
        try:
            self.unet = smp.Unet(
                f"tu-{settings.encoder}",
                encoder_depth=DEPTH,
                encoder_weights=None,
                decoder_channels=list(settings.decoder_widths),
                in_channels=bands,
                classes=1,
            )
            mean, spread = normalisation(settings.encoder, bands)
        except (KeyError, ValueError, RuntimeError, AttributeError, IndexError) as error:
            raise BackboneError(
                f"setting student.encoder={settings.encoder!r}: cannot be the encoder of a U-Net ({error}); give "
                "another network of timm"
            ) from error
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("spread", spread, persistent=False)
        self.to(memory_format=torch.channels_last)

    mean: Tensor
    spread: Tensor

    def load_imagenet_weights(self) -> str:
        """Take over ImageNet's weights, and give a line that says where none can be had; else an empty one."""
        return load_imagenet_weights(self.unet.encoder.model, self.encoder, self.bands, range(DEPTH))

    def parameter_groups(self, rate: float, backbone_rate: float) -> list[dict[str, object]]:
        """Parameters for an optimiser: new ones at ``rate``, the encoder's at this fraction of it."""
        old = list(self.unet.encoder.parameters())
        new = [parameter for name, parameter in self.unet.named_parameters() if not name.startswith("encoder.")]
        return [{"params": new, "lr": rate}, {"params": old, "lr": rate * backbone_rate}]

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """See the class."""
        # channels_last is what the convolutions of CPUs and tensor cores compute fastest.
        x_BCHW = ((x_BCHW - self.mean) / self.spread).contiguous(memory_format=torch.channels_last)
        with autocast(self.precision, x_BCHW.device):
            logits: Tensor = self.unet(x_BCHW)
        return logits.float()

    def coarse_map(self, raw_BKHW: Tensor, kind: str | None = None) -> Tensor:
        """See the class."""
        return torch.sigmoid(raw_BKHW[:, 0])


def student_side(stats: DatasetStats, settings: StudentSettings) -> int:
    """Side of the square that the student sees pictures at: the usual longer side of a picture, but from ``least_side``
    to ``max_side``; so small things are enlarged."""
    side: int = min(max(stats.longer_side, settings.least_side), settings.max_side)
    return MULTIPLE * ((side + MULTIPLE - 1) // MULTIPLE)
