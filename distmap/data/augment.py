"""Augmentation of what the discriminator and the classifiers see: it keeps them from learning small folders by heart
(differentiable, Zhao et al. 2020), and the judge from going by how finely a picture is made.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def augment(x_BCHW: Tensor, shift: float, contrast: float, rng: torch.Generator) -> Tensor:
    """Shift each picture (its border mirrored) by up to ``shift`` of its side and change contrast and brightness by up
    to ``contrast``.

    ``rng`` is a CPU generator; the result has the shape, type and device of ``x_BCHW``.
    """
    count, _, height, width = x_BCHW.shape
    reach = int(min(height, width) * shift)
    if reach:
        down, right = torch.randint(0, 2 * reach + 1, (2, count), generator=rng).tolist()
        padded = F.pad(x_BCHW, (reach,) * 4, mode="reflect")
        x_BCHW = torch.stack(
            [padded[i, :, down[i] : down[i] + height, right[i] : right[i] + width] for i in range(count)]
        )
    if contrast:
        change = (2 * torch.rand((2, count, 1, 1, 1), generator=rng) - 1) * contrast
        gain, brightness = change.to(x_BCHW)
        x_BCHW = x_BCHW * (1 + gain) + brightness
    return x_BCHW


def mix_bands(x_BCHW: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Give each picture other colours: its bands mixed by the unit matrix plus ``strength`` times normal noise, and
    then drawn towards their mean by a random share. One band stays as it is.

    A classifier that has learnt one colour by heart lets the generator win by recolouring. ``rng`` is a CPU
    generator; the result has the shape, type and device of ``x_BCHW``.
    """
    count, bands = x_BCHW.shape[:2]
    if bands == 1 or strength == 0:
        return x_BCHW
    mixed = torch.eye(bands) + strength * torch.randn((count, bands, bands), generator=rng)
    mixed = torch.lerp(mixed, torch.full((bands, bands), 1 / bands), torch.rand((count, 1, 1), generator=rng))
    return torch.einsum("bij,bjhw->bihw", mixed.to(x_BCHW), x_BCHW)


def degrade(x_BCHW: Tensor, blur: float, noise: float, rng: torch.Generator) -> Tensor:
    """Blur each picture with a Gaussian whose sigma is drawn from 0 to ``blur`` pixels, then add normal noise of a
    standard deviation drawn from 0 to ``noise``.

    A classifier that has only seen perfect pictures may go by an edge that is a little soft or an area that is not
    quite even. ``rng`` is a CPU generator; the result has the shape, type and device of ``x_BCHW``.
    """
    count, bands, height, width = x_BCHW.shape
    sigma_B1, strength_B1 = torch.rand((2, count, 1), generator=rng).to(x_BCHW)
    reach = math.ceil(3 * blur)
    if reach:
        offsets = torch.arange(-reach, reach + 1, device=x_BCHW.device)
        weights = torch.exp(-0.5 * (offsets / (blur * sigma_B1).clamp(min=1e-3)) ** 2)
        kernels = (weights / weights.sum(dim=1, keepdim=True)).repeat_interleave(bands, dim=0)[:, None]
        planes = F.pad(x_BCHW, (reach,) * 4, mode="replicate")
        planes = planes.reshape(1, count * bands, height + 2 * reach, width + 2 * reach)
        planes = F.conv2d(planes, kernels[:, :, :, None], groups=count * bands)
        planes = F.conv2d(planes, kernels[:, :, None], groups=count * bands)
        x_BCHW = planes.reshape(count, bands, height, width)
    if noise:
        grains = torch.randn(x_BCHW.shape, generator=rng).to(x_BCHW)
        x_BCHW = x_BCHW + noise * strength_B1[:, :, None, None] * grains
    return x_BCHW
