"""Differentiable augmentation of what the discriminator and the classifiers see (Zhao et al. 2020).

It keeps them from learning small folders by heart.
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


def mix_bands(x_BCHW: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Give each picture other colours: its bands mixed by the unit matrix plus ``strength`` times normal noise, and
    then drawn towards their mean by a random share. One band stays as it is.

    A classifier that has learnt one colour by heart lets the generator win by recolouring. ``generator`` is a CPU
    generator; the result has the shape, type and device of ``x_BCHW``.
    """
    count, bands = x_BCHW.shape[:2]
    if bands == 1 or strength == 0:
        return x_BCHW
    mixed = torch.eye(bands) + strength * torch.randn((count, bands, bands), generator=generator)
    mixed = torch.lerp(mixed, torch.full((bands, bands), 1 / bands), torch.rand((count, 1, 1), generator=generator))
    return torch.einsum("bij,bjhw->bihw", mixed.to(x_BCHW), x_BCHW)
