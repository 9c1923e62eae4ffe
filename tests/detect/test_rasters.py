"""Pictures, maps and masks as files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from detect.rasters import read_map, write_map


def test_maps_come_back_bit_for_bit(tmp_path: Path, rng: np.random.Generator) -> None:
    map_HW = rng.normal(size=(9, 5)).astype(np.float32)
    write_map(tmp_path / "deep" / "a.tiff", map_HW)
    np.testing.assert_array_equal(read_map(tmp_path / "deep" / "a.tiff"), map_HW)
    map_HW[0, 0] = np.inf
    write_map(tmp_path / "a.tiff", map_HW)
    with pytest.raises(ValueError, match=r"a\.tiff: holds values that are not finite"):
        read_map(tmp_path / "a.tiff")


def test_a_map_has_one_band(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(ValueError, match=r"a\.png: a map has one band, this has 3"):
        read_map(tmp_path / "a.png")
