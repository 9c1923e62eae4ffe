"""Pictures as 8-bit RGB, and objects drawn on them."""

from __future__ import annotations

import numpy as np
import pytest

from detect.detections import Detections, Instance
from detect.drawing import BOX, LEAST_SIDE, OUTLINE, as_rgb, draw_objects
from detect.masks import Mask


def found(height: int, width: int, *masks: Mask) -> Detections:
    return Detections(
        name="a.png", height=height, width=width, instances=tuple(Instance(mask=mask, score=0.5) for mask in masks)
    )


def test_eight_bits_stay_as_they_are() -> None:
    grey = np.array([[[0], [7], [255]]], np.uint8)
    np.testing.assert_array_equal(as_rgb(grey)[0], [[0] * 3, [7] * 3, [255] * 3])
    np.testing.assert_array_equal(as_rgb(np.array([[[1, 2, 3, 4]]], np.uint8))[0], [[1, 2, 3]])
    np.testing.assert_array_equal(as_rgb(np.array([[[1, 2]]], np.uint8))[0], [[1, 2, 0]])


@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.float32, np.float64])
def test_other_numbers_are_scaled_from_their_own_range(kind: type[np.generic]) -> None:
    picture = np.linspace(100, 1100, 4000).reshape(40, 100, 1).astype(kind)
    shown = as_rgb(picture)
    assert (shown.min(), shown.max()) == (0, 255)
    assert abs(int(shown[20, 0, 0]) - 127) <= 2
    np.testing.assert_array_equal(as_rgb(np.full((2, 2, 1), 5, kind)), 0)


def test_outline_runs_around_the_object_and_the_box_around_both() -> None:
    crop = np.ones((8, 10), bool)
    crop[:4, 5:] = False  # an L, so that the outline leaves the box
    picture = np.full((64, 32, 1), 9, np.uint8)
    drawn = draw_objects(picture, found(64, 32, Mask(x=4, y=16, crop_HW=crop)))
    zoom = LEAST_SIDE // 64
    assert drawn.shape == (64 * zoom, 32 * zoom, 3)
    assert tuple(drawn[16 * zoom, 12 * zoom]) == BOX  # above the missing corner
    assert tuple(drawn[20 * zoom, 12 * zoom]) == OUTLINE  # along it
    inside, outside = drawn[22 * zoom, 8 * zoom], drawn[2 * zoom, 2 * zoom]
    assert tuple(inside) == tuple(outside) == (9, 9, 9)
    coloured = np.argwhere((drawn != 9).any(axis=-1))
    assert coloured.min(axis=0).tolist() == [16 * zoom, 4 * zoom]
    assert coloured.max(axis=0).tolist() == [24 * zoom, 14 * zoom]


def test_large_pictures_keep_their_size() -> None:
    assert draw_objects(np.zeros((600, 20, 3), np.uint8), found(600, 20)).shape == (600, 20, 3)


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a\.png: is 3 x 2, its objects are in 5 x 4"):
        draw_objects(np.zeros((2, 3, 1), np.uint8), found(4, 5))
