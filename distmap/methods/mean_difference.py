"""The distance to the mean picture WITHOUT: what every other method must beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distmap.common.kinds import Sigma
from distmap.data.folders import WITHOUT
from distmap.inference.predictor import Predictor
from distmap.inference.refinement import gaussian, gaussian_reach
from distmap.methods.base import FitContext, Frame, Method
from distmap.methods.registry import register


@dataclass(frozen=True, kw_only=True)
class DifferenceMapSettings:
    """From the difference to the map."""

    smoothing: Sigma = 1.0
    """Sigma of the Gaussian that smooths it, in pixels of the network."""


@dataclass(frozen=True, kw_only=True)
class MeanDifferenceSettings:
    """Everything that decides the distance to the mean."""

    map: DifferenceMapSettings = field(default_factory=DifferenceMapSettings)


class MeanDifferencePredictor(Predictor):
    """Raw outputs: x minus the mean picture WITHOUT, B x C x H x W. The map is its size, mean over bands, smoothed."""

    mean_CHW: Tensor

    def __init__(self, settings: MeanDifferenceSettings, *, side: int, bands: int) -> None:
        super().__init__(side)
        self.settings = settings.map
        self.register_buffer("mean_CHW", torch.zeros(bands, side, side))

    def raw_channels(self, bands: int) -> int:
        """See ``Predictor.raw_channels``."""
        return bands

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """See the class."""
        return x_BCHW - self.mean_CHW

    def coarse_map(self, raw_BKHW: Tensor, kind: str | None = None) -> Tensor:
        """See the class."""
        return gaussian(raw_BKHW.abs().mean(dim=1), self.settings.smoothing)

    def coarse_margin(self) -> int:
        """See ``Predictor.coarse_margin``."""
        return gaussian_reach(self.settings.smoothing)


@register
class MeanDifference(Method[MeanDifferenceSettings]):
    """Nothing is learnt but the mean of the pictures WITHOUT."""

    name = "mean-difference"
    paper = "none: the trivial baseline"
    family = "trivial"
    summary = "abs(x - mean picture WITHOUT)"
    needs = "pictures WITHOUT; those WITH set the threshold alone"
    trains = False
    Settings = MeanDifferenceSettings

    def __init__(self, settings: MeanDifferenceSettings, frame: Frame) -> None:
        super().__init__(settings, frame)
        self._predictor = self.new_predictor(settings, frame).to(frame.device)

    @classmethod
    def new_predictor(cls, settings: MeanDifferenceSettings, frame: Frame) -> MeanDifferencePredictor:
        """See ``Method.new_predictor``."""
        return MeanDifferencePredictor(settings, side=frame.side, bands=frame.bands)

    def prepare(self, context: FitContext) -> None:
        """Take the mean."""
        store = context.train
        members = [index for index, picture in enumerate(store.pictures) if picture.label == WITHOUT]
        total = np.zeros((self.frame.bands, self.frame.side, self.frame.side))
        for number, index in enumerate(members):
            context.progress.update("taking the mean", number / len(members), {})
            total += store[index]
        self._predictor.mean_CHW.copy_(torch.from_numpy(total / len(members)))

    def predictor(self, weights: Mapping[str, Tensor] | None = None) -> MeanDifferencePredictor:
        """See ``Method.predictor``."""
        return self._predictor

    def state_dict(self) -> dict[str, Any]:
        """See ``Method.state_dict``."""
        return {"predictor": self._predictor.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See ``Method.load_state_dict``."""
        self._predictor.load_state_dict(state["predictor"])
