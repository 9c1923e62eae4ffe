"""From maps to files in one call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detect.conversion import read_annotations, write_annotations
from detect.extraction import ExtractionConfig
from detect.job import extract_and_write
from detect.rasters import read_map
from detect.saved_maps import SavedMap
from distmap.common.mask_files import read_mask

CONFIG = ExtractionConfig(threshold=0.5, category="car")


def block(name: str) -> SavedMap:
    """A map with one object of 3 x 2 pixels."""
    map_HW = np.zeros((8, 9), np.float32)
    map_HW[2:4, 3:6] = 0.75
    return SavedMap(name=name, map_HW=map_HW)


def test_annotations_maps_and_masks(tmp_path: Path) -> None:
    out, maps, masks = tmp_path / "a.json", tmp_path / "maps", tmp_path / "masks"
    found = extract_and_write([block("a.png"), block("sub/b.png")], CONFIG, out, map_folder=maps, mask_folder=masks)
    assert [(picture.name, picture.instances[0].bbox) for picture in found] == [
        ("a.png", (3, 2, 3, 2)),
        ("sub/b.png", (3, 2, 3, 2)),
    ]
    assert [picture.instances[0].category for picture in read_annotations(out)] == ["car", "car"]
    np.testing.assert_array_equal(read_map(maps / "sub" / "b.tiff"), block("").map_HW)
    np.testing.assert_array_equal(read_mask(masks / "a.png").values_HW, (block("").map_HW > 0) * 255)


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two pictures have this name"):
        extract_and_write([block("a.png")] * 2, CONFIG, tmp_path / "a.json", mask_folder=tmp_path / "masks")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("done", [0, 1])
def test_what_is_done_is_kept_when_the_user_stops(tmp_path: Path, done: int) -> None:
    def stopped() -> Iterator[SavedMap]:
        yield from [block("a.png")] * done
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_and_write(stopped(), CONFIG, tmp_path / "a.json", mask_folder=tmp_path / "masks")
    assert (tmp_path / "a.json").is_file() == (tmp_path / "masks" / "a.png").is_file() == bool(done)


def test_what_is_done_is_kept_when_the_user_stops_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops = iter([True, False])

    def write(*arguments: Any, **options: Any) -> None:
        if next(stops):
            raise KeyboardInterrupt
        write_annotations(*arguments, **options)

    monkeypatch.setattr("detect.job.write_annotations", write)
    with pytest.raises(KeyboardInterrupt):
        extract_and_write([block("a.png")], CONFIG, tmp_path / "a.json", map_folder=tmp_path / "maps")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.json", "a.tiff", "maps"]


def test_maps_and_masks_may_share_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract_and_write([block("a.png")], CONFIG, tmp_path / "a.json", map_folder=out, mask_folder=out)
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "a.tiff"]


def test_what_cannot_be_drawn_on(tmp_path: Path) -> None:
    """Nothing is written where a picture is missing, is of another size, or has the name of a mask."""
    assert cv2.imwrite(str(tmp_path / "small.png"), np.zeros((2, 3), np.uint8))
    out, overlays = tmp_path / "a.json", tmp_path / "overlays"
    for files, message in (({}, r"a\.png: there is no picture"), ({"a.png": tmp_path / "small.png"}, "is 3 x 2")):
        with pytest.raises(ValueError, match=message):
            extract_and_write([block("a.png")], CONFIG, out, overlay_folder=overlays, picture_files=files)
    with pytest.raises(ValueError, match="masks go there"):
        extract_and_write([], CONFIG, out, overlay_folder=overlays, mask_folder=overlays)
    assert [path.name for path in tmp_path.iterdir()] == ["small.png"]
