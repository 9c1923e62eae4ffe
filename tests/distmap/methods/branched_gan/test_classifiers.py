"""The judge and the picture guide learn what tells the classes apart, and the localizer where it is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from distmap.config import resolve
from distmap.data.augment import augment, degrade, mix_bands
from distmap.data.batches import PictureStore, batches
from distmap.data.folders import list_folders
from distmap.data.scaling import Scaling
from distmap.data.seeding import LOCALIZER, NETWORKS, seeded_networks
from distmap.methods.base import Frame
from distmap.methods.branched_gan.classifiers import (
    as_counterfactuals,
    low_edge_contrast,
    new_localizer,
    occlusion_test,
    separable,
    train_judge,
    train_localizer,
    train_picture_guide,
)
from distmap.methods.branched_gan.settings import BranchedGanSettings, LocalizerSettings
from distmap.methods.classifier_training import AdversarialPerturbation, AdversarialSettings
from distmap.methods.losses import classification
from distmap.methods.schedules import OneCycle
from distmap.networks.localizer import Localizer, LocationClassifier

MakeFrame = Callable[..., Frame]
CPU = torch.device("cpu")
SCALING = Scaling(low=(60.0,), high=(250.0,), dtype="uint8")
CLASSIFIERS = "distmap.methods.branched_gan.classifiers"
NONE = PictureStore([], SCALING, 32, cache_mb=0)


def no_time() -> float:
    return 0.0


def settings_of(tiny: dict[str, Any], **sections: dict[str, Any]) -> BranchedGanSettings:
    merged = copy.deepcopy(tiny)
    for section, values in sections.items():
        merged[section] = {**merged.get(section, {}), **values}
    settings = resolve(overrides=merged).settings
    assert isinstance(settings, BranchedGanSettings)
    return settings


def all_of(store: PictureStore) -> tuple[torch.Tensor, torch.Tensor]:
    x_BCHW = torch.from_numpy(np.stack([store[index] for index in range(len(store))]))
    return x_BCHW, torch.tensor([picture.label for picture in store.pictures])


# --- the judge and the picture guide -----------------------------------------------------------------------------


def test_the_judge_tells_the_classes_apart(known: PictureStore, tiny: dict[str, Any], make_frame: MakeFrame) -> None:
    settings = settings_of(tiny, judge={"steps": 30, "batch_size": 8})
    judge = train_judge(known, settings, make_frame(), no_time)
    assert not judge.training
    x_BCHW, y = all_of(known)
    with torch.inference_mode():
        assert torch.equal(judge(x_BCHW).argmax(dim=1), y)


def test_same_seed_same_judge(known: PictureStore, tiny: dict[str, Any], make_frame: MakeFrame) -> None:
    settings = settings_of(tiny, judge={"steps": 2, "batch_size": 8})
    first, second, other = (
        train_judge(known, settings, make_frame(seed=seed), no_time).heads.weight for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_the_picture_guide_learns_the_classes_and_is_perturbed_but_the_judge_is_not(
    known: PictureStore, tiny: dict[str, Any], make_frame: MakeFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    x_BCHW, y = all_of(known)
    greatest: list[float] = []

    class Noted(AdversarialPerturbation):
        def __init__(self, settings: AdversarialSettings, most: float) -> None:
            greatest.append(most)
            super().__init__(settings, most)

    monkeypatch.setattr(f"{CLASSIFIERS}.AdversarialPerturbation", Noted)
    guide = train_picture_guide(known, settings_of(tiny, picture_guide={"steps": 60}), make_frame(), no_time)
    assert not guide.training
    assert not any(parameter.requires_grad for parameter in guide.parameters())
    assert torch.equal(guide(x_BCHW).argmax(dim=1), y)
    train_judge(known, settings_of(tiny, judge={"steps": 1}), make_frame(), no_time)
    spread = float(np.linalg.norm(x_BCHW.numpy().std(axis=0)))
    assert greatest == [pytest.approx(0.3 * spread), 0.0]


def test_the_judge_stops_when_time_is_up(known: PictureStore, tiny: dict[str, Any], make_frame: MakeFrame) -> None:
    spent = iter([0.0, 0.3, 0.9, 1.0])
    train_judge(known, settings_of(tiny, judge={"steps": 10_000}), make_frame(), lambda: next(spent))
    assert not list(spent)


def test_guides_see_pictures_changed_as_counterfactuals_are_and_the_judge_degraded_ones(
    known: PictureStore, tiny: dict[str, Any], make_frame: MakeFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tiny, localizer={"band_mixing": 0.4}, judge={"blur": 0.5, "noise": 0.2})
    x = torch.rand(4, 3, 32, 32)

    def rng() -> torch.Generator:
        return torch.Generator().manual_seed(5)

    shift, contrast = settings.discriminator.augment_shift, settings.discriminator.augment_contrast
    again = rng()
    expected = mix_bands(augment(x, shift, contrast, again), 0.4, again)
    assert torch.equal(as_counterfactuals(settings)(x, rng()), expected)
    changes: list[Any] = []
    monkeypatch.setattr(f"{CLASSIFIERS}.train_classifier", lambda *_, **options: changes.append(options["change"]))
    train_judge(known, settings, make_frame(), no_time)
    again = rng()
    expected = degrade(augment(x, shift, contrast, again), 0.5, 0.2, again)
    assert torch.equal(changes[0](x, rng()), expected)


# --- the localizer -----------------------------------------------------------------------------------------------


def untrained(settings: BranchedGanSettings, seed: int = 0) -> Localizer:
    with seeded_networks(seed, NETWORKS):
        return new_localizer(settings.localizer, 1)


def localizer(known: PictureStore, settings: BranchedGanSettings, frame: Frame) -> Localizer:
    """Trained, and never found separable."""
    network = untrained(settings, frame.seed)
    train_localizer(network, known, NONE, settings, frame, no_time)
    return network


def test_the_localizer_finds_the_location(known: PictureStore, tiny: dict[str, Any], make_frame: MakeFrame) -> None:
    network = localizer(known, settings_of(tiny, localizer={"steps": 60, "batch_size": 8}), make_frame())
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    x_BCHW, y = all_of(known)
    with torch.inference_mode():
        verdicts, logits = network.guide(x_BCHW).argmax(dim=1), network.location_logits(x_BCHW)
    assert torch.equal(verdicts, y)
    with_thing = logits[verdicts == 1].mean(dim=0)  # of 8 x 8; the block covers rows and columns 3 and 4
    row, column = divmod(int(with_thing.argmax()), 8)
    assert {row, column} <= {2, 3, 4, 5}


def test_same_seed_same_localizer(known: PictureStore, tiny: dict[str, Any], make_frame: MakeFrame) -> None:
    settings = settings_of(tiny, localizer={"batch_size": 8})
    first, second, other = (
        localizer(known, settings, make_frame(seed=seed)).state_dict()["members.1.head.weight"] for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_members_share_the_time_and_see_other_batches(
    known: PictureStore, tiny: dict[str, Any], make_frame: MakeFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tiny, localizer={"members": 2, "steps": 10_000})
    network = untrained(settings)
    asked: list[float] = []
    keys: list[tuple[int, int]] = []
    seconds = 0

    class Noted(OneCycle):
        def __call__(self, progress: float) -> float:
            asked.append(progress)
            return 0.0

    def time_spent() -> float:
        nonlocal seconds
        seconds += 1
        return seconds / 100

    def noted_batches(*arguments: Any, **options: Any) -> Any:
        keys.append(arguments[3])
        return batches(*arguments, **options)

    monkeypatch.setattr("distmap.methods.classifier_training.batches", noted_batches)
    train_localizer(network, known, NONE, settings, make_frame(schedule=Noted()), time_spent)
    assert seconds == 100
    assert len(set(keys)) == 2
    assert keys[0] == (0, LOCALIZER)
    second = asked.index(min(asked[10:]), 10)
    for fractions in (asked[:second], asked[second:]):
        np.testing.assert_allclose(fractions, np.linspace(0, 1, len(fractions) + 2)[1:-1], atol=0.02)


class Beside(LocationClassifier):
    """Is certain of locations so many pixels to the right of what is bright."""

    def __init__(self, pixels: int) -> None:
        torch.nn.Module.__init__(self)
        self.pixels = pixels

    def location_logits(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        bright = torch.nn.functional.avg_pool2d(x_BCHW, 4)[:, 0]
        return 20 * (torch.roll(bright, self.pixels // 4, dims=2) - 0.5)


@pytest.mark.parametrize(("pixels", "radius", "expected"), [(0, 7, 0.0), (4, 7, 0.0), (12, 7, 1.0), (12, 16, 0.0)])
def test_a_classifier_that_points_beside_fails_the_occlusion_test(
    pixels: int, radius: float, expected: float, known: PictureStore
) -> None:
    """The bright block is 8 pixels wide; what is hidden reaches ``radius`` pixels from the location."""
    settings = LocalizerSettings(occluded_radius=radius)
    assert occlusion_test(Beside(pixels), known, settings, CPU) == pytest.approx(expected, abs=0.02)


def test_the_occlusion_test_looks_at_as_many_pictures_as_it_is_told(known: PictureStore) -> None:
    looked: list[int] = []

    class Counted(Beside):
        def location_logits(self, x_BCHW: torch.Tensor) -> torch.Tensor:
            looked.append(len(x_BCHW))
            return super().location_logits(x_BCHW)

    occlusion_test(Counted(0), known, LocalizerSettings(occluded_pictures=4), CPU)
    assert len(looked) == 2 * 4  # of twelve WITH every third, before and after


def test_the_member_that_points_best_guides_and_those_far_worse_have_no_vote(
    known: PictureStore, tiny: dict[str, Any], make_frame: MakeFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tiny, localizer={"members": 4, "steps": 1, "batch_size": 8})
    network = untrained(settings)
    trained = list(network.members)
    elsewhere = dict(zip(map(id, trained), (0.45, 0.2, 0.55, 0.3), strict=True))
    monkeypatch.setattr(f"{CLASSIFIERS}.occlusion_test", lambda member, *_: elsewhere[id(member)])
    train_localizer(network, known, NONE, settings, make_frame(), no_time)
    assert list(network.members) == [trained[index] for index in (1, 3, 0, 2)]
    assert network.votes.tolist() == [1, 1, 1, 0]
    strict = settings_of(tiny, localizer={"members": 4, "steps": 1, "batch_size": 8, "occlusion_tie": 0.05})
    train_localizer(network, known, NONE, strict, make_frame(), no_time)
    assert network.votes.tolist() == [1, 0, 0, 0]


def test_no_more_members_are_trained_once_one_finds_the_classes_separable_and_those_left_have_no_vote(
    known: PictureStore, tiny: dict[str, Any], make_frame: MakeFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tiny, localizer={"members": 4, "steps": 1, "batch_size": 8})
    network = untrained(settings)
    members, before = list(network.members), copy.deepcopy(network.state_dict())
    elsewhere = {id(members[0]): 0.5, id(members[1]): 0.1}
    monkeypatch.setattr(f"{CLASSIFIERS}.occlusion_test", lambda member, *_: elsewhere[id(member)])
    monkeypatch.setattr(f"{CLASSIFIERS}.separable", lambda member, *_: member is members[1])
    train_localizer(network, known, NONE, settings, make_frame(), no_time)
    assert list(network.members) == [members[index] for index in (1, 0, 2, 3)]
    assert network.votes.tolist() == [1, 0, 0, 0]
    changed = [
        not torch.equal(member.head.weight, before[f"members.{index}.head.weight"])
        for index, member in enumerate(members)
    ]
    assert changed == [True, True, False, False]


@pytest.mark.parametrize(
    ("auroc", "enough", "expected"), [(1.0, 12, True), (0.995, 12, True), (0.99, 12, False), (1.0, 13, False)]
)
def test_classes_are_separable_where_enough_validation_pictures_are_told_apart(
    known: PictureStore, monkeypatch: pytest.MonkeyPatch, auroc: float, enough: int, expected: bool
) -> None:
    """There are twelve of each class."""
    monkeypatch.setattr(f"{CLASSIFIERS}.classifier_auroc", lambda *_: auroc)
    settings = LocalizerSettings(separable_pictures=enough)
    assert separable(Beside(0), known, settings, CPU) is expected


def test_a_localizer_trained_with_perturbations_withstands_them(
    known: PictureStore, tiny: dict[str, Any], make_frame: MakeFrame
) -> None:
    x_BCHW, y = all_of(known)
    misled = []
    for strength in (0.0, 0.3):
        settings = settings_of(
            tiny, localizer={"steps": 200, "batch_size": 8, "members": 1}, adversarial={"strength": strength}
        )
        network = localizer(known, settings, make_frame()).guide
        assert bool((network(x_BCHW).argmax(dim=1) == y).all())
        attack = AdversarialPerturbation(settings.adversarial, 5.0)
        attack.size = 5.0
        misled.append(float(classification(network(attack.perturb(network, x_BCHW, y, 0.1, "32")), y)))
    assert misled[1] < 0.7 * misled[0], misled


# --- edge contrast -----------------------------------------------------------------------------------------------


class Pointing(Localizer):
    """Is sure of the locations of the block that the pictures WITH hold, and of no other."""

    def location_logits(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(x_BCHW), 8, 8), -9.0)
        logits[:, 3:5, 3:5] = 9.0
        return logits


@pytest.mark.parametrize(("noise", "expected"), [(2, False), (60, True)])
def test_edge_contrast_is_low_where_the_texture_is_as_strong_as_the_thing(
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
    store = PictureStore(list_folders(tmp_path / "with", tmp_path / "without", None), SCALING, 32, 16)
    settings = settings_of(tiny)
    pointing = Pointing(1, members=1, width=8, sharpness=1.0)
    assert low_edge_contrast(pointing, store, settings, CPU) is expected
    assert not low_edge_contrast(pointing, NONE, settings, CPU)
    most, least = (settings_of(tiny, localizer={"contrast": contrast}) for contrast in (0.0, 1e6))
    assert not low_edge_contrast(pointing, store, most, CPU)
    assert low_edge_contrast(pointing, store, least, CPU)
