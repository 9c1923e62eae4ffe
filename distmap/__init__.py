"""Learn from two folders of pictures what tells them apart, and write a map of it for every picture."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distmap.config import Config
    from distmap.inference.model import DistinctionModel, PictureMap
    from distmap.methods.registry import list_methods
    from distmap.run import export, load
    from distmap.training.fit import fit

__all__ = ["Config", "DistinctionModel", "PictureMap", "export", "fit", "list_methods", "load"]

_HOMES = {
    "Config": "distmap.config",
    "DistinctionModel": "distmap.inference.model",
    "PictureMap": "distmap.inference.model",
    "export": "distmap.run",
    "fit": "distmap.training.fit",
    "list_methods": "distmap.methods.registry",
    "load": "distmap.run",
}


def __getattr__(name: str) -> Any:
    # Importing the package must stay cheap: numpy and torch come with the first use.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
