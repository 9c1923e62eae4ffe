"""A run as what maps windows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

import distmap
from distmap.inference.model import even
from distmap.inference.sliding_window import Canvas, Windows, see_all
from pipelines.scenes.source import Scene
from pipelines.scenes.windows import Floats


class ModelMapper:
    """A trained run on windows of ``side`` pixels of a scene.

    By default windows are as large as the pictures that it was trained on, and a scene that is about as large as one of
    these is seen whole, as `DistinctionModel.map` sees it.
    """

    def __init__(self, model: distmap.DistinctionModel, side: int | None = None) -> None:
        self._model = model
        self._usual = even(model.stats.longer_side)
        self._side = None if side is None else even(side)
        self.side = self._side or self._usual
        self.bands = model.scaling.bands

    @property
    def enlargement(self) -> float:
        """How many times as many pixels long a thing is in the scene as in the pictures trained on."""
        return self.side / self._usual

    @property
    def gpus(self) -> int:
        """How many GPUs there are for it; 0 where it works without."""
        import torch

        return torch.cuda.device_count() if self._model.device.type == "cuda" else 0

    def check(self, scene: Scene) -> None:
        """Raise ValueError where a scene's bands or numbers are not those trained on."""
        self._model.scaling.check(np.empty((1, 1, len(scene.bands)), scene.dtype), scene.path)

    def windows(self, height: int, width: int) -> Windows:
        """The windows that cover a scene of this size."""
        return self._model.windows(height, width, usual=self._side)

    def margin(self, windows: Windows) -> int:
        """How far around a pixel the map looks, in pixels of the scene, where it is seen in these windows."""
        return self._model.mapper.margin(windows.scale)

    def bytes_per_pixel(self, windows: Windows) -> float:
        """Memory that mapping takes for each pixel of a scene that is seen in these windows: raw outputs, twice, at the
        network's scale, and what makes the map of them."""
        mapper = self._model.mapper
        return 8 * mapper.raw_channels(self.bands) / windows.scale**2 + mapper.refine_bytes

    def maps(self, canvases: Sequence[Canvas]) -> list[Floats]:
        """The distinction map of each canvas' inner part, 0 where nothing is held."""
        network = self._model.network(self._model.mapper)
        return [self._model.canvas_map(*seen) for seen in see_all(canvases, network)]


@dataclass(frozen=True, kw_only=True)
class RunMapper:
    """Loads a run where it is called, once for each process; on any machine it must be that of this ``digest``."""

    run: Path
    device: str = "auto"
    side: int | None = None
    digest: str | None = None
    source: str = "auto"

    def __call__(self) -> ModelMapper:
        return _load(self)


@lru_cache(maxsize=2)
def _load(source: RunMapper) -> ModelMapper:
    if source.digest is not None and run_digest(source.run) != source.digest:
        raise ValueError(f"{source.run}: has changed since the work began, or is another one on this machine")
    return ModelMapper(distmap.load(source.run, source.device, source.source), source.side)


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
