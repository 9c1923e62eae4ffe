"""From two folders to a run: its files, interruptions, refusals."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file

import distmap
from distmap.common.locks import locked
from distmap.common.picture_files import PictureError
from distmap.common.progress import Silent
from distmap.config import Config
from distmap.data.statistics import DatasetStats
from distmap.inference.image_grid import GAP, LEAST_WIDTH, LINE
from distmap.methods.base import Batch
from distmap.methods.branched_gan import BranchedGan
from distmap.selection.choice import Choice
from distmap.settings import TrainingSettings
from distmap.training.checkpoint import TrainingState

Folders = tuple[Path, Path]
Fit = Callable[..., Path]

GAN = "distmap.methods.branched_gan.method"
LOG_EVERY = TrainingSettings().log_every


@pytest.fixture
def fit(pictures: Folders, tiny: dict[str, Any], tmp_path: Path) -> Fit:
    """``fit(name, steps=..., **arguments of distmap.fit)`` -> the run's folder."""

    def run_fit(name: str = "run", folders: Folders = pictures, steps: int = 2, **arguments: Any) -> Path:
        overrides = {**tiny, "training": {**tiny["training"], "steps": steps}}
        distmap.fit(*folders, run=tmp_path / name, **{"overrides": overrides, "device": "cpu", **arguments})
        return tmp_path / name

    return run_fit


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_file(run / "weights.safetensors") for run in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def logged_steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


# --- what a run holds --------------------------------------------------------------------------------------------


def test_a_run_holds_every_file_of_the_interface(fitted: Path) -> None:
    names = {path.relative_to(fitted).as_posix() for path in fitted.rglob("*") if path.is_file()}
    assert {"config.yaml", "weights.safetensors", "detector.json", "metrics.jsonl", "state/latest.pt"} <= names
    assert any("events.out.tfevents" in name for name in names)
    assert any(name.startswith("samples/") and name.endswith(".png") for name in names)
    assert not [name for name in names if ".part" in name]
    config = yaml.safe_load((fitted / "config.yaml").read_text())
    assert (config["format"], config["method"], config["image_size"]) == (3, "branched-gan", 32)
    assert config["losses"].keys() > {"fidelity", "sparsity"}  # every setting, not only those that were given
    detector = json.loads((fitted / "detector.json").read_text())
    assert detector["pictures"] == 2  # 15 % of twelve, rounded up
    assert detector["validation_scores"].keys() == {
        "psnr",
        "residual",
        "flip_rate",
        "auroc",
        "background",
        "taken",
    }
    assert detector["threshold"] > 0


def test_all_files_have_the_same_mode(fitted: Path) -> None:
    assert len({path.stat().st_mode for path in fitted.iterdir() if path.is_file()}) == 1


def test_the_weights_carry_nothing_but_weights(fitted: Path) -> None:
    with safe_open(fitted / "weights.safetensors", "pt") as weights:
        assert not weights.metadata()
        assert all(name.startswith("predictor.") for name in weights.keys())  # noqa: SIM118 - not a mapping


def test_dataset_says_who_is_for_validation(fitted: Path, pictures: Folders) -> None:
    dataset = json.loads((fitted / "dataset.json").read_text())
    assert dataset["folders"] == {"with": "with", "without": "without"}
    for name, folder in zip(("with", "without"), pictures, strict=True):
        train, validation = set(dataset["train"][name]), set(dataset["validation"][name])
        assert train | validation == {path.name for path in folder.iterdir()}
        assert not train & validation
        assert len(validation) == 2


def test_dataset_holds_the_statistics_of_the_pictures(fitted: Path, pictures: Folders) -> None:
    dataset = json.loads((fitted / "dataset.json").read_text())
    statistics = dataset["statistics"]
    assert (statistics["longer_side"], statistics["longest_side"]) == (32, 32)
    assert statistics["scaling"] == {"low": [60.0], "high": [250.0], "dtype": "uint8"}
    assert distmap.load(fitted, device="cpu").stats.to_json() == DatasetStats.from_json(statistics).to_json()


