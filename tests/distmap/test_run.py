"""A run's folder: where it may be, saved, moved, loaded again, refused where it is damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import distmap
from distmap.common.pictures import read_picture
from distmap.config import read_run_config, resolve
from distmap.data.folders import list_folders, split_groups
from distmap.data.scaling import Scaling
from distmap.data.statistics import DatasetStats
from distmap.inference.student import StudentPredictor
from distmap.run import check_same_pictures, check_target, describe_dataset, prepare_folder, save

STATS = DatasetStats(scaling=Scaling(low=(0.0, 1.0), high=(2.0, 3.0), dtype="float"), longer_side=30, longest_side=40)
NEEDED = ("config.yaml", "weights.safetensors", "detector.json", "dataset.json")


def test_a_run_that_was_moved_still_works(fitted: Path, pictures: tuple[Path, Path], tmp_path: Path) -> None:
    before = list(distmap.load(fitted, device="cpu").maps([pictures[0]]))
    shutil.copytree(fitted, tmp_path / "elsewhere")
    after = list(distmap.load(str(tmp_path / "elsewhere"), device="cpu").maps([str(pictures[0])]))
    for one, other in zip(before, after, strict=True):
        assert (one.name, one.scores) == (other.name, other.scores)
        np.testing.assert_array_equal(one.map_HW, other.map_HW)


def test_weights_hold_tensors_alone(fitted: Path) -> None:
    """What was found out stands in files that people can read."""
    from safetensors import safe_open

    with safe_open(fitted / "weights.safetensors", framework="pt") as file:
        assert not file.metadata()
    chosen = json.loads((fitted / "detector.json").read_text())
    assert {"step", "map_kind", "follow_edges", "threshold"} <= set(chosen)
    statistics = json.loads((fitted / "dataset.json").read_text())["statistics"]
    assert set(statistics) == {"scaling", "longer_side", "longest_side"}


@pytest.fixture
def copy_of_run(fitted: Path, tmp_path: Path) -> Path:
    for name in NEEDED:
        shutil.copy(fitted / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", ["weighted", "unweighted"])
@pytest.mark.parametrize("follow_edges", [True, False])
def test_what_was_chosen_is_loaded(copy_of_run: Path, kind: str, follow_edges: bool) -> None:
    path = copy_of_run / "detector.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"map_kind": kind, "follow_edges": follow_edges}))
    predictor = distmap.load(copy_of_run, device="cpu").predictor
    assert (predictor.kind, predictor.follow_edges) == (kind, follow_edges)


def test_a_student_is_saved_and_loaded(copy_of_run: Path, pictures: tuple[Path, Path]) -> None:
    loaded = distmap.load(copy_of_run, device="cpu")
    torch.manual_seed(0)
    student = StudentPredictor(read_run_config(copy_of_run).student, 1, side=32, precision="32")
    taught = loaded.with_student(student.eval())
    save(copy_of_run, taught)
    again = distmap.load(copy_of_run, device="cpu")
    picture = read_picture(pictures[0] / "with_00.png")
    np.testing.assert_array_equal(again.map(picture), taught.map(picture))
    assert np.abs(again.map(picture) - loaded.map(picture)).max() > 0.01


def test_what_is_no_run_is_refused(tmp_path: Path, fitted: Path) -> None:
    for nothing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match="not a run folder"):
            distmap.load(nothing)
    shutil.copy(fitted / "config.yaml", tmp_path)
    with pytest.raises(ValueError, match="holds no weights yet; finish its training"):
        distmap.load(tmp_path)


def test_a_run_of_an_earlier_version_is_refused(copy_of_run: Path) -> None:
    path = copy_of_run / "config.yaml"
    text = path.read_text()
    path.write_text(text.replace("format: 3\n", ""))
    with pytest.raises(ValueError, match="made by an earlier version, whose runs cannot be used; train again"):
        distmap.load(copy_of_run)
    path.write_text(text.replace("format: 3\n", "format: 4\n"))
    with pytest.raises(ValueError, match="of format 4, this version knows 3"):
        distmap.load(copy_of_run)


def refuse(run: Path) -> None:
    with pytest.raises(ValueError, match=r"weights\.safetensors: damaged, or not made with this config\.yaml"):
        distmap.load(run, device="cpu")


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 1000])
def test_weights_that_are_none(copy_of_run: Path, content: bytes) -> None:
    (copy_of_run / "weights.safetensors").write_bytes(content)
    refuse(copy_of_run)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.99])
def test_weights_cut_short(copy_of_run: Path, fraction: float) -> None:
    whole = (copy_of_run / "weights.safetensors").read_bytes()
    (copy_of_run / "weights.safetensors").write_bytes(whole[: int(fraction * len(whole))])
    refuse(copy_of_run)


def test_weights_of_another_configuration(copy_of_run: Path) -> None:
    config = copy_of_run / "config.yaml"
    config.write_text(config.read_text().replace("branches: 3", "branches: 2"))
    refuse(copy_of_run)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not there"),
        ([], "Input should be an object"),
        ({}, "train is missing"),
        ({"statistics": {"scaling": {"low": [0]}}}, "scaling.high is missing"),
        ({"statistics": {"scaling": {"low": [1], "high": [0]}}}, "statistics.scaling.*each of 1 to 4096 bands"),
        ({"statistics": {"longer_side": 0}}, "statistics: longer_side 0, longest_side"),
        ({"statistics": {"longer_side": "8"}}, "statistics.longer_side '8': Input should be a valid integer"),
        ({"train": {"with": []}}, "train: must have the lists 'with' and 'without'"),
    ],
)
def test_runs_without_the_statistics_of_their_pictures(copy_of_run: Path, content: Any, message: str) -> None:
    path = copy_of_run / "dataset.json"
    before = json.loads(path.read_text())
    path.unlink()
    if content:
        statistics = content.pop("statistics", {})
        scaling = before["statistics"]["scaling"]
        if "scaling" in statistics:
            scaling = {"dtype": "uint8"} | statistics.pop("scaling")
        path.write_text(
            json.dumps(before | content | {"statistics": before["statistics"] | {"scaling": scaling} | statistics})
        )
    elif content is not None:
        path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"dataset\.json: .*{message}"):
        distmap.load(copy_of_run, device="cpu")


def test_missing_tensors(copy_of_run: Path) -> None:
    path = copy_of_run / "weights.safetensors"
    tensors = {name: value for name, value in load_file(path).items() if "bottleneck" not in name}
    save_file(tensors, path)
    refuse(copy_of_run)


# --- the folder ----------------------------------------------------------------------------------------------------


def write(run: Path, *names: str) -> Path:
    for name in names:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("{}")
    return run


def test_a_new_or_empty_folder_will_do(tmp_path: Path) -> None:
    check_target(tmp_path / "new", overwrite=False)
    check_target(tmp_path, overwrite=False)


@pytest.mark.parametrize("names", [("config.yaml",), ("dataset.json",), ("notes.txt",), ("config.yaml", "notes.txt")])
def test_a_folder_that_is_no_run_is_never_overwritten(tmp_path: Path, names: tuple[str, ...]) -> None:
    write(tmp_path / "run", *names)
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="holds other things than a run; name a new folder"):
            check_target(tmp_path / "run", overwrite)


@pytest.mark.parametrize("dataset", ["dataset.json", "split.json"])
def test_a_run_is_overwritten_if_told_whatever_its_format(tmp_path: Path, dataset: str) -> None:
    run = write(tmp_path / "run", "config.yaml", dataset)
    check_target(run, overwrite=True)
    with pytest.raises(ValueError, match="exists already"):
        check_target(run, overwrite=False)


def test_what_a_run_held_goes_and_what_else_there_is_stays(tmp_path: Path) -> None:
    old = ("config.yaml", "split.json", "dataset.json", "metrics.jsonl", "weights.safetensors", "detector.json")
    more = ("events.out.tfevents.1.x", "samples/0000010.png", "state/latest.pt", ".weights.part1")
    run = write(tmp_path / "run", *old, *more, "notes.txt", "annotations/a.json")
    prepare_folder(run, resolve(), {"train": {}}, overwrite=True)
    left = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert left == {"config.yaml", "dataset.json", "notes.txt", "annotations/a.json"}
    assert (run / "samples").is_dir()
    assert (run / "state").is_dir()
    assert json.loads((run / "dataset.json").read_text()) == {"train": {}}


def test_a_run_that_goes_on_keeps_all_but_what_was_half_written(tmp_path: Path) -> None:
    run = write(
        tmp_path / "run", "config.yaml", "dataset.json", "metrics.jsonl", "state/latest.pt", "state/.latest.part1"
    )
    prepare_folder(run, resolve(), {}, overwrite=False)
    assert (run / "metrics.jsonl").is_file()
    assert [path.name for path in (run / "state").iterdir()] == ["latest.pt"]


def test_dataset_is_described_by_names_and_statistics(pictures: tuple[Path, Path], tmp_path: Path) -> None:
    split = split_groups(list_folders(*pictures, None), 0.15, 0)
    described = json.loads(json.dumps(describe_dataset(split, STATS, *pictures)))
    assert list(described) == ["folders", "statistics", "train", "validation"]
    assert len(described["train"]["with"]) == len(described["train"]["without"]) == 10
    assert len(described["validation"]["with"]) == 2
    assert DatasetStats.from_json(described["statistics"]) == STATS
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    check_same_pictures(tmp_path, described, "--resume")
    described["validation"]["with"].pop()
    with pytest.raises(ValueError, match=r"--resume: the folders do not hold the pictures that .*dataset\.json lists"):
        check_same_pictures(tmp_path, described, "--resume")


def test_an_unknown_format_to_export_is_refused(fitted: Path) -> None:
    with pytest.raises(ValueError, match="--format tflite: choose one of onnx"):
        distmap.export(fitted, format="tflite")
