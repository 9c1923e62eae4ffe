"""The judge and the picture guide learn what tells the classes apart; what a localizer tells of them."""

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
from distmap.data.batches import PictureStore
from distmap.data.folders import list_folders
from distmap.data.scaling import Scaling
from distmap.methods.base import Frame
from distmap.methods.branched_gan.classifiers import (
    as_counterfactuals,
    low_edge_contrast,
    new_localizer,
    separable,
    train_judge,
    train_picture_guide,
)
from distmap.methods.branched_gan.settings import BranchedGanSettings, LocalizerSettings
from distmap.networks.localizer import Localizer

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


def test_the_picture_guide_learns_the_classes(known: PictureStore, tiny: dict[str, Any], make_frame: MakeFrame) -> None:
    x_BCHW, y = all_of(known)
    guide = train_picture_guide(known, settings_of(tiny, picture_guide={"steps": 60}), make_frame(), no_time)
    assert not guide.training
    assert not any(parameter.requires_grad for parameter in guide.parameters())
    assert torch.equal(guide(x_BCHW).argmax(dim=1), y)


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


def test_there_may_be_no_localizer(tiny: dict[str, Any]) -> None:
    assert new_localizer(settings_of(tiny, localizer={"enabled": False}).localizer, 1) is None
    network = new_localizer(settings_of(tiny).localizer, 2)
    assert isinstance(network, Localizer)
    assert network.backbone.bands == 2


@pytest.mark.parametrize(
    ("auroc", "enough", "expected"), [(1.0, 12, True), (0.995, 12, True), (0.99, 12, False), (1.0, 13, False)]
)
def test_classes_are_separable_where_enough_validation_pictures_are_told_apart(
    known: PictureStore, monkeypatch: pytest.MonkeyPatch, auroc: float, enough: int, expected: bool
) -> None:
    """There are twelve of each class."""
    monkeypatch.setattr(f"{CLASSIFIERS}.classifier_auroc", lambda *_: auroc)
    settings = LocalizerSettings(separable_pictures=enough)
    assert separable(Pointing(), known, settings, CPU) is expected


# --- edge contrast -----------------------------------------------------------------------------------------------


class Pointing(Localizer):
    """Is sure of the locations of the block that the pictures WITH hold, and of no other."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

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
    pointing = Pointing()
    assert low_edge_contrast(pointing, store, settings, CPU) is expected
    assert not low_edge_contrast(pointing, NONE, settings, CPU)
    most, least = (settings_of(tiny, localizer={"contrast": contrast}) for contrast in (0.0, 1e6))
    assert not low_edge_contrast(pointing, store, most, CPU)
    assert low_edge_contrast(pointing, store, least, CPU)
