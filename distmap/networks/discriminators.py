"""The discriminators: StarGAN v2's, and which of them is made."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distmap.networks.blocks import CLASSES, ResidualBlock, level_widths
from distmap.networks.projected import ProjectedDiscriminator
from distmap.networks.settings import DiscriminatorSettings


class Discriminator(nn.Module):
    """StarGAN v2's: residual blocks without normalisation and one real-or-fake head a class.

    B x C x H x W -> B x 2 logits.
    """

    def __init__(self, settings: DiscriminatorSettings, bands: int, image_size: int) -> None:
        super().__init__()
        depth = max(1, (image_size // settings.stride // 4).bit_length() - 1)
        widths = level_widths(settings.width, settings.max_width, depth)
        self.enter = nn.Conv2d(
            bands, widths[0], 2 + settings.stride if settings.stride == 2 else 3, stride=settings.stride, padding=1
        )
        self.blocks = nn.Sequential(
            *(ResidualBlock(narrow, wide, down=True, norm=False) for narrow, wide in itertools.pairwise(widths))
        )
        self.last = nn.Conv2d(widths[-1], widths[-1], 3, padding=1)
        self.heads = nn.Linear(widths[-1] * 2, CLASSES)
        # As in StarGAN v2 (He et al. 2015): without normalisation, a picture would hardly show in the logits at first.
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, a=0.2)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h = self.blocks(self.enter(x_BCHW))
        h = F.leaky_relu(self.last(F.leaky_relu(h, 0.2)), 0.2)
        pooled = torch.cat([h.mean(dim=(2, 3)), h.amax(dim=(2, 3))], dim=1)
        logits: Tensor = self.heads(pooled).float()
        return logits


def new_discriminator(
    settings: DiscriminatorSettings, bands: int, image_size: int
) -> Discriminator | ProjectedDiscriminator:
    """An untrained discriminator of the kind that the settings name."""
    kind = ProjectedDiscriminator if settings.kind == "projected" else Discriminator
    return kind(settings, bands, image_size)
