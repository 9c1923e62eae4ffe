"""The detector of a model, from what its maps of kept-out pictures hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distmap.common.object_size import ObjectSize
from distmap.common.picture_files import PictureFile
from distmap.common.progress import Silent
from distmap.config import resolve
from distmap.data.folders import LabelledPicture, list_folders
from distmap.inference.model import PictureMap
from distmap.selection.validation import affordable, calibrated, few_of_each


class HandMade:
    """In place of a model: pictures WITH have 10 of 100 pixels of 0.8, those WITHOUT one of 0.1."""

    config = resolve()

    def map_files(self, files: Sequence[PictureFile], *, explained: bool = True) -> Iterator[PictureMap]:
        for file in files:
            label = "with" if file.name.startswith("with_") else "without"
            map_HW = np.zeros((10, 10), np.float32)
            map_HW[0] = 0.8 if label == "with" else [0.1, *[0] * 9]
            yield PictureMap(name=file.name, map_HW=map_HW, scores={f"psnr_{label}": 30.0, "residual": 0.01})


@pytest.fixture
def listed(pictures: tuple[Path, Path]) -> list[LabelledPicture]:
    return list_folders(*pictures, None)


def test_detector_of_hand_made_maps(listed: list[LabelledPicture]) -> None:
    model: Any = HandMade()
    detector = calibrated(model, listed, listed, "placed", 7, Silent())
    assert 0 < detector.threshold < 0.8
    assert detector.object_size is None  # all objects are cut by the border
    assert (detector.pictures, detector.map_kind, detector.step) == (12, "placed", 7)
    expected = {"psnr": 30.0, "residual": 0.01, "separation": 1.0, "background": 0.001 / 0.08, "taken": 0.1}
    assert detector.validation_scores == pytest.approx(expected)


def test_the_threshold_is_of_typical_pictures_and_the_scores_of_kept_out_ones(listed: list[LabelledPicture]) -> None:
    class Uneven(HandMade):
        """Maps of the first two pictures WITH, which are kept out, are twenty times weaker."""

        def map_files(self, files: Sequence[PictureFile], *, explained: bool = True) -> Iterator[PictureMap]:
            for file, result in zip(files, super().map_files(files), strict=True):
                weaker = file.name in {"with_00.png", "with_01.png"}
                yield replace(result, map_HW=result.map_HW * (0.05 if weaker else 1.0))

    model: Any = Uneven()
    kept_out = [picture for picture in listed if picture.file.name.endswith(("_00.png", "_01.png"))]
    weak = calibrated(model, kept_out, kept_out, "placed", 7, Silent())
    usual = calibrated(model, kept_out, listed, "placed", 7, Silent())
    assert weak.threshold < 0.04 < usual.threshold
    assert (weak.pictures, usual.pictures) == (2, 2)
    assert (weak.validation_scores["taken"], usual.validation_scores["taken"]) == pytest.approx((0.1, 0.0))


def test_the_typical_object_is_that_of_kept_out_and_typical_pictures(listed: list[LabelledPicture]) -> None:
    class Blocks(HandMade):
        """Maps of pictures WITH hold a block of 3 x 4, those of the first two, which are kept out, two of them."""

        def map_files(self, files: Sequence[PictureFile], *, explained: bool = True) -> Iterator[PictureMap]:
            for file, result in zip(files, super().map_files(files), strict=True):
                map_HW = np.zeros((20, 20), np.float32)
                if file.name.startswith("with_"):
                    map_HW[3:6, 2:6] = 0.8
                    map_HW[12:16, 12:15] = 0.8 if file.name in {"with_00.png", "with_01.png"} else 0
                yield replace(result, map_HW=map_HW)

    class Listening(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    said: list[str] = []
    model: Any = Blocks()
    kept_out = [picture for picture in listed if picture.file.name.endswith(("_00.png", "_01.png"))]
    detector = calibrated(model, kept_out, listed, "placed", 7, Listening())
    assert detector.object_size == ObjectSize(area=12, length=4, width=3, several=2 / 12, objects=14)
    assert "objects: about 4 x 3 pixels" in said
    assert calibrated(model, kept_out, kept_out, "placed", 7, Silent()).object_size is None, "four are too few"


def test_few_of_each_are_spread_evenly(listed: list[LabelledPicture]) -> None:
    few = few_of_each(listed, 3)
    assert [picture.file.name for picture in few] == [
        *("with_00.png", "with_06.png", "with_11.png"),
        *("without_00.png", "without_06.png", "without_11.png"),
    ]
    assert len(few_of_each(listed, 100)) == len(listed)


@pytest.mark.parametrize(("symmetry", "count"), [("none", 600), ("mirror", 300), ("all", 75)])
def test_the_more_symmetries_the_fewer_pictures(symmetry: str, count: int) -> None:
    assert affordable(600, symmetry) == count
    assert affordable(10, symmetry) == 60
