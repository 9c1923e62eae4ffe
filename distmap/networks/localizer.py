"""Classifiers that look at each location by itself, and several of them together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distmap.networks.blocks import ResidualBlock


class LocationClassifier(nn.Module):
    """A classifier, WITHOUT against WITH, that looks at each location by itself: B x C x H x W -> B x 2 logits.

    Every location gets a logit from what lies within about 25 pixels, and the picture's logit is their log-mean-exp
    (Pinheiro & Collobert 2015, eq. 6); ``sharpness`` 0 would be their mean, infinity the greatest. From the classes of
    pictures alone the locations learn which of them make a picture one WITH.
    """

    def __init__(self, bands: int, *, width: int, sharpness: float) -> None:
        super().__init__()
        wide = 2 * width
        self.sharpness = sharpness
        self.enter = nn.Conv2d(bands, width, 4, stride=2, padding=1)
        self.blocks = nn.Sequential(
            ResidualBlock(width, wide, down=True, norm=True),
            ResidualBlock(wide, wide, down=False, norm=True),
            ResidualBlock(wide, wide, down=False, norm=True),
            nn.BatchNorm2d(wide),
        )
        self.head = nn.Conv2d(wide, 1, 1)

    def location_logits(self, x_BCHW: Tensor) -> Tensor:
        """The logit of WITH at each location, B x H/4 x W/4."""
        logits: Tensor = self.head(F.leaky_relu(self.blocks(self.enter(x_BCHW)), 0.2))
        return logits[:, 0].float()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        logits = self.sharpness * self.location_logits(x_BCHW).flatten(1)
        pooled = (torch.logsumexp(logits, dim=1) - math.log(logits.shape[1])) / self.sharpness
        return torch.stack([torch.zeros_like(pooled), pooled], dim=1)


class Localizer(nn.Module):
    """Several location classifiers that were trained apart, the first of which guides.

    One alone may have learnt to look at something that only comes with the thing; which it is depends on chance. So the
    mean of those that vote says where; but what that guided was reconstructed worse, so one of them is the guide.
    """

    votes: Tensor  # of each member, 1 or 0

    def __init__(self, bands: int, *, members: int, width: int, sharpness: float) -> None:
        super().__init__()
        made = nn.ModuleList(LocationClassifier(bands, width=width, sharpness=sharpness) for _ in range(members))
        self.members = cast("Sequence[LocationClassifier]", made)
        self.register_buffer("votes", torch.ones(members))

    def rank(self, order: Sequence[int], voting: int) -> None:
        """Put the members in this order, and let the first ``voting`` of them vote."""
        self.members = cast("Sequence[LocationClassifier]", nn.ModuleList(self.members[index] for index in order))
        self.votes[:voting], self.votes[voting:] = 1, 0

    def location_logits(self, x_BCHW: Tensor) -> Tensor:
        """The mean logit of WITH at each location, B x H/4 x W/4."""
        logits = torch.stack([member.location_logits(x_BCHW) for member in self.members], dim=-1)
        return (logits * self.votes).sum(dim=-1) / self.votes.sum()

    @property
    def guide(self) -> LocationClassifier:
        """The member that the generator has to convince."""
        return self.members[0]
