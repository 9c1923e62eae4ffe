"""Classifiers learn the classes of real pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from distmap.data.batches import PictureStore
from distmap.data.seeding import seeded_networks, step_rng
from distmap.methods.base import Frame
from distmap.methods.classifier_training import (
    classifier_auroc,
    classifier_certainty,
    classifier_step,
    new_optimiser,
    set_rates,
    train_classifier,
)
from distmap.methods.losses import classification
from distmap.methods.schedules import OneCycle
from distmap.networks.classifiers import PictureClassifier

MakeFrame = Callable[..., Frame]
STREAM = 77


@dataclass(frozen=True)
class Training:
    """Settings of a short training."""

    steps: int = 2
    batch_size: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 0.01


def all_of(store: PictureStore) -> tuple[torch.Tensor, torch.Tensor]:
    x_BCHW = torch.from_numpy(np.stack([store[index] for index in range(len(store))]))
    return x_BCHW, torch.tensor([picture.label for picture in store.pictures])


def unchanged(x_BCHW: torch.Tensor, _: torch.Generator) -> torch.Tensor:
    return x_BCHW


def trained(
    store: PictureStore,
    frame: Frame,
    settings: Training,
    *,
    stream: int = STREAM,
    change: Callable[[torch.Tensor, torch.Generator], torch.Tensor] = unchanged,
    time_spent: Callable[[], float] = lambda: 0.0,
) -> PictureClassifier:
    with seeded_networks(0, STREAM):
        network = PictureClassifier(1, 32, width=8, max_width=16)
    train_classifier(
        network,
        new_optimiser(network, settings),
        settings,
        store,
        frame,
        stream=stream,
        change=change,
        smoothing=0.1,
        time_spent=time_spent,
    )
    return network


# --- training ----------------------------------------------------------------------------------------------------


def test_a_classifier_learns_the_classes_and_is_left_ready_for_use(known: PictureStore, make_frame: MakeFrame) -> None:
    network = trained(known, make_frame(), Training(steps=60))
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    x_BCHW, y = all_of(known)
    assert torch.equal(network(x_BCHW).argmax(dim=1), y)


def test_pictures_depend_on_seed_and_stream_alone(known: PictureStore, make_frame: MakeFrame) -> None:
    runs = ((0, STREAM), (0, STREAM), (1, STREAM), (0, STREAM + 1))
    first, again, *others = (
        trained(known, make_frame(seed=seed), Training(), stream=stream).heads.weight for seed, stream in runs
    )
    assert torch.equal(first, again)
    assert not any(torch.equal(first, other) for other in others)


def test_training_stops_when_time_is_up(known: PictureStore, make_frame: MakeFrame) -> None:
    spent = iter([0.0, 0.3, 0.9, 1.0])
    trained(known, make_frame(), Training(steps=10_000), time_spent=lambda: next(spent))
    assert not list(spent)


def test_the_rate_follows_the_schedule_of_steps_or_time(
    known: PictureStore, make_frame: MakeFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    rates: list[float] = []

    class Noted(OneCycle):
        def __call__(self, progress: float) -> float:
            asked.append(progress)
            return 1 - progress

    real = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, *arguments: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return real(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    spent = iter([0.0, 0.1, 0.7, 0.7])
    frame = make_frame(schedule=Noted())
    trained(known, frame, Training(steps=4, learning_rate=0.5), time_spent=lambda: next(spent))
    assert asked == [0, 0.25, 0.7, 0.75]
    assert rates == pytest.approx([0.5, 0.375, 0.15, 0.125])


def test_pictures_are_changed_with_an_rng_of_each_step(known: PictureStore, make_frame: MakeFrame) -> None:
    drawn: list[float] = []

    def change(x_BCHW: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        drawn.append(float(torch.rand((), generator=rng)))
        return x_BCHW * 0

    trained(known, make_frame(), Training(steps=3), change=change)
    assert drawn == [float(torch.rand((), generator=step_rng(0, STREAM, step))) for step in range(3)]


def linear() -> torch.nn.Module:
    """Sees WITH where the left half is brighter than the right one."""
    layer = torch.nn.Linear(4, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 0, 0, 0], [1, -1, 1, -1]]))
        layer.bias.zero_()
    return torch.nn.Sequential(torch.nn.Flatten(), layer)


@pytest.mark.parametrize("sure", [0.0, math.log(9)])
def test_certainty_is_how_far_the_mean_probabilities_lie_apart(known: PictureStore, sure: float) -> None:
    """By a classifier that gives WITH the probability 0.9 in bright pictures and 0.1 in others, or 0.5 in all."""

    class Says(torch.nn.Module):
        def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
            pooled = torch.where(x_BCHW.amax(dim=(1, 2, 3)) > 0.9, sure, -sure)
            return torch.stack([torch.ones_like(pooled), 1 + pooled], dim=1)  # the difference counts

    found = classifier_certainty(Says(), known, torch.device("cpu"))
    assert found == pytest.approx(0.8 if sure else 0.0, abs=1e-6)


def test_groups_of_parameters_keep_their_share_of_the_rate() -> None:
    one, other = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([{"params": [one], "lr": 0.4}, {"params": [other], "lr": 0.1}])
    for factor in (0.5, 1.0, 0.25):  # of what it began with, not of what it is
        set_rates(optimiser, factor)
        assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.4 * factor, 0.1 * factor])
    again = torch.optim.AdamW([{"params": [one], "lr": 0.4}, {"params": [other], "lr": 0.1}])
    again.load_state_dict(optimiser.state_dict())
    set_rates(again, 1.0)
    assert [group["lr"] for group in again.param_groups] == pytest.approx([0.4, 0.1])


def test_one_step_is_that_of_the_optimiser_on_the_loss() -> None:
    x, y = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0]]).reshape(2, 1, 2, 2), torch.tensor([1, 0])
    network, by_hand = linear(), linear()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    loss = classifier_step(network, optimiser, x, y, smoothing=0.1, precision="32")
    expected = classification(by_hand(x), y, 0.1)
    expected.backward()  # type: ignore[no-untyped-call]
    assert not loss.requires_grad
    torch.testing.assert_close(loss, expected.detach())
    for moved, before in zip(network.parameters(), by_hand.parameters(), strict=True):
        assert before.grad is not None
        torch.testing.assert_close(moved, before - 0.1 * before.grad)


# --- telling apart -----------------------------------------------------------------------------------------------


def test_classifier_auroc_is_the_area_under_the_roc_curve(known: PictureStore) -> None:
    """By a classifier that says of each picture what it is told to say: one of four pairs is the wrong way round."""
    with_, without = known.pictures[0], known.pictures[-1]
    assert (with_.label, without.label) == (1, 0)
    four = PictureStore([without, with_, without, with_], known._scaling, 32, 16)
    says = iter([-1.0, 0.0, 0.5, 2.0])

    class Told(torch.nn.Module):
        def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
            assert x_BCHW.shape == (1, 1, 32, 32)
            return torch.tensor([[0.0, next(says)]])

    assert classifier_auroc(Told(), four, torch.device("cpu")) == pytest.approx(0.75)
