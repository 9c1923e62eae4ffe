"""Pictures and maps as 8-bit RGB, and grids of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from distmap.inference.image_grid import (
    GAP,
    LEAST_WIDTH,
    LINE,
    Cell,
    sample_row,
    show_map,
    show_picture,
    write_grid,
)
from tests.distmap.inference.conftest import SIDE, Columns, Grey, model_of, noise


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
def test_a_row_shows_picture_panels_and_map(label: int) -> None:
    row = sample_row(model_of(Grey(SIDE)), noise(64, 48), label, "sub/a.png")
    assert [cell.pixels_HWC.shape for cell in row] == [(SIDE, SIDE, 3)] * 3
    assert row[0].caption == f"{'WITH' if label else 'WITHOUT'} sub/a.png"
    assert row[2].caption.startswith("map, red: ")
    picture, panel, shown = (cell.pixels_HWC for cell in row)
    np.testing.assert_array_equal(panel, 127 if label == 0 else 255)
    bright = picture[..., 0] > 200
    assert bright[:, :24].any()
    assert shown[..., 1][bright].mean() < shown[..., 1].mean()  # the map is strong there
    assert len(sample_row(model_of(Columns(SIDE)), noise(32, 32), label, "a.png")) == 2


def test_grid_on_disk(tmp_path: Path) -> None:
    red, blue = np.zeros((2, 2, 3), np.uint8), np.zeros((1, 3, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    first, second = Cell(caption="red", pixels_HWC=red), Cell(caption="", pixels_HWC=blue)
    write_grid(tmp_path / "s.png", [[first, second], [second]], zoom=2)
    grid = cv2.imread(str(tmp_path / "s.png"))
    assert grid is not None
    grid = grid[..., ::-1]
    down, right = LINE + 4 + GAP, LEAST_WIDTH + GAP
    assert grid.shape == (2 * down, 2 * right, 3)
    np.testing.assert_array_equal(grid[LINE : LINE + 4, :4], np.broadcast_to([255, 0, 0], (4, 4, 3)))
    np.testing.assert_array_equal(grid[LINE, right], [0, 0, 255])
    np.testing.assert_array_equal(grid[down + LINE, 0], [0, 0, 255])
    np.testing.assert_array_equal(grid[down + LINE, right], [255, 255, 255])
    assert (grid[:LINE, :right] < 128).any()  # the letters of the caption
    assert (grid[:LINE, right:] == 255).all()


def test_a_long_caption_is_shortened_in_its_middle(tmp_path: Path) -> None:
    cell = np.zeros((2, 2, 3), np.uint8)
    long = "patient_0000_" + 40 * "x" + "_slice_7.png"
    write_grid(tmp_path / "s.png", [[Cell(caption=long, pixels_HWC=cell), Cell(caption="", pixels_HWC=cell)]], zoom=1)
    sheet = cv2.imread(str(tmp_path / "s.png"))
    assert sheet is not None
    assert (sheet[:LINE, :LEAST_WIDTH] < 128).any()
    assert (sheet[:LINE, LEAST_WIDTH:] == 255).all()  # nothing reaches into the next cell


def test_a_grid_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "s.png" / "folder").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"s\.png: is a folder"):
        write_grid(tmp_path / "s.png", [[Cell(caption="a", pixels_HWC=np.zeros((2, 2, 3), np.uint8))]])
