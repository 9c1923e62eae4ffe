"""The parts of the examples that compute something."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

import pipelines


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    path = Path(__file__).resolve().parent.parent / "examples" / "demo.py"
    spec = importlib.util.spec_from_file_location("demo", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_colours_of_a_map(demo: ModuleType) -> None:
    """White is 0, red is only in WITH, blue the reverse; colours are blue, green, red."""
    map_HW = np.array([[0, 2, -2, 1, 9]], dtype=np.float32)
    expected = [[[255, 255, 255], [0, 0, 255], [255, 0, 0], [128, 128, 255], [0, 0, 255]]]
    np.testing.assert_array_equal(demo.red_and_blue(map_HW, limit=2.0), expected)


def test_sheet(demo: ModuleType, tmp_path: Path) -> None:
    pipelines.synthetic(tmp_path / "data", split="presence", count=1, image_size=64)
    test = tmp_path / "data" / "test"
    for folder in ("maps", "masks"):
        (tmp_path / folder).mkdir()
    for effect in (test / "effects").iterdir():
        found = cv2.imread(str(effect), cv2.IMREAD_UNCHANGED)
        assert found is not None
        assert cv2.imwrite(str(tmp_path / "maps" / f"{effect.stem}.tiff"), found)
        assert cv2.imwrite(str(tmp_path / "masks" / f"{effect.stem}.png"), np.where(found > 0, 255, 0).astype(np.uint8))

    sheet = demo.sheet(tmp_path, with_pictures=2, without_pictures=1)

    step = demo.CELL + 4
    assert sheet.shape == (4 * step, demo.LABELS + 3 * step, 3)
    truth = cv2.imread(str(test / "masks" / "with_00001.png"), cv2.IMREAD_UNCHANGED)
    assert truth is not None
    left = demo.LABELS + step
    shown = [sheet[row * step : row * step + demo.CELL : 2, left : left + demo.CELL : 2] for row in range(4)]
    np.testing.assert_array_equal(shown[1][truth > 0], np.broadcast_to([0, 0, 255], (int((truth > 0).sum()), 3)))
    assert (shown[1][truth == 0] == 255).all()
    np.testing.assert_array_equal(shown[2][..., 0], truth)
    np.testing.assert_array_equal(shown[3][..., 0], truth)


def test_missing_result_is_named(demo: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"gone\.png is missing"):
        demo.read(tmp_path / "gone.png")
