"""The classifiers learn what tells the classes apart, and the locator where it is, from real pictures alone."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from distmap.config import Config, resolve
from distmap.data.batches import PictureStore, batches
from distmap.data.folders import list_folders
from distmap.data.scaling import Scaling
from distmap.data.seeding import seeded_networks
from distmap.methods.classifier_training import (
    Trial,
    drowns,
    goes_by_elsewhere,
    told_apart,
    train_judge,
    train_locator,
    train_picture_guide,
)
from distmap.methods.losses import classification
from distmap.networks.localizer import Locator, PlaceClassifier

CPU = torch.device("cpu")
SCALING = Scaling(low=(60.0,), high=(250.0,), dtype="uint8")


def config(tiny: dict[str, Any], steps: int, **top: Any) -> Config:
    settings = copy.deepcopy(tiny) | top
    settings["judge"] |= {"steps": steps, "batch_size": 8}
    settings["locator"] |= {"steps": steps, "batch_size": 8}
    return resolve(overrides=settings)


def store(pictures: tuple[Path, Path]) -> PictureStore:
    return PictureStore(list_folders(*pictures, None), SCALING, 32, 16)


def test_it_tells_the_classes_apart(pictures: tuple[Path, Path], tiny: dict[str, Any]) -> None:
    known = store(pictures)
    judge = train_judge(known, config(tiny, 30), 1, CPU, lambda: 0.0)
    assert not judge.training
    with torch.inference_mode():
        verdicts = judge(torch.from_numpy(np.stack([known[index] for index in range(len(known))]))).argmax(dim=1)
    assert verdicts.tolist() == [picture.label for picture in known.pictures]


def test_same_seed_same_judge(pictures: tuple[Path, Path], tiny: dict[str, Any]) -> None:
    known = store(pictures)
    first, second, other = (
        train_judge(known, config(tiny, 2, seed=seed), 1, CPU, lambda: 0.0).heads.weight for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_the_picture_guide_learns_the_classes_and_is_tried_with_changes_but_the_judge_is_not(
    pictures: tuple[Path, Path], tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = store(pictures)
    x = torch.from_numpy(np.stack([known[index] for index in range(len(known))]))
    greatest: list[float] = []

    class Noted(Trial):
        def __init__(self, size: float) -> None:
            greatest.append(size)
            super().__init__(size)

    monkeypatch.setattr("distmap.methods.classifier_training.Trial", Noted)
    settings = copy.deepcopy(tiny)
    settings["picture_guide"] |= {"steps": 60}
    guide = train_picture_guide(known, resolve(overrides=settings), 1, CPU, lambda: 0.0)
    assert not guide.training
    assert not any(parameter.requires_grad for parameter in guide.parameters())
    assert guide(x).argmax(dim=1).tolist() == [picture.label for picture in known.pictures]
    train_judge(known, config(tiny, 1), 1, CPU, lambda: 0.0)
    spread = float(np.linalg.norm(x.numpy().std(axis=0)))
    assert greatest == [pytest.approx(0.3 * spread), 0.0]


def test_it_stops_when_time_is_up(pictures: tuple[Path, Path], tiny: dict[str, Any]) -> None:
    spent = iter([0.0, 0.3, 0.9, 1.0])
    train_judge(store(pictures), config(tiny, 10_000), 1, CPU, lambda: next(spent))
    assert not list(spent)


def never(_: PlaceClassifier) -> bool:
    return False


def untrained(settings: Config) -> Locator:
    with seeded_networks(settings.seed, 0):
        return Locator(settings.locator, 1)


def of_members(tiny: dict[str, Any], members: int, **locator: int) -> Config:
    return resolve(overrides={**tiny, "locator": {**tiny["locator"], "members": members, **locator}})


def locator(pictures: tuple[Path, Path], tiny: dict[str, Any], steps: int, seed: int = 0) -> Locator:
    settings = config(tiny, steps, seed=seed)
    network = untrained(settings)
    train_locator(network, store(pictures), settings, CPU, lambda: 0.0, never)
    return network


def test_the_locator_finds_the_place(pictures: tuple[Path, Path], tiny: dict[str, Any]) -> None:
    known = store(pictures)
    network = locator(pictures, tiny, 60)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    x = torch.from_numpy(np.stack([known[index] for index in range(len(known))]))
    with torch.inference_mode():
        verdicts, places = network.guide(x).argmax(dim=1), network.places(x)
    assert verdicts.tolist() == [picture.label for picture in known.pictures]
    with_thing = places[verdicts == 1].mean(dim=0)  # of 8 x 8; the block covers rows and columns 3 and 4
    row, column = divmod(int(with_thing.argmax()), 8)
    assert {row, column} <= {2, 3, 4, 5}


def test_same_seed_same_locator(pictures: tuple[Path, Path], tiny: dict[str, Any]) -> None:
    first, second, other = (
        locator(pictures, tiny, 2, seed).state_dict()["members.1.head.weight"] for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_members_share_the_time_and_see_other_batches(
    pictures: tuple[Path, Path], tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = of_members(tiny, 2, steps=10_000)
    network = untrained(settings)
    rates: list[float] = []
    keys: list[tuple[int, int]] = []
    seconds = 0

    def time_spent() -> float:
        nonlocal seconds
        seconds += 1
        return seconds / 100

    def noted_rate(share: float) -> float:
        rates.append(share)
        return 0.0

    def noted_batches(*arguments: Any, **options: Any) -> Any:
        keys.append(arguments[3])
        return batches(*arguments, **options)

    monkeypatch.setattr("distmap.methods.classifier_training.one_cycle", noted_rate)
    monkeypatch.setattr("distmap.methods.classifier_training.batches", noted_batches)
    train_locator(network, store(pictures), settings, CPU, time_spent, never)
    assert seconds == 100
    assert len(set(keys)) == 2
    second = rates.index(min(rates[10:]), 10)
    for shares in (rates[:second], rates[second:]):
        np.testing.assert_allclose(shares, np.linspace(0, 1, len(shares) + 2)[1:-1], atol=0.02)


class Pointing(Locator):
    """Is sure of the places of the block that the pictures WITH hold, and of no other."""

    def places(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(x_BCHW), 8, 8), -9.0)
        logits[:, 3:5, 3:5] = 9.0
        return logits


@pytest.mark.parametrize(("noise", "expected"), [(2, False), (60, True)])
def test_a_thing_drowns_where_the_texture_is_as_strong(
    tmp_path: Path, tiny: dict[str, Any], noise: float, expected: bool
) -> None:
    rng = np.random.default_rng(0)
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
        for number in range(4):
            picture = 100 + noise * rng.standard_normal((32, 32))
            if name == "with":
                picture[12:20, 12:20] += 60
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), picture.clip(0, 255).astype(np.uint8))
    known = store((tmp_path / "with", tmp_path / "without"))
    pointing = Pointing(config(tiny, 1).locator, 1)
    assert drowns(pointing, known, CPU) is expected
    empty = PictureStore([], SCALING, 32, cache_mb=0)
    assert not drowns(pointing, empty, CPU)


class Beside(PlaceClassifier):
    """Is certain of places so many pixels to the right of what is bright."""

    def __init__(self, pixels: int) -> None:
        torch.nn.Module.__init__(self)
        self.pixels = pixels

    def places(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        bright = torch.nn.functional.avg_pool2d(x_BCHW, 4)[:, 0]
        return 20 * (torch.roll(bright, self.pixels // 4, dims=2) - 0.5)


@pytest.mark.parametrize(("pixels", "expected"), [(0, 0.0), (4, 0.0), (12, 1.0)])
def test_a_classifier_that_points_beside_goes_by_elsewhere(
    pixels: int, expected: float, pictures: tuple[Path, Path]
) -> None:
    """The bright block is 8 pixels wide; what is hidden reaches 7 pixels from the place."""
    assert goes_by_elsewhere(Beside(pixels), store(pictures), CPU) == pytest.approx(expected, abs=0.02)


def test_the_member_that_points_best_guides_and_those_far_worse_have_no_vote(
    pictures: tuple[Path, Path], tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = of_members(tiny, 4, steps=1, batch_size=8)
    network = untrained(settings)
    trained = list(network.members)
    elsewhere = dict(zip(map(id, trained), (0.45, 0.2, 0.55, 0.3), strict=True))
    monkeypatch.setattr(
        "distmap.methods.classifier_training.goes_by_elsewhere", lambda member, *_: elsewhere[id(member)]
    )
    train_locator(network, store(pictures), settings, CPU, lambda: 0.0, never)
    assert list(network.members) == [trained[index] for index in (1, 3, 0, 2)]
    assert network.votes.tolist() == [1, 1, 1, 0]


def test_no_more_members_are_trained_once_one_suffices_and_those_left_have_no_vote(
    pictures: tuple[Path, Path], tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = of_members(tiny, 4, steps=1, batch_size=8)
    network = untrained(settings)
    members, before = list(network.members), copy.deepcopy(network.state_dict())
    elsewhere = {id(members[0]): 0.5, id(members[1]): 0.1}
    monkeypatch.setattr(
        "distmap.methods.classifier_training.goes_by_elsewhere", lambda member, *_: elsewhere[id(member)]
    )
    train_locator(network, store(pictures), settings, CPU, lambda: 0.0, lambda member: member is members[1])
    assert list(network.members) == [members[index] for index in (1, 0, 2, 3)]
    assert network.votes.tolist() == [1, 0, 0, 0]
    changed = [
        not torch.equal(member.head.weight, before[f"members.{index}.head.weight"])
        for index, member in enumerate(members)
    ]
    assert changed == [True, True, False, False]


def linear() -> torch.nn.Module:
    """Sees WITH where the left half is brighter than the right one."""
    layer = torch.nn.Linear(4, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 0, 0, 0], [1, -1, 1, -1]]))
        layer.bias.zero_()
    return torch.nn.Sequential(torch.nn.Flatten(), layer)


def test_how_well_pictures_are_told_apart_is_the_area_under_the_roc_curve(pictures: tuple[Path, Path]) -> None:
    """By a classifier that says of each picture what it is told to say: one of four pairs is the wrong way round."""
    with_, without = (list_folders(*pictures, None)[index] for index in (0, -1))
    assert (with_.label, without.label) == (1, 0)
    known = PictureStore([without, with_, without, with_], SCALING, 32, 16)
    says = iter([-1.0, 0.0, 0.5, 2.0])

    class Told(PlaceClassifier):
        def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
            assert x_BCHW.shape == (1, 1, 32, 32)
            return torch.tensor([[0.0, next(says)]])

    assert told_apart(Told(resolve().locator, 1), known, CPU) == pytest.approx(0.75)


def test_a_trial_changes_pictures_by_its_size_the_way_that_misleads_most() -> None:
    x, y = torch.zeros(2, 1, 2, 2), torch.tensor([1, 0])
    trial = Trial(10.0)
    assert trial.harden(linear(), x, y, "32") is x
    trial.size = 3.0
    changed = trial.harden(linear(), x, y, "32")
    against_with = torch.tensor([[-1.5, 1.5], [-1.5, 1.5]])
    torch.testing.assert_close(changed[:, 0], torch.stack([against_with, -against_with]))
    assert changed.flatten(1).norm(dim=1).tolist() == pytest.approx([3.0, 3.0])


def test_a_trial_is_hard_only_for_who_is_right_nearly_always() -> None:
    right, wrong = torch.tensor([[0.0, 1.0]] * 20), torch.tensor([[1.0, 0.0]] * 20)
    y = torch.ones(20, dtype=torch.int64)
    trial = Trial(5.0)
    for _ in range(20):
        trial.adapt(right, y)
    assert trial.size == 0  # it has not been right for long
    for _ in range(200):
        trial.adapt(right, y)
    assert trial.size == 5
    trial.adapt(wrong, y)
    assert trial.size == pytest.approx(5 * 0.97)
    for _ in range(200):
        trial.adapt(torch.cat([right[:12], wrong[:8]]), y)
    assert trial.size == 0


def test_a_hardened_locator_withstands_changes(pictures: tuple[Path, Path], tiny: dict[str, Any]) -> None:
    known = store(pictures)
    x = torch.from_numpy(np.stack([known[index] for index in range(len(known))]))
    y = torch.tensor([picture.label for picture in known.pictures])
    misled = []
    for robustness in (0.0, 0.3):
        settings = copy.deepcopy(tiny)
        settings["locator"] |= {"robustness": robustness, "members": 1}
        network = locator(pictures, settings, 200).guide
        assert bool((network(x).argmax(dim=1) == y).all())
        trial = Trial(1.0)
        trial.size = 5.0
        harder = trial.harden(network, x, y, "32")
        misled.append(float(classification(network(harder), y)))
    assert misled[1] < 0.7 * misled[0], misled
