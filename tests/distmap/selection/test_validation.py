"""The detection settings of a model, from what its maps of validation pictures hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distmap.common.detection_settings import DetectionSettings
from distmap.common.object_size import ObjectSize
from distmap.common.picture_files import PictureFile
from distmap.common.pictures import Array
from distmap.common.progress import Progress, Silent
from distmap.data.folders import LabelledPicture, list_folders
from distmap.data.settings import DataSettings
from distmap.inference.predictor import Predictor
from distmap.selection.settings import SelectionSettings
from distmap.selection.validation import affordable, calibrated


class Weighted(Predictor):
    """Maps of two kinds."""

    kinds = ("weighted", "half")


class HandMade:
    """In place of a model: pictures WITH have 10 of 100 pixels of 0.8, those WITHOUT one of 0.1. Maps of the kind
    ``half`` are half as strong."""

    data = DataSettings(symmetry="mirror")
    source = "weighted"

    def __init__(self) -> None:
        self.predictor = self.mapper = Weighted(32)

    def map_of(self, name: str) -> Array:
        map_HW = np.zeros((10, 10), np.float32)
        map_HW[0] = 0.8 if name.startswith("with_") else [0.1, *[0] * 9]
        return map_HW

    def maps_by_kind(
        self, files: Sequence[PictureFile], kinds: Sequence[str]
    ) -> Iterator[tuple[dict[str, Array], dict[str, float]]]:
        assert tuple(kinds) == self.mapper.kinds
        for file in files:
            label = "with" if file.name.startswith("with_") else "without"
            map_HW = self.map_of(file.name)
            yield {"weighted": map_HW, "half": map_HW / 2}, {f"psnr_{label}": 30.0, "residual": 0.01}


def found(
    model: Any, validation: list[LabelledPicture], typical: list[LabelledPicture], progress: Progress
) -> DetectionSettings:
    return calibrated(model, validation, typical, SelectionSettings(), step=7, progress=progress)


@pytest.fixture
def listed(pictures: tuple[Path, Path]) -> list[LabelledPicture]:
    return list_folders(*pictures, None)


def test_settings_of_hand_made_maps(listed: list[LabelledPicture]) -> None:
    model: Any = HandMade()
    settings = found(model, listed, listed, Silent())
    assert 0 < settings.threshold < 0.8
    assert settings.object_size is None  # all objects are cut by the border
    assert (settings.pictures, settings.map_kind, settings.step) == (12, "weighted", 7)
    expected = {"psnr": 30.0, "residual": 0.01, "auroc": 1.0, "background": 0.001 / 0.08, "taken": 0.1}
    assert settings.validation_scores == pytest.approx(expected)


def test_the_threshold_is_of_typical_pictures_and_the_scores_of_validation_ones(listed: list[LabelledPicture]) -> None:
    class Uneven(HandMade):
        """Maps of the first two pictures WITH, of validation, are twenty times weaker."""

        def map_of(self, name: str) -> Array:
            return super().map_of(name) * np.float32(0.048 if name in {"with_00.png", "with_01.png"} else 1)

    model: Any = Uneven()
    validation = [picture for picture in listed if picture.file.name.endswith(("_00.png", "_01.png"))]
    weak = found(model, validation, validation, Silent())
    usual = found(model, validation, listed, Silent())
    assert weak.threshold < 0.0384 < usual.threshold
    assert (weak.pictures, usual.pictures) == (2, 2)
    assert (weak.validation_scores["taken"], usual.validation_scores["taken"]) == pytest.approx((0.1, 0.0))


def test_the_typical_object_is_that_of_validation_and_typical_pictures(listed: list[LabelledPicture]) -> None:
    class Blocks(HandMade):
        """Maps of pictures WITH hold a block of 3 x 4, those of the first two, of validation, two of them."""

        def map_of(self, name: str) -> Array:
            map_HW = np.zeros((20, 20), np.float32)
            if name.startswith("with_"):
                map_HW[3:6, 2:6] = 0.8
                map_HW[12:16, 12:15] = 0.8 if name in {"with_00.png", "with_01.png"} else 0
            return map_HW

    class Listening(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    said: list[str] = []
    model: Any = Blocks()
    validation = [picture for picture in listed if picture.file.name.endswith(("_00.png", "_01.png"))]
    settings = found(model, validation, listed, Listening())
    assert settings.object_size == ObjectSize(area=12, length=4, width=3, several=2 / 12, objects=14)
    assert "objects: about 4 x 3 pixels" in said
    assert found(model, validation, validation, Silent()).object_size is None, "four are too few"


def test_settings_say_whether_maps_follow_edges(listed: list[LabelledPicture]) -> None:
    model: Any = HandMade()
    assert found(model, listed, listed, Silent()).follow_edges
    model.predictor.follow_edges = False
    assert not found(model, listed, listed, Silent()).follow_edges


def test_every_kind_of_map_has_its_own_threshold_and_typical_object(listed: list[LabelledPicture]) -> None:
    class Blocks(HandMade):
        """Maps of pictures WITH hold a block of 3 x 4, twice as strong where it is stronger."""

        def map_of(self, name: str) -> Array:
            map_HW = np.zeros((20, 20), np.float32)
            if name.startswith("with_"):
                map_HW[3:6, 2:6] = 0.8
            return map_HW

    model: Any = Blocks()
    settings = found(model, listed, listed, Silent())
    assert settings.map_kind == "weighted"
    assert list(settings.sources) == ["half"]
    half = settings.of_source("half")
    assert half.threshold == pytest.approx(settings.threshold / 2, rel=0.02)
    assert half.object_size == settings.object_size == ObjectSize(area=12, length=4, width=3, several=0, objects=12)
    assert len(half.rates) == len(half.thresholds) == len(settings.rates)
    model.source = "half"
    other = found(model, listed, listed, Silent())
    assert (other.map_kind, other.threshold) == ("half", half.threshold)
    assert other.sources["weighted"].threshold == settings.threshold


def test_how_many_pictures_are_looked_at_is_a_setting(listed: list[LabelledPicture]) -> None:
    settings = SelectionSettings(threshold_views=6, least_pictures=1)  # of two symmetries
    model: Any = HandMade()
    few = calibrated(model, listed, listed, settings, step=7, progress=Silent())
    assert few.pictures == 3


def test_what_the_scores_say_against_the_maps_is_said_and_kept(listed: list[LabelledPicture]) -> None:
    class Alike(HandMade):
        """Every map is the same, whatever the class."""

        def map_of(self, name: str) -> Array:
            return super().map_of("with_")

    class Listening(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    said: list[str] = []
    model: Any = Alike()
    settings = found(model, listed, listed, Listening())
    assert settings.warnings[0].startswith("the maps hardly tell validation pictures apart (AUROC 0.50")
    assert {f"warning: {note}" for note in settings.warnings} <= set(said)


@pytest.mark.parametrize(("symmetry", "count"), [("none", 600), ("mirror", 300), ("all", 75)])
def test_the_more_symmetries_the_fewer_pictures(symmetry: str, count: int) -> None:
    model: Any = HandMade()
    model.data = DataSettings(symmetry=symmetry)  # type: ignore[arg-type]
    assert affordable(600, model, SelectionSettings()) == count
    assert affordable(10, model, SelectionSettings()) == 60
    assert affordable(10, model, SelectionSettings(least_pictures=20)) == 20
    model.mapper.averaged = False  # each picture is seen once
    assert affordable(600, model, SelectionSettings()) == 600
