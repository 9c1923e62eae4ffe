"""The loop, by a method that does next to nothing: steps, figures, reviews, kept weights, breakdowns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import distmap
from distmap.common.progress import Silent
from distmap.config import resolve
from distmap.data.batches import PictureStore
from distmap.data.folders import list_folders
from distmap.data.scaling import Scaling
from distmap.methods.base import Batch, Frame, Method
from distmap.methods.branched_gan import BranchedGan
from distmap.methods.schedules import OneCycle
from distmap.training.budget import Budget
from distmap.training.checkpoint import STATE, TrainingState, read_state
from distmap.training.loop import train

SCALING = Scaling(low=(60.0,), high=(250.0,), dtype="uint8")


class Counting(Method[None]):
    """Counts its steps; ``broken``: those, counted over the whole training, whose loss is not a number."""

    name = "counting"

    def __init__(self, broken: set[int] | None = None) -> None:
        schedule = OneCycle()
        frame = Frame(
            bands=1, side=32, seed=0, symmetry="none", precision="32", schedule=schedule, device=torch.device("cpu")
        )
        super().__init__(None, frame)
        self.broken = broken or set()
        self.made = 0
        self.steps: list[int] = []
        self.progress: list[float] = []
        self.reviews: list[int] = []
        self.rate = 1.0

    @classmethod
    def new_predictor(cls, settings: None, frame: Frame) -> Any:
        raise NotImplementedError

    def predictor(self, weights: Any = None) -> Any:
        raise NotImplementedError

    def step(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        assert batch.labels_B.tolist().count(1) == len(batch.labels_B) / 2
        self.made += 1
        self.steps.append(batch.step)
        self.progress.append(progress)
        return {"loss": torch.tensor(float("nan") if self.made in self.broken else float(batch.step))}

    def review(self) -> list[str]:
        self.reviews.append(len(self.steps))
        return [f"reviewed after {len(self.steps)}"]

    def slow_down(self, factor: float) -> None:
        self.rate *= factor

    def weights(self) -> dict[str, Tensor]:
        return {"steps": torch.tensor(len(self.steps))}

    def state_dict(self) -> dict[str, Any]:
        return {"rate": self.rate}

    def load_state_dict(self, state: Any) -> None:
        self.rate = state["rate"]


class Listening(Silent):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)


@pytest.fixture
def trained(
    tmp_path: Path, pictures: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[TrainingState, list[str]]]:
    """``trained(method, **settings of the training)`` -> the state after it, and what was said; in ``tmp_path``."""
    sheets: list[int] = []
    monkeypatch.setattr("distmap.training.loop.write_sample", lambda _run, _model, _shown, step: sheets.append(step))
    store = PictureStore(list_folders(*pictures, None), SCALING, 32, 16)

    def run(method: Counting, **training: Any) -> tuple[TrainingState, list[str]]:
        config = resolve(overrides={"data": {"batch_size": 4}, "training": {"time_limit": None, **training}})
        (tmp_path / "state").mkdir()
        state, listening = TrainingState(method=method), Listening()
        snapshot: Any = lambda: None  # noqa: E731 - the sheets are not looked at
        train(tmp_path, state, store, [], snapshot, config, Budget(config, 0.0), listening)
        assert sheets == [state.step]
        return state, listening.said

    return run


def logged(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_steps_are_made_in_order_and_told_how_far_the_training_is(trained: Any, tmp_path: Path) -> None:
    method = Counting()
    state, _ = trained(method, steps=4)
    assert method.steps == [0, 1, 2, 3]
    assert method.progress == [0, 0.25, 0.5, 0.75]
    assert state.step == read_state(tmp_path / STATE)["steps"] == 4


def test_figures_are_logged_every_so_many_steps_and_after_the_last(trained: Any, tmp_path: Path) -> None:
    trained(Counting(), steps=7, log_every=3)
    assert [(line["step"], line["loss"]) for line in logged(tmp_path)] == [(3, 2.0), (6, 5.0), (7, 6.0)]


def test_a_method_reviews_itself_every_so_many_steps(trained: Any) -> None:
    method = Counting()
    _, said = trained(method, steps=5, review_every=2)
    assert method.reviews == [2, 4]
    assert said == ["reviewed after 2", "reviewed after 4"]


@pytest.mark.parametrize(("fractions", "kept"), [((0.5, 0.75), [6, 9]), ((), []), ((0.0, 1.0), [1]), ((0.25,), [4])])
def test_weights_are_kept_after_these_fractions(trained: Any, fractions: tuple[float, ...], kept: list[int]) -> None:
    """Of 10 steps: the first that begins at or after each fraction."""
    state, _ = trained(Counting(), steps=10, candidates=fractions)
    assert {step: int(weights["steps"]) for step, weights in state.candidates.items()} == {step: step for step in kept}


def test_after_a_breakdown_it_goes_on_from_the_last_state_more_slowly(trained: Any, tmp_path: Path) -> None:
    method = Counting(broken={3})
    state, said = trained(method, steps=4, log_every=1, breakdown_slowdown=0.25)
    assert method.steps == [0, 1, 2, 0, 1, 2, 3]
    assert method.rate == read_state(tmp_path / STATE)["method"]["rate"] == 0.25
    assert said == ["step 3: a loss is not a number: back to step 0, learning rates times 0.25"]
    assert [line["step"] for line in logged(tmp_path)] == [1, 2, 3, 4]
    assert state.step == 4


@pytest.mark.parametrize("breakdowns", [0, 3])
def test_a_training_that_keeps_breaking_down_is_given_up(trained: Any, breakdowns: int) -> None:
    method = Counting(broken=set(range(1, 100)))
    with pytest.raises(ValueError, match=rf"broke down {breakdowns + 1} times .* give lower learning rates"):
        trained(method, steps=4, breakdowns=breakdowns)
    assert method.rate == 0.5**breakdowns  # each time on top of the time before


def test_a_branched_gan_that_broke_down_finishes_at_half_its_rates(
    tmp_path: Path, pictures: tuple[Path, Path], tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, count = BranchedGan.step, 0

    def step(method: BranchedGan, batch: Batch, progress: float) -> dict[str, Tensor]:
        nonlocal count
        count += 1
        terms = made(method, batch, progress)
        return terms | {"fidelity": torch.tensor(float("nan"))} if count == 3 else terms

    monkeypatch.setattr(BranchedGan, "step", step)
    run, listening = tmp_path / "run", Listening()
    distmap.fit(*pictures, run=run, overrides=tiny, device="cpu", progress=listening)
    assert "step 3: a loss is not a number: back to step 0, learning rates times 0.5" in listening.said
    assert (run / "detector.json").is_file()
    method = read_state(run / STATE)["method"]
    assert (method["steps"], method["factors"]["rate"]) == (4, 0.5)
    assert method["generator_optimiser"]["param_groups"][0]["lr"] <= 0.5e-3
