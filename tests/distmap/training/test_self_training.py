"""Rounds of self-training: who is labelled how, what is learnt, when a round is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

import distmap
import distmap.training.self_training
from distmap.common.detection_settings import DetectionSettings
from distmap.common.picture_files import PictureFile
from distmap.common.pictures import read_picture
from distmap.config import Config, resolve
from distmap.data.batches import PictureStore
from distmap.data.folders import Split, list_folders, split_groups
from distmap.inference.model import DistinctionModel, PictureMap
from distmap.training.self_training import agreement, learn_from_maps
from distmap.training.student import train_student

MakeConfig: TypeAlias = Callable[..., Config]

TEACHERS = DetectionSettings(
    threshold=0.5, low_threshold=0.5, false_alarm=0.01, rates=(), thresholds=(), pictures=2, map_kind="weighted", step=4
)
UNSURE = "with_03.png"


class Spoken:
    """Progress that remembers lines and stages."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stages: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def update(self, stage: str, share: float, figures: Mapping[str, float]) -> None:
        if stage not in self.stages:
            self.stages.append(stage)


@pytest.fixture
def model(fitted: Path) -> DistinctionModel:
    return distmap.load(fitted, device="cpu")


@pytest.fixture
def split(pictures: tuple[Path, Path]) -> Split:
    return split_groups(list_folders(*pictures, None), 0.15, 0)


@pytest.fixture
def config(tiny: dict[str, Any]) -> MakeConfig:
    """``config(steps=..., **settings of the student)``."""

    def make(steps: int = 2, **student: Any) -> Config:
        known = {"steps": steps, "encoder_depth": 3, "batch_size": 8, "learning_rate": 2e-3}
        return resolve(overrides={**tiny, "student": {**known, **student}})

    return make


def sure_of_the_block(files: Sequence[PictureFile], *, explained: bool) -> Any:
    """Maps that are 1 in the block of pictures WITH, 0.3 around it; one picture's map is empty."""
    assert not explained
    for file in files:
        map_HW = np.zeros((32, 32), np.float32)
        if file.name != UNSURE:
            map_HW[10:22, 10:22] = 0.3
            map_HW[12:20, 12:20] = 1
        yield PictureMap(name=file.name, map_HW=map_HW, scores={})


def test_the_student_learns_what_the_maps_are_sure_of(
    model: DistinctionModel, config: MakeConfig, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "map_files", sure_of_the_block)
    seen: list[PictureStore] = []
    train = train_student

    def spy(student: Any, store: Any, *rest: Any) -> None:
        seen.append(store)
        train(student, store, *rest)

    monkeypatch.setattr("distmap.training.self_training.train_student", spy)
    spoken = Spoken()
    taught, detection = learn_from_maps(model, TEACHERS, split, config(steps=60), 1, lambda: 0.0, spoken)
    (store,) = seen
    names = [picture.file.name for picture in store.pictures]
    assert sorted(names) == sorted(p.file.name for p in split.train if p.file.name != UNSURE)
    for index, picture in enumerate(store.pictures):
        target, weight = store[index][1:]
        assert target.sum() == (64 if picture.label else 0)
        assert (weight == 0).sum() == (12 * 12 - 64 if picture.label else 0)  # 0.3 is between 0.01 * 0.5 and 1.5 * 0.5
    assert (detection.map_kind, detection.step) == ("student", 4)
    assert detection.validation_scores["auroc"] == 1
    assert 0.1 < detection.threshold < 1
    for picture in split.validation:
        found = taught.map(read_picture(picture.file.path)) >= detection.threshold
        if picture.label:
            assert found[13:19, 13:19].mean() > 0.8
        assert found[:8].mean() < 0.05
    assert spoken.stages == ["labelling", "self-training, round 1", "calibrating"]


