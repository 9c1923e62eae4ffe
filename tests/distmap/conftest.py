"""A tiny run that is fitted once, and the settings that keep networks tiny."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

TINY = {
    "image_size": 32,
    "data": {"batch_size": 4},
    "generator": {"width": 8, "max_width": 16, "depth": 2, "style_size": 8, "mapping_width": 8},
    "discriminator": {"width": 8, "max_width": 16},
    "training": {"steps": 4, "time_limit": None, "precision": "32"},
    "localizer": {"steps": 2, "batch_size": 4, "width": 8, "backbone": "test_efficientnet", "enlarge": 1},
    "student": {
        "rounds": 0,
        "steps": 2,
        "batch_size": 4,
        "encoder": "test_efficientnet",
        "decoder_widths": [8, 8, 8, 8, 8],
        "least_side": 32,
    },
    "picture_guide": {"steps": 2, "batch_size": 4, "width": 8, "max_width": 16},
    "judge": {"steps": 2, "batch_size": 4, "width": 8, "max_width": 16},
}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny networks gain nothing from more threads, and on a busy machine they wait for each other."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """Settings of tiny networks and four steps, nested by section."""
    settings: dict[str, Any] = json.loads(json.dumps(TINY))
    return settings


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """WITH and WITHOUT for the whole session (do not change them): twelve 32 x 32 grey PNGs each; WITH has a white
    block."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("with", "without"):
        (folder / name).mkdir()
        for number in range(12):
            picture = rng.integers(60, 120, (32, 32), dtype=np.uint8)
            if name == "with":
                picture[12:20, 12:20] = 250
            assert cv2.imwrite(str(folder / name / f"{name}_{number:02}.png"), picture)
    return folder / "with", folder / "without"


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory, pictures: tuple[Path, Path], tiny: dict[str, Any]) -> Path:
    """A finished tiny run (do not change it)."""
    import distmap

    run = tmp_path_factory.mktemp("fitted") / "run"
    distmap.fit(*pictures, run=run, overrides=tiny, device="cpu")
    return run


@pytest.fixture(scope="session")
def taught(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run with an untrained student, whose maps are far from empty (do not change it)."""
    import torch

    import distmap
    from distmap.common.detection_settings import read_detection_settings, write_detection_settings
    from distmap.config import read_run_config
    from distmap.inference.student import StudentPredictor
    from distmap.run import save

    run = tmp_path_factory.mktemp("taught")
    for name in ("config.yaml", "dataset.json"):
        shutil.copy(fitted / name, run)
    of_method = read_detection_settings(fitted)
    sources = {**of_method.sources, of_method.map_kind: of_method.as_source()}
    settings = dataclasses.replace(of_method, map_kind="student", threshold=0.5, low_threshold=0.5, sources=sources)
    write_detection_settings(run, settings)
    torch.manual_seed(0)
    student = StudentPredictor(read_run_config(fitted).student, 1, side=32, precision="bf16").eval()
    save(run, distmap.load(fitted, device="cpu").with_student(student))
    return run
