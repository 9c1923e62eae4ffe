"""Turning, scaling, shifting and relighting pictures at random, together with the labels of their pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor

from distmap.common.kinds import Fraction, NonNegative


@dataclass(frozen=True, kw_only=True)
class WarpSettings:
    """How far pictures are warped and relit."""

    turn: Annotated[float, Ge(0), Le(180)] = 25.0
    """Degrees either way, where the data are not alike in all directions."""
    zoom: Annotated[float, Ge(0), Le(3)] = 0.25
    """The scale is exp(± this)."""
    shift: Fraction = 0.15
    """Of the side, either way."""
    light: NonNegative = 0.3
    """Colour jitter: change of contrast and brightness, and of the logarithm of gamma."""


def random_affines(
    count: int, settings: WarpSettings, *, any_angle: bool, rng: torch.Generator, shown: float = 1.0
) -> Tensor:
    """Maps from the places of the result to those of the picture, ``count`` x 2 x 3, as ``affine_grid`` takes them.

    As far as ``settings`` say; with ``any_angle`` the angle is any. The result shows this fraction of the picture's
    side, anywhere within it. ``rng`` is a CPU generator.
    """
    turn, zoom, right, down = 2 * torch.rand((4, count), generator=rng) - 1
    turn = turn * (math.pi if any_angle else math.radians(settings.turn))
    scale = shown * torch.exp(settings.zoom * zoom)
    reach = 2 * settings.shift * shown + (1 - shown)
    cosine, sine = scale * torch.cos(turn), scale * torch.sin(turn)
    # The side of a picture is 2 in these coordinates.
    rows = torch.stack([cosine, -sine, reach * right, sine, cosine, reach * down], dim=1)
    return rows.reshape(count, 2, 3)


def warp(x_BCHW: Tensor, affines_B23: Tensor, *, beyond: str, side: int | None = None) -> Tensor:
    """Each picture as its map from ``random_affines`` says, linearly interpolated, at its own size or as a square of
    this side. ``beyond`` the border lies its ``reflection``, or ``zeros``."""
    size = list(x_BCHW.shape) if side is None else [*x_BCHW.shape[:2], side, side]
    places = F.affine_grid(affines_B23.to(x_BCHW), size, align_corners=False)
    return F.grid_sample(x_BCHW, places, padding_mode=beyond, align_corners=False)


def colour_jitter(x_BCHW: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Change gamma (exp(± ``strength``)), contrast and brightness (both ± ``strength``) of each picture in [-1, 1]; the
    result may reach beyond. ``rng`` is a CPU generator."""
    drawn = strength * (2 * torch.rand((3, len(x_BCHW), 1, 1, 1), generator=rng) - 1)
    gamma, contrast, brightness = drawn.to(x_BCHW)
    curved = torch.pow(((x_BCHW + 1) / 2).clamp(0, 1), torch.exp(gamma)) * 2 - 1
    lit: Tensor = curved * (1 + contrast) + brightness
    return lit
