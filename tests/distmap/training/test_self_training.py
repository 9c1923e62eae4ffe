"""Rounds of self-training: what the targets are, what is learnt, when a student is not used."""

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
from distmap.common.object_size import ObjectSize
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
    threshold=0.5,
    low_threshold=0.5,
    false_alarm=0.01,
    rates=(),
    thresholds=(),
    pictures=2,
    map_kind="weighted",
    step=4,
    validation_scores={"auroc": 0.5},
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
    """``config(steps=..., selection={...}, **settings of the student)``."""

    def make(steps: int = 2, selection: dict[str, Any] | None = None, **student: Any) -> Config:
        own = {**tiny["student"], "steps": steps, "batch_size": 8, "backbone_rate": 1.0, **student}
        training = {**tiny["training"], "steps": steps}
        return resolve(overrides={**tiny, "training": training, "student": own, "selection": selection or {}})

    return make


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A student that has learnt next to nothing is taken; gives the settings of selection that this needs."""
    monkeypatch.setattr("distmap.training.self_training.agreement", lambda *_: 1.0)
    return {"tie": 1.0}


def sure_of_the_block(files: Sequence[PictureFile], *, explained: bool, averaged: bool = True) -> Any:
    """Maps that are 1 in the block of pictures WITH and 0.25 around it; one picture's map is empty."""
    assert not explained
    for file in files:
        map_HW = np.zeros((32, 32), np.float32)
        if file.name.startswith("with_") and file.name != UNSURE:
            map_HW[10:22, 10:22] = 0.25
            map_HW[12:20, 12:20] = 1
        yield PictureMap(name=file.name, map_HW=map_HW, scores={})


