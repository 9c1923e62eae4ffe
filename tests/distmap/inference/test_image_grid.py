"""Pictures and maps as 8-bit RGB, and sheets of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from distmap.inference.image_grid import GAP, painting_row, show_map, show_picture, write_sheet
from distmap.inference.model import Painting


def test_show_picture() -> None:
    grey = np.array([[[-1.0], [0.0], [1.0], [5.0]]])
    np.testing.assert_array_equal(show_picture(grey)[0], [[0] * 3, [127] * 3, [255] * 3, [255] * 3])
    five = np.array([[[1.0, -1.0, 0.0, 9.0, 9.0]]])
    np.testing.assert_array_equal(show_picture(five)[0], [[255, 0, 127]])
    two = np.array([[[1.0, 1.0]]])
    np.testing.assert_array_equal(show_picture(two)[0], [[255, 255, 0]])


def test_show_map() -> None:
    shown = show_map(np.array([[0.0, 2.0, -2.0, 1.0, 99.0]]), 2.0)
    white, red, blue, half = [255, 255, 255], [255, 0, 0], [0, 0, 255], [255, 127, 127]
    np.testing.assert_array_equal(shown[0], [white, red, blue, half, red])
    np.testing.assert_array_equal(show_map(np.zeros((2, 2)), 0.0), 255)


@pytest.mark.parametrize("label", [0, 1])
def test_row_shows_the_other_class(label: int) -> None:
    without, with_ = np.full((2, 3, 3, 1), -0.5, np.float32), np.full((2, 3, 3, 1), 0.25, np.float32)
    row = painting_row(
        Painting(
            picture_HWC=np.zeros((3, 3, 1), np.float32),
            without_NHWC=without,
            with_NHWC=with_,
            place_HW=np.zeros((3, 3), np.float32),
        ),
        label,
    )
    assert len(row) == 1 + 2 + 1 + 1
    np.testing.assert_array_equal(row[1], show_picture((without if label else with_)[0]))
    np.testing.assert_array_equal(row[3], show_picture((without if label else with_).sum(axis=0)))


def test_sheet_on_disk(tmp_path: Path) -> None:
    red, blue = np.zeros((2, 2, 3), np.uint8), np.zeros((1, 3, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    write_sheet(tmp_path / "s.png", [[red, blue], [blue]], zoom=1)
    sheet = cv2.imread(str(tmp_path / "s.png"))
    assert sheet is not None
    sheet = sheet[..., ::-1]
    assert sheet.shape == (2 * (2 + GAP), 2 * (3 + GAP), 3)
    np.testing.assert_array_equal(sheet[0, 0], [255, 0, 0])
    np.testing.assert_array_equal(sheet[0, 3 + GAP], [0, 0, 255])
    np.testing.assert_array_equal(sheet[2 + GAP, 0], [0, 0, 255])
    np.testing.assert_array_equal(sheet[2 + GAP, 3 + GAP], [255, 255, 255])


def test_a_sheet_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"s\.png"):
        write_sheet(tmp_path / "missing" / "s.png", [[np.zeros((2, 2, 3), np.uint8)]])
