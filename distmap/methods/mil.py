"""Multiple-instance learning: a classifier of locations, pooled over the picture, from the pictures' classes alone."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from distmap.common.kinds import Sigma
from distmap.data.seeding import LOCALIZER, seeded_networks, step_rng
from distmap.inference.predictor import Predictor
from distmap.inference.refinement import gaussian, gaussian_reach
from distmap.methods.base import Batch, FitContext, Frame, Method
from distmap.methods.classifier_training import classifier_step, set_rates
from distmap.methods.localizer_training import LocalizerUpdates, localizer_change, localizer_optimiser
from distmap.methods.registry import register
from distmap.networks.localizer import Localizer
from distmap.networks.settings import LocalizerShape


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings(LocalizerShape, LocalizerUpdates):
    """The classifier of locations and its training."""


@dataclass(frozen=True, kw_only=True)
class LocationMapSettings:
    """From logits of locations to the map."""

    smoothing: Sigma = 1.0
    """Sigma of the Gaussian that smooths the probability, in pixels of the network."""


@dataclass(frozen=True, kw_only=True)
class MilSettings:
    """Everything that decides the pooled classifier."""

    classifier: ClassifierSettings = field(default_factory=ClassifierSettings)
    map: LocationMapSettings = field(default_factory=LocationMapSettings)


class MilPredictor(Predictor):
    """Raw outputs: the logit of WITH at each location, B x 1 x H x W. The map is its probability, smoothed."""

    def __init__(self, classifier: Localizer, settings: MilSettings, *, side: int) -> None:
        super().__init__(side)
        self.classifier = classifier
        self.settings = settings.map

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """See the class."""
        logits = self.classifier.location_logits(x_BCHW)[:, None]
        return F.interpolate(logits, x_BCHW.shape[2:], mode="bilinear")

    def coarse_map(self, raw_BKHW: Tensor, kind: str | None = None) -> Tensor:
        """See the class."""
        return gaussian(torch.sigmoid(raw_BKHW[:, 0]), self.settings.smoothing)

    def coarse_margin(self) -> int:
        """See ``Predictor.coarse_margin``."""
        return gaussian_reach(self.settings.smoothing)


@register
class Mil(Method[MilSettings]):
    """A classifier whose locations each give a logit, pooled by log-mean-exp; the locations are the map."""

    name = "mil"
    paper = "From Image-level to Pixel-level Labeling with Convolutional Networks (Pinheiro & Collobert 2015)"
    family = "localisation trained with the classifier"
    summary = "a classifier of locations pooled over the picture; what makes a picture one WITH is the map"
    Settings = MilSettings
    defaults = {"training": {"steps": 300}, "data": {"batch_size": 16}}  # noqa: RUF012 - a constant

    def __init__(self, settings: MilSettings, frame: Frame) -> None:
        super().__init__(settings, frame)
        with seeded_networks(frame.seed, LOCALIZER):
            network = self.new_network(settings, frame.bands)
        self._network = network.to(frame.device).to(memory_format=torch.channels_last).train()
        self._optimiser = localizer_optimiser(network, settings.classifier)
        self._change = localizer_change(settings.classifier, frame.symmetry)
        self._rate = 1.0

    @classmethod
    def new_network(cls, settings: MilSettings, bands: int) -> Localizer:
        """An untrained classifier; its ``location_logits`` are what maps are made of."""
        return Localizer(settings.classifier, bands)

    @classmethod
    def new_predictor(cls, settings: MilSettings, frame: Frame) -> MilPredictor:
        """See ``Method.new_predictor``."""
        return MilPredictor(cls.new_network(settings, frame.bands), settings, side=frame.side)

    def prepare(self, context: FitContext) -> None:
        """Begin with what is known of ImageNet."""
        if note := self._network.backbone.load_imagenet_weights():
            context.progress.say(f"warning: {note}")

    def step(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """One update."""
        settings, frame = self.settings.classifier, self.frame
        x_BCHW = self._change(batch.x_BCHW.to(frame.device), step_rng(frame.seed, LOCALIZER, batch.step))
        set_rates(self._optimiser, self._rate * frame.schedule(progress))
        self._network.train()
        loss = classifier_step(
            self._network,
            self._optimiser,
            x_BCHW,
            batch.labels_B.to(frame.device),
            smoothing=settings.label_smoothing,
            precision=frame.precision,
        )
        return {"classification": loss}

    def slow_down(self, factor: float) -> None:
        """Multiply the learning rate from now on."""
        self._rate *= factor

    def weights(self) -> dict[str, Tensor]:
        """A copy of the classifier as it is now."""
        return {name: value.clone() for name, value in self._network.state_dict().items()}

    def predictor(self, weights: Mapping[str, Tensor] | None = None) -> MilPredictor:
        """See ``Method.predictor``."""
        classifier = copy.deepcopy(self._network)
        if weights is not None:
            classifier.load_state_dict(weights)
        return MilPredictor(classifier.eval().requires_grad_(False), self.settings, side=self.frame.side)

    def state_dict(self) -> dict[str, Any]:
        """See ``Method.state_dict``."""
        return {
            "network": self._network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "rate": self._rate,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See ``Method.load_state_dict``."""
        self._network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._rate = float(state["rate"])