def test_sample_sheets_can_be_opened(fitted: Path) -> None:
    sheet = cv2.imread(str(next((fitted / "samples").iterdir())))
    assert sheet is not None
    # 4 pictures; picture, 3 branches, counterfactual, map.
    assert sheet.shape == (4 * (LINE + 2 * 32 + GAP), 6 * (LEAST_WIDTH + GAP), 3)


def test_nothing_in_a_run_names_this_machine(fitted: Path, pictures: Folders) -> None:
    for name in ("config.yaml", "dataset.json", "detector.json", "weights.safetensors"):
        assert str(pictures[0].parent).encode() not in (fitted / name).read_bytes()


def test_metrics(fit: Fit) -> None:
    run = fit(steps=2 * LOG_EVERY + 3)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [LOG_EVERY, 2 * LOG_EVERY, 2 * LOG_EVERY + 3]
    for line in lines:
        assert {"seconds", "fidelity", "sparsity", "adversary"} <= line.keys()
        assert all(np.isfinite(value) for value in line.values())


def test_fit_returns_the_model_that_load_gives(
    fit: Fit, pictures: Folders, tiny: dict[str, Any], tmp_path: Path
) -> None:
    returned = distmap.fit(*pictures, run=tmp_path / "run", overrides=tiny, device="cpu")
    loaded = distmap.load(tmp_path / "run", device="cpu")
    picture = np.random.default_rng(0).integers(0, 256, (32, 50, 1), dtype=np.uint8)
    np.testing.assert_allclose(returned.map(picture), loaded.map(picture), atol=1e-5)


def test_same_seed_same_weights(fit: Fit, tiny: dict[str, Any]) -> None:
    first, second = fit("first"), fit("second")
    assert same_weights(first, second)
    assert (first / "weights.safetensors").read_bytes() == (second / "weights.safetensors").read_bytes()
    assert (first / "detector.json").read_text() == (second / "detector.json").read_text()
    assert not same_weights(first, fit("other", overrides={**tiny, "seed": 1}))


def test_groups_stay_together(fit: Fit, tiny: dict[str, Any]) -> None:
    run = fit(overrides={**tiny, "data": {"batch_size": 4, "group": r"_(\d)"}})  # tens: two groups
    dataset = json.loads((run / "dataset.json").read_text())

    def groups(side: str) -> set[str]:
        return {name.rsplit("_")[1][0] for half in ("with", "without") for name in dataset[side][half]}

    assert not groups("train") & groups("validation")


def test_mixed_sizes_and_colours(fit: Fit, tmp_path: Path, rng: np.random.Generator) -> None:
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
        for number, size in enumerate([(1, 50), (301, 7), (64, 48), (20, 20)]):
            pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            assert cv2.imwrite(str(tmp_path / name / f"{number}.png"), pixels)
    run = fit(folders=(tmp_path / "with", tmp_path / "without"))
    sizes = [result.map_HW.shape for result in distmap.load(run, device="cpu").maps([tmp_path / "with"])]
    assert sizes == [(1, 50), (301, 7), (64, 48), (20, 20)]


@pytest.mark.parametrize(("bands", "dtype"), [(1, "uint16"), (5, "uint8"), (3, "float32")])
def test_bands_and_number_types(fit: Fit, tmp_path: Path, rng: np.random.Generator, bands: int, dtype: str) -> None:
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
        for number in range(4):
            pixels = (rng.random((24, 40, bands)) * 250).astype(dtype).squeeze()
            pixels[..., :3] = 7  # and a constant part
            path = tmp_path / name / f"{number}.tif"
            tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="contig" if bands > 1 else None)
    run = fit(folders=(tmp_path / "with", tmp_path / "without"))
    for result in distmap.load(run, device="cpu").maps([tmp_path / "without"]):
        assert result.map_HW.shape == (24, 40)
        assert np.isfinite(result.map_HW).all()


