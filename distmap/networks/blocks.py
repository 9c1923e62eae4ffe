"""Blocks that several networks are made of.

Shape letters: B batch, N branches, C bands, H height, W width, S style size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 2


def level_widths(width: int, max_width: int, depth: int) -> list[int]:
    """Channels from the finest level to the coarsest: doubled a level, up to ``max_width``."""
    return [min(width * 2**level, max_width) for level in range(depth + 1)]


class ResidualBlock(nn.Module):
    """Pre-activation residual block; halves the size where ``down``. Without ``norm`` it is the discriminator's.

    B x C_in x H x W -> B x C_out x H x W (or H/2 x W/2).
    """

    def __init__(self, bands_in: int, bands_out: int, *, down: bool, norm: bool) -> None:
        super().__init__()
        self.down = down
        self.norm1 = nn.BatchNorm2d(bands_in) if norm else nn.Identity()
        self.norm2 = nn.BatchNorm2d(bands_in) if norm else nn.Identity()
        self.conv1 = nn.Conv2d(bands_in, bands_in, 3, padding=1)
        self.conv2 = nn.Conv2d(bands_in, bands_out, 3, padding=1)
        self.shortcut = nn.Conv2d(bands_in, bands_out, 1, bias=False) if bands_in != bands_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.leaky_relu(self.norm1(x), 0.2))
        if self.down:
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        h = self.conv2(F.leaky_relu(self.norm2(h), 0.2))
        joined: Tensor = (self.shortcut(x) + h) * 2**-0.5
        return joined


class StyledNorm(nn.Module):
    """Batch normalisation whose gain and bias come from the style (AdaIN with running statistics in place of the
    picture's own: what a pixel becomes does not depend on the rest of the window).
    """

    def __init__(self, bands: int, style_size: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(bands, affine=False)
        self.affine = nn.Linear(style_size, 2 * bands)

    def forward(self, x: Tensor, style_BS: Tensor) -> Tensor:
        gain, bias = self.affine(style_BS)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(bias, for_each_style(self.norm(x), style_BS), 1 + gain)


def for_each_style(x: Tensor, style: Tensor) -> Tensor:
    """Pictures (B x ...) once more for every further B styles."""
    times = style.shape[0] // x.shape[0]  # not len(), which would fix the size of the batch in an exported graph
    return x if times == 1 else torch.cat([x] * times)


class StyledBlock(nn.Module):
    """One decoder level: upsample, join the encoder's skip, two styled convolutions with a shortcut.

    The first, which sees the most channels, is 1 x 1: so it need not wait until what comes from below is enlarged, and
    what comes from beside need not be laid next to it.
    """

    def __init__(self, bands_in: int, bands_skip: int, bands_out: int, style_size: int) -> None:
        super().__init__()
        self.norm_below = StyledNorm(bands_in, style_size)
        self.norm_beside = StyledNorm(bands_skip, style_size)
        self.norm = StyledNorm(bands_out, style_size)
        self.conv_below = nn.Conv2d(bands_in, bands_out, 1)
        self.conv_beside = nn.Conv2d(bands_skip, bands_out, 1, bias=False)
        self.conv = nn.Conv2d(bands_out, bands_out, 3, padding=1)
        self.shortcut_below = nn.Conv2d(bands_in, bands_out, 1, bias=False)
        self.shortcut_beside = nn.Conv2d(bands_skip, bands_out, 1, bias=False)

    def forward(self, below: Tensor, beside: Tensor, style_BS: Tensor) -> Tensor:
        h = self.conv_below(F.leaky_relu(self.norm_below(below, style_BS), 0.2))
        h, x = enlarged(h, beside), enlarged(self.shortcut_below(below), beside)
        h = h + self.conv_beside(F.leaky_relu(self.norm_beside(beside, style_BS), 0.2))
        x = x + for_each_style(self.shortcut_beside(beside), style_BS)
        h = self.conv(F.leaky_relu(self.norm(h, style_BS), 0.2))
        joined: Tensor = (x + h) * 2**-0.5
        return joined


def enlarged(x: Tensor, like: Tensor) -> Tensor:
    """Each pixel repeated, to the height and width of another picture."""
    return F.interpolate(x, size=like.shape[-2:], mode="nearest")
