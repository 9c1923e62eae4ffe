"""The contract of a method: every registered one goes all the way, and a new one is one new file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from rasterio.transform import from_origin

import distmap
from detect.cli import main as detect_main
from distmap.cli import main as distmap_main
from distmap.methods import registry
from pipelines.cli import main as pipelines_main

# What keeps networks tiny, for the methods that have such settings.
TINY: dict[str, dict[str, Any]] = {
    "branched-gan": {
        "generator": {"width": 8, "max_width": 16, "depth": 2, "style_size": 8, "mapping_width": 8},
        "discriminator": {"width": 8, "max_width": 16},
        "localizer": {"steps": 2, "batch_size": 4, "width": 8, "backbone": "test_efficientnet", "enlarge": 1},
        "picture_guide": {"steps": 2, "batch_size": 4, "width": 8, "max_width": 16},
        "judge": {"steps": 2, "batch_size": 4, "width": 8, "max_width": 16},
    },
    "mil": {"classifier": {"width": 8, "backbone": "test_efficientnet", "enlarge": 1}},
}
COMMON = {"image_size": 32, "data": {"batch_size": 4}, "student": {"rounds": 0}}
NAMES = [method.name for method in registry.list_methods()]

THRICE = '''
"""A fourth method: three times the first band."""

from dataclasses import dataclass

from distmap.inference.predictor import Predictor
from distmap.methods.base import Method
from distmap.methods.registry import register


@dataclass(frozen=True, kw_only=True)
class ThriceSettings:
    pass


class ThricePredictor(Predictor):
    def forward(self, x_BCHW):
        return 3 * (x_BCHW[:, :1] + 1)

    def coarse_map(self, raw_BKHW, kind=None):
        return raw_BKHW[:, 0]


@register
class Thrice(Method[ThriceSettings]):
    name, paper, family, summary = "thrice", "none", "trivial", "three times the first band"
    trains = False
    Settings = ThriceSettings

    @classmethod
    def new_predictor(cls, settings, frame):
        return ThricePredictor(frame.side)

    def predictor(self, weights=None):
        return self.new_predictor(self.settings, self.frame)
'''


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve 32 x 32 colour pictures of each class; WITH has a white block."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("folders")
    for name in ("with", "without"):
        (root / name).mkdir()
        for number in range(12):
            picture = rng.integers(60, 120, (32, 32, 3), np.uint8)
            if name == "with":
                picture[12:20, 12:20] = 250
            assert cv2.imwrite(str(root / name / f"{name}_{number:02}.png"), picture)
    return root


def fit(folders: Path, run: Path, method: str, steps: int, **options: Any) -> distmap.DistinctionModel:
    overrides = COMMON | TINY.get(method, {}) | {"training": {"steps": steps, "time_limit": None, "precision": "32"}}
    return distmap.fit(
        folders / "with", folders / "without", run=run, method=method, overrides=overrides, device="cpu", **options
    )


@pytest.fixture(scope="module", params=NAMES)
def made(request: pytest.FixtureRequest, folders: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A finished run of each method."""
    run = tmp_path_factory.mktemp(request.param) / "run"
    fit(folders, run, request.param, 4)
    return request.param, run


def invoke(command: Any, *arguments: object) -> str:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def test_the_command_lists_them() -> None:
    listed = json.loads(invoke(distmap_main, "methods", "--json"))
    assert [entry["name"] for entry in listed] == ["branched-gan", "mean-difference", "mil"]
    for entry in listed:
        assert all(entry[fact] for fact in ("paper", "family", "needs", "summary"))
    text = invoke(distmap_main, "methods")
    assert all(name in text for name in NAMES)


def test_a_run_says_how_it_was_made(made: tuple[str, Path]) -> None:
    name, run = made
    info = json.loads(invoke(distmap_main, "info", run, "--json"))
    assert (info["config"]["method"], info["finished"]) == (name, True)
    assert info["config"]["format"] == 3 if "format" in info["config"] else True
    assert 0 <= info["detector"]["validation_scores"]["auroc"] <= 1


