"""Data of the real folders' layout, generated and tiny; a row that takes seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.quality.machine import Machine
from pipelines.quality.picture_sets import Generated
from pipelines.quality.results import Result, Seconds
from pipelines.quality.rows import Row, Score

TINY = {
    "image_size": 32,
    "data": {"batch_size": 4},
    "generator": {"width": 8, "max_width": 16, "depth": 2, "style_size": 8, "mapping_width": 8},
    "discriminator": {"width": 8, "max_width": 16},
    "training": {"steps": 3, "precision": "32"},
    "localizer": {"steps": 2, "batch_size": 4, "width": 8, "backbone": "test_efficientnet", "enlarge": 1},
    "student": {"rounds": 0},
    "picture_guide": {"steps": 2, "batch_size": 4, "width": 8, "max_width": 16},
    "judge": {"steps": 2, "batch_size": 4, "width": 8, "max_width": 16},
}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny networks gain nothing from more threads, and on a busy machine they wait for each other."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def make_row() -> Callable[..., Row]:
    """Return ``make_row(**fields)``: a row of generated pictures and three steps, but for the fields given."""

    def make(**fields: Any) -> Row:
        standard: dict[str, Any] = {
            "name": "tiny",
            "part": "targets",
            "title": "A tiny row",
            "pictures": Generated(split="shape", count=6, image_size=32),
            "minutes": 1,
            "scores": (Score(name="pixel_ap", floor=0.5), Score(name="dice_lost", floor=0.05)),
            "settings": TINY,
        }
        return Row(**{**standard, **fields})

    return make


@pytest.fixture
def slices(tmp_path: Path) -> Path:
    """A data folder with ``lgg``: patients A to J, of each three slices WITH and two WITHOUT, 16 x 16, with masks."""
    folder = tmp_path / "data" / "lgg"
    rng = np.random.default_rng(0)
    for label, numbers in (("with", (4, 5, 6)), ("without", (1, 2))):
        for place in (label, "masks"):
            (folder / place).mkdir(parents=True, exist_ok=True)
        for patient in "ABCDEFGHIJ":
            for number in numbers:
                name = f"T_{patient}_{number:03}.png"
                assert cv2.imwrite(str(folder / label / name), rng.integers(0, 255, (16, 16), dtype=np.uint8))
                mask = np.full((16, 16), 255 if label == "with" else 0, np.uint8)
                assert cv2.imwrite(str(folder / "masks" / name), mask)
    return folder.parent


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """A data folder with ``aerial``: two scenes, 96 x 64, of each of five places; in each a car of 16 x 10 pixels.

    Stems say nothing of the places, and two places share a stem's beginning, so that only ``index.csv`` tells them.
    """
    folder = tmp_path / "data" / "aerial"
    for place in ("images", "labelTxt"):
        (folder / place).mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = ["name,group,file"]
    for index in range(10):
        stem = f"frame_{index}"
        lines.append(f"{stem},{'town_' if index < 6 else 'port_'}{index // 2},{stem}.jpg")
        picture = rng.integers(1, 255, (64, 96, 3), dtype=np.uint8)
        assert cv2.imwrite(str(folder / "images" / f"{stem}.jpg"), picture)
        car = "4 6 20 6 20 16 4 16 small-vehicle 0\n"
        (folder / "labelTxt" / f"{stem}.txt").write_text(f"imagesource:x\ngsd:null\n{car}")
    (folder / "index.csv").write_text("\n".join(lines) + "\n")
    return folder.parent


@pytest.fixture
def make_result(make_row: Callable[..., Row]) -> Callable[..., Result]:
    """Return ``make_result(**fields)``: a result of the row of `make_row`, but for the fields given."""

    def make(**fields: Any) -> Result:
        row = make_row()
        standard: dict[str, Any] = {
            "row": row.name,
            "seed": 0,
            "protocol": row.protocol(),
            "budget_scale": 1.0,
            "revision": "abc1234",
            "machine": Machine(cores=2, threads=1, load=1.5, device="cpu"),
            "cores_used": 0.9,
            "steps": 300,
            "seconds": Seconds(fit=60, extract=2, evaluate=1),
            "resumed": False,
            "pictures": {"train": {"with": 6, "without": 7}, "test": {"with": 3, "without": 4}},
            "groups": None,
            "commands": row.commands(0),
            "scores": {"pixel_ap": 0.5, "dice_lost": 0.01},
            "config": {},
        }
        return Result(**{**standard, **fields})

    return make
