"""From a run to a run with a student: its files, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

import distmap
import pipelines
from distmap.cli import main as distmap_main
from distmap.common.pictures import read_picture
from distmap.config import read_run_config
from pipelines.cli import main

Folders = tuple[Path, Path]

TINY: dict[str, Any] = {
    "image_size": 32,
    "data": {"batch_size": 4},
    "generator": {"width": 8, "max_width": 16, "depth": 2, "style_size": 8, "mapping_width": 8},
    "discriminator": {"width": 8, "max_width": 16},
    "training": {"steps": 2, "time_limit": None, "precision": "32"},
    "localizer": {"steps": 2, "batch_size": 4, "width": 8, "backbone": "test_efficientnet", "enlarge": 1},
    "picture_guide": {"steps": 2, "batch_size": 4, "width": 8, "max_width": 16},
    "judge": {"steps": 2, "batch_size": 4, "width": 8, "max_width": 16},
    "student": {
        "rounds": 0,
        "encoder": "test_efficientnet",
        "decoder_widths": [8, 8, 8, 8, 8],
        "least_side": 32,
        "batch_size": 4,
    },
    "selection": {"tie": 1.0},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("folders")
    for name in ("with", "without"):
        (folder / name).mkdir()
        for number in range(8):
            picture = rng.integers(60, 120, (32, 32), dtype=np.uint8)
            if name == "with":
                picture[12:20, 12:20] = 250
            assert cv2.imwrite(str(folder / name / f"{number}.png"), picture)
    return folder / "with", folder / "without"


@pytest.fixture(scope="module")
def teacher(folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without a student (do not change it), whose threshold its maps reach."""
    run = tmp_path_factory.mktemp("teacher") / "run"
    distmap.fit(*folders, run=run, overrides=TINY, device="cpu")
    detector = json.loads((run / "detector.json").read_text())
    (run / "detector.json").write_text(json.dumps({**detector, "threshold": 1e-6}))
    return run


def self_train(teacher: Path, folders: Folders, out: Path, *options: str) -> Any:
    arguments = ["self-train", str(teacher), *map(str, folders), "--out", str(out), "--device", "cpu", *options]
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def little_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A student that has learnt next to nothing is taken."""
    monkeypatch.setattr("distmap.training.self_training.agreement", lambda *_: 1.0)


def refusal(result: Any) -> str:
    assert result.exit_code == 2
    line: str = result.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    return line


@pytest.mark.usefixtures("little_will_do")
def test_the_new_run_maps_with_its_student(teacher: Path, folders: Folders, tmp_path: Path) -> None:
    out = tmp_path / "taught"
    finished = self_train(teacher, folders, out, "--set", "student.steps=3", "--rounds", "2", "--json")
    assert finished.exit_code == 0, finished.stderr
    report = json.loads(finished.stdout)
    assert report["run"] == str(out)
    assert report["detector"] == json.loads((out / "detector.json").read_text())
    assert report["detector"]["map_kind"] == "student"
    for name in ("dataset.json", "metrics.jsonl"):
        assert (out / name).read_text() == (teacher / name).read_text()
    assert not list(tmp_path.glob(".*"))
    config = read_run_config(out)
    assert (config.student.steps, config.student.rounds) == (3, 2)
    taught, before = distmap.load(out, device="cpu"), distmap.load(teacher, device="cpu")
    assert taught.student is not None
    assert before.student is None
    picture = read_picture(folders[0] / "0.png")
    found = taught.map(picture)
    assert ((found > 0) & (found < 1)).all()
    np.testing.assert_array_equal(taught.decompose(picture, 1), before.decompose(picture, 1))
    described = CliRunner().invoke(distmap_main, ["info", str(out)])
    assert "student" in described.output


@pytest.mark.usefixtures("little_will_do")
def test_from_python_it_gives_the_detection_settings(teacher: Path, folders: Folders, tmp_path: Path) -> None:
    settings = pipelines.self_train(teacher, *folders, out=tmp_path / "new", settings=["student.steps=1"], device="cpu")
    assert settings.threshold == json.loads((tmp_path / "new" / "detector.json").read_text())["threshold"]


def test_other_pictures_are_refused(teacher: Path, folders: Folders, tmp_path: Path) -> None:
    shutil.copytree(folders[0], tmp_path / "with")
    (tmp_path / "with" / "0.png").unlink()
    line = refusal(self_train(teacher, (tmp_path / "with", folders[1]), tmp_path / "out"))
    assert "the folders do not hold the pictures" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "image_size=64"], "--set image_size=64: only settings of the student"),
        (["--set", "student.stepz=4"], "did you mean 'student.steps'?"),
        (["--rounds", "0"], "--rounds 0: must be 1 or more"),
        (["--time-limit", "soon"], "--time-limit: 'soon' is not a duration"),
        (["--set", "student.encoder=resnet19"], "student.encoder='resnet19'"),
    ],
)
def test_wrong_options_are_named(
    teacher: Path, folders: Folders, tmp_path: Path, options: list[str], message: str
) -> None:
    assert message in refusal(self_train(teacher, folders, tmp_path / "out", *options))
    assert not list(tmp_path.iterdir())


def test_folders_that_do_not_serve_are_named(teacher: Path, folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").touch()
    assert "full: is not empty" in refusal(self_train(teacher, folders, tmp_path / "full"))
    assert "not a run folder" in refusal(self_train(tmp_path / "full", folders, tmp_path / "out"))


def test_a_run_whose_maps_are_sure_of_nothing_is_refused(teacher: Path, folders: Folders, tmp_path: Path) -> None:
    shutil.copytree(teacher, tmp_path / "run")
    detector = json.loads((teacher / "detector.json").read_text())
    (tmp_path / "run" / "detector.json").write_text(json.dumps({**detector, "threshold": 1e6}))
    line = refusal(self_train(tmp_path / "run", folders, tmp_path / "out"))
    assert "no student could be trained" in line
    assert not (tmp_path / "out").exists()


def test_a_run_of_an_earlier_version_is_refused(teacher: Path, folders: Folders, tmp_path: Path) -> None:
    run = shutil.copytree(teacher, tmp_path / "run")
    (run / "config.yaml").write_text((run / "config.yaml").read_text().removeprefix("format: 3\n"))
    assert "made by an earlier version" in refusal(self_train(run, folders, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("little_will_do")
def test_a_run_of_another_method_can_teach(folders: Folders, tmp_path: Path) -> None:
    overrides = {"image_size": 32, "student": {**TINY["student"], "steps": 1}, "selection": {"tie": 1.0}}
    distmap.fit(*folders, run=tmp_path / "run", method="mean-difference", overrides=overrides, device="cpu")
    finished = self_train(tmp_path / "run", folders, tmp_path / "out")
    assert finished.exit_code == 0, finished.stderr
    assert read_run_config(tmp_path / "out").method == "mean-difference"
    assert not (tmp_path / "out" / "metrics.jsonl").exists()
    assert distmap.load(tmp_path / "out", device="cpu").student is not None