def test_pictures_that_are_all_alike(fit: Fit, tmp_path: Path) -> None:
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
        for number in range(3):
            assert cv2.imwrite(str(tmp_path / name / f"{number}.png"), np.full((8, 8), 99, np.uint8))
    run = fit(folders=(tmp_path / "with", tmp_path / "without"))
    result = next(distmap.load(run, device="cpu").maps([tmp_path / "with"]))
    assert np.isfinite(result.map_HW).all()


def test_time_limit(fit: Fit, tiny: dict[str, Any], pictures: Folders) -> None:
    overrides = {**tiny, "training": {**tiny["training"], "steps": None, "time_limit": 4.0}}
    started = time.monotonic()
    run = fit(overrides=overrides)
    spent = time.monotonic() - started
    assert 3 < spent < 12  # on a busy machine; the calibration of four pictures comes on top
    steps = logged_steps(run)
    assert steps
    assert steps == list(range(LOG_EVERY, steps[-1] + 1, LOG_EVERY))


def test_no_time_for_a_single_step(fit: Fit, tiny: dict[str, Any], tmp_path: Path) -> None:
    hasty = {**tiny, "training": {**tiny["training"], "steps": None, "time_limit": 0.001}}
    with pytest.raises(ValueError, match=r"--time-limit: .* over before the first step"):
        fit(overrides=hasty)
    assert not (tmp_path / "run" / "weights.safetensors").exists()
    assert same_weights(fit(resume=True), fit("straight"))


# --- interruptions -----------------------------------------------------------------------------------------------

STEPS = 50


def interruptible(tiny: dict[str, Any]) -> dict[str, Any]:
    return {**tiny, "training": {**tiny["training"], "steps": STEPS, "save_every": 0.1, "sample_every": 0.5}}


def start(folders: Folders, run: Path, tiny: dict[str, Any], *more: str) -> subprocess.Popen[str]:
    config = run.with_suffix(".yaml")
    config.write_text(yaml.safe_dump(interruptible(tiny)))
    command = [sys.executable, "-c", "from distmap.cli import main; main()", "fit", *map(str, folders)]
    options = ["--run", str(run), "--config", str(config), "--device", "cpu", *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # as in this process
    return subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True, env=environment)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not (path.exists() and path.stat().st_size):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


