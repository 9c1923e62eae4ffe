"""Scores of single rows, by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import detect
from detect.evaluation import Evaluation
from detect.rasters import write_map
from pipelines.quality.scores import every_score, on_shape, widened


def evaluation(**scores: Any) -> Evaluation:
    return Evaluation(
        pictures=1,
        pictures_without_truth=0,
        truth="masks",
        pixel_truth="masks",
        categories="ignored",
        objects_found=0,
        objects_true=0,
        **scores,
    )


def write_shape(folder: Path, stem: str, shape_HW: NDArray[np.bool_]) -> None:
    folder.mkdir(exist_ok=True)
    assert cv2.imwrite(str(folder / f"{stem}.png"), np.where(shape_HW, np.uint8(255), np.uint8(0)))


def test_widened_is_all_within_three_pixels() -> None:
    point_HW = np.zeros((9, 9), bool)
    point_HW[4, 4] = True
    rows, columns = np.mgrid[:9, :9]
    np.testing.assert_array_equal(widened(point_HW, 3), (rows - 4) ** 2 + (columns - 4) ** 2 <= 9)
    assert not widened(np.zeros((9, 9), bool), 3).any()


def test_fraction_on_the_shape_by_hand(tmp_path: Path) -> None:
    """Of two maps together; what is below 0 counts by its size."""
    shape_HW = np.zeros((1, 12), bool)
    shape_HW[0, 0] = True
    write_shape(tmp_path / "shapes", "a", shape_HW)
    write_shape(tmp_path / "shapes", "b", shape_HW)
    (tmp_path / "maps").mkdir()
    write_map(tmp_path / "maps" / "a.tiff", np.array([[0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0]], np.float32))
    write_map(tmp_path / "maps" / "b.tiff", np.array([[-4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1]], np.float32))
    assert on_shape(tmp_path / "maps", tmp_path / "shapes") == pytest.approx(6 / 8)


def test_empty_maps_are_on_no_shape(tmp_path: Path) -> None:
    write_shape(tmp_path / "shapes", "a", np.ones((2, 2), bool))
    (tmp_path / "maps").mkdir()
    write_map(tmp_path / "maps" / "a.tiff", np.zeros((2, 2), np.float32))
    assert on_shape(tmp_path / "maps", tmp_path / "shapes") is None


def test_a_map_without_shape_is_named(tmp_path: Path) -> None:
    write_shape(tmp_path / "shapes", "b", np.ones((2, 2), bool))
    (tmp_path / "maps").mkdir()
    write_map(tmp_path / "maps" / "a.tiff", np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match=r"a\.tiff: has no shape in"):
        on_shape(tmp_path / "maps", tmp_path / "shapes")


def test_dice_lost_is_that_of_the_threshold(tmp_path: Path) -> None:
    scores = every_score(evaluation(dice=0.5, dice_oracle=0.75), tmp_path, tmp_path / "none")
    assert scores["dice_lost"] == 0.25
    assert scores["dice"] == 0.5
    assert "on_shape" not in scores
    assert "dice_lost" not in every_score(evaluation(dice=0.5), tmp_path, tmp_path / "none")


def test_every_score_of_the_page_is_one_of_evaluate() -> None:
    from pipelines.quality.scores import KINDS

    of_sources = re.compile("^(?:branch1|localizer)_")
    assert {of_sources.sub("", name) for name in KINDS} - {"dice_lost", "on_shape"} <= set(evaluation().to_dict())
    assert detect.Evaluation is Evaluation
