"""The line that brings a file's numbers to [-1, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from distmap.common.picture_files import PictureError
from distmap.data.scaling import Scaling, decide_scaling
from distmap.data.settings import DataSettings

TAIL = DataSettings().tail


def samples(*columns: list[Any], dtype: str = "uint8") -> NDArray[Any]:
    return np.array(columns, dtype).T


def test_8_bit_takes_the_range_that_occurs() -> None:
    scaling = decide_scaling(samples([10, 30, 20], [0, 255, 1]), TAIL)
    assert (scaling.low, scaling.high, scaling.dtype) == ((10, 0), (30, 255), "uint8")
    picture = np.array([[[20, 255]], [[5, 0]]], np.uint8)
    np.testing.assert_allclose(scaling.apply(picture), [[[0, 1]], [[-1, -1]]], atol=1e-6)  # below the range: cut


def test_hot_pixels_of_16_bit_pictures_do_not_squeeze_the_rest(rng: np.random.Generator) -> None:
    values = rng.integers(1000, 2000, (100_000, 1)).astype(np.uint16)
    values[:5] = 65535
    scaling = decide_scaling(values, TAIL)
    assert scaling.high[0] < 2001
    assert scaling.apply(np.array([[[65535]]], np.uint16)).item() == 1


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_scaling_round_trip(rng: np.random.Generator, dtype: str) -> None:
    picture = (rng.random((50, 40, 3)) * 200).astype(dtype)
    scaling = decide_scaling(np.concatenate([picture.reshape(-1, 3)] * 50), TAIL)
    scaled = scaling.apply(picture)
    assert scaled.dtype == np.float32
    assert scaled.min() >= -1
    assert scaled.max() <= 1
    inside = (picture >= scaling.low) & (picture <= scaling.high)
    assert inside.mean() > 0.99
    np.testing.assert_allclose(scaling.undo(scaled)[inside], picture[inside], atol=1e-3)


@pytest.mark.parametrize(
    ("value", "dtype"), [(7, "uint8"), (0, "uint16"), (0.25, "float32"), (1e9, "float64"), (-3.4e38, "float32")]
)
def test_a_constant_band_becomes_minus_one(value: float, dtype: str) -> None:
    constant = np.full((3, 2, 1), value, dtype)
    scaled = decide_scaling(constant.reshape(-1, 1), TAIL).apply(constant)
    np.testing.assert_array_equal(scaled, -1)


def test_check_names_file_and_difference() -> None:
    scaling = Scaling(low=(0.0,) * 3, high=(1.0,) * 3, dtype="uint8")
    scaling.check(np.zeros((2, 2, 3), np.uint8), "a.png")
    with pytest.raises(PictureError, match=r"a\.png: has 1 band\(s\) where the training pictures have 3"):
        scaling.check(np.zeros((2, 2, 1), np.uint8), "a.png")
    with pytest.raises(PictureError, match=r"a\.png: has uint16 values where the training pictures have uint8"):
        scaling.check(np.zeros((2, 2, 3), np.uint16), "a.png")
    Scaling(low=(0.0,), high=(1.0,), dtype="float").check(np.zeros((2, 2, 1), np.float64), "a.tif")


def test_the_tail_is_cut_from_16_bit_and_float_pictures_alone() -> None:
    values = np.arange(101).reshape(-1, 1)
    for dtype in ("uint16", "float32"):
        scaling = decide_scaling(values.astype(dtype), 0.1)
        assert (scaling.low[0], scaling.high[0]) == pytest.approx((10, 90))
    assert decide_scaling(values.astype(np.uint8), 0.1).high == (100,)


@pytest.mark.parametrize("dtype", ["", "float64", "complex64", "a" * 1000])
def test_kinds_of_number_that_no_picture_has(dtype: str) -> None:
    with pytest.raises(ValueError, match=r"^dtype .{0,90}: must be one of float, int16"):
        Scaling(low=(0.0,), high=(1.0,), dtype=dtype)
