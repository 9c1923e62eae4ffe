"""Pictures as training data: kept in memory, and drawn as batches by step number."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from distmap.common.picture_files import PictureFile
from distmap.data.batches import PictureStore, batches, symmetries
from distmap.data.folders import WITH, WITHOUT, LabelledPicture, list_folders
from distmap.data.scaling import Scaling

Folders = tuple[Path, Path]
WritePictures = Callable[..., Path]
SCALING = Scaling(low=(0.0,), high=(255.0,), dtype="uint8")


# --- pictures in memory ------------------------------------------------------------------------------------------


def test_store_lays_mixed_sizes_on_the_square(write_pictures: WritePictures) -> None:
    folder = write_pictures("a", {"a.png": np.zeros((5, 90), np.uint8), "b.png": np.full((64, 64), 255, np.uint8)})
    files = [PictureFile(path=path, name=path.name) for path in sorted(folder.iterdir())]
    store = PictureStore([LabelledPicture(file=f, label=WITH, group="") for f in files], SCALING, 32, 1)
    assert len(store) == 2
    for index, value in ((0, -1), (1, 1)):
        assert store[index].dtype == np.float32
        np.testing.assert_allclose(store[index], np.full((1, 32, 32), value), atol=1e-6)


def test_pixels_that_hold_nothing_are_filled(tmp_path: Path) -> None:
    values = np.full((8, 8), 100, np.float32)
    values[:2] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", values)
    file = LabelledPicture(file=PictureFile(path=tmp_path / "a.tif", name="a.tif"), label=WITH, group="a")
    store = PictureStore([file], Scaling(low=(0.0,), high=(200.0,), dtype="float"), 8, cache_mb=1)
    np.testing.assert_allclose(store[0], 0, atol=1e-6)


def test_pictures_are_kept_within_the_limit(two_folders: Folders) -> None:
    pictures = list_folders(*two_folders, None)
    kept, not_kept = (PictureStore(pictures, SCALING, 32, cache_mb) for cache_mb in (1, 0))
    before = [kept[index].copy() for index in range(16)]
    np.testing.assert_array_equal(before, [not_kept[index] for index in range(16)])
    for picture in pictures:
        picture.file.path.unlink()
    np.testing.assert_array_equal(before, [kept[index] for index in range(16)])
    with pytest.raises(OSError, match=r"with_0\.png"):
        not_kept[0]


def test_a_sample_holds_a_few_pictures_of_each_class(two_folders: Folders) -> None:
    store = PictureStore(list_folders(*two_folders, None), SCALING, 32, cache_mb=1)
    sample = store.sample(2)
    assert [picture.file.name for picture in sample.pictures] == [
        *("with_0.png", "with_7.png"),
        *("without_0.png", "without_7.png"),
    ]
    for index, original in enumerate((0, 7, 8, 15)):
        np.testing.assert_array_equal(sample[index], store[original])
    assert len(store.sample(100)) == 16


# --- batches -----------------------------------------------------------------------------------------------------


def test_symmetries() -> None:
    assert symmetries("none") == [(0, False)]
    assert symmetries("mirror") == [(0, False), (0, True)]
    corner = np.array([[1, 2], [3, 4]])
    views = {np.rot90(corner, turn)[:, :: -1 if mirror else 1].tobytes() for turn, mirror in symmetries("all")}
    assert len(symmetries("all")) == len(views) == 8
    assert symmetries("all")[0] == (0, False)


def store_of(folders: Folders, cache_mb: int = 1) -> PictureStore:
    return PictureStore(list_folders(*folders, None), SCALING, 32, cache_mb)


def test_batches_depend_on_seed_and_step_alone(two_folders: Folders) -> None:
    first = list(itertools.islice(batches(store_of(two_folders), "all", 4, (3, 2), start=0), 8))
    later = list(itertools.islice(batches(store_of(two_folders, cache_mb=0), "all", 4, (3, 2), start=5), 3))
    for (x, y), (x_later, y_later) in zip(first[5:], later, strict=True):
        np.testing.assert_array_equal(x, x_later)
        np.testing.assert_array_equal(y, y_later)
    assert not np.array_equal(first[0][0], first[1][0])
    other = next(batches(store_of(two_folders), "all", 4, (4, 2), start=0))
    assert not np.array_equal(first[0][0], other[0])


def test_batches_are_balanced_whatever_the_folders(two_folders: Folders) -> None:
    for path in sorted(two_folders[0].iterdir())[1:]:
        path.unlink()
    x, y = next(batches(store_of(two_folders), "mirror", 6, (0, 2), start=0))
    assert x.shape == (6, 1, 32, 32)
    assert x.dtype == np.float32
    assert sorted(y) == [WITHOUT] * 3 + [WITH] * 3
    for picture, label in zip(x, y, strict=True):
        assert (picture[0, 15, 15] > 0.9) == (label == WITH)


@pytest.mark.parametrize(("symmetry", "views"), [("none", 1), ("mirror", 2), ("all", 8)])
def test_batches_show_every_view_that_the_data_allow(write_pictures: WritePictures, symmetry: str, views: int) -> None:
    ramp = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32)
    halves = write_pictures("with", {"a.png": ramp}), write_pictures("without", {"a.png": ramp})
    scaling = Scaling(low=(0.0,), high=(1023.0,), dtype="uint16")
    store = PictureStore(list_folders(*halves, None), scaling, 32, 1)
    seen = {picture.tobytes() for x, _ in itertools.islice(batches(store, symmetry, 8, (0, 2), 0), 20) for picture in x}
    assert len(seen) == views
