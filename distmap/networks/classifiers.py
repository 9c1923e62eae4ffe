"""A small classifier of whole pictures."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distmap.networks.blocks import CLASSES, ResidualBlock, level_widths


class PictureClassifier(nn.Module):
    """A small classifier of whole pictures, WITHOUT against WITH: B x C x H x W -> B x 2 logits.

    ``width``: channels at the finest level, doubled a level up to ``max_width``.
    """

    def __init__(self, bands: int, image_size: int, *, width: int, max_width: int) -> None:
        super().__init__()
        depth = max(1, (image_size // 8).bit_length() - 1)
        widths = level_widths(width, max_width, depth)
        self.enter = nn.Conv2d(bands, widths[0], 4, stride=2, padding=1)
        self.blocks = nn.Sequential(
            *(ResidualBlock(narrow, wide, down=True, norm=True) for narrow, wide in itertools.pairwise(widths))
        )
        self.heads = nn.Linear(2 * widths[-1], CLASSES)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h = F.leaky_relu(self.blocks(self.enter(x_BCHW)), 0.2)
        logits: Tensor = self.heads(torch.cat([h.mean(dim=(2, 3)), h.amax(dim=(2, 3))], dim=1))
        return logits
