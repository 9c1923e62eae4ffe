"""How sure it is that pixels show the thing, by hand-made maps."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from distmap.data.folders import WITH, WITHOUT, list_folders
from distmap.data.scaling import Scaling
from distmap.training.soft_targets import TargetStore, soft_target

SCALING = Scaling(low=(60.0,), high=(250.0,), dtype="uint8")


def line(*values: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array([values], np.float32)


def test_values_by_hand() -> None:
    target = soft_target(line(0, 0.1, 0.2, 0.4, 0.6), WITH, 0.2, 2.0)
    np.testing.assert_allclose(target, [[0, 1 / 5, 1 / 2, 4 / 5, 9 / 10]], rtol=1e-6)
    assert target.dtype == np.float32
    np.testing.assert_allclose(soft_target(line(0.4), WITH, 0.2, 1.5), [[2**1.5 / (2**1.5 + 1)]], rtol=1e-6)


@pytest.mark.parametrize("power", [0.5, 1.5, 4.0])
def test_half_at_the_threshold_and_rising(power: float) -> None:
    values = np.linspace(0, 3, 301, dtype=np.float32)[None]
    target = soft_target(values, WITH, 1.0, power)
    assert target[0, 100] == pytest.approx(0.5)
    assert (np.diff(target) > 0).all()
    assert target.min() == 0
    assert target.max() < 1


def test_a_picture_without_shows_the_thing_nowhere() -> None:
    target = soft_target(line(0, 0.5, 1e30), WITHOUT, 0.2, 2.0)
    assert target.tolist() == [[0, 0, 0]]
    assert target.dtype == np.float32


def test_no_number_is_too_large_or_too_small() -> None:
    """Nor is anything said of it on the way."""
    greatest = float(np.finfo(np.float32).max)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert soft_target(line(-1, greatest, np.inf, 1e-30), WITH, 1e-6, 100.0).tolist() == [[0, 1, 1, 0]]
        assert soft_target(line(0, 1), WITH, greatest, 4.0).tolist() == [[0, pytest.approx(0, abs=1e-30)]]


@pytest.mark.parametrize(("threshold", "power"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (float("nan"), 1.0)])
def test_thresholds_and_powers_are_above_0(threshold: float, power: float) -> None:
    with pytest.raises(ValueError, match=f"threshold {threshold} and power {power} of soft targets: both must be"):
        soft_target(line(1), WITH, threshold, power)


def test_a_store_gives_pictures_with_their_targets(pictures: tuple[Path, Path]) -> None:
    listed = list_folders(*pictures, None)
    soft = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(32, 32)
    store = TargetStore(listed, [soft if one.label else None for one in listed], SCALING, 32, 16)
    for index, one in enumerate(listed):
        planes = store[index]
        assert planes.shape == (2, 32, 32)
        assert planes.dtype == np.float32
        assert planes[0].min() >= -1
        np.testing.assert_allclose(planes[1], soft if one.label else 0, atol=5e-4)


def test_a_target_of_another_size_names_its_picture(pictures: tuple[Path, Path]) -> None:
    listed = list_folders(*pictures, None)[:1]
    with pytest.raises(ValueError, match=r"with_00\.png: its target has the shape \(31, 32\)"):
        TargetStore(listed, [np.zeros((31, 32), np.float32)], SCALING, 32, 16)
