"""What methods are given, tiny."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distmap.data.batches import PictureStore
from distmap.data.folders import list_folders
from distmap.data.scaling import Scaling
from distmap.methods.base import Frame
from distmap.methods.schedules import OneCycle

SIDE = 32


@pytest.fixture(scope="session")
def make_frame() -> Callable[..., Frame]:
    """Return ``make_frame(bands=1, seed=0, precision="32")``."""
    import torch

    def make(**changed: Any) -> Frame:
        usual: dict[str, Any] = {
            "bands": 1,
            "side": SIDE,
            "seed": 0,
            "symmetry": "mirror",
            "precision": "32",
            "schedule": OneCycle(),
            "device": torch.device("cpu"),
        }
        return Frame(**(usual | changed))

    return make


@pytest.fixture
def known(pictures: tuple[Path, Path]) -> PictureStore:
    """The pictures of both folders, as networks see them; the block covers rows and columns 12..19."""
    scaling = Scaling(low=(60.0,), high=(250.0,), dtype="uint8")
    return PictureStore(list_folders(*pictures, None), scaling, SIDE, cache_mb=16)
