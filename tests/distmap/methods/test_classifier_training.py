"""Classifiers learn the classes of real pictures, and withstand what misleads them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from distmap.data.batches import PictureStore
from distmap.data.seeding import seeded_networks, step_rng
from distmap.methods.base import Frame
from distmap.methods.classifier_training import (
    AdversarialPerturbation,
    AdversarialSettings,
    classifier_auroc,
    classifier_step,
    train_classifier,
)
from distmap.methods.losses import classification
from distmap.methods.schedules import OneCycle
from distmap.networks.classifiers import PictureClassifier
from distmap.networks.localizer import LocationClassifier

MakeFrame = Callable[..., Frame]
STREAM = 77
SETTINGS = AdversarialSettings()


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
    perturbation: AdversarialPerturbation | None = None,
    time_spent: Callable[[], float] = lambda: 0.0,
) -> LocationClassifier:
    with seeded_networks(0, STREAM):
        network = LocationClassifier(1, width=8, sharpness=1.0)
    train_classifier(
        network,
        settings,
        store,
        frame,
        stream=stream,
        change=change,
        perturbation=perturbation or AdversarialPerturbation.none(),
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
        trained(known, make_frame(seed=seed), Training(), stream=stream).head.weight for seed, stream in runs
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


def test_one_step_is_that_of_the_optimiser_on_the_loss() -> None:
    x, y = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0]]).reshape(2, 1, 2, 2), torch.tensor([1, 0])
    network, by_hand = linear(), linear()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    loss = classifier_step(network, optimiser, x, y, AdversarialPerturbation.none(), smoothing=0.1, precision="32")
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


# --- adversarial perturbation ------------------------------------------------------------------------------------


def linear() -> torch.nn.Module:
    """Sees WITH where the left half is brighter than the right one."""
    layer = torch.nn.Linear(4, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 0, 0, 0], [1, -1, 1, -1]]))
        layer.bias.zero_()
    return torch.nn.Sequential(torch.nn.Flatten(), layer)


def test_a_perturbation_changes_pictures_by_its_size_the_way_that_misleads_most() -> None:
    x, y = torch.zeros(2, 1, 2, 2), torch.tensor([1, 0])
    perturbation = AdversarialPerturbation(SETTINGS, 10.0)
    assert perturbation.perturb(linear(), x, y, 0.1, "32") is x
    perturbation.size = 3.0
    changed = perturbation.perturb(linear(), x, y, 0.1, "32")
    against_with = torch.tensor([[-1.5, 1.5], [-1.5, 1.5]])
    torch.testing.assert_close(changed[:, 0], torch.stack([against_with, -against_with]))
    assert changed.flatten(1).norm(dim=1).tolist() == pytest.approx([3.0, 3.0])
    assert not changed.requires_grad


RIGHT, WRONG = torch.tensor([[0.0, 1.0]] * 20), torch.tensor([[1.0, 0.0]] * 20)
LABELS = torch.ones(20, dtype=torch.int64)


def test_a_perturbation_is_large_only_for_who_is_right_nearly_always() -> None:
    perturbation = AdversarialPerturbation(SETTINGS, 5.0)
    for _ in range(20):
        perturbation.adapt(RIGHT, LABELS)
    assert perturbation.size == 0  # it has not been right for long
    for _ in range(200):
        perturbation.adapt(RIGHT, LABELS)
    assert perturbation.size == 5
    perturbation.adapt(WRONG, LABELS)
    assert perturbation.size == pytest.approx(5 * 0.97)
    for _ in range(200):
        perturbation.adapt(torch.cat([RIGHT[:12], WRONG[:8]]), LABELS)
    assert perturbation.size == 0


def test_settings_say_how_fast_a_perturbation_grows_and_from_where() -> None:
    settings = AdversarialSettings(accuracy=0.7, memory=0.5, pace=0.5, least=0.2)
    perturbation = AdversarialPerturbation(settings, 10.0)
    sizes = []
    for logits in (RIGHT, RIGHT, RIGHT, WRONG, WRONG, WRONG):
        perturbation.adapt(logits, LABELS)
        sizes.append(perturbation.size)
    # The running accuracy is 0.75, 0.875, 0.94, 0.47, 0.23, 0.12.
    assert sizes == pytest.approx([2, 3, 4.5, 2.25, 1.125, 0])


def test_the_greatest_change_is_a_fraction_of_the_spread(known: PictureStore) -> None:
    x_BCHW, _ = all_of(known)
    spread = float(np.linalg.norm(x_BCHW.numpy().std(axis=0)))
    assert AdversarialPerturbation.of_pictures(SETTINGS, known).greatest == pytest.approx(0.3 * spread)
    third = AdversarialSettings(strength=0.5, spread_pictures=8)
    spread = float(np.linalg.norm(x_BCHW[::3].numpy().std(axis=0)))
    assert AdversarialPerturbation.of_pictures(third, known).greatest == pytest.approx(0.5 * spread)


def test_no_perturbation_stays_none() -> None:
    none = AdversarialPerturbation.none()
    for _ in range(300):
        none.adapt(RIGHT, LABELS)
    x = torch.zeros(2, 1, 2, 2)
    assert none.perturb(linear(), x, torch.tensor([1, 0]), 0.1, "32") is x


def test_a_perturbation_goes_on_from_its_state() -> None:
    outcomes = itertools.cycle([RIGHT] * 60 + [WRONG])

    def sizes(perturbation: AdversarialPerturbation, logits: Iterator[torch.Tensor], count: int) -> list[float]:
        found = []
        for _ in range(count):
            perturbation.adapt(next(logits), LABELS)
            found.append(perturbation.size)
        return found

    whole = AdversarialPerturbation(SETTINGS, 5.0)
    sizes(whole, outcomes, 50)
    resumed = AdversarialPerturbation(SETTINGS, 0.0)
    resumed.load_state_dict(whole.state_dict())
    coming = list(itertools.islice(outcomes, 40))
    assert sizes(resumed, iter(coming), 40) == sizes(whole, iter(coming), 40)
    assert resumed.size > 0


def test_a_classifier_of_whole_pictures_learns_them_too(known: PictureStore, make_frame: MakeFrame) -> None:
    with seeded_networks(0, STREAM):
        network = PictureClassifier(1, 32, width=8, max_width=16)
    train_classifier(
        network,
        Training(steps=30),
        known,
        make_frame(),
        stream=STREAM,
        change=unchanged,
        perturbation=AdversarialPerturbation.none(),
        smoothing=0.1,
        time_spent=lambda: 0.0,
    )
    assert classifier_auroc(network, known, torch.device("cpu")) == 1
