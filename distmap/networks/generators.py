"""The branched generator: sub-generators whose pictures add up to one.

It is StarGAN v2's, changed as arXiv 2305.02899 says: styles come from the class identity alone through a mapping
network, n sub-generators make n pictures that are summed, and U-net skips carry detail. One encoder serves all
sub-generators: it sees no style, so a decomposition under each class costs one encoding.

Shape letters: B batch, N branches, C bands, H height, W width, S style size.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distmap.networks.blocks import CLASSES, ResidualBlock, StyledBlock, StyledNorm, for_each_style, level_widths
from distmap.networks.settings import GeneratorSettings


class MappingNetwork(nn.Module):
    """Class identity -> style: labels B (int64) -> B x S."""

    def __init__(self, style_size: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Embedding(CLASSES, width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, style_size)
        )

    def forward(self, labels_B: Tensor) -> Tensor:
        style: Tensor = self.layers(labels_B)
        return style


class Encoder(nn.Module):
    """Picture -> features, finest first. ``stride`` 2 works at half resolution inside; the first entry, at full
    resolution, serves the heads as their last skip."""

    def __init__(self, bands: int, widths: Sequence[int], stem_width: int, stride: int) -> None:
        super().__init__()
        # The heads see the stem as it is: a rim of zeros around it would show as a rim.
        self.stem = nn.Conv2d(bands, stem_width, 3, padding=1, padding_mode="replicate")
        self.enter = nn.Conv2d(
            stem_width, widths[0], 2 if stride == 2 else 3, stride=stride, padding=0 if stride == 2 else 1
        )
        self.blocks = nn.ModuleList(
            ResidualBlock(narrow, wide, down=True, norm=True) for narrow, wide in itertools.pairwise(widths)
        )
        self.bottleneck = ResidualBlock(widths[-1], widths[-1], down=False, norm=True)

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        stem = F.leaky_relu(self.stem(x_BCHW), 0.2)
        features = [stem, self.enter(stem)]
        for block in self.blocks:
            features.append(block(features[-1]))
        features[-1] = self.bottleneck(features[-1])
        return features


class Head(nn.Module):
    """The last convolution, 3 x 3, of a branch's features and, beside them, the encoder's at full resolution.

    Each feature of half the size (``stride`` 2) makes four pixels (Shi et al. 2016): all that is sharper than these
    features is made here. The kernels begin as those that would enlarge the features bilinearly before, which is
    smooth, and learn from there.
    """

    def __init__(self, bands_in: int, bands_stem: int, bands_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.inner = nn.Conv2d(bands_in, bands_out * stride**2, 3, padding=1, padding_mode="replicate", bias=False)
        self.outer = nn.Conv2d(bands_stem, bands_out, 3, padding=1, padding_mode="replicate")
        if stride == 2:
            one = nn.Conv2d(bands_in, bands_out, 3).weight
            with torch.no_grad():
                self.inner.weight.copy_(bilinear_kernels(one))

    def forward(self, h: Tensor, stem: Tensor, style_BS: Tensor) -> Tensor:
        enlarged: Tensor = F.pixel_shuffle(self.inner(h), self.stride)
        return enlarged + for_each_style(self.outer(stem), style_BS)


def bilinear_kernels(weight: Tensor) -> Tensor:
    """Kernels O x I x 3 x 3 of a convolution of what is bilinearly enlarged to twice its size -> 4 O x I x 3 x 3, of
    one that gives the same of what is small, its four pixels as channels (``F.pixel_shuffle``)."""
    # For the upper and the lower half of a small pixel: what each row of the kernel takes, in quarters, of the small
    # pixels above, at and below it.
    quarters = [[[3, 1, 0], [1, 3, 0], [0, 3, 1]], [[1, 3, 0], [0, 3, 1], [0, 1, 3]]]
    seen = weight.new_tensor(quarters) / 4
    return torch.einsum("ocyx,pyi,qxj->opqcij", weight, seen, seen).flatten(0, 2)


class SubGenerator(nn.Module):
    """One branch: the encoder's features of B pictures, and a style for each or several for each (the first B, the next
    B, ...) -> as many pictures in [-1, 1]."""

    def __init__(self, settings: GeneratorSettings, bands: int, widths: Sequence[int], stem_width: int) -> None:
        super().__init__()
        slimmed = [max(width // settings.slim, 8) for width in widths]
        self.levels = nn.ModuleList()
        below = widths[-1]
        for level in reversed(range(len(widths) - 1)):
            self.levels.append(StyledBlock(below, widths[level], slimmed[level], settings.style_size))
            below = slimmed[level]
        self.head_norm = StyledNorm(below, settings.style_size)
        self.head = Head(below, stem_width, bands, settings.stride)

    def forward(self, features: Sequence[Tensor], style_BS: Tensor) -> Tensor:
        stem, *skips, coarsest = features
        h = for_each_style(coarsest, style_BS)
        for block, skip in zip(self.levels, reversed(skips), strict=True):
            h = block(h, skip, style_BS)
        h = F.leaky_relu(self.head_norm(h, style_BS), 0.2)
        branch: Tensor = torch.tanh(self.head(h, stem, style_BS).float())
        return branch


class Generator(nn.Module):
    """Encoder, mapping network and N sub-generators; ``decompose`` gives their pictures, which add up to one."""

    def __init__(self, settings: GeneratorSettings, bands: int) -> None:
        super().__init__()
        widths = level_widths(settings.width, settings.max_width, settings.depth)
        stem_width = max(settings.width // 4, 8)
        self.mapping = MappingNetwork(settings.style_size, settings.mapping_width)
        self.encoder = Encoder(bands, widths, stem_width, settings.stride)
        branches = [SubGenerator(settings, bands, widths, stem_width) for _ in range(settings.branches)]
        # Branch 1 starts faint, so that the others, not it, take up what the classes share.
        with torch.no_grad():
            for parameter in branches[0].head.parameters():
                parameter.mul_(settings.branch1_gain)
        self.branches = nn.ModuleList(branches)

    def encode(self, x_BCHW: Tensor) -> list[Tensor]:
        """Features of a picture in [-1, 1]; they know no class, so they serve for both."""
        features: list[Tensor] = self.encoder(x_BCHW)
        return features

    def decompose(self, features: Sequence[Tensor], labels_B: Tensor) -> Tensor:
        """Branches b_k(x, y), B x N x C x H x W in [-1, 1]; with 2 B labels, those of the B pictures twice."""
        style = self.mapping(labels_B)
        return torch.stack([branch(features, style) for branch in self.branches], dim=1)

    def forward(self, x_BCHW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Branches under each picture's own class and under the other one, both B x N x C x H x W.

        The two are made in one pass, so that normalisation sees both classes' pictures together.
        """
        both = self.decompose(self.encode(x_BCHW), torch.cat([labels_B, 1 - labels_B]))
        own, other = both.chunk(2)
        return own, other
