"""A tiny branched GAN and what it is trained on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from distmap.config import resolve
from distmap.methods.base import Batch, Frame
from distmap.methods.branched_gan import BranchedGan
from distmap.methods.branched_gan.settings import BranchedGanSettings

MakeSettings = Callable[..., BranchedGanSettings]


@pytest.fixture(scope="session")
def make_settings(tiny: dict[str, Any]) -> MakeSettings:
    """Return ``make_settings(preset="quick", **sections)``, which gives the settings of tiny networks."""

    def make(preset: str = "quick", **sections: dict[str, Any]) -> BranchedGanSettings:
        merged = copy.deepcopy(tiny)
        for section, values in sections.items():
            merged[section] = {**merged.get(section, {}), **values}
        settings = resolve(preset=preset, overrides=merged).settings
        assert isinstance(settings, BranchedGanSettings)
        return settings

    return make


@pytest.fixture(scope="session")
def make_gan(make_settings: MakeSettings, make_frame: Callable[..., Frame]) -> Callable[..., BranchedGan]:
    """Return ``make_gan(bands=1, seed=0, precision="32", preset="quick", **sections)``."""

    def make(bands: int = 1, seed: int = 0, precision: str = "32", **sections: Any) -> BranchedGan:
        return BranchedGan(make_settings(**sections), make_frame(bands=bands, seed=seed, precision=precision))

    return make


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., Batch]:
    """Return ``make_batch(step=0, bands=1)``: two pictures of each class, another four each step."""
    import torch

    def make(step: int = 0, bands: int = 1) -> Batch:
        rng = torch.Generator().manual_seed(step)
        x_BCHW = torch.rand((4, bands, 32, 32), generator=rng) * 2 - 1
        return Batch(x_BCHW=x_BCHW, labels_B=torch.tensor([1, 1, 0, 0]), step=step)

    return make
