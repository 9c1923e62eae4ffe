"""The projected discriminator: small heads on pretrained features that stay as they are (Sauer et al. 2021)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from distmap.networks.backbones import Backbone
from distmap.networks.blocks import CLASSES, level_widths
from distmap.networks.settings import DiscriminatorSettings

STRIDES = (4, 8, 16, 32)
LEAST_SIDE = 4  # of features: below, there is hardly a place left to judge


class ProjectedDiscriminator(nn.Module):
    """Judges pictures by fixed features at several scales: B x C x H x W in [-1, 1] -> B x 2 logits.

    From "Projected GANs Converge Faster" (Sauer et al. 2021, arXiv 2111.01007, section 3.2). Pictures are enlarged;
    features of a pretrained backbone at strides 4, 8, 16 and 32 (as far as `LEAST_SIDE` values are left along a side)
    are mixed at random over channels and scales, and a small head with an output channel a class judges each scale. A
    logit is the mean over locations, then over scales. The heads alone are trained: backbone and mixing take no
    gradients of their own and the backbone stays in evaluation mode, but gradients reach the picture.

    Until `backbone.load_imagenet_weights` is called the features are random.

    Raises
    ------
    BackboneError
        timm has no such network, or it has no features of these strides.
    """

    def __init__(self, settings: DiscriminatorSettings, bands: int, image_size: int) -> None:
        super().__init__()
        self.enlarge = settings.enlarge
        seen = image_size * settings.enlarge
        strides = [stride for stride in STRIDES if seen >= LEAST_SIDE * stride]
        self.backbone = Backbone(settings.backbone, bands, strides)
        self.mixing = RandomMixing(self.backbone.channels)
        widths = level_widths(settings.width, settings.max_width, len(strides) - 1)
        self.heads = nn.ModuleList(
            _head(channels, widths[level:]) for level, channels in enumerate(self.backbone.channels)
        )
        self.backbone.requires_grad_(False).eval()
        self.mixing.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but the backbone, whose normalisation keeps the statistics that it came with."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if self.enlarge != 1:
            x_BCHW = F.interpolate(x_BCHW, scale_factor=self.enlarge, mode="bilinear")
        mixed = self.mixing(self.backbone(x_BCHW))
        logits = [head(features).float().mean(dim=(2, 3)) for head, features in zip(self.heads, mixed, strict=True)]
        return torch.stack(logits).mean(dim=0)


class RandomMixing(nn.Module):
    """Features mixed by random convolutions, from the finest scale to the coarsest; shapes stay as they are.

    Over channels, by 1 x 1 convolutions; over scales, from the coarsest down, by 3 x 3 convolutions whose outputs are
    enlarged and added to the next finer scale. So the heads cannot rest on a few of the features, and the fine scales
    show what the coarse ones know (Sauer et al. 2021, section 3.2). Weights are He's (Kaiming), which keep the
    variance, and are meant to stay so.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.over_channels = nn.ModuleList(nn.Conv2d(count, count, 1, bias=False) for count in channels)
        self.over_scales = nn.ModuleList(
            nn.Conv2d(coarse, fine, 3, padding=1, bias=False) for fine, coarse in itertools.pairwise(channels)
        )
        for layer in (*self.over_channels, *self.over_scales):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        mixed = [layer(scale) for layer, scale in zip(self.over_channels, features, strict=True)]
        for level in reversed(range(len(self.over_scales))):
            from_coarse = self.over_scales[level](mixed[level + 1])
            mixed[level] = mixed[level] + F.interpolate(from_coarse, size=mixed[level].shape[-2:], mode="bilinear")
        return mixed


def _head(channels: int, widths: list[int]) -> nn.Sequential:
    """B x K x H x W -> B x 2 x H' x W': halved until it is as coarse as the coarsest scale, so all see equally far.

    Convolutions with spectral normalisation and nothing else that normalises (Sauer et al. 2021, appendix).
    """
    layers: list[nn.Module] = []
    for width in widths[1:]:
        layers += [spectral_norm(nn.Conv2d(channels, width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        channels = width
    layers += [spectral_norm(nn.Conv2d(channels, widths[-1], 3, padding=1)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(widths[-1], CLASSES, 1)))
