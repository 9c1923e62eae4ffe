"""Pictures, maps and masks as files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from detect.rasters import read_map, read_picture, write_map


def test_pictures_read_as_they_are(tmp_path: Path, rng: np.random.Generator) -> None:
    colour = rng.integers(0, 255, (5, 7, 3), dtype=np.uint8)
    assert cv2.imwrite(str(tmp_path / "a.png"), np.ascontiguousarray(colour[..., ::-1]))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), colour)
    tifffile.imwrite(tmp_path / "bands.tif", np.moveaxis(colour, -1, 0), planarconfig="separate", photometric="rgb")
    np.testing.assert_array_equal(read_picture(tmp_path / "bands.tif"), colour)


def test_maps_come_back_bit_for_bit(tmp_path: Path, rng: np.random.Generator) -> None:
    map_HW = rng.normal(size=(9, 5)).astype(np.float32)
    write_map(tmp_path / "deep" / "a.tiff", map_HW)
    np.testing.assert_array_equal(read_map(tmp_path / "deep" / "a.tiff"), map_HW)
    map_HW[0, 0] = np.inf
    write_map(tmp_path / "a.tiff", map_HW)
    with pytest.raises(ValueError, match=r"a\.tiff: the map holds values that are not finite"):
        read_map(tmp_path / "a.tiff")
