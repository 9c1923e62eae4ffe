"""Generated scenes, and mappers that need no training."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.transform import Affine
from torch import Tensor

from distmap.inference.sliding_window import Canvas, Network, Windows, half_overlapping, see_all
from pipelines.scenes.source import Scene, open_scene
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
    weight: float = 0.5

    def __call__(self) -> Brightness:
        return self

    def windows(self, height: int, width: int) -> Windows:
        return half_overlapping(self.side, self.side)

    def margin(self, windows: Windows) -> int:
        return 0

    def bytes_per_pixel(self, windows: Windows) -> float:
        return 8.0

    def see(self, x_BCHW: Tensor) -> Tensor:
        grey = x_BCHW[:, :1] / 255
        ramp_W = torch.linspace(0, 0.01, x_BCHW.shape[-1])
        return grey + self.weight * grey.mean(dim=(2, 3), keepdim=True) + ramp_W

    def maps(self, canvases: Sequence[Canvas]) -> list[Floats]:
        def as_it_is(window: NDArray[np.generic]) -> NDArray[np.float32]:
            return window.astype(np.float32)

        network = Network(forward=self.see, scale=as_it_is, symmetry="none", device=torch.device("cpu"))
        return [raw_KHW[0][canvas.inner] for canvas, raw_KHW in see_all(canvases, network)]


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
        "localizer": {"steps": 2, "batch_size": 4, "width": 8, "backbone": "test_efficientnet", "enlarge": 1},
        "student": {
            "rounds": 0,
            "encoder": "test_efficientnet",
            "decoder_widths": [8, 8, 8, 8, 8],
            "least_side": 32,
        },
        "map": {"normalisation_radius": 8},
        "picture_guide": {"steps": 2, "batch_size": 4, "width": 8, "max_width": 16},
        "judge": {"steps": 2, "batch_size": 4, "width": 8, "max_width": 16},
    }
    distmap.fit(folder / "with", folder / "without", run=folder / "run", overrides=settings, device="cpu")
    return folder / "run"


@pytest.fixture(scope="session")
def taught_run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run with an untrained student (do not change it)."""
    import distmap
    from distmap.common.detection_settings import read_detection_settings, write_detection_settings
    from distmap.config import read_run_config
    from distmap.inference.student import StudentPredictor
    from distmap.run import save

    run = tmp_path_factory.mktemp("taught")
    for name in ("config.yaml", "dataset.json"):
        shutil.copy(tiny_run / name, run)
    of_method = read_detection_settings(tiny_run)
    sources = {**of_method.sources, of_method.map_kind: of_method.as_source()}
    write_detection_settings(run, replace(of_method, map_kind="student", threshold=0.5, sources=sources))
    torch.manual_seed(0)
    student = StudentPredictor(read_run_config(tiny_run).student, 3, side=32, precision="32").eval()
    save(run, distmap.load(tiny_run, device="cpu").with_student(student))
    return run
