"""The exported graph, run by ONNX Runtime, against the run's own maps."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import distmap
from distmap.cli import main
from distmap.common.pictures import read_picture
from distmap.inference.export import PaintedGraph, StudentGraph, gaussian
from distmap.inference.model import save
from distmap.methods.branched_gan.maps import distinction_map, finish
from distmap.training.student import Student

Maps = NDArray[np.float32]


@pytest.fixture(scope="module")
def taught(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run with an untrained student, whose maps are far from empty."""
    run = tmp_path_factory.mktemp("taught")
    for name in ("config.yaml", "detector.json"):
        shutil.copy(fitted / name, run)
    loaded = distmap.load(fitted, device="cpu")
    torch.manual_seed(0)
    save(run, loaded.with_student(Student(loaded.config.student, 1).eval(), loaded.config.student))
    return run


def opened(path: Path) -> Any:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def mapped(session: Any, scaled_BHWC: NDArray[np.floating[Any]]) -> Maps:
    picture = np.ascontiguousarray(np.moveaxis(scaled_BHWC, -1, 1), dtype=np.float32)
    (found,) = session.run(["map"], {"picture": picture})
    return np.asarray(found)


def metadata(session: Any) -> Mapping[str, str]:
    facts: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
    return facts


def test_the_graph_of_a_painted_map_gives_the_runs_maps(
    fitted: Path, pictures: tuple[Path, Path], tmp_path: Path
) -> None:
    written = distmap.export(fitted, out=tmp_path / "new" / "cells.onnx")
    assert written == tmp_path / "new" / "cells.onnx"
    assert [path.name for path in written.parent.iterdir()] == ["cells.onnx"]
    session = opened(written)
    run = distmap.load(fitted, device="cpu")
    own = [read_picture(path) for path in sorted(pictures[0].iterdir())[:3]]
    expected = np.stack([run.map(picture) for picture in own])
    assert expected.max() > 0
    facts = metadata(session)
    low, high = (np.array(json.loads(facts[name])) for name in ("low", "high"))
    scaled = np.stack([(picture - low) / (high - low) * 2 - 1 for picture in own]).clip(-1, 1)
    for some in (slice(0, 1), slice(0, 3)):  # the batch is free
        np.testing.assert_allclose(mapped(session, scaled[some]), expected[some], atol=1e-5)
    detector = json.loads((fitted / "detector.json").read_text())
    assert float(facts["threshold"]) == detector["threshold"]
    assert float(facts["low_threshold"]) == detector["low_threshold"]
    assert (facts["dtype"], facts["side"], facts["multiple"]) == ("uint8", "32", "32")


def test_the_graph_of_a_student_takes_other_sizes_too(taught: Path, tmp_path: Path) -> None:
    session = opened(distmap.export(taught, out=tmp_path / "map.onnx"))
    run = distmap.load(taught, device="cpu")
    assert (metadata(session)["side"], metadata(session)["multiple"]) == ("32", "16")
    student: Any = run.networks["student"]
    graph = StudentGraph(student, run.config.data.symmetry).eval()
    for shape in ((1, 32, 32, 1), (2, 48, 16, 1), (3, 16, 80, 1)):
        scaled = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        with torch.inference_mode():
            expected = graph(torch.from_numpy(np.moveaxis(scaled, -1, 1).copy()))
        np.testing.assert_allclose(mapped(session, scaled), expected, atol=1e-5)
    picture = np.random.default_rng(1).integers(60, 250, (32, 32, 1), dtype=np.uint8)
    np.testing.assert_allclose(mapped(session, run.scaling.apply(picture)[None])[0], run.map(picture), atol=1e-5)


@pytest.mark.parametrize("kind", ["plain", "placed"])
@pytest.mark.parametrize("symmetry", ["none", "all"])
@pytest.mark.parametrize("cleaning", [{"smoothing": 1.0, "halo": 0.2}, {"smoothing": 0.0, "halo": 0.0}])
def test_the_graph_makes_the_map_as_the_run_does(
    fitted: Path, kind: Any, symmetry: Any, cleaning: dict[str, float]
) -> None:
    loaded = distmap.load(fitted, device="cpu")
    config = replace(
        loaded.config,
        map=replace(loaded.config.map, kind=kind, place_smoothing=2.0, edge_radius=2.0, **cleaning),
        data=replace(loaded.config.data, symmetry=symmetry),
    )
    loaded.config = config
    networks: Any = loaded.networks
    graph = PaintedGraph(networks["generator"], networks["locator"], 3, 1, symmetry, config.map).eval()
    picture = np.random.default_rng(1).integers(60, 250, (32, 32, 1), dtype=np.uint8)
    scaled = torch.from_numpy(np.moveaxis(loaded.scaling.apply(picture), -1, 0)[None].copy())
    with torch.inference_mode():
        found = graph(scaled)[0].numpy()
    painting = loaded.paint(picture)
    expected = distinction_map(painting.evidence(), config.map)
    expected = finish(expected, painting.picture_HWC.mean(axis=-1), config.map)
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, float(expected.max())))


@pytest.mark.parametrize("sigma", [0.0, 0.7, 3.0])
def test_gaussian_is_scipys(sigma: float, rng: np.random.Generator) -> None:
    maps = rng.random((2, 20, 33))
    expected = np.stack([gaussian_filter(one, sigma, mode="nearest") if sigma else one for one in maps])
    np.testing.assert_allclose(gaussian(torch.from_numpy(maps), sigma), expected, atol=1e-12)


def test_the_command_writes_into_the_run(taught: Path) -> None:
    finished = CliRunner().invoke(main, ["export", str(taught), "--format", "onnx", "--json"])
    assert finished.exit_code == 0, finished.output
    assert json.loads(finished.stdout) == {"file": str(taught / "map.onnx")}
    assert opened(taught / "map.onnx").get_inputs()[0].name == "picture"
    assert not list(taught.glob(".*"))


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["export", *arguments])
    assert stopped.value.code == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("error: ")
    return last


def test_refusals_name_what_is_wrong(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "tflite" in refused(capsys, str(fitted), "--format", "tflite")
    with pytest.raises(ValueError, match="--format tflite: choose one of onnx"):
        distmap.export(fitted, format="tflite")
    assert f"{tmp_path}: not a run folder" in refused(capsys, str(tmp_path), "--format", "onnx")
    assert "is a folder" in refused(capsys, str(fitted), "--format", "onnx", "--out", str(tmp_path))
    for name in ("config.yaml", "weights.safetensors"):
        shutil.copy(fitted / name, tmp_path)
    assert "not there; is the folder a run" in refused(capsys, str(tmp_path), "--format", "onnx")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find_spec(name))
    line = refused(capsys, str(fitted), "--format", "onnx")
    assert "needs onnxscript; install with `pip install onnxscript`" in line
    assert not (fitted / "map.onnx").exists()
