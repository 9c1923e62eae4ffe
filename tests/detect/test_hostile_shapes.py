"""Polygons and run lengths of any numbers never reach C code as they are, and give the pixels that they say."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from detect import masks
from detect.detections import Detections, Instance
from detect.masks import Mask, counts_of_text, mask_of_polygons, mask_of_run_lengths, run_lengths

HEIGHT, WIDTH = 24, 32
COORDINATES = st.one_of(st.integers(-3, 40), st.floats(-40, 80), st.sampled_from([1e9, -1e9, 2.0**31, -(2.0**31), 5e8]))


def drawn(mask: Mask | None, height: int = HEIGHT, width: int = WIDTH) -> Any:
    canvas_HW = np.zeros((height, width), bool)
    if mask is not None:
        mask.draw(canvas_HW)
    return canvas_HW


@given(st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=12))
def test_any_polygon_is_drawn(corners: list[Any]) -> None:
    drawn(mask_of_polygons([corners], HEIGHT, WIDTH))


def test_a_polygon_far_larger_than_the_picture_fills_it() -> None:
    square: list[Any] = [[-1e9, -1e9], [1e9, -1e9], [1e9, 1e9], [-1e9, 1e9]]
    assert drawn(mask_of_polygons([square], HEIGHT, WIDTH)).all()
    half: list[Any] = [[-1e9, -1e9], [16, -1e9], [16, 1e9], [-1e9, 1e9]]
    expected_HW = np.zeros((HEIGHT, WIDTH), bool)
    expected_HW[:, :16] = True
    np.testing.assert_array_equal(drawn(mask_of_polygons([half], HEIGHT, WIDTH)), expected_HW)
    assert mask_of_polygons([[[1e9, 1e9], [2e9, 1e9], [1e9, 2e9]]], HEIGHT, WIDTH) is None


def test_clipping_changes_hardly_a_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rings = [rng.normal(16, 3000, (5, 2)) for _ in range(100)]
    whole = [drawn(mask_of_polygons([ring], HEIGHT, WIDTH)) for ring in rings]
    monkeypatch.setattr(masks, "_FAR", 10)
    clipped = [drawn(mask_of_polygons([ring], HEIGHT, WIDTH)) for ring in rings]
    assert np.mean(np.array(whole) != np.array(clipped)) < 1e-3


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e308, -1e30])
def test_numbers_that_are_no_place_are_refused(bad: float) -> None:
    ring: list[Any] = [[0, 0], [5, 0], [5, bad]]
    with pytest.raises(ValueError, match="not finite, or beyond 2147483648 pixels"):
        mask_of_polygons([ring], HEIGHT, WIDTH)
    with pytest.raises(ValueError, match=r"not .* finite|not finite|reaches beyond 2147483648 pixels"):
        Instance(box=(0.0, 0.0, 5.0, abs(bad)))


def test_an_outline_longer_than_memory_is_refused() -> None:
    zigzag = np.tile([[0.0, 0.0], [50_000.0, 10_000.0]], (500, 1))
    with pytest.raises(ValueError, match=r"a polygon of 1000 corners has an outline of .* draw it more coarsely"):
        mask_of_polygons([zigzag], 20_000, 60_000)
    many = np.tile([[0.0, 0.0], [5.0, 5.0], [5.0, 0.0]], (100_001, 1))
    assert mask_of_polygons([many], HEIGHT, WIDTH) is not None


def test_windows_that_32_bits_cannot_count_are_refused() -> None:
    everywhere: list[Any] = [[0, 0], [2e9, 0], [2e9, 2e9], [0, 2e9]]
    with pytest.raises(ValueError, match="a mask of 70000 x 70000 pixels is more than the 4294967295"):
        mask_of_polygons([everywhere], 70_000, 70_000)
    block = Mask(x=0, y=0, crop_HW=np.ones((1, 1), bool))
    with pytest.raises(ValueError, match="too large for COCO's run lengths"):
        run_lengths(block, 70_000, 70_000)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_run_lengths_are_read_as_pycocotools_reads_them(height: int, width: int, seed: int, share: float) -> None:
    mask_HW = np.random.default_rng(seed).random((height, width)) < share
    rle = coco.encode(np.asfortranarray(mask_HW.astype(np.uint8)))
    text = {"size": [height, width], "counts": rle["counts"]}
    np.testing.assert_array_equal(drawn(mask_of_run_lengths(text), height, width), mask_HW)
    counts = counts_of_text(rle["counts"]).tolist()
    assert sum(counts) == height * width
    listed = mask_of_run_lengths({"size": [height, width], "counts": counts})
    np.testing.assert_array_equal(drawn(listed, height, width), mask_HW)


@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=40))
def test_any_text_of_run_lengths_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        drawn(mask_of_run_lengths({"size": [HEIGHT, WIDTH], "counts": text}))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([2**64], "whole numbers from 0"),
        ([-1, 769], "whole numbers from 0"),
        ([1.5], "whole numbers from 0"),
        ([1], "add up to 1, not to 24 x 32"),
        ("0", "add up to 0, not to 24 x 32"),
        ("zz", "character"),
        ("o", "end within a number"),
        ("oooooooooooo0", "too large"),
        ("O", "below 0"),
    ],
)
def test_run_lengths_that_cannot_be(counts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"RLE counts .*{message}"):
        mask_of_run_lengths({"size": [HEIGHT, WIDTH], "counts": counts})


def test_pictures_beyond_any_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a\.png: 2147483647 x 2147483647 is more than any picture has"):
        Detections(name="a.png", height=2**31 - 1, width=2**31 - 1)
    large = Detections(name="a.png", height=2**20, width=2**20)
    with pytest.raises(ValueError, match=r"a\.png: a mask of 1048576 x 1048576 pixels would take .* GB of memory"):
        large.union_mask()
