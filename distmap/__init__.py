"""Learn from two folders of pictures what tells them apart, and write a map of it for every picture."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distmap.config import Config
    from distmap.inference.export import export
    from distmap.inference.model import DistinctionModel, PictureMap, load
    from distmap.training.fit import fit

__all__ = ["Config", "DistinctionModel", "PictureMap", "export", "fit", "load"]

_HOMES = {
    "Config": "distmap.config",
    "DistinctionModel": "distmap.inference.model",
    "PictureMap": "distmap.inference.model",
    "export": "distmap.inference.export",
    "fit": "distmap.training.fit",
    "load": "distmap.inference.model",
}


def __getattr__(name: str) -> Any:
    # Importing the package must stay cheap: numpy and torch come with the first use.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
