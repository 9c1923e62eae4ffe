"""Scenes at a fraction of their size, read in strips of rows: memory is that of a strip, however large the scene."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distmap.data.resizing import resize
from pipelines.scenes.source import Pixels, Scene, SceneReader, Valid

STRIP = 256  # rows at once when a whole scene is copied
HALF_WAY = 1e-3  # of a grey: more than sums of 8-bit greys are off by
ROUNDING = 1e-3  # of a pixel: a pixel is valid when all of it is, but for rounding


class ShrunkReader:
    """An open scene whose pixels are averages over area, ``scale`` times as many along either side.

    A pixel depends on where it lies alone, not on the strip it is read in.

    Parameters
    ----------
    scale
        Above 0 and up to 1.
    bands
        1 or 3; a grey scene is repeated where 3 are asked for.
    """

    def __init__(self, scene: Scene, scale: float, bands: int) -> None:
        self.scene = scene
        self.height, self.width = shrunk_size(scene, scale)
        self._bands = bands
        self._reader = SceneReader(scene)

    def __enter__(self) -> ShrunkReader:
        self._reader.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.__exit__(kind, error, trace)

    def rows(self, first: int, count: int) -> tuple[Pixels, Valid]:
        """Pixels count x W x bands in the scene's own type, and which of them hold something throughout."""
        scene = self.scene
        step = scene.height / self.height
        top, bottom = math.floor(first * step), min(scene.height, math.ceil((first + count) * step))
        pixels, valid = self._reader.read(top, 0, bottom - top, scene.width)
        if (self.height, self.width) != (scene.height, scene.width):
            weights = _overlaps(first * step - top, step, count, bottom - top)
            shrunk = np.tensordot(weights, resize(pixels.astype(np.float32), bottom - top, self.width), 1)
            # Half-way goes upwards: CPUs sum in other orders, and strips shall be those of the whole.
            pixels = np.floor(shrunk + 0.5 + HALF_WAY).astype(pixels.dtype)
            whole = np.tensordot(weights, resize(valid.astype(np.float32), bottom - top, self.width), 1)
            valid = whole >= 1 - ROUNDING
        return np.broadcast_to(pixels, (*pixels.shape[:2], self._bands)), valid

    def write_png(self, path: Path) -> None:
        """Write all of it as a PNG."""
        import rasterio
        import rasterio.shutil
        from rasterio.errors import NotGeoreferencedWarning
        from rasterio.windows import Window

        path.parent.mkdir(parents=True, exist_ok=True)
        strips = path.with_suffix(".part.tif")  # PNG cannot be written in strips, but be copied in them
        profile: dict[str, Any] = {
            "driver": "GTiff", "height": self.height, "width": self.width, "count": self._bands,
            "dtype": self.scene.dtype, "bigtiff": "if_safer",
        }  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            try:
                with rasterio.open(strips, "w", **profile) as file:
                    for first in range(0, self.height, STRIP):
                        count = min(STRIP, self.height - first)
                        pixels, _ = self.rows(first, count)
                        file.write(np.moveaxis(pixels, -1, 0), window=Window(0, first, self.width, count))
                rasterio.shutil.copy(strips, path, driver="PNG")
            finally:
                strips.unlink(missing_ok=True)


def shrunk_size(scene: Scene, scale: float) -> tuple[int, int]:
    """Height and width at ``scale``, 1 at least."""
    return max(1, round(scene.height * scale)), max(1, round(scene.width * scale))


def _overlaps(start: float, step: float, count: int, length: int) -> NDArray[np.float32]:
    """Fraction of each of ``length`` pixels in ``count`` wider ones of ``step`` pixels, the first at ``start``."""
    left_N1 = start + step * np.arange(count)[:, None]
    pixel_M = np.arange(length)
    shared_NM = np.minimum(left_N1 + step, pixel_M + 1) - np.maximum(left_N1, pixel_M)
    return np.asarray(np.maximum(shared_NM, 0) / step, np.float32)
