"""Turning, scaling, shifting and relighting pictures at random, together with the labels of their pixels."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

TURN, ZOOM, SHIFT = math.radians(25), 0.25, 0.15
LIGHT = 0.3


def random_affines(count: int, any_angle: bool, generator: torch.Generator) -> Tensor:
    """Maps from the places of the result to those of the picture, ``count`` x 2 x 3, as ``affine_grid`` takes them.

    The angle is up to 25 degrees either way, or any; the scale exp(±0.25); the shift 15 % of the side either way.
    ``generator`` is a CPU generator.
    """
    turn, zoom, right, down = 2 * torch.rand((4, count), generator=generator) - 1
    turn = turn * (math.pi if any_angle else TURN)
    scale = torch.exp(ZOOM * zoom)
    cosine, sine = scale * torch.cos(turn), scale * torch.sin(turn)
    # The side of a picture is 2 in these coordinates.
    rows = torch.stack([cosine, -sine, 2 * SHIFT * right, sine, cosine, 2 * SHIFT * down], dim=1)
    return rows.reshape(count, 2, 3)


def warp(x_BCHW: Tensor, affines_B23: Tensor, *, beyond: str) -> Tensor:
    """Each picture as its map from ``random_affines`` says, linearly interpolated. ``beyond`` the border lies its
    ``reflection``, or ``zeros``."""
    places = F.affine_grid(affines_B23.to(x_BCHW), list(x_BCHW.shape), align_corners=False)
    return F.grid_sample(x_BCHW, places, padding_mode=beyond, align_corners=False)


def relight(x_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Change gamma (exp(±0.3)), contrast (±30 %) and brightness (±0.3) of each picture in [-1, 1]; the result may reach
    beyond. ``generator`` is a CPU generator."""
    draws = LIGHT * (2 * torch.rand((3, len(x_BCHW), 1, 1, 1), generator=generator) - 1)
    gamma, contrast, brightness = draws.to(x_BCHW)
    curved = torch.pow(((x_BCHW + 1) / 2).clamp(0, 1), torch.exp(gamma)) * 2 - 1
    lit: Tensor = curved * (1 + contrast) + brightness
    return lit
