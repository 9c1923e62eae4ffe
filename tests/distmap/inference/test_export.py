"""The exported graph, run by ONNX Runtime, against the run's own maps."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray

import distmap
from distmap.cli import main
from distmap.common.detection_settings import read_detection_settings
from distmap.common.pictures import read_picture
from distmap.inference.export import MapGraph, export_onnx
from distmap.inference.student import StudentPredictor

Maps = NDArray[np.float32]


def opened(path: Path) -> Any:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def mapped(session: Any, scaled_BHWC: NDArray[np.floating[Any]]) -> Maps:
    picture = np.ascontiguousarray(np.moveaxis(scaled_BHWC, -1, 1), dtype=np.float32)
    (found,) = session.run(["map"], {"picture": picture})
    return np.asarray(found)


def metadata(session: Any) -> Mapping[str, str]:
    facts: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
    return facts


def test_the_graph_gives_the_runs_maps(fitted: Path, pictures: tuple[Path, Path], tmp_path: Path) -> None:
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
        np.testing.assert_allclose(mapped(session, scaled[some]), expected[some], atol=1e-4 * expected.max())
    detector = json.loads((fitted / "detector.json").read_text())
    assert float(facts["threshold"]) == detector["threshold"]
    assert float(facts["low_threshold"]) == detector["low_threshold"]
    sizes = [facts[name] for name in ("dtype", "side", "multiple", "height", "width")]
    assert sizes == ["uint8", "32", "32", "32", "32"]


def test_the_graph_of_another_size_is_told_by_the_command(fitted: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.onnx"
    arguments = ["export", str(fitted), "--format", "onnx", "--size", "24x40", "--out", str(out)]
    finished = CliRunner().invoke(main, arguments)
    assert finished.exit_code == 0, finished.output
    session, run = opened(out), distmap.load(fitted, device="cpu")
    picture = np.random.default_rng(1).integers(60, 250, (24, 40, 1), dtype=np.uint8)
    expected = run.map(picture)
    found = mapped(session, run.scaling.apply(picture)[None])[0]
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())
    assert (metadata(session)["height"], metadata(session)["width"]) == ("24", "40")


def test_the_graph_of_a_student_takes_other_sizes_too(taught: Path, tmp_path: Path) -> None:
    session = opened(distmap.export(taught, out=tmp_path / "map.onnx"))
    run = distmap.load(taught, device="cpu")
    facts = metadata(session)
    assert [facts[name] for name in ("side", "multiple", "height", "width")] == ["32", "32", "0", "0"]
    assert isinstance(run.student, StudentPredictor)
    run.student.precision = "32"
    graph = MapGraph(run.student, "none").eval()  # a student is not averaged over symmetries
    for shape in ((1, 32, 32, 1), (2, 96, 64, 1), (3, 32, 160, 1)):
        scaled = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        with torch.inference_mode():
            expected = graph(torch.from_numpy(np.moveaxis(scaled, -1, 1).copy()))
        np.testing.assert_allclose(mapped(session, scaled), expected, atol=1e-5)
    picture = np.random.default_rng(1).integers(60, 250, (32, 32, 1), dtype=np.uint8)
    np.testing.assert_allclose(mapped(session, run.scaling.apply(picture)[None])[0], run.map(picture), atol=1e-5)


def test_exporting_leaves_the_model_as_it_was(taught: Path, tmp_path: Path) -> None:
    """The graph computes in float32, whatever the run does."""
    run = distmap.load(taught, device="cpu")
    assert isinstance(run.student, StudentPredictor)
    run.student.precision = "bf16"
    export_onnx(run, read_detection_settings(taught), tmp_path / "map.onnx")
    assert run.student.precision == "bf16"
    types = {value.data_type for value in onnx.load(tmp_path / "map.onnx").graph.initializer}
    assert onnx.TensorProto.BFLOAT16 not in types


def test_the_command_writes_into_the_run(taught: Path, tmp_path: Path) -> None:
    run = shutil.copytree(taught, tmp_path / "run")
    finished = CliRunner().invoke(main, ["export", str(run), "--format", "onnx", "--json"])
    assert finished.exit_code == 0, finished.output
    assert json.loads(finished.stdout) == {"file": str(run / "map.onnx")}
    assert opened(run / "map.onnx").get_inputs()[0].name == "picture"
    assert not list(run.glob(".*"))


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
    run = str(fitted)
    assert "tflite" in refused(capsys, run, "--format", "tflite")
    with pytest.raises(ValueError, match="--format tflite: choose one of onnx"):
        distmap.export(fitted, format="tflite")
    assert f"{tmp_path}: not a run folder" in refused(capsys, str(tmp_path), "--format", "onnx")
    assert "is a folder" in refused(capsys, run, "--format", "onnx", "--out", str(tmp_path))
    assert "--size 20: give height and width" in refused(capsys, run, "--format", "onnx", "--size", "20")
    assert "--size 0x9: give height and width" in refused(capsys, run, "--format", "onnx", "--size", "0x9")
    line = refused(capsys, run, "--format", "onnx", "--size", "41x20")
    assert "--size 41x20: the model sees pictures of up to 32 pixels as a whole" in line
    for name in ("config.yaml", "weights.safetensors"):
        shutil.copy(fitted / name, tmp_path)
    assert "not there; is the folder a run" in refused(capsys, str(tmp_path), "--format", "onnx")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find_spec(name))
    line = refused(capsys, run, "--format", "onnx")
    assert "needs onnxscript; install it with pip install 'distmap[onnx]'" in line
    assert not (fitted / "map.onnx").exists()