def test_the_student_learns_what_the_maps_show(
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
    settings = config(steps=120, sharpness=2.0, decoder_widths=[16] * 5)
    taught, detection = learn_from_maps(model, TEACHERS, split, settings, 1, lambda: 0.0, spoken)
    (store,) = seen
    assert sorted(p.file.name for p in store.pictures) == sorted(p.file.name for p in split.train)
    for index, picture in enumerate(store.pictures):
        target = store[index][1]
        if picture.label and picture.file.name != UNSURE:
            assert target[16, 16] == pytest.approx(0.8, abs=1e-3)  # 1 / (1 + 0.5^2)
            assert target[11, 11] == pytest.approx(0.2, abs=1e-3)  # 0.25^2 / (0.25^2 + 0.5^2)
            assert (target[:10] == 0).all()
        else:
            assert (target == 0).all()
    assert (detection.map_kind, detection.step) == ("student", 4)
    assert detection.validation_scores["auroc"] == 1
    assert 0.1 < detection.threshold < 1
    for picture in split.validation:
        found = taught.map(read_picture(picture.file.path)) >= detection.threshold
        if picture.label:
            assert found[13:19, 13:19].mean() > 0.8
        assert found[:6].mean() < 0.05
    (warned,) = [line for line in spoken.lines if line.startswith("warning")]
    assert "no ImageNet weights" in warned
    assert spoken.stages == ["making targets", "teaching the student", "calibrating"]


@pytest.mark.parametrize(("area", "target"), [(None, 0.25), (64, 1 / 10)])
def test_targets_are_sharper_where_objects_are_countable(
    model: DistinctionModel,
    config: MakeConfig,
    split: Split,
    monkeypatch: pytest.MonkeyPatch,
    area: int | None,
    target: float,
) -> None:
    """Around the block the map is half of what the power sees at the threshold: 1/3 of it, and a ninth."""
    seen: list[PictureStore] = []
    monkeypatch.setattr(model, "map_files", sure_of_the_block)
    monkeypatch.setattr("distmap.training.self_training.train_student", lambda _, store, *__: seen.append(store))
    size = None if area is None else ObjectSize(area=area, length=8, width=8, several=0.5, objects=20)
    before = replace(TEACHERS, threshold=0.75, object_size=size)
    assert size is None or size.countable
    settings = config(sharpness=1.0, sharpness_if_countable=2.0)
    monkeypatch.setattr("distmap.training.self_training.calibrated", stop)
    with pytest.raises(RuntimeError, match="seen enough"):
        learn_from_maps(model, before, split, settings, 1, lambda: 0.0, Spoken())
    (store,) = seen
    sure = [i for i, p in enumerate(store.pictures) if p.label and p.file.name != UNSURE]
    assert store[sure[0]][1][11, 11] == pytest.approx(target, abs=1e-3)


def stop(*_: Any, **__: Any) -> Any:
    raise RuntimeError("seen enough")


def test_as_many_pictures_teach_as_the_settings_say(
    model: DistinctionModel, config: MakeConfig, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those WITH; those WITHOUT cost no map."""
    seen: list[PictureStore] = []
    monkeypatch.setattr(model, "map_files", sure_of_the_block)
    monkeypatch.setattr("distmap.training.self_training.train_student", lambda _, store, *__: seen.append(store))
    monkeypatch.setattr("distmap.training.self_training.calibrated", stop)
    with pytest.raises(RuntimeError, match="seen enough"):
        learn_from_maps(model, TEACHERS, split, config(pictures=3), 1, lambda: 0.0, Spoken())
    labels = [picture.label for picture in seen[0].pictures]
    assert labels.count(1) == 3
    assert labels.count(0) == sum(picture.label == 0 for picture in split.train)


def test_every_round_learns_from_the_maps_of_the_one_before(
    model: DistinctionModel,
    config: MakeConfig,
    split: Split,
    monkeypatch: pytest.MonkeyPatch,
    taken: dict[str, float],
) -> None:
    makers: list[tuple[bool, float]] = []
    made = distmap.training.self_training._targets

    def spy(maker: DistinctionModel, pictures: Any, detection: DetectionSettings, *rest: Any) -> Any:
        makers.append((maker.student is not None, detection.threshold))
        return made(maker, pictures, detection, *rest)

    monkeypatch.setattr("distmap.training.self_training._targets", spy)
    _, detection = learn_from_maps(model, TEACHERS, split, config(selection=taken), 2, lambda: 0.0, Spoken())
    assert [with_student for with_student, _ in makers] == [False, True]
    assert makers[0][1] == TEACHERS.threshold
    assert makers[1][1] == 0.5  # a student's maps are cut there
    assert detection.map_kind == "student"


@pytest.mark.parametrize("rounds", [1, 2])
def test_the_sources_of_before_are_kept_beside_the_students_maps(
    model: DistinctionModel, config: MakeConfig, split: Split, taken: dict[str, float], rounds: int
) -> None:
    other = replace(TEACHERS, threshold=0.7).as_source()
    before = replace(TEACHERS, sources={"branch1": other}, validation_scores={"psnr": 30.0, "auroc": 0.0})
    _, detection = learn_from_maps(model, before, split, config(selection=taken), rounds, lambda: 0.0, Spoken())
    assert detection.sources == {"branch1": other, "weighted": TEACHERS.as_source()}
    assert detection.of_source("weighted").threshold == TEACHERS.threshold
    assert detection.validation_scores["psnr"] == 30.0
    assert detection.validation_scores.keys() >= {"auroc", "background", "taken"}


def test_a_new_student_takes_the_place_of_the_one_before(
    model: DistinctionModel, config: MakeConfig, split: Split, taken: dict[str, float]
) -> None:
    first, before = learn_from_maps(model, TEACHERS, split, config(selection=taken), 1, lambda: 0.0, Spoken())
    second, detection = learn_from_maps(first, before, split, config(selection=taken), 1, lambda: 0.0, Spoken())
    assert second.student is not first.student
    assert detection.sources.keys() == {"weighted"}


def test_a_round_that_no_time_is_left_for_is_left_out(
    model: DistinctionModel, config: MakeConfig, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "map_files", sure_of_the_block)
    spoken = Spoken()
    same, _ = learn_from_maps(model, TEACHERS, split, config(), 1, lambda: 1.0, spoken)
    assert same is model
    assert spoken.lines == ["warning: no time left for round 1 of self-training; give more"]


@pytest.mark.parametrize(("agreed", "auroc", "used"), [(0.6, 0.98, True), (0.4, 1.0, False), (0.9, 0.97, False)])
def test_a_student_that_agrees_too_little_or_tells_pictures_apart_worse_is_not_used(
    model: DistinctionModel,
    config: MakeConfig,
    split: Split,
    monkeypatch: pytest.MonkeyPatch,
    agreed: float,
    auroc: float,
    used: bool,
) -> None:
    before = replace(TEACHERS, validation_scores={"auroc": 0.99})
    after = replace(TEACHERS, map_kind="student", validation_scores={"auroc": auroc})
    monkeypatch.setattr("distmap.training.self_training.agreement", lambda *_: agreed)
    monkeypatch.setattr("distmap.training.self_training.calibrated", lambda *_, **__: after)
    spoken = Spoken()
    settings = config(least_agreement=0.5, selection={"tie": 0.015})
    taught, detection = learn_from_maps(model, before, split, settings, 1, lambda: 0.0, spoken)
    warned = [line for line in spoken.lines if "the maps stay as they were" in line]
    if used:
        assert taught.student is not None
        assert detection.map_kind == "student"
        assert not warned
    else:
        assert (taught, detection) == (model, before)
        assert warned == [
            f"warning: the student of round 1 finds too little of what it was taught (dice {agreed:.2f}, auroc "
            f"{auroc:.2f} after 0.99), so the maps stay as they were; give more time"
        ]


def test_no_round_comes_after_one_that_is_not_used(
    model: DistinctionModel, config: MakeConfig, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distmap.training.self_training.agreement", lambda *_: 0.0)
    spoken = Spoken()
    same, detection = learn_from_maps(model, TEACHERS, split, config(steps=1), 2, lambda: 0.0, spoken)
    assert (same, detection) == (model, TEACHERS)
    assert sum("the student of round" in line for line in spoken.lines) == 1


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
    monkeypatch.setattr("distmap.training.self_training.calibrated", lambda *_, **__: TEACHERS)
    monkeypatch.setattr("distmap.training.self_training.agreement", lambda *_: 1.0)
    learn_from_maps(model, TEACHERS, split, config(), 2, lambda: now, Spoken())
    assert asked == pytest.approx([0.15 / (0.5 - 0.2), 0.15 / (1 - 0.35)])
