"""Classifiers that look at each place by itself, and several of them together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distmap.config import LocatorConfig
from distmap.networks.blocks import ResidualBlock


class PlaceClassifier(nn.Module):
    """A classifier, WITHOUT against WITH, that looks at each place by itself: B x C x H x W -> B x 2 logits.

    Every place gets a logit from what lies within about 25 pixels, and the picture's logit is their log-mean-exp
    (Pinheiro & Collobert 2015, eq. 6); ``sharpness`` 0 would be their mean, infinity the greatest. From the classes of
    pictures alone the places learn which of them make a picture one WITH.
    """

    def __init__(self, config: LocatorConfig, bands: int) -> None:
        super().__init__()
        width, wide = config.width, 2 * config.width
        self.sharpness = config.sharpness
        self.enter = nn.Conv2d(bands, width, 4, stride=2, padding=1)
        self.blocks = nn.Sequential(
            ResidualBlock(width, wide, down=True, norm=True),
            ResidualBlock(wide, wide, down=False, norm=True),
            ResidualBlock(wide, wide, down=False, norm=True),
            nn.BatchNorm2d(wide),
        )
        self.head = nn.Conv2d(wide, 1, 1)

    def places(self, x_BCHW: Tensor) -> Tensor:
        """The logit of WITH at each place, B x H/4 x W/4."""
        logits: Tensor = self.head(F.leaky_relu(self.blocks(self.enter(x_BCHW)), 0.2))
        return logits[:, 0].float()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        places = self.sharpness * self.places(x_BCHW).flatten(1)
        pooled = (torch.logsumexp(places, dim=1) - math.log(places.shape[1])) / self.sharpness
        return torch.stack([torch.zeros_like(pooled), pooled], dim=1)


class Locator(nn.Module):
    """Several place classifiers that were trained apart, the first of which guides.

    One alone may have learnt to look at something that only comes with the thing; which it is depends on chance. So the
    mean of those that vote says where; but what that guided was painted worse, so one of them is the guide.
    """

    votes: Tensor  # of each member, 1 or 0

    def __init__(self, config: LocatorConfig, bands: int) -> None:
        super().__init__()
        members = nn.ModuleList(PlaceClassifier(config, bands) for _ in range(config.members))
        self.members = cast("Sequence[PlaceClassifier]", members)
        self.register_buffer("votes", torch.ones(config.members))

    def rank(self, order: Sequence[int], voting: int) -> None:
        """Put the members in this order, and let the first ``voting`` of them vote."""
        self.members = cast("Sequence[PlaceClassifier]", nn.ModuleList(self.members[index] for index in order))
        self.votes[:voting], self.votes[voting:] = 1, 0

    def places(self, x_BCHW: Tensor) -> Tensor:
        """The mean logit of WITH at each place, B x H/4 x W/4."""
        logits = torch.stack([member.places(x_BCHW) for member in self.members], dim=-1)
        return (logits * self.votes).sum(dim=-1) / self.votes.sum()

    @property
    def guide(self) -> PlaceClassifier:
        """The member that the generator has to convince."""
        return self.members[0]