@pytest.fixture(scope="module")
def uninterrupted(pictures: Folders, tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    distmap.fit(*pictures, run=run, overrides=interruptible(tiny), device="cpu")
    return run


def check_as_if_uninterrupted(run: Path, uninterrupted: Path) -> None:
    assert same_weights(run, uninterrupted)
    assert (run / "detector.json").read_text() == (uninterrupted / "detector.json").read_text()
    assert logged_steps(run) == logged_steps(uninterrupted) == list(range(LOG_EVERY, STEPS + 1, LOG_EVERY))
    assert not list(run.rglob("*.part*"))


def test_a_killed_run_resumes_bit_for_bit(
    pictures: Folders, tiny: dict[str, Any], tmp_path: Path, uninterrupted: Path
) -> None:
    run = tmp_path / "killed"
    process = start(pictures, run, tiny)
    wait_for(run / "metrics.jsonl", process)  # ten steps are done then, and a state was saved on the way
    process.kill()
    assert finish(process)[0] == -signal.SIGKILL
    assert not (run / "weights.safetensors").exists()
    at_kill = torch.load(run / "state" / "latest.pt", weights_only=True)["steps"]
    assert 0 < at_kill < STEPS
    with (run / "metrics.jsonl").open("a") as metrics:  # as if it had died while it wrote, past the saved state
        metrics.write('{"step": 9990, "seconds": 1.0}\n{"step": 100')
    status, errors = finish(start(pictures, run, tiny, "--resume"))
    assert status == 0, errors
    check_as_if_uninterrupted(run, uninterrupted)


def test_a_run_killed_before_its_first_save_resumes(
    pictures: Folders, tiny: dict[str, Any], tmp_path: Path, uninterrupted: Path
) -> None:
    run = tmp_path / "killed"
    process = start(pictures, run, tiny)
    wait_for(run / "config.yaml", process)
    process.kill()
    finish(process)
    distmap.fit(*pictures, run=run, overrides=interruptible(tiny), device="cpu", resume=True)
    check_as_if_uninterrupted(run, uninterrupted)


def test_a_run_that_broke_down_after_the_localizer_keeps_it(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit("whole")
    with monkeypatch.context() as broken:
        broken.setattr(BranchedGan, "step", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit("cut")
    assert torch.load(whole.parent / "cut" / "state" / "latest.pt", weights_only=True)["steps"] == 0
    monkeypatch.setattr(BranchedGan, "prepare", lambda *_: 1 / 0)
    assert same_weights(whole, fit("cut", resume=True))


def test_a_signal_before_the_first_step_keeps_the_localizer(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit("whole")
    saved = TrainingState.save

    def save(state: TrainingState, path: Path, seconds: float) -> None:
        signal.raise_signal(signal.SIGINT)
        saved(state, path, seconds)

    with monkeypatch.context() as stopped:
        stopped.setattr(TrainingState, "save", save)
        with pytest.raises(KeyboardInterrupt):
            fit("cut")
    monkeypatch.setattr(BranchedGan, "prepare", lambda *_: 1 / 0)
    assert same_weights(whole, fit("cut", resume=True))


def test_a_run_stopped_before_the_localizer_was_ready_trains_it_anew(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit("whole")

    def stop(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(f"{GAN}.separable", stop)
        with pytest.raises(KeyboardInterrupt):
            fit("cut")
    assert same_weights(whole, fit("cut", resume=True))


class At(Silent):
    """Does something once, when this step is logged."""

    def __init__(self, step: int, do: Callable[[], object]) -> None:
        self._step, self._do = step, do

    def update(self, stage: str, fraction: float, figures: Mapping[str, float]) -> None:
        if stage == "training" and figures["step"] == self._step:
            self._do()


def test_sigterm_saves_as_ctrl_c_does(fit: Fit, tiny: dict[str, Any], tmp_path: Path, uninterrupted: Path) -> None:
    settings = interruptible(tiny)
    settings["training"]["save_every"] = 1e9
    with pytest.raises(KeyboardInterrupt):
        fit(overrides=settings, progress=At(2 * LOG_EVERY, lambda: signal.raise_signal(signal.SIGTERM)))
    state = torch.load(tmp_path / "run" / "state" / "latest.pt", weights_only=True)
    assert state["steps"] == 2 * LOG_EVERY
    check_as_if_uninterrupted(fit(overrides=settings, resume=True), uninterrupted)


@pytest.mark.parametrize("how", [{}, {"overwrite": True}, {"resume": True}])
def test_a_second_fit_in_a_folder_is_refused(fit: Fit, tmp_path: Path, how: dict[str, Any]) -> None:
    run = fit() if how else tmp_path / "run"
    before = sorted(run.rglob("*"))
    with locked(run), ThreadPoolExecutor() as another, pytest.raises(ValueError, match=r"--run .* another command"):
        another.submit(fit, **how).result()
    assert sorted(run.rglob("*")) == before


# --- full disks, little memory, pictures that change ---------------------------------------------------------------


def test_a_full_disk_keeps_the_last_state_and_says_how_to_go_on(fit: Fit, tiny: dict[str, Any], tmp_path: Path) -> None:
    settings = {**tiny, "training": {**tiny["training"], "steps": LOG_EVERY + 2, "save_every": 1e-9}}
    whole = fit("whole", overrides=settings)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    full = At(LOG_EVERY, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1])))
    try:
        with pytest.raises(OSError, match="the last state is kept: make room and go on with --resume") as raised:
            fit("cut", overrides=settings, progress=full)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    state = tmp_path / "cut" / "state" / "latest.pt"
    assert raised.value.filename == str(state)
    assert torch.load(state, weights_only=True)["steps"] == LOG_EVERY - 1
    assert same_weights(whole, fit("cut", overrides=settings, resume=True))


@pytest.mark.parametrize("name", ["dataset.json", "config.yaml"])
def test_a_disk_that_is_full_at_the_start_leaves_nothing(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fsync(handle: int) -> None:
        if name.split(".")[0] in os.readlink(f"/proc/self/fd/{handle}"):  # noqa: PTH115 - as long as it is open
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="No space left") as raised:
            fit()
    assert raised.value.filename == str(tmp_path / "run" / name)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    fit()


def test_a_disk_that_is_full_at_the_end_keeps_the_last_state(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit("whole")
    written = Path.write_bytes

    def write(path: Path, content: bytes) -> int:
        if path.suffix == ".safetensors":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written(path, content)

    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", write)
        with pytest.raises(OSError, match="--resume") as raised:
            fit("cut")
    assert raised.value.filename == str(whole.parent / "cut" / "weights.safetensors")
    assert same_weights(whole, fit("cut", resume=True))


def test_too_little_memory_is_one_line_and_the_last_state_is_kept(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(*_: object) -> None:
        raise MemoryError

    whole = fit("whole")
    with monkeypatch.context() as small:
        small.setattr(BranchedGan, "step", step)
        with pytest.raises(ValueError, match=r"--run .*cut: memory ran out \(MemoryError\); the last state is kept"):
            fit("cut")
    assert same_weights(whole, fit("cut", resume=True))


@pytest.mark.parametrize(("cache_mb", "remove"), [(0, False), (64, True)])
def test_pictures_that_change_meanwhile_are_named_and_what_is_done_is_kept(
    fit: Fit, tiny: dict[str, Any], pictures: Folders, tmp_path: Path, cache_mb: int, remove: bool
) -> None:
    folders = tmp_path / "with", tmp_path / "without"
    for source, folder in zip(pictures, folders, strict=True):
        shutil.copytree(source, folder)

    def change() -> None:
        for path in folders[0].iterdir():
            if remove:
                path.unlink()
            else:
                path.touch()

    settings = {**tiny, "data": {**tiny["data"], "cache_mb": cache_mb}}
    settings["training"] = {**tiny["training"], "steps": 2 * LOG_EVERY}
    with pytest.raises(PictureError, match=r"with_\d\d.png.*: changed or removed while the training ran"):
        fit(folders=folders, overrides=settings, progress=At(LOG_EVERY, change))
    assert torch.load(tmp_path / "run" / "state" / "latest.pt", weights_only=True)["steps"] >= LOG_EVERY
    assert not (tmp_path / "run" / "weights.safetensors").exists()
    if not remove:
        fit(folders=folders, overrides=settings, resume=True)


def test_ctrl_c_saves_and_resume_finishes(
    pictures: Folders, tiny: dict[str, Any], tmp_path: Path, uninterrupted: Path
) -> None:
    run = tmp_path / "stopped"
    process = start(pictures, run, tiny)
    wait_for(run / "metrics.jsonl", process)  # ten steps are done then, and a state was saved on the way
    process.send_signal(signal.SIGINT)
    status, errors = finish(process)
    assert status == 130, errors
    assert "Traceback" not in errors
    assert "--resume" in errors
    assert 0 < torch.load(run / "state" / "latest.pt", weights_only=True)["steps"] < STEPS
    with pytest.raises(ValueError, match="holds no weights yet"):
        distmap.load(run)
    distmap.fit(*pictures, run=run, overrides=interruptible(tiny), device="cpu", resume=True)
    check_as_if_uninterrupted(run, uninterrupted)


def test_a_finished_run_may_be_trained_further(fit: Fit) -> None:
    run = fit(steps=3)
    assert same_weights(fit(steps=5, resume=True), fit("straight", steps=5))
    assert yaml.safe_load((run / "config.yaml").read_text())["training"]["steps"] == 5


def test_resuming_a_finished_run_changes_nothing(fit: Fit, tmp_path: Path) -> None:
    run = fit(steps=3)
    shutil.copytree(run, tmp_path / "before")
    fit(steps=3, resume=True)
    assert same_weights(run, tmp_path / "before")


def test_resume_refuses_other_settings(fit: Fit, tiny: dict[str, Any], pictures: Folders, tmp_path: Path) -> None:
    run = fit()
    before = (run / "config.yaml").read_text()
    for other in (
        {"overrides": {**tiny, "seed": 1}},
        {"settings": iter(["losses.r1=3"])},
        {"preset": "balanced"},
        {"method": "mil", "overrides": {}},
    ):
        with pytest.raises(ValueError, match="other settings; only --steps and --time-limit may change"):
            fit(resume=True, **other)
    assert (run / "config.yaml").read_text() == before


@pytest.mark.parametrize("again", [{}, {"method": "mil"}])
def test_a_resumed_run_keeps_its_method_and_that_methods_defaults(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: dict[str, Any]
) -> None:
    settings = {
        "image_size": 32,
        "data": {"batch_size": 4},
        "classifier": {"width": 4, "backbone": "test_efficientnet"},
        "student": {"rounds": 0},
    }
    fit(method="mil", overrides={**settings, "training": {"steps": 2, "time_limit": None, "precision": "32"}})
    seen: list[Config] = []

    def stop(_run: Path, config: Config, *_: Any, **__: Any) -> None:
        seen.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr("distmap.training.fit.prepare_folder", stop)
    with pytest.raises(KeyboardInterrupt):
        fit(resume=True, overrides={"training": {"time_limit": 50.0}}, **again)
    (config,) = seen
    assert (config.method, config.settings.classifier.width) == ("mil", 4)
    assert (config.training.steps, config.training.time_limit) == (300, 50.0)  # as the method has it


def test_a_resumed_run_keeps_the_steps_of_its_preset(
    fit: Fit, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(preset="paper", overrides=tiny | {"localizer": {"enabled": False}})
    seen: list[Config] = []

    def stop(_run: Path, config: Config, *_: Any, **__: Any) -> None:
        seen.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr("distmap.training.fit.prepare_folder", stop)
    with pytest.raises(KeyboardInterrupt):
        fit(resume=True, overrides={"training": {"time_limit": 50.0}})
    assert (seen[0].preset, seen[0].training.steps, seen[0].training.time_limit) == ("paper", 100_000, 50.0)


def test_resume_refuses_other_pictures(fit: Fit, pictures: Folders, tmp_path: Path) -> None:
    shutil.copytree(pictures[0], tmp_path / "with")
    run = fit(folders=(tmp_path / "with", pictures[1]))
    shutil.copy(tmp_path / "with" / "with_00.png", tmp_path / "with" / "new.png")
    with pytest.raises(ValueError, match="do not hold the pictures that"):
        fit(folders=(tmp_path / "with", pictures[1]), resume=True)
    with pytest.raises(ValueError, match="do not hold the pictures that"):
        fit(folders=(pictures[1], pictures[0]), resume=True)
    assert len(json.loads((run / "dataset.json").read_text())["train"]["with"]) == 10


@pytest.mark.parametrize("how", [{"resume": True}, {}])
def test_a_run_of_an_earlier_version_is_refused(fit: Fit, fitted: Path, tmp_path: Path, how: dict[str, Any]) -> None:
    run = earlier_version(fitted, tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="train again with --overwrite" if how else "use --resume .* --overwrite"):
        fit(**how)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_of_an_earlier_version_can_be_replaced(fit: Fit, fitted: Path, tmp_path: Path) -> None:
    run = earlier_version(fitted, tmp_path / "run")
    fit(overwrite=True)
    assert not (run / "split.json").exists()
    assert distmap.load(run, device="cpu").predictor.side == 32


def earlier_version(fitted: Path, run: Path) -> Path:
    """A run as format 1 had it: no format, and ``split.json``."""
    shutil.copytree(fitted, run)
    (run / "dataset.json").rename(run / "split.json")
    config = yaml.safe_load((run / "config.yaml").read_text())
    del config["format"]
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    return run


def test_resume_needs_a_run(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no run to resume"):
        fit(resume=True)
    assert not (tmp_path / "run").exists()


# --- where a run may be written ----------------------------------------------------------------------------------


def test_an_existing_run_is_kept_unless_told(fit: Fit, tmp_path: Path) -> None:
    run = fit(steps=3)
    (run / "notes.txt").write_text("mine")
    before = (run / "weights.safetensors").read_bytes()
    with pytest.raises(ValueError, match="exists already; use --resume to go on, --overwrite to replace it"):
        fit()
    assert (run / "weights.safetensors").read_bytes() == before
    fit(steps=2, overwrite=True)
    assert (run / "notes.txt").read_text() == "mine"
    assert same_weights(run, fit("fresh", steps=2))
    assert [path.name for path in (run / "samples").iterdir()] == ["0000002.png"]
    assert len(list(run.glob("events.*"))) == 1


def test_a_folder_that_is_no_run_is_never_overwritten(fit: Fit, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text("mine: 1\n")  # many a project has such a file
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="holds other things than a run; name a new folder"):
            fit(overwrite=overwrite)
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="is a file; name a folder"):
        fit("file", overwrite=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_an_empty_folder_will_do(fit: Fit, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert (fit() / "weights.safetensors").is_file()


def test_a_run_may_not_lie_among_the_pictures(fit: Fit, tmp_path: Path, pictures: Folders) -> None:
    folders = tmp_path / "with", tmp_path / "without"
    for copied, folder in zip(folders, pictures, strict=True):
        shutil.copytree(folder, copied)
    for inside in ("with/run", "without/a/run", "with"):
        with pytest.raises(ValueError, match="lies inside"):
            fit(inside, folders=folders)
    assert not (tmp_path / "with" / "run").exists()


def test_a_failed_fit_leaves_the_old_run_alone(fit: Fit, pictures: Folders, tmp_path: Path) -> None:
    run = fit()
    before = sorted(path.name for path in run.rglob("*"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: the folder holds no pictures"):
        fit(folders=(pictures[0], tmp_path / "empty"), overwrite=True)
    assert sorted(path.name for path in run.rglob("*")) == before


@pytest.mark.parametrize("follow_edges", [True, False])
def test_a_run_keeps_whether_its_maps_follow_edges(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, follow_edges: bool
) -> None:
    def choose(models: Any, *_: Any) -> Choice:
        step, _model = next(iter(models))
        return Choice(step=step, kind="weighted", auroc=1.0, follow_edges=follow_edges)

    monkeypatch.setattr("distmap.selection.choice.choose", choose)
    run = fit()
    assert distmap.load(run, device="cpu").predictor.follow_edges is follow_edges
    assert json.loads((run / "detector.json").read_text())["follow_edges"] is follow_edges
    assert yaml.safe_load((run / "config.yaml").read_text())["map"]["edge_radius"] == 2.0  # as it was asked for


# --- with a student ----------------------------------------------------------------------------------------------


@pytest.fixture
def with_student(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings of a run whose student learns for two steps, and is taken whatever it has learnt."""
    monkeypatch.setattr("distmap.training.self_training.agreement", lambda *_: 1.0)
    return {**tiny, "student": {**tiny["student"], "rounds": 1}, "selection": {"tie": 1.0}}


def test_a_student_becomes_part_of_the_run(fit: Fit, with_student: dict[str, Any], pictures: Folders) -> None:
    run = fit(overrides=with_student)
    assert any(name.startswith("student.") for name in load_file(run / "weights.safetensors"))
    detector = json.loads((run / "detector.json").read_text())
    assert detector["map_kind"] == "student"
    assert detector["validation_scores"].keys() >= {"psnr", "residual", "flip_rate", "auroc"}
    assert detector["sources"].keys() == {"weighted", "unweighted", "branch1", "localizer"}
    model = distmap.load(run, device="cpu")
    maps = [result.map_HW for result in model.maps([pictures[1]])]
    assert all(map_HW.min() >= 0 and map_HW.max() <= 1 for map_HW in maps)
    validation = json.loads((run / "dataset.json").read_text())["validation"]["without"]
    held = [result.map_HW for result in model.maps([pictures[1] / name for name in validation])]
    assert np.mean(np.stack(held) >= detector["threshold"]) == pytest.approx(detector["false_alarm"])  # of ITS maps


def test_a_resumed_run_does_not_prepare_again_and_keeps_what_was_found(
    fit: Fit, with_student: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    classes_are(monkeypatch, separable=False, low_contrast=True)
    settings = {**with_student, "training": {**with_student["training"], "steps": 6}}
    whole = fit("whole", overrides=settings)
    with monkeypatch.context() as broken:
        broken.setattr(f"{GAN}.train_judge", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit("cut", overrides=settings)
    state = torch.load(whole.parent / "cut" / "state" / "latest.pt", weights_only=True)
    assert state["prepared"] is True
    monkeypatch.setattr(BranchedGan, "prepare", lambda *_: 1 / 0)
    cut = fit("cut", overrides=settings, resume=True)
    assert json.loads((cut / "detector.json").read_text())["map_kind"] == "student"
    assert same_weights(whole, cut)


@pytest.mark.parametrize(("separable", "low_contrast"), [(True, False), (True, True), (False, False)])
def test_whole_pictures_guide_where_classes_are_separable_and_edge_contrast_is_not_low(
    fit: Fit, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch, separable: bool, low_contrast: bool
) -> None:
    classes_are(monkeypatch, separable=separable, low_contrast=low_contrast)
    guided = []

    def step(method: BranchedGan, batch: Batch, progress: float) -> dict[str, torch.Tensor]:
        guided.append(method.picture_guide is not None)
        return made(method, batch, progress)

    made = BranchedGan.step
    monkeypatch.setattr(BranchedGan, "step", step)
    fit(overrides=tiny)
    assert set(guided) == {separable and not low_contrast}


def test_a_resumed_run_keeps_the_picture_guide(fit: Fit, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    classes_are(monkeypatch, separable=True, low_contrast=False)
    settings = {**tiny, "training": {**tiny["training"], "steps": 6, "save_every": 1e-9}}
    whole = fit("whole", overrides=settings)

    def crash(method: BranchedGan, batch: Batch, progress: float) -> dict[str, torch.Tensor]:
        if batch.step == 5:
            raise KeyboardInterrupt
        return made(method, batch, progress)

    made = BranchedGan.step
    with monkeypatch.context() as broken:
        broken.setattr(BranchedGan, "step", crash)
        with pytest.raises(KeyboardInterrupt):
            fit("cut", overrides=settings)
    monkeypatch.setattr(f"{GAN}.train_picture_guide", lambda *_: 1 / 0)
    assert same_weights(whole, fit("cut", overrides=settings, resume=True))


def classes_are(monkeypatch: pytest.MonkeyPatch, *, separable: bool, low_contrast: bool) -> None:
    monkeypatch.setattr(f"{GAN}.separable", lambda *_: separable)
    monkeypatch.setattr(f"{GAN}.low_edge_contrast", lambda *_: low_contrast)


def test_a_crash_in_the_students_phase_loses_nothing(
    fit: Fit, with_student: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = with_student
    whole = fit("whole", overrides=settings)
    with monkeypatch.context() as broken:
        broken.setattr("distmap.training.self_training.train_student", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit("cut", overrides=settings)
    assert not (whole.parent / "cut" / "weights.safetensors").exists()
    cut = fit("cut", overrides=settings, resume=True)
    assert same_weights(whole, cut)
    assert (whole / "detector.json").read_text() == (cut / "detector.json").read_text()


def test_a_student_that_cannot_be_had_is_refused_before_anything_is_written(
    fit: Fit, tiny: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"student.encoder='resnet19'"):
        fit(overrides={**tiny, "student": {**tiny["student"], "rounds": 1, "encoder": "resnet19"}})
    assert not (tmp_path / "run").exists()
