"""What is noticed of a training that goes wrong, and what is done about it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import distmap
from distmap.config import LossConfig, resolve
from distmap.methods.branched_gan.interventions import CHECK_EVERY, FIRST_CHECK, PATIENCE, TIMES, diagnose
from distmap.methods.branched_gan.trainer import Trainer
from distmap.selection.warnings import warnings

WELL = {"convinced": 0.9, "change": 0.05, "margin": 0.5}
GOOD = {"separation": 0.95, "flip_rate": 0.9, "psnr": 35.0, "background": 0.2, "taken": 0.05}


def test_a_training_that_goes_well_needs_nothing() -> None:
    assert diagnose(WELL, LossConfig(), PATIENCE, clear=True) == []
    assert warnings(GOOD, 0.002) == []


@pytest.mark.parametrize(
    ("sign", "changes", "by"),
    [
        ({"convinced": 0.1}, "guidance", 2),
        ({"change": 0.5}, "locality", 3),
        ({"margin": 9.0}, "discriminator_rate", 1 / 3),
        ({"margin": 0.1}, "r1", 0.1),
    ],
)
def test_each_sign_has_its_remedy(sign: dict[str, float], changes: str, by: float) -> None:
    (remedy,) = diagnose(WELL | sign, LossConfig(), PATIENCE, clear=True)
    assert (remedy.changes, remedy.by) == (changes, by)
    assert "\n" not in remedy.line


def test_without_guidance_nothing_is_asked_of_the_locator() -> None:
    assert diagnose(WELL | {"convinced": 0.0}, LossConfig(guidance=0), PATIENCE, clear=True) == []


def test_the_discriminator_is_given_time_and_r1_is_cut_only_where_there_is_one() -> None:
    idle = WELL | {"margin": 0.1}
    assert diagnose(idle, LossConfig(), 0.99 * PATIENCE, clear=True) == []
    # By twice that the generator may have won, as it should.
    assert diagnose(idle, LossConfig(), 2 * PATIENCE, clear=True) == []
    assert diagnose(idle, LossConfig(r1=0), PATIENCE, clear=True) == []
    assert diagnose(idle, LossConfig(), PATIENCE, clear=False) == []


@pytest.mark.parametrize(
    ("sign", "words"),
    [
        ({"separation": 0.5}, "hardly tell"),
        ({"flip_rate": 0.1}, "10% of the kept-out"),
        ({"psnr": 12.0}, "12.0 dB"),
        ({"background": 1.2}, "120%"),
    ],
)
def test_each_bad_score_is_said(sign: dict[str, float], words: str) -> None:
    (line,) = warnings(GOOD | sign, 0.002)
    assert words in line


def test_a_folder_that_is_not_free_of_the_thing_is_said() -> None:
    (line,) = warnings(GOOD, 0.021)
    assert line.startswith("2.10% of the pixels of kept-out pictures WITHOUT reach the threshold, and 5.00% of those")


def test_pictures_too_large_to_judge_have_no_flip_rate() -> None:
    assert warnings({name: score for name, score in GOOD.items() if name != "flip_rate"}, 0) == []


def stepped(trainer: Trainer, recent: dict[str, float], steps: int) -> list[str]:
    trainer.steps, trainer._recent = steps, dict(recent)
    return trainer.check_up()


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand((4, 1, 32, 32), generator=torch.Generator().manual_seed(0)) * 2 - 1, torch.tensor([1, 1, 0, 0])


def test_a_remedy_changes_the_weight_and_is_tried_a_few_times(tiny: dict[str, Any], tmp_path: Path) -> None:
    trainer = Trainer(resolve(overrides=tiny), 1, torch.device("cpu"))
    plain = trainer.step(*batch(), 0.0)["guidance"]
    timid = WELL | {"convinced": 0.1}
    assert stepped(trainer, timid, CHECK_EVERY) == []  # too early to say
    for number in range(TIMES):
        (line,) = stepped(trainer, timid, FIRST_CHECK + number)
        assert line.startswith(f"step {FIRST_CHECK + number}: little is repainted")
    assert stepped(trainer, timid, 10 * FIRST_CHECK) == []
    trainer.save_state(tmp_path / "state.pt", 1.0)
    fresh = Trainer(resolve(overrides=tiny), 1, torch.device("cpu"))
    fresh.load_state(tmp_path / "state.pt")
    again = Trainer(resolve(overrides=tiny), 1, torch.device("cpu"))
    again._factors = dict(fresh._factors)
    raised = again.step(*batch(), 0.0)["guidance"]
    assert float(raised) == pytest.approx(2**TIMES * float(plain), rel=1e-4)


def test_r1_is_cut_once_where_the_discriminator_learns_little(tiny: dict[str, Any]) -> None:
    plain, cut = (Trainer(resolve(overrides=tiny), 1, torch.device("cpu")) for _ in range(2))
    patience = math.ceil(PATIENCE / cut.config.training.discriminator_rate)
    assert stepped(cut, WELL | {"margin": 0.1}, patience) == []
    cut.clear = True
    assert len(stepped(cut, WELL | {"margin": 0.1}, patience)) == 1
    assert stepped(cut, WELL | {"margin": 0.1}, patience) == []
    cut.steps = 0
    penalties = [float(trainer.step(*batch(), 0.0)["r1"]) for trainer in (plain, cut)]
    assert penalties[1] == pytest.approx(penalties[0] / 10, rel=1e-4)


def test_means_are_of_the_steps_since_the_last_look(tiny: dict[str, Any]) -> None:
    trainer = Trainer(resolve(overrides=tiny), 1, torch.device("cpu"))
    changes = [float(trainer.step(*batch(), 0.0)["change"]) for _ in range(2)]
    assert trainer._recent["change"] == pytest.approx(sum(changes) / CHECK_EVERY)
    trainer.check_up()
    assert trainer._recent == {}


class Lines:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def update(self, *_: object) -> None:
        pass

    def say(self, line: str) -> None:
        self.said.append(line)


def broken_steps(monkeypatch: pytest.MonkeyPatch, numbers: set[int]) -> None:
    """These steps, counted over the whole training, report a loss that is not a number."""
    real, count = Trainer.step, 0

    def step(self: Trainer, *arguments: Any) -> dict[str, torch.Tensor]:
        nonlocal count
        count += 1
        terms = real(self, *arguments)
        return terms | {"fidelity": torch.tensor(float("nan"))} if count in numbers else terms

    monkeypatch.setattr(Trainer, "step", step)


def test_a_training_that_breaks_down_goes_on_from_its_last_state(
    tmp_path: Path, pictures: tuple[Path, Path], tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_steps(monkeypatch, {3})
    monkeypatch.setattr("distmap.training.fit.LOG_EVERY", 1)
    lines: Any = Lines()
    distmap.fit(*pictures, run=tmp_path / "run", overrides=tiny, device="cpu", progress=lines)
    assert "step 3: a loss is not a number: back to step 0, learning rates halved" in lines.said
    assert (tmp_path / "run" / "detector.json").is_file()
    logged = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in logged] == [1, 2, 3, 4]
    state = torch.load(tmp_path / "run" / "state" / "latest.pt", weights_only=True)
    assert state["steps"] == 4
    assert state["factors"]["rate"] == 0.5
    assert state["generator_optimiser"]["param_groups"][0]["lr"] <= 0.5e-3


def test_a_training_that_keeps_breaking_down_is_given_up(
    tmp_path: Path, pictures: tuple[Path, Path], tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_steps(monkeypatch, set(range(1, 100)))
    with pytest.raises(ValueError, match=r"broke down 4 times .* give lower rates"):
        distmap.fit(*pictures, run=tmp_path / "run", overrides=tiny, device="cpu")


@pytest.mark.parametrize(("separation", "enough", "clear"), [(1.0, 1, True), (0.99, 1, False), (1.0, 30, False)])
def test_classes_are_clear_where_enough_kept_out_pictures_are_told_apart(
    tmp_path: Path,
    pictures: tuple[Path, Path],
    tiny: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    separation: float,
    enough: int,
    clear: bool,
) -> None:
    looked: list[bool] = []
    monkeypatch.setattr("distmap.methods.classifier_training.told_apart", lambda *_: separation)
    monkeypatch.setattr("distmap.training.fit.ENOUGH", enough)
    monkeypatch.setattr("distmap.training.fit.CHECK_EVERY", 1)

    def check_up(trainer: Trainer) -> list[str]:
        looked.append(trainer.clear)
        return []

    monkeypatch.setattr(Trainer, "check_up", check_up)
    distmap.fit(*pictures, run=tmp_path / "run", overrides=tiny, device="cpu")
    assert set(looked) == {clear}
