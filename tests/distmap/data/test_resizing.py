"""Bringing pictures to the size at which a network sees them."""

from __future__ import annotations

import numpy as np
import pytest

from distmap.data.resizing import fit_square, fitted_size, pad_to, resize


def test_resize_averages_where_it_shrinks() -> None:
    picture = np.array([[0, 2, 4, 4], [2, 4, 4, 4]], np.float32)
    np.testing.assert_allclose(resize(picture, 1, 2), [[2, 4]])
    np.testing.assert_allclose(resize(picture[..., None], 1, 2), [[[2], [4]]])


def test_resize_is_linear_where_it_grows() -> None:
    np.testing.assert_allclose(resize(np.array([[0, 1]], np.float32), 1, 4), [[0, 0.25, 0.75, 1]])


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("size", [(5, 7), (50, 33)])
def test_resize_treats_every_band_alike(rng: np.random.Generator, bands: int, size: tuple[int, int]) -> None:
    picture = rng.random((20, 16, bands)).astype(np.float32)
    apart = np.stack([resize(picture[..., band].copy(), *size) for band in range(bands)], axis=-1)
    np.testing.assert_allclose(resize(picture, *size), apart, atol=1e-6)


def test_resize_to_the_same_size_changes_nothing(rng: np.random.Generator) -> None:
    picture = rng.random((6, 5, 2)).astype(np.float32)
    np.testing.assert_array_equal(resize(picture, 6, 5), picture)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1, 50), (1, 32)), ((301, 7), (32, 1)), ((480, 640), (24, 32)), ((5, 5), (32, 32)), ((1, 1), (32, 32))],
)
def test_odd_sizes_fit_the_square(rng: np.random.Generator, size: tuple[int, int], expected: tuple[int, int]) -> None:
    picture = rng.random((*size, 3)).astype(np.float32)
    assert fitted_size(*size, 32) == expected
    square = fit_square(picture, 32)
    assert square.shape == (32, 32, 3)
    height, width = expected
    np.testing.assert_array_equal(square[:height, :width], resize(picture, height, width))
    np.testing.assert_array_equal(
        square[height:, :width], np.broadcast_to(square[height - 1, :width], (32 - height, width, 3))
    )
    np.testing.assert_array_equal(square[:, width:], np.broadcast_to(square[:, width - 1 : width], (32, 32 - width, 3)))


def test_pad_to() -> None:
    padded = pad_to(np.array([[[1.0], [2.0]]]), 2, 4)
    np.testing.assert_array_equal(padded[..., 0], [[1, 2, 2, 2], [1, 2, 2, 2]])
    np.testing.assert_array_equal(pad_to(padded, 1, 1), padded)
