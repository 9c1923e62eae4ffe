"""Choosing weights and kinds of map by how well they tell kept-out pictures apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from distmap.common.picture_files import PictureFile
from distmap.config import resolve
from distmap.data.folders import WITH, WITHOUT, LabelledPicture
from distmap.inference.model import Painting
from distmap.selection.choice import Choice, choose, separation, strength

LABELS = (WITH, WITH, WITHOUT, WITHOUT)
SURE, UNSURE = 50.0, -50.0  # logits of the locator


class Model:
    """In place of a trained model: each picture has a repainting that differs by ``change``, at places of logit
    ``place``."""

    def __init__(self, changes: Sequence[float], places: Sequence[float], kind: str = "auto") -> None:
        self.config = resolve(overrides={"map": {"kind": kind}})
        self._paintings = [
            Painting(
                picture_HWC=np.full((8, 8, 1), change, np.float32),
                without_NHWC=np.zeros((2, 8, 8, 1), np.float32),
                with_NHWC=np.ones((2, 8, 8, 1), np.float32),
                place_HW=np.full((8, 8), place, np.float32),
            )
            for change, place in zip(changes, places, strict=True)
        ]

    def paint_files(self, files: Sequence[PictureFile]) -> Iterator[Painting]:
        assert len(files) == len(LABELS)
        yield from self._paintings


def files() -> list[LabelledPicture]:
    return [
        LabelledPicture(file=PictureFile(path=Path(f"{n}.png"), name=f"{n}.png"), label=label, group=str(n))
        for n, label in enumerate(LABELS)
    ]


def chosen(*models: Model, stop: bool = False) -> Choice:
    numbered: Any = [(100 - n, model) for n, model in enumerate(models)]
    return choose(numbered, files(), lambda: stop)


def test_strength_is_the_mean_of_the_strongest_hundredth() -> None:
    values = np.arange(400, dtype=np.float32).reshape(20, 20)
    assert strength(values) == pytest.approx((396 + 397 + 398 + 399) / 4)
    assert strength(np.array([[1.0, 5.0]])) == 5


def test_separation_is_the_area_under_the_curve(rng: np.random.Generator) -> None:
    with_, without = rng.integers(3, 12, 40).tolist(), rng.integers(0, 9, 30).tolist()
    expected = roc_auc_score([1] * 40 + [0] * 30, with_ + without)
    assert separation(with_, without) == pytest.approx(expected)
    assert separation([2.0], [1.0]) == 1
    assert separation([1.0, 1.0], [1.0]) == 0.5


def test_separation_needs_both_classes() -> None:
    with pytest.raises(ValueError, match="no pictures of one class"):
        separation([1.0], [])


def test_the_locator_is_used_where_it_helps() -> None:
    spots_everywhere = Model(changes=(0.5, 0.4, 0.5, 0.6), places=(SURE, SURE, UNSURE, UNSURE))
    assert chosen(spots_everywhere) == Choice(step=100, kind="placed", separation=1.0, follow_edges=False)
    misled = Model(changes=(0.5, 0.4, 0.1, 0.1), places=(UNSURE, SURE, SURE, UNSURE))
    assert chosen(misled) == Choice(step=100, kind="plain", separation=1.0, follow_edges=False)


def test_a_tie_goes_to_the_first() -> None:
    good = Model(changes=(0.5, 0.4, 0.1, 0.1), places=(SURE,) * 4)
    assert chosen(good, good) == Choice(step=100, kind="placed", separation=1.0, follow_edges=False)


def test_better_weights_are_chosen() -> None:
    late = Model(changes=(0.5, 0.1, 0.2, 0.1), places=(SURE,) * 4)
    early = Model(changes=(0.5, 0.4, 0.2, 0.1), places=(SURE,) * 4)
    assert chosen(late, early).step == 99
    assert chosen(late, early, stop=True).step == 100


def test_a_kind_must_be_clearly_better_on_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain maps of the second weights are clearly better than placed ones of the first, but these of the second are
    not, and plain ones no clearly better than these."""
    separations = iter([0.960, 0.954, 0.978, 0.981])  # placed and plain, of either
    monkeypatch.setattr("distmap.selection.choice.separation", lambda *_: next(separations))
    model = Model(changes=(0.5, 0.4, 0.1, 0.1), places=(SURE,) * 4)
    assert chosen(model, model) == Choice(step=100, kind="placed", separation=0.960, follow_edges=False)


def test_a_kind_that_was_asked_for_is_kept() -> None:
    spots_everywhere = Model(changes=(0.5, 0.4, 0.5, 0.6), places=(SURE, SURE, UNSURE, UNSURE), kind="plain")
    assert chosen(spots_everywhere).kind == "plain"


@pytest.mark.parametrize(("noise", "expected"), [(0.05, True), (0.3, False)])
def test_edges_are_followed_where_they_stand_out_in_pictures_with(
    noise: float, expected: bool, rng: np.random.Generator
) -> None:
    model: Any = Model(changes=(0.0,) * 4, places=(SURE,) * 4)
    thing = np.zeros((40, 40, 1), np.float32)
    thing[12:28, 10:30] = 0.5
    paintings = []
    for label in LABELS:
        background = noise * rng.standard_normal((40, 40, 1)).astype(np.float32)
        painting = Painting(
            picture_HWC=background + thing * (label == WITH),
            without_NHWC=np.stack([np.zeros_like(thing), background]),
            with_NHWC=np.stack([thing, background]),
            place_HW=np.full((40, 40), SURE, np.float32),
        )
        paintings.append(painting)
    model._paintings = paintings
    choice = chosen(model)
    assert choice.follow_edges is expected
    assert choice.kind == ("placed" if expected else "plain")
