"""Pictures and maps as 8-bit RGB, and grids of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from distmap.inference.image_grid import GAP, sample_row, show_map, show_picture, write_grid
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
    row = sample_row(model_of(Grey(SIDE)), noise(64, 48), label)
    assert [cell.shape for cell in row] == [(SIDE, SIDE, 3)] * 3
    np.testing.assert_array_equal(row[1], 127 if label == 0 else 255)
    bright = row[0][..., 0] > 200
    assert bright[:, :24].any()
    assert row[2][..., 1][bright].mean() < row[2][..., 1].mean()  # the map is strong there
    assert len(sample_row(model_of(Columns(SIDE)), noise(32, 32), label)) == 2


def test_grid_on_disk(tmp_path: Path) -> None:
    red, blue = np.zeros((2, 2, 3), np.uint8), np.zeros((1, 3, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    write_grid(tmp_path / "s.png", [[red, blue], [blue]], zoom=1)
    grid = cv2.imread(str(tmp_path / "s.png"))
    assert grid is not None
    grid = grid[..., ::-1]
    assert grid.shape == (2 * (2 + GAP), 2 * (3 + GAP), 3)
    np.testing.assert_array_equal(grid[0, 0], [255, 0, 0])
    np.testing.assert_array_equal(grid[0, 3 + GAP], [0, 0, 255])
    np.testing.assert_array_equal(grid[2 + GAP, 0], [0, 0, 255])
    np.testing.assert_array_equal(grid[2 + GAP, 3 + GAP], [255, 255, 255])


def test_a_grid_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "s.png" / "folder").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"s\.png: is a folder"):
        write_grid(tmp_path / "s.png", [[np.zeros((2, 2, 3), np.uint8)]])
