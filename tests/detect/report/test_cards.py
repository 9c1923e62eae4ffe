"""What the page holds of one picture."""

from __future__ import annotations

import base64
import dataclasses

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from detect.detections import Detections, Instance
from detect.masks import Mask
from detect.report.cards import Card, make_card
from detect.truth import Truth


def decoded(address: str) -> NDArray[np.uint8]:
    content = np.frombuffer(base64.b64decode(address.split(",", 1)[1]), np.uint8)
    picture = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def bits(card: Card) -> NDArray[np.uint32]:
    blue, green, red = np.moveaxis(decoded(card.masks).astype(np.uint32), -1, 0)
    together: NDArray[np.uint32] = red | green << 8 | blue << 16
    return together


def level(height: int, width: int, *blocks: tuple[int, int, int, int]) -> Detections:
    """Objects that are blocks: left, top, width, height."""
    masks = [Mask(x=x, y=y, crop_HW=np.ones((rows, columns), bool)) for x, y, columns, rows in blocks]
    items = tuple(Instance(mask=mask, score=0.75) for mask in masks)
    return Detections(name="a.png", height=height, width=width, instances=items)


def test_masks_of_24_thresholds_and_boxes() -> None:
    levels = [level(20, 30)] * 24
    levels[0] = level(20, 30, (1, 2, 3, 4), (10, 10, 2, 2))
    levels[9] = level(20, 30, (1, 2, 3, 4))
    levels[23] = level(20, 30, (29, 19, 1, 1))
    card = make_card(np.zeros((20, 30, 1), np.uint8), np.zeros((20, 30), np.float32), levels, 9, 0.5, None)
    expected = np.zeros((20, 30), np.uint32)
    expected[2:6, 1:4] = 1 << 0 | 1 << 9
    expected[10:12, 10:12] = 1 << 0
    expected[19, 29] = 1 << 23
    np.testing.assert_array_equal(bits(card), expected)
    assert card.boxes[0] == [1, 2, 3, 4, 750, 10, 10, 2, 2, 750]
    assert card.boxes[1] == []
    assert card.boxes[23] == [29, 19, 1, 1, 750]
    assert card.truth is None
    with pytest.raises(ValueError, match="25 thresholds, a page has 24 at most"):
        make_card(np.zeros((20, 30, 1)), np.zeros((20, 30), np.float32), [level(20, 30)] * 25, 0, 0.5, None)


def test_the_map_is_128_at_the_threshold() -> None:
    map_HW = np.array([[0.0, 0.2, -3.0, 0.6, 1e9]], np.float32)
    card = make_card(np.zeros((1, 5, 1), np.uint8), map_HW, [level(1, 5)], 0, 0.2, None)
    np.testing.assert_array_equal(decoded(card.map)[0], [0, 128, 0, 191, 255])


@pytest.mark.parametrize(("peak", "score"), [(0.2, 0.5), (0.6, 0.75), (-1.0, 0.0), (0.05, 0.2)])
def test_score_and_confidence(peak: float, score: float) -> None:
    found = dataclasses.replace(level(2, 2), confidence=0.25)
    levels = [level(2, 2), found]
    card = make_card(np.zeros((2, 2, 1), np.uint8), np.full((2, 2), peak, np.float32), levels, 1, 0.2, None)
    assert card.score == pytest.approx(score)
    assert card.confidence == 0.25


def test_large_pictures_are_reduced_by_blocks() -> None:
    """500 x 258 by blocks of 2 x 2: the mean of a picture, the greatest value of a map, any pixel of a mask."""
    picture = np.zeros((258, 500, 3), np.uint8)
    picture[:, 0::2] = 100
    map_HW = np.zeros((258, 500), np.float32)
    map_HW[257, 499] = 0.2
    card = make_card(picture, map_HW, [level(258, 500, (3, 3, 1, 1)), level(258, 500)], 0, 0.2, None)
    assert (card.factor, card.width, card.height) == (2, 500, 258)
    small = decoded(card.picture)
    assert small.shape == (129, 250)  # grey
    assert abs(int(small[5, 5]) - 50) <= 2
    assert decoded(card.map).shape == (129, 250)
    assert decoded(card.map)[128, 249] == 128
    assert np.argwhere(bits(card)).tolist() == [[1, 1]]
    assert card.boxes[0][:4] == [3, 3, 1, 1]


def test_truth_and_overlap() -> None:
    ignored = np.zeros((10, 10), bool)
    ignored[0] = True
    truth = Truth(objects=level(10, 10, (0, 0, 4, 4)), ignored_HW=ignored)
    levels = [level(10, 10, (2, 0, 4, 4)), level(10, 10)]
    card = make_card(np.zeros((10, 10, 1), np.uint8), np.zeros((10, 10), np.float32), levels, 0, 0.2, truth)
    # The first row is not known.
    assert (card.true_objects, card.true_pixels, card.pixels, card.common) == (1, 12, [12, 0], [6, 0])
    assert card.truth is not None
    assert sorted(zip(card.truth[0][::2], card.truth[0][1::2], strict=True)) == [(0, 0), (0, 4), (4, 0), (4, 4)]