def test_a_resumed_fit_is_an_uninterrupted_one(
    made: tuple[str, Path], folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it was stopped by a crash in its third step; every step is saved here."""
    name, run = made
    method = registry.find_method(name)
    step = method.step

    def crash(self: Any, batch: Any, progress: float) -> Any:
        if batch.step == 2:
            raise RuntimeError("crash")
        return step(self, batch, progress)

    settings = ["training.save_every=1e-9"]
    if method.trains:
        with monkeypatch.context() as broken:
            broken.setattr(method, "step", crash)
            with pytest.raises(RuntimeError, match="crash"):
                fit(folders, tmp_path / "run", name, 4, settings=settings)
        resumed = fit(folders, tmp_path / "run", name, 4, settings=settings, resume=True)
    else:
        resumed = fit(folders, tmp_path / "run", name, 4)
        resumed = fit(folders, tmp_path / "run", name, 4, resume=True)
    whole = distmap.load(run, device="cpu")
    for one, other in zip(resumed.maps([folders / "with"]), whole.maps([folders / "with"]), strict=True):
        np.testing.assert_allclose(one.map_HW, other.map_HW, atol=1e-5 * max(1.0, float(other.map_HW.max())))


def test_a_fresh_process_makes_the_same_maps(made: tuple[str, Path], folders: Path, tmp_path: Path) -> None:
    _, run = made
    code = "from distmap.cli import main; main()"
    command = [sys.executable, "-c", code, "map", str(run), str(folders / "with"), "--out", str(tmp_path), "--device"]
    subprocess.run([*command, "cpu"], check=True, capture_output=True, timeout=300)
    for result in distmap.load(run, device="cpu").maps([folders / "with"]):
        with rasterio.open((tmp_path / result.name).with_suffix(".tiff")) as file:
            np.testing.assert_allclose(file.read(1), result.map_HW, atol=1e-5 * max(1.0, float(result.map_HW.max())))


def test_maps_become_objects(made: tuple[str, Path], folders: Path, tmp_path: Path) -> None:
    _, run = made
    out = tmp_path / "found.json"
    invoke(detect_main, "extract", run, folders / "with", "--out", out, "--device", "cpu")
    assert len(json.loads(out.read_text())["images"]) == 12


def test_a_scene_is_mapped(made: tuple[str, Path], tmp_path: Path) -> None:
    _, run = made
    pixels = np.random.default_rng(1).integers(60, 120, (3, 80, 96), np.uint8)
    pixels[:, 30:38, 50:58] = 250
    profile = {"driver": "GTiff", "height": 80, "width": 96, "count": 3, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(tmp_path / "a.tif", "w", transform=from_origin(5e5, 5e6, 1, 1), **profile) as file:
        file.write(pixels)
    out = tmp_path / "out"
    invoke(pipelines_main, "geotiff", run, tmp_path / "a.tif", "--out", out, "--device", "cpu", "--workers", 1)
    (expected,) = distmap.load(run, device="cpu").maps([tmp_path / "a.tif"])
    with rasterio.open(out / "a_map.tif") as file:
        np.testing.assert_allclose(file.read(1), expected.map_HW, atol=1e-4 * float(expected.map_HW.max()))


def test_other_bands_are_refused(made: tuple[str, Path], tmp_path: Path) -> None:
    _, run = made
    assert cv2.imwrite(str(tmp_path / "grey.png"), np.zeros((32, 32), np.uint8))
    result = CliRunner().invoke(
        distmap_main, ["map", str(run), str(tmp_path / "grey.png"), "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 2 or isinstance(result.exception, ValueError)
    assert not (tmp_path / "out").exists()


def test_a_fourth_is_one_new_file(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import distmap.methods

    (tmp_path / "thrice.py").write_text(THRICE)
    monkeypatch.setattr(distmap.methods, "__path__", [*distmap.methods.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))
    try:
        listed = json.loads(invoke(distmap_main, "methods", "--json"))
        assert [entry["name"] for entry in listed] == ["branched-gan", "mean-difference", "mil", "thrice"]
        arguments = ["fit", folders / "with", folders / "without", "--run", tmp_path / "run", "--method", "thrice"]
        invoke(distmap_main, *arguments, "--image-size", 32, "--device", "cpu")
        (result, *_) = distmap.load(tmp_path / "run", device="cpu").maps([folders / "with"])
        assert result.map_HW[12:20, 12:20].mean() == pytest.approx(6, abs=1e-4)
    finally:
        sys.modules.pop("distmap.methods.thrice", None)


def test_unknown_methods_are_refused(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="--method gan: unknown method; choose one of branched-gan, mean-difference, mil"
    ):
        fit(folders, tmp_path / "run", "gan", 2)
