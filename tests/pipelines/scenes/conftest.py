"""Generated scenes, and mappers that need no training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

from pipelines.scenes.source import Pixels, Scene, open_scene
from pipelines.scenes.windows import Floats

UTM = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)
WriteScene = Callable[..., Path]


@pytest.fixture
def write_scene(tmp_path: Path) -> WriteScene:
    """Return ``write_scene(name, pixels, **profile)``: pixels (height, width[, bands]), by default UTM, 0.5 m."""

    def write(name: str, pixels: NDArray[Any], *, alpha: NDArray[np.uint8] | None = None, **profile: Any) -> Path:
        bands_CHW = np.moveaxis(np.atleast_3d(pixels), -1, 0)
        if alpha is not None:
            bands_CHW = np.concatenate([bands_CHW, alpha[None]])
            profile = {"photometric": "RGB", "alpha": "yes"} | profile
        profile = {"driver": "GTiff", "crs": "EPSG:32633", "transform": UTM} | profile
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        count, height, width = bands_CHW.shape
        with rasterio.open(
            path, "w", height=height, width=width, count=count, dtype=bands_CHW.dtype, **profile
        ) as file:
            file.write(bands_CHW)
        return path

    return write


@dataclass(frozen=True, kw_only=True)
class Brightness:
    """The first band over 255, and what depends on the window as networks do: its mean."""

    side: int = 32
    reach: int = 0
    channels: int = 1
    weight: float = 0.5

    def __call__(self) -> Brightness:
        return self

    def paint(self, windows_BHWC: Pixels) -> Floats:
        grey_BHW1 = windows_BHWC[..., :1].astype(np.float32) / 255
        ramp_W1 = np.linspace(0, 0.01, self.side, dtype=np.float32)[:, None]
        mean_B111 = grey_BHW1.mean(axis=(1, 2), keepdims=True)
        return np.asarray(grey_BHW1 + np.float32(self.weight) * mean_B111 + ramp_W1, np.float32)

    def map(self, blended_HWK: Floats) -> Floats:
        return blended_HWK[..., 0]


@pytest.fixture
def brightness() -> Brightness:
    return Brightness()


def scene_of(path: Path, **options: Any) -> Scene:
    return open_scene(path, options.get("bands"), options.get("needed"))


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 32 x 32 colour pictures, with a bright block or without (do not change it)."""
    import cv2

    import distmap

    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("tiny")
    for name in ("with", "without"):
        (folder / name).mkdir()
        for number in range(12):
            picture = rng.integers(60, 120, (32, 32, 3), np.uint8)
            if name == "with":
                picture[12:20, 12:20] = 250
            assert cv2.imwrite(str(folder / name / f"{name}_{number:02}.png"), picture)
    settings = {
        "image_size": 32,
        "data": {"batch_size": 4},
        "generator": {"width": 8, "max_width": 16, "depth": 2, "style_size": 8, "mapping_width": 8},
        "discriminator": {"width": 8, "max_width": 16},
        "training": {"steps": 60, "time_limit": None, "precision": "32"},
        "locator": {"steps": 2, "batch_size": 4, "width": 8},
        "student": {"rounds": 0},
        "map": {"even_radius": 8},
        "picture_guide": {"steps": 2, "batch_size": 4, "width": 8, "max_width": 16},
        "judge": {"steps": 2, "batch_size": 4, "width": 8, "max_width": 16},
    }
    distmap.fit(folder / "with", folder / "without", run=folder / "run", overrides=settings, device="cpu")
    return folder / "run"
