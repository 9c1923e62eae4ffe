"""Maps that were saved earlier stand in for those that a run makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detect.rasters import write_map
from detect.saved_maps import map_files, saved_maps

WritePictures = Callable[..., Path]


def picture(value: int, height: int = 6, width: int = 9) -> NDArray[np.uint8]:
    return np.full((height, width), value, np.uint8)


def write_maps(folder: Path, maps: dict[str, NDArray[Any]]) -> Path:
    for name, map_HW in maps.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_map(path, np.asarray(map_HW, np.float32))
    return folder


def test_maps_come_in_the_order_of_the_pictures(tmp_path: Path, write_pictures: WritePictures) -> None:
    """Each with its own values, sorted by name within a source, the sources as they are given."""
    first = write_pictures("first", {"b.png": picture(2), "a.png": picture(1), "sub/c.png": picture(3)})
    second = write_pictures("second", {"A0.png": picture(4)})
    names = ("a", "b", "sub/c", "A0")
    folder = write_maps(
        tmp_path / "maps", {f"{name}.tiff": picture(0) + value / 8 for value, name in enumerate(names, start=1)}
    )
    found = list(saved_maps(folder, [first, second]))
    assert [item.name for item in found] == ["a.png", "b.png", "sub/c.png", "A0.png"]
    assert [item.map_HW.tolist() for item in found] == [np.full((6, 9), value / 8).tolist() for value in (1, 2, 3, 4)]
    assert all(item.map_HW.dtype == np.float32 and item.scores == {} for item in found)
    assert [item.name for item in saved_maps(folder, [second, first / "b.png"])] == ["A0.png", "b.png"]


def test_subfolders_keep_pictures_of_one_name_apart(tmp_path: Path, write_pictures: WritePictures) -> None:
    images = write_pictures("images", {"x/a.png": picture(1), "y/a.png": picture(2)})
    folder = write_maps(tmp_path / "maps", {"y/a.tiff": picture(0) + 2.0, "x/a.tiff": picture(0) + 1.0})
    assert [(item.name, item.map_HW[0, 0]) for item in saved_maps(folder, [images])] == [("x/a.png", 1), ("y/a.png", 2)]
    with pytest.raises(ValueError, match=r"a\.png: .* both fit"):
        list(saved_maps(folder, [images / "x" / "a.png"]))


def test_a_picture_without_a_map_is_named(tmp_path: Path, write_pictures: WritePictures) -> None:
    """Before the first map is read."""
    images = write_pictures("images", {name: picture(1) for name in ("a.png", "b.png", "sub/c.png")})
    folder = write_maps(tmp_path / "maps", {"a.tiff": picture(0)})
    with pytest.raises(ValueError, match=r"b\.png: has no map in .*maps \(2 of 3 pictures have none\)"):
        next(iter(saved_maps(folder, [images])))
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        next(iter(saved_maps(tmp_path / "nowhere", [images])))


def test_a_map_of_another_size_is_named(tmp_path: Path, write_pictures: WritePictures) -> None:
    images = write_pictures("images", {"a.png": picture(1), "b.png": picture(1)})
    folder = write_maps(tmp_path / "maps", {"a.tiff": picture(0), "b.tiff": picture(0, 9, 6)})
    maps = iter(saved_maps(folder, [images]))
    assert next(maps).name == "a.png"
    with pytest.raises(ValueError, match=r"b\.tiff: the map is 6 x 9, .*b\.png is 9 x 6"):
        next(maps)


def test_files_by_name(tmp_path: Path) -> None:
    folder = write_maps(tmp_path / "maps", {"a.tiff": picture(0), "sub/b.tiff": picture(0), "more.tiff": picture(0)})
    assert map_files(folder, ["sub/b.png", "a.jpg"]) == {
        "a.jpg": folder / "a.tiff",
        "sub/b.png": folder / "sub" / "b.tiff",
    }
    assert map_files(folder, []) == {}
