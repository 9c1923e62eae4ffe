"""A classifier that looks at each location by itself, on pretrained features."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distmap.networks.backbones import Backbone, Features
from distmap.networks.settings import LocalizerShape

STRIDES = (4, 8, 16)  # the coarse ones give context, without which what looks alike far away is taken for the thing


class Localizer(nn.Module):
    """A classifier, WITHOUT against WITH, whose locations each give a logit: B x C x H x W -> B x 2 logits.

    Pictures are enlarged, so that small things span enough of the features; those of the backbone at strides 4, 8 and
    16 are brought to the same channels and the finest size, and summed (a feature pyramid, Lin et al. 2017). The
    picture's logit is the log-mean-exp over its locations (Pinheiro & Collobert 2015, eq. 6); ``sharpness`` 0 would be
    their mean, infinity the greatest. From the classes of pictures alone the locations learn which of them make a
    picture one WITH. ``backbone``: features at these strides; None: those of the network that ``shape`` names.
    """

    def __init__(self, shape: LocalizerShape, bands: int, backbone: Features | None = None) -> None:
        super().__init__()
        self.enlarge, self.sharpness = shape.enlarge, shape.sharpness
        self.backbone = backbone or Backbone(shape.backbone, bands, STRIDES)
        self.lateral = nn.ModuleList(nn.Conv2d(channels, shape.width, 1) for channels in self.backbone.channels)
        self.mix = nn.Sequential(
            nn.BatchNorm2d(shape.width),
            nn.ReLU(),
            nn.Conv2d(shape.width, shape.width, 3, padding=1),
            nn.BatchNorm2d(shape.width),
            nn.ReLU(),
        )
        self.head = nn.Conv2d(shape.width, 1, 1)

    def parameter_groups(self, rate: float, backbone_rate: float) -> list[dict[str, object]]:
        """Parameters for an optimiser: new ones at ``rate``, the backbone's at this fraction of it."""
        old = list(self.backbone.parameters())
        new = [parameter for name, parameter in self.named_parameters() if not name.startswith("backbone.")]
        return [{"params": new, "lr": rate}, {"params": old, "lr": rate * backbone_rate}]

    def location_logits(self, x_BCHW: Tensor) -> Tensor:
        """The logit of WITH at each location, B x H e / 4 x W e / 4 where pictures are enlarged e times."""
        if self.enlarge != 1:
            x_BCHW = F.interpolate(x_BCHW, scale_factor=self.enlarge, mode="bilinear")
        finest, *coarser = (
            lateral(features) for lateral, features in zip(self.lateral, self.backbone(x_BCHW), strict=True)
        )
        total: Tensor = finest
        for features in coarser:
            total = total + F.interpolate(features, size=finest.shape[-2:], mode="bilinear")
        logits: Tensor = self.head(self.mix(total))
        return logits[:, 0].float()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return pooled_logits(self.location_logits(x_BCHW), self.sharpness)


def pooled_logits(logits_BHW: Tensor, sharpness: float) -> Tensor:
    """Logits of pictures, B x 2, from those of their locations: 0, and the log-mean-exp of these."""
    scaled = sharpness * logits_BHW.flatten(1)
    pooled = (torch.logsumexp(scaled, dim=1) - math.log(scaled.shape[1])) / sharpness
    return torch.stack([torch.zeros_like(pooled), pooled], dim=1)
