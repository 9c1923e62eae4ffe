"""The whole job on one kind of data: prepare the two folders, learn, detect.

``synthetic`` writes generated sets whose truth is known; ``brats``, ``dota`` and ``celeba`` write those of public data
sets from the folders as they are downloaded; ``areas`` cuts scenes into patches where a layer says that something is
present or absent; ``geotiff`` maps scenes of any size and finds the objects in them; ``self_train`` goes from a run to
one whose maps a student network makes. Imports are lazy, so that ``import pipelines`` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.area_patches import areas as areas
    from pipelines.celeba_faces import celeba as celeba
    from pipelines.dota_patches import dota as dota
    from pipelines.scans.brats import brats as brats
    from pipelines.scenes.geotiffs import geotiff as geotiff
    from pipelines.self_training import self_train as self_train
    from pipelines.synthetic_sets import synthetic as synthetic

__all__ = ["areas", "brats", "celeba", "dota", "geotiff", "self_train", "synthetic"]

_HOMES = {
    "areas": "pipelines.area_patches",
    "brats": "pipelines.scans.brats",
    "celeba": "pipelines.celeba_faces",
    "dota": "pipelines.dota_patches",
    "geotiff": "pipelines.scenes.geotiffs",
    "self_train": "pipelines.self_training",
    "synthetic": "pipelines.synthetic_sets",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
