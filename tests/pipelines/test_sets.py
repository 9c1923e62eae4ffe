"""Pictures as sets hold them, read as `distmap fit` reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from distmap.common.pictures import read_placed_picture
from pipelines.sets import picture_suffix, write_picture


def noise(*shape: int, dtype: type[np.generic] = np.uint8) -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


@pytest.mark.parametrize(
    ("bands", "suffix"), [(1, ".png"), (3, ".png"), (1, ".tif"), (2, ".tif"), (3, ".tif"), (4, ".tif"), (37, ".tif")]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_bands_keep_their_order_and_none_is_alpha(
    tmp_path: Path, bands: int, suffix: str, dtype: type[np.generic]
) -> None:
    picture_HWC = noise(9, 7, bands, dtype=dtype)
    picture_HWC[2:5] = 0  # would hold nothing, were a band alpha
    path = tmp_path / "new" / f"a{suffix}"
    write_picture(path, picture_HWC)
    found = read_placed_picture(path)
    np.testing.assert_array_equal(found.pixels_HWC, picture_HWC)
    assert found.pixels_HWC.dtype == dtype
    assert found.valid_HW is None


@pytest.mark.parametrize(("suffix", "dtype"), [(".png", np.uint8), (".tif", np.uint8), (".tif", np.float32)])
def test_grey_without_a_third_axis(tmp_path: Path, suffix: str, dtype: type[np.generic]) -> None:
    picture_HW = noise(9, 7, dtype=dtype)
    write_picture(tmp_path / f"a{suffix}", picture_HW)
    np.testing.assert_array_equal(read_placed_picture(tmp_path / f"a{suffix}").pixels_HWC[..., 0], picture_HW)


def test_suffixes() -> None:
    assert [picture_suffix(bands) for bands in (1, 2, 3, 4, 9)] == [".png", ".tif", ".png", ".tif", ".tif"]
