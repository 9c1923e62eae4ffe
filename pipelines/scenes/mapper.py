"""A run as what maps windows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

import distmap
from pipelines.scenes.source import Pixels, Scene
from pipelines.scenes.windows import Floats


class ModelMapper:
    """A trained run on windows of ``side`` pixels; by default as large as the pictures that it was trained on.

    ``enlargement``: how many times as many pixels long a thing is in the scene as in those pictures.
    """

    def __init__(self, model: distmap.DistinctionModel, side: int | None = None) -> None:
        self._model = model
        self.side = model.survey.longer_side if side is None else side
        self.bands = model.scaling.bands
        self.channels = model.channels
        self.enlargement = self.side / model.survey.longer_side
        self._scale = self.side / model.map_side
        self.reach = model.reach(self._scale)

    @property
    def gpus(self) -> int:
        """How many GPUs there are for it; 0 where it works without."""
        import torch

        return torch.cuda.device_count() if self._model.device.type == "cuda" else 0

    def check(self, scene: Scene) -> None:
        """Raise ValueError where a scene's bands or numbers are not those trained on."""
        self._model.scaling.check(np.empty((1, 1, len(scene.bands)), scene.dtype), scene.path)

    def paint(self, windows_BHWC: Pixels) -> Floats:
        """B x H x W x C in the numbers of the file -> B x H x W x K."""
        return np.asarray(self._model.evidence(windows_BHWC), np.float32)

    def map(self, blended_HWK: Floats) -> Floats:
        """The cleaned distinction map."""
        return np.asarray(self._model.map_evidence(blended_HWK, self._scale), np.float32)


@dataclass(frozen=True, kw_only=True)
class RunMapper:
    """Loads a run where it is called, once for each process; on any machine it must be that of this ``digest``."""

    run: Path
    device: str = "auto"
    side: int | None = None
    digest: str | None = None

    def __call__(self) -> ModelMapper:
        return _load(self)


@lru_cache(maxsize=2)
def _load(source: RunMapper) -> ModelMapper:
    if source.digest is not None and run_digest(source.run) != source.digest:
        raise ValueError(f"{source.run}: has changed since the work began, or is another one on this machine")
    return ModelMapper(distmap.load(source.run, device=source.device), source.side)


def run_digest(run: Path) -> str:
    """Tells what one run maps with from what another does.

    Raises
    ------
    ValueError
        The folder is not a trained run.
    """
    digest = hashlib.sha256()
    for name in ("config.yaml", "weights.safetensors"):
        try:
            with (run / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except FileNotFoundError:
            raise ValueError(f"{run}: holds no {name}; is it a run whose `distmap fit` has ended?") from None
    return digest.hexdigest()
