"""The pages on adding a method, a loss and a backbone are followed to the letter, on a copy of the package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r'^```(python|diff) title="([^"]+)"\n(.*?)^```', re.MULTILINE | re.DOTALL)
TINY = [
    "image_size=32",
    "data.batch_size=4",
    "student.rounds=0",
    "training.steps=2",
    "training.log_every=1",
    "training.time_limit=none",
    "training.precision=32",
]
TINY_GAN = [
    "generator.width=8",
    "generator.max_width=16",
    "generator.depth=2",
    "discriminator.width=8",
    "discriminator.max_width=16",
    "localizer.width=8",
    "localizer.backbone=test_efficientnet",
    "localizer.enlarge=1",
    "localizer.steps=2",
    "judge.width=8",
    "judge.steps=2",
]


def follow(page: Path, folder: Path) -> None:
    """A copy of the package in a folder, with what a page says done to it."""
    shutil.copytree(ROOT / "distmap", folder / "distmap", ignore=shutil.ignore_patterns("__pycache__"))
    for kind, name, body in BLOCK.findall(page.read_text()):
        path = folder / name
        if kind == "python":
            with path.open("a") as file:
                file.write(body)
            continue
        lines = body.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        text = path.read_text()
        assert text.count(before) == 1, f"{name} does not hold once what {page.name} shows"
        path.write_text(text.replace(before, after))


def distmap_of(folder: Path, *arguments: object) -> str:
    """The output of a command of that copy."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); from distmap.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("pictures")
    for name in ("with", "without"):
        (root / name).mkdir()
        for number in range(8):
            picture = rng.integers(60, 120, (32, 32), np.uint8)
            if name == "with":
                picture[12:20, 12:20] = 250
            assert cv2.imwrite(str(root / name / f"{name}_{number}.png"), picture)
    return root


def fit(folder: Path, pictures: Path, *arguments: str) -> dict[str, Any]:
    """Fit with a copy of the package, and say what the run is."""
    run = folder / "run"
    distmap_of(folder, "fit", pictures / "with", pictures / "without", "--run", run, "--device", "cpu", *arguments)
    described: dict[str, Any] = json.loads(distmap_of(folder, "info", run, "--json"))
    assert described["finished"]
    return described


def given(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def test_a_method(tmp_path: Path, pictures: Path) -> None:
    follow(ROOT / "docs" / "extend" / "method.md", tmp_path)
    names = [entry["name"] for entry in json.loads(distmap_of(tmp_path, "methods", "--json"))]
    assert "blur-difference" in names
    described = fit(tmp_path, pictures, "--method", "blur-difference", *given("image_size=32", "blur.sigma=3"))
    assert described["config"]["blur"] == {"sigma": 3.0}


def test_a_loss(tmp_path: Path, pictures: Path) -> None:
    follow(ROOT / "docs" / "extend" / "loss.md", tmp_path)
    described = fit(tmp_path, pictures, *given(*TINY, *TINY_GAN, "losses.total_variation=0.5"))
    assert described["config"]["losses"]["total_variation"] == 0.5
    assert described["last_metrics"]["total_variation"] > 0


def test_a_backbone(tmp_path: Path, pictures: Path) -> None:
    follow(ROOT / "docs" / "extend" / "backbone.md", tmp_path)
    described = fit(tmp_path, pictures, "--method", "mil-plain", *given(*TINY))
    assert described["config"]["method"] == "mil-plain"
    maps = tmp_path / "maps"
    distmap_of(tmp_path, "map", tmp_path / "run", pictures / "with", "--out", maps, "--device", "cpu")
    assert len(list(maps.iterdir())) == 8