def test_every_round_learns_from_the_maps_of_the_one_before(
    model: DistinctionModel, config: MakeConfig, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    makers: list[tuple[bool, float]] = []
    label = distmap.training.self_training._labelled

    def spy(maker: DistinctionModel, pictures: Any, threshold: float, *rest: Any) -> Any:
        makers.append((maker.student is not None, threshold))
        return label(maker, pictures, 1e-9, *rest)

    monkeypatch.setattr("distmap.training.self_training._labelled", spy)
    monkeypatch.setattr("distmap.training.self_training.agreement", lambda *_: 1.0)
    _, detection = learn_from_maps(model, TEACHERS, split, config(), 2, lambda: 0.0, Spoken())
    assert [with_student for with_student, _ in makers] == [False, True]
    assert makers[0][1] == TEACHERS.threshold
    assert makers[1][1] != TEACHERS.threshold
    assert detection.map_kind == "student"


@pytest.mark.parametrize(("threshold", "positive_ratio"), [(1e6, 1.5), (1.0, 1e6)])
def test_nothing_to_learn_leaves_the_maps_as_they_are(
    model: DistinctionModel, config: MakeConfig, split: Split, threshold: float, positive_ratio: float
) -> None:
    spoken = Spoken()
    before = replace(TEACHERS, threshold=threshold)
    settings = config(positive_ratio=positive_ratio)
    same, detection = learn_from_maps(model, before, split, settings, 2, lambda: 0.0, spoken)
    assert (same, detection) == (model, before)
    assert spoken.lines == [
        f"warning: no picture WITH reaches {positive_ratio:g} times the threshold, so there is nothing to train a "
        "student on"
    ]


def test_a_round_that_no_time_is_left_for_is_left_out(
    model: DistinctionModel, config: MakeConfig, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "map_files", sure_of_the_block)
    spoken = Spoken()
    same, _ = learn_from_maps(model, TEACHERS, split, config(), 1, lambda: 1.0, spoken)
    assert same is model
    assert spoken.lines == ["warning: no time left for round 1 of self-training; give more"]


def test_a_student_that_has_learnt_too_little_is_not_listened_to(
    model: DistinctionModel, config: MakeConfig, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "map_files", sure_of_the_block)
    spoken = Spoken()
    same, detection = learn_from_maps(model, TEACHERS, split, config(steps=1), 2, lambda: 0.0, spoken)
    assert (same, detection) == (model, TEACHERS)
    assert "round 2" not in " ".join(spoken.stages)
    assert spoken.lines[-1].startswith("warning: the student of round 1 finds little of what it was taught (dice 0.")


class Mapper:
    """A model whose maps are 1 in the given columns of every picture."""

    def __init__(self, columns: slice) -> None:
        self.columns = columns
        self.mapped: list[str] = []

    def map_files(self, files: Sequence[PictureFile], *, explained: bool) -> Any:
        assert not explained
        for file in files:
            self.mapped.append(file.name)
            map_HW = np.zeros((4, 10), np.float32)
            map_HW[:, self.columns] = 1
            yield PictureMap(name=file.name, map_HW=map_HW, scores={})


def test_agreement_is_the_dice_of_what_both_take_in_pictures_with(split: Split) -> None:
    def agreed(first: slice, second: slice) -> float:
        teacher: Any = Mapper(first)
        student: Any = Mapper(second)
        value = agreement((teacher, 0.5), (student, 1.0), split.validation)
        assert teacher.mapped == [picture.file.name for picture in split.validation if picture.label]
        return value

    assert agreed(slice(0, 4), slice(2, 8)) == pytest.approx(2 * 2 / (4 + 6))
    assert agreed(slice(0, 4), slice(0, 4)) == 1
    assert agreed(slice(0, 4), slice(5, 8)) == 0
    assert agreed(slice(0, 0), slice(0, 0)) == 0


def test_rounds_share_the_time(
    model: DistinctionModel, config: MakeConfig, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "map_files", sure_of_the_block)
    now = 0.2
    asked: list[float] = []

    def train(student: Any, _store: Any, _config: Any, _device: Any, _number: int, spent: Any, _progress: Any) -> None:
        nonlocal now
        now += 0.15
        asked.append(spent())
        student.eval()

    monkeypatch.setattr("distmap.training.self_training.train_student", train)
    monkeypatch.setattr("distmap.training.self_training.calibrated", lambda *_, **__: replace(TEACHERS, threshold=1e-9))
    monkeypatch.setattr("distmap.training.self_training.agreement", lambda *_: 1.0)
    learn_from_maps(model, TEACHERS, split, config(), 2, lambda: now, Spoken())
    assert asked == pytest.approx([0.15 / (0.5 - 0.2), 0.15 / (1 - 0.35)])
