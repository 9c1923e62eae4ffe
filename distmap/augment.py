"""Differentiable augmentation of what the discriminator sees (Zhao et al. 2020).

It keeps the discriminator from learning small folders by heart.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from distmap.config import DiscriminatorConfig


def augment(x_BCHW: Tensor, config: DiscriminatorConfig, generator: torch.Generator) -> Tensor:
    """Shift each picture (its border mirrored) and change its contrast and brightness, all by random amounts.

    ``generator`` is a CPU generator; the result has the shape, type and device of ``x_BCHW``.
    """
    count, _, height, width = x_BCHW.shape
    reach = int(min(height, width) * config.augment_shift)
    if reach:
        down, right = torch.randint(0, 2 * reach + 1, (2, count), generator=generator).tolist()
        padded = F.pad(x_BCHW, (reach,) * 4, mode="reflect")
        x_BCHW = torch.stack(
            [padded[i, :, down[i] : down[i] + height, right[i] : right[i] + width] for i in range(count)]
        )
    if config.augment_contrast:
        change = (2 * torch.rand((2, count, 1, 1, 1), generator=generator) - 1) * config.augment_contrast
        contrast, brightness = change.to(x_BCHW)
        x_BCHW = x_BCHW * (1 + contrast) + brightness
    return x_BCHW
