"""What `distmap info` says of a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import distmap
from distmap.describe import describe_run, format_description


@pytest.fixture
def copy_of_run(fitted: Path, tmp_path: Path) -> Path:
    return shutil.copytree(fitted, tmp_path / "my run")


def test_a_finished_run(copy_of_run: Path) -> None:
    (copy_of_run / "metrics.jsonl").write_text('{"step": 10, "seconds": 1.5}\n{"step": 20, "seconds": 3.0}\n')
    description = describe_run(copy_of_run)
    assert description["run"] == "my run"
    assert description["finished"] is True
    assert description["config"]["image_size"] == 32
    assert description["pictures"] == {"train": {"with": 10, "without": 10}, "validation": {"with": 2, "without": 2}}
    assert description["last_metrics"]["step"] == 20
    assert description["detector"] == json.loads((copy_of_run / "detector.json").read_text())
    text = format_description(description)
    assert "my run (finished)" in text
    assert "10 pictures WITH, 10 WITHOUT" in text
    assert "step 20 after 3 s" in text
    assert "psnr" in text
    assert "method       branched-gan" in text.splitlines()
    assert "validation   2 pictures WITH, 2 WITHOUT" in text.splitlines()
    detector = description["detector"]
    assert f"map          {detector['map_kind']}, of step {detector['step']}" in text.splitlines()


@pytest.mark.parametrize(
    ("size", "line"),
    [
        (None, "objects      too few to tell their size, so none is split"),
        ({"area": 500.0, "length": 36.0, "width": 16.0}, "objects      about 36 x 16 pixels"),
    ],
)
def test_the_typical_object(copy_of_run: Path, size: dict[str, float] | None, line: str) -> None:
    path = copy_of_run / "detector.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"object_size": size}))
    assert line in format_description(describe_run(copy_of_run)).splitlines()


def test_a_run_that_stopped_early(copy_of_run: Path) -> None:
    for name in ("weights.safetensors", "detector.json", "metrics.jsonl"):
        (copy_of_run / name).unlink()
    description = describe_run(copy_of_run)
    assert description["finished"] is False
    assert "(not finished)" in format_description(description)


@pytest.mark.parametrize(
    ("lines", "step"), [('{"step": 10, "seconds": 1}\n{"step": 2', 10), ("", None), ('{"st', None)]
)
def test_metrics_cut_short_by_a_crash(copy_of_run: Path, lines: str, step: int | None) -> None:
    (copy_of_run / "metrics.jsonl").write_text(lines)
    last = describe_run(copy_of_run)["last_metrics"]
    assert (last and last["step"]) == step


def test_a_run_of_an_earlier_version_is_refused(copy_of_run: Path) -> None:
    config = copy_of_run / "config.yaml"
    config.write_text(config.read_text().removeprefix("format: 3\n"))
    with pytest.raises(ValueError, match="made by an earlier version"):
        describe_run(copy_of_run)


def test_a_method_that_makes_no_steps_has_no_metrics(pictures: tuple[Path, Path], tmp_path: Path) -> None:
    overrides = {"image_size": 32, "student": {"rounds": 0}}
    distmap.fit(*pictures, run=tmp_path / "run", method="mean-difference", overrides=overrides, device="cpu")
    description = describe_run(tmp_path / "run")
    assert "last_metrics" not in description
    assert "last logged" not in format_description(description)
    assert "auroc" in description["detector"]["validation_scores"]


def test_what_is_no_run(tmp_path: Path) -> None:
    for nothing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match="not a run folder"):
            describe_run(nothing)


@pytest.mark.parametrize("name", ["detector.json", "dataset.json", "config.yaml"])
def test_damaged_files_are_named(copy_of_run: Path, name: str) -> None:
    (copy_of_run / name).write_text('{"half')
    with pytest.raises(ValueError, match=name):
        describe_run(copy_of_run)
