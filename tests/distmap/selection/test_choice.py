"""Choosing weights and kinds of map by how well they tell validation pictures apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distmap.common.picture_files import PictureFile
from distmap.common.pictures import Array
from distmap.config import resolve
from distmap.data.folders import WITH, WITHOUT, LabelledPicture
from distmap.methods.base import Frame
from distmap.methods.registry import find_method
from distmap.methods.schedules import OneCycle
from distmap.selection.choice import Choice, choose, strength
from distmap.selection.settings import SelectionSettings

CPU = torch.device("cpu")
LABELS = (WITH, WITH, WITHOUT, WITHOUT)
SURE, UNSURE = 50.0, -50.0  # logits of the localizer


class Model:
    """In place of a trained model of a branched GAN: each picture has a counterfactual that differs by ``change``, and
    everywhere the localizer's logit ``location``; branch 1 differs by 1 between the classes."""

    device = CPU

    def __init__(self, changes: Sequence[float], locations: Sequence[float], kind: str = "auto") -> None:
        frame = Frame(bands=1, side=16, seed=0, symmetry="none", precision="32", schedule=OneCycle(), device=CPU)
        method = find_method("branched-gan")
        self.predictor = method.new_predictor(resolve(overrides={"map": {"kind": kind}}).settings, frame)
        self.seen = [
            (np.full((8, 8, 1), change, np.float32), raw_outputs(np.full((8, 8), change), np.ones((8, 8)), location))
            for change, location in zip(changes, locations, strict=True)
        ]

    def raw_files(self, files: Sequence[PictureFile]) -> Iterator[tuple[Array, Array]]:
        assert len(files) == len(LABELS)
        yield from self.seen


def raw_outputs(residual_HW: Any, branch1_change_HW: Any, location: float) -> Array:
    """x - x̂(0), x - x̂(1), b_1(x, 1) - b_1(x, 0), and the localizer's logit, 4 x H x W."""
    nothing_HW = np.zeros_like(residual_HW)
    return np.stack([residual_HW, nothing_HW, branch1_change_HW, nothing_HW + location]).astype(np.float32)


def files() -> list[LabelledPicture]:
    return [
        LabelledPicture(file=PictureFile(path=Path(f"{n}.png"), name=f"{n}.png"), label=label, group=str(n))
        for n, label in enumerate(LABELS)
    ]


def chosen(*models: Model, stop: bool = False) -> Choice:
    numbered: Any = [(100 - n, model) for n, model in enumerate(models)]
    return choose(numbered, files(), SelectionSettings(), lambda: stop)


def test_strength_is_the_mean_of_the_strongest_pixels() -> None:
    values = np.arange(400, dtype=np.float32).reshape(20, 20)
    assert strength(values, 0.01) == pytest.approx((396 + 397 + 398 + 399) / 4)
    assert strength(values, 0.005) == pytest.approx((398 + 399) / 2)
    assert strength(np.array([[1.0, 5.0]]), 0.01) == 5


def test_maps_are_weighted_where_the_localizer_helps() -> None:
    spots_everywhere = Model(changes=(0.5, 0.4, 0.5, 0.6), locations=(SURE, SURE, UNSURE, UNSURE))
    assert chosen(spots_everywhere) == Choice(step=100, kind="weighted", auroc=1.0, follow_edges=False)
    misled = Model(changes=(0.5, 0.4, 0.1, 0.1), locations=(UNSURE, SURE, SURE, UNSURE))
    assert chosen(misled) == Choice(step=100, kind="unweighted", auroc=1.0, follow_edges=False)


@pytest.mark.parametrize("sure", [SURE, 0.0])
def test_of_kinds_that_tell_pictures_apart_as_well_the_preferred_one(sure: float) -> None:
    """However strong its maps are."""
    model = Model(changes=(0.5, 0.4, 0.01, 0.01), locations=(SURE, sure, SURE, SURE))
    assert chosen(model) == Choice(step=100, kind="weighted", auroc=1.0, follow_edges=False)


def test_a_tie_goes_to_the_first() -> None:
    good = Model(changes=(0.5, 0.4, 0.1, 0.1), locations=(SURE,) * 4)
    assert chosen(good, good) == Choice(step=100, kind="weighted", auroc=1.0, follow_edges=False)


def test_better_weights_are_chosen() -> None:
    late = Model(changes=(0.5, 0.1, 0.2, 0.1), locations=(SURE,) * 4)
    early = Model(changes=(0.5, 0.4, 0.2, 0.1), locations=(SURE,) * 4)
    assert chosen(late, early).step == 99
    assert chosen(late, early, stop=True).step == 100


def test_what_counts_as_a_tie_is_a_setting() -> None:
    """The later weights tell 3 of 4 pairs apart, the earlier ones all."""
    late: Any = Model(changes=(0.5, 0.1, 0.2, 0.05), locations=(SURE,) * 4)
    early: Any = Model(changes=(0.5, 0.4, 0.2, 0.1), locations=(SURE,) * 4)
    for tie, step in ((0.24, 99), (0.26, 100)):
        settings = SelectionSettings(tie=tie)
        assert choose([(100, late), (99, early)], files(), settings, lambda: False).step == step


def test_a_kind_must_be_clearly_better_on_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unweighted maps of the second weights are clearly better than weighted ones of the first, but these of the second
    are not, and unweighted ones not clearly better than these."""
    aurocs = iter([0.960, 0.954, 0.978, 0.981])  # weighted and unweighted, of either
    monkeypatch.setattr("distmap.selection.choice.auroc", lambda *_: next(aurocs))
    model = Model(changes=(0.5, 0.4, 0.1, 0.1), locations=(SURE,) * 4)
    assert chosen(model, model) == Choice(step=100, kind="weighted", auroc=0.960, follow_edges=False)


@pytest.mark.parametrize("kind", ["weighted", "unweighted", "branch1"])
def test_a_kind_that_was_asked_for_is_kept(kind: str) -> None:
    spots_everywhere = Model(changes=(0.5, 0.4, 0.5, 0.6), locations=(SURE, SURE, UNSURE, UNSURE), kind=kind)
    assert chosen(spots_everywhere).kind == kind


def textured(noise: float, rng: np.random.Generator) -> Model:
    """A thing of 16 x 20 pixels in noise; the counterfactual lacks it."""
    model = Model(changes=(0.0,) * 4, locations=(SURE,) * 4)
    thing = np.zeros((40, 40), np.float32)
    thing[12:28, 10:30] = 0.5
    model.seen = []
    for label in LABELS:
        background = noise * rng.standard_normal((40, 40)).astype(np.float32)
        picture = background + thing * (label == WITH)
        model.seen.append((picture[..., None], raw_outputs(picture - background, thing, SURE)))
    return model


@pytest.mark.parametrize(("noise", "expected"), [(0.05, True), (0.3, False)])
def test_edges_are_followed_where_edge_contrast_is_high(noise: float, expected: bool, rng: np.random.Generator) -> None:
    assert chosen(textured(noise, rng)).follow_edges is expected


def test_how_much_edge_contrast_is_enough_is_a_setting(rng: np.random.Generator) -> None:
    model: Any = textured(0.3, rng)
    lenient = SelectionSettings(edge_contrast=0.1)
    assert choose([(1, model)], files(), lenient, lambda: False).follow_edges
