"""What one look at every picture tells: scaling and usual size."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from numpy.typing import NDArray

from distmap.common.picture_files import PictureError
from distmap.common.pictures import PlacedPicture, read_placed_picture
from distmap.data import statistics
from distmap.data.folders import Split, list_folders
from distmap.data.scaling import Scaling
from distmap.data.settings import DataSettings
from distmap.data.statistics import DatasetStats, dataset_stats

WritePictures = Callable[..., Path]


def split_of(*folders: Path) -> Split:
    pictures = list_folders(folders[0], folders[1], None)
    return Split(train=tuple(pictures[::2]), validation=tuple(pictures[1::2]))


def test_statistics_look_at_those_that_train(write_pictures: WritePictures) -> None:
    def picture(height: int, width: int, value: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return np.full((height, width), value, np.uint8)

    folders = (
        write_pictures("with", {"a.png": picture(10, 20, 5), "b.png": picture(99, 99, 250)}),
        write_pictures("without", {"a.png": picture(40, 8, 105), "b.png": picture(7, 7, 0)}),
    )
    stats = dataset_stats(split_of(*folders), DataSettings())  # trains on the two a.png
    assert (stats.scaling.low, stats.scaling.high) == ((5,), (105,))
    assert (stats.longer_side, stats.longest_side) == (30, 40)


def test_statistics_name_the_odd_one_out(write_pictures: WritePictures, tmp_path: Path) -> None:
    grey, colour = np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.uint8)
    folders = (
        write_pictures("with", {"a.png": grey, "b.png": grey}),
        write_pictures("without", {"a.png": grey, "odd.png": colour}),
    )
    with pytest.raises(PictureError, match=r"odd\.png: has 3 band\(s\) where .*a\.png has 1"):
        dataset_stats(split_of(*folders), DataSettings())
    (folders[1] / "odd.png").unlink()
    tifffile.imwrite(folders[1] / "odd.tif", np.zeros((8, 8), np.uint16))
    with pytest.raises(PictureError, match=r"odd\.tif: has uint16 values where .*a\.png has uint8"):
        dataset_stats(split_of(*folders), DataSettings())


def test_a_few_pictures_are_open_at_a_time_and_an_odd_one_ends_it_at_once(
    write_pictures: WritePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    grey = np.zeros((8, 8), np.uint8)
    names = [f"{number:03}.png" for number in range(60)]
    pictures = dict.fromkeys(names, grey)
    odd = {**pictures, "010.png": np.zeros((8, 8, 3), np.uint8)}
    opened: list[Path] = []
    read_ones: list[weakref.ref[NDArray[np.generic]]] = []
    most = 0

    def read(path: Path) -> PlacedPicture:
        nonlocal most
        opened.append(path)
        picture = read_placed_picture(path)
        read_ones.append(weakref.ref(picture.pixels_HWC))
        most = max(most, sum(each() is not None for each in read_ones))
        return picture

    monkeypatch.setattr(statistics, "read_placed_picture", read)
    split = split_of(write_pictures("with", pictures), write_pictures("without", pictures))
    dataset_stats(split, DataSettings())
    assert len(opened) == 120 + 1  # the first one twice
    assert most <= statistics.OPEN_PICTURES
    opened.clear()
    with pytest.raises(PictureError, match=r"010\.png"):
        dataset_stats(split_of(write_pictures("odd", odd), write_pictures("without", pictures)), DataSettings())
    assert len(opened) <= 10 + 2 * statistics.OPEN_PICTURES


def test_pixels_that_hold_nothing_have_no_part_in_the_scaling(tmp_path: Path) -> None:
    for folder in ("with", "without"):
        (tmp_path / folder).mkdir()
        heights = np.linspace(98, 110, 400, dtype=np.float32).reshape(20, 20)
        heights[:3] = np.nan if folder == "with" else -9999
        profile = {"driver": "GTiff", "height": 20, "width": 20, "count": 1, "dtype": "float32", "nodata": -9999}
        with rasterio.open(tmp_path / folder / "a.tif", "w", **profile) as file:
            file.write(heights, 1)
    scaling = dataset_stats(split_of(tmp_path / "with", tmp_path / "without"), DataSettings()).scaling
    assert 99 < scaling.low[0] < 101
    assert 109 < scaling.high[0] <= 110


def test_scaling_sees_all_of_a_large_picture(write_pictures: WritePictures) -> None:
    # One pixel in 4096 of such a picture, taken in reading order, would be its left edge.
    large = np.zeros((2048, 2048), np.uint8)
    large[:, 1024:1536] = 200
    folders = (write_pictures("with", {"a.png": large, "b.png": large}), write_pictures("without", {"a.png": large}))
    assert dataset_stats(split_of(*folders), DataSettings()).scaling.high == (200,)


def test_settings_say_what_is_cut_and_how_many_pixels_are_looked_at(tmp_path: Path) -> None:
    values = np.arange(100, dtype=np.uint16).reshape(10, 10)
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "a.tif", values)
    split = split_of(tmp_path / "with", tmp_path / "without")
    cut = dataset_stats(split, DataSettings(tail=0.1)).scaling
    assert (*cut.low, *cut.high) == pytest.approx((9.9, 89.1))
    # Of 100 pixels four: every fifth row and column.
    few = dataset_stats(split, DataSettings(tail=0.0, sampled_pixels=4)).scaling
    assert (few.low, few.high) == ((0,), (55,))


def test_statistics_survive_json() -> None:
    scaling = Scaling(low=(0.5, -1.0), high=(2.25, 1e-3), dtype="float")
    stats = DatasetStats(scaling=scaling, longer_side=30, longest_side=40)
    assert stats.bands == 2
    assert DatasetStats.from_json(json.loads(json.dumps(stats.to_json()))) == stats


def test_what_is_no_statistics_is_refused() -> None:
    stats = DatasetStats(scaling=Scaling(low=(0.0,), high=(1.0,), dtype="float"), longer_side=3, longest_side=4)
    with pytest.raises(ValueError, match="longer_side is missing"):
        DatasetStats.from_json({"scaling": stats.to_json()["scaling"]})
    with pytest.raises(ValueError, match="scaling None"):
        DatasetStats.from_json(stats.to_json() | {"scaling": None})
