"""Predictors whose outputs are known, and models of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distmap.data.scaling import Scaling
from distmap.data.settings import DataSettings, Symmetry
from distmap.data.statistics import DatasetStats
from distmap.inference.model import DistinctionModel
from distmap.inference.predictor import Panel, Predictor

SIDE = 32
SCALING = Scaling(low=(0.0,), high=(200.0,), dtype="uint8")


class Grey(Predictor):
    """The map is the grey of the picture, brought to 0..1."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW

    def coarse_map(self, raw_BKHW: Tensor, kind: str | None = None) -> Tensor:
        return (raw_BKHW.mean(dim=1) + 1) / 2

    def diagnostics(self, picture_CHW: Tensor, raw_KHW: Tensor) -> dict[str, float]:
        return {"difference": float((picture_CHW - raw_KHW).abs().max())}

    def panels(self, picture_CHW: Tensor, label: int) -> list[Panel]:
        return [Panel(title="class", picture_CHW=torch.full_like(picture_CHW, float(label)))]

    def branches(self, x_BCHW: Tensor, label: int) -> Tensor:
        """As WITHOUT the picture itself, as WITH something added; branch 1 carries a quarter."""
        return torch.stack([0.25 * x_BCHW + 0.5 * label, 0.75 * x_BCHW], dim=1)


class Columns(Predictor):
    """Raw outputs and map: the number of the window's column."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return torch.arange(x_BCHW.shape[-1]).float().expand(len(x_BCHW), 1, *x_BCHW.shape[2:])

    def coarse_map(self, raw_BKHW: Tensor, kind: str | None = None) -> Tensor:
        return raw_BKHW[:, 0]


class Large(Grey):
    """Sees windows of up to four times its side."""

    span = 4


class Kinds(Grey):
    """Maps are the grey, or 1 less it."""

    kinds = ("grey", "inverse")

    def coarse_map(self, raw_BKHW: Tensor, kind: str | None = None) -> Tensor:
        grey_BHW = super().coarse_map(raw_BKHW)
        return 1 - grey_BHW if (kind or self.kind) == "inverse" else grey_BHW


def model_of(
    predictor: Predictor,
    *,
    longer: int = SIDE,
    longest: int | None = None,
    symmetry: Symmetry = "mirror",
    **options: Any,
) -> DistinctionModel:
    stats = DatasetStats(scaling=SCALING, longer_side=longer, longest_side=longest or longer)
    data = DataSettings(symmetry=symmetry)
    return DistinctionModel(predictor, stats, data, device=torch.device("cpu"), **options)


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 201, (*shape, 1), dtype=np.uint8)
