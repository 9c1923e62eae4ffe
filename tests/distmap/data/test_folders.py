"""The two folders as training data."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from distmap.common.picture_files import PictureError, PictureFile
from distmap.data.batches import PictureStore, batches, symmetries
from distmap.data.folders import WITH, WITHOUT, LabelledPicture, Split, list_folders, split_groups
from distmap.data.scaling import Scaling
from distmap.data.statistics import survey

Folders = tuple[Path, Path]
WritePictures = Callable[..., Path]
SCALING = Scaling(low=(0.0,), high=(255.0,), dtype="uint8")


def labelled(label: int, number: int, group: str | None = None) -> LabelledPicture:
    name = f"{label}_{number}.png"
    return LabelledPicture(file=PictureFile(path=Path(name), name=name), label=label, group=group or name)


# --- listing -----------------------------------------------------------------------------------------------------


def test_both_folders_are_listed(two_folders: Folders) -> None:
    pictures = list_folders(*two_folders, None)
    assert [p.label for p in pictures] == [WITH] * 8 + [WITHOUT] * 8
    assert len({p.group for p in pictures}) == 16


@pytest.mark.parametrize("pattern", [r"_(\d)", r"\d"])
def test_group_is_the_first_group_or_the_whole_match(two_folders: Folders, pattern: str) -> None:
    assert {p.group for p in list_folders(*two_folders, pattern)} == set("01234567")


def test_one_name_in_both_folders_is_two_groups(write_pictures: WritePictures) -> None:
    grey = np.zeros((4, 4), np.uint8)
    folders = (write_pictures("a", {"x.png": grey}), write_pictures("b", {"x.png": grey}))
    assert len({p.group for p in list_folders(*folders, None)}) == 2


def test_group_is_taken_from_the_stem(write_pictures: WritePictures) -> None:
    grey = np.zeros((4, 4), np.uint8)
    folders = (write_pictures("p9", {"sub7/p1_3.png": grey}), write_pictures("b", {"p2_png.png": grey}))
    assert [p.group for p in list_folders(*folders, r"p(\d)")] == ["1", "2"]


def test_names_that_do_not_match_are_refused(two_folders: Folders) -> None:
    with pytest.raises(PictureError, match=r"with_0\.png: the name does not match --group"):
        list_folders(*two_folders, "(patient)")
    with pytest.raises(PictureError, match=r"with_0\.png: the name does not match --group"):
        list_folders(*two_folders, "(patient)?_")  # matches, but its group does not
    with pytest.raises(ValueError, match=r"--group '\(': not a regular expression"):
        list_folders(*two_folders, "(")


def test_folders_must_be_two(two_folders: Folders, tmp_path: Path) -> None:
    with_folder, _ = two_folders
    with pytest.raises(PictureError, match="given as both folders"):
        list_folders(with_folder, with_folder / ".." / "with", None)
    with pytest.raises(PictureError, match="one lies inside the other"):
        list_folders(tmp_path, with_folder, None)
    with pytest.raises(PictureError, match="one lies inside the other"):
        list_folders(with_folder, tmp_path, None)
    with pytest.raises(PictureError, match="nowhere: no such folder"):
        list_folders(with_folder, tmp_path / "nowhere", None)
    (tmp_path / "link").symlink_to(with_folder)
    with pytest.raises(PictureError, match="given as both folders"):
        list_folders(with_folder, tmp_path / "link", None)


# --- splitting ---------------------------------------------------------------------------------------------------


@given(
    groups=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20),
    seed=st.integers(0, 5),
    holdout=st.floats(0.05, 0.6),
)
def test_split_keeps_groups_whole_and_classes_on_both_sides(
    groups: list[tuple[int, int]], seed: int, holdout: float
) -> None:
    pictures = [
        labelled(label, number, f"g{group}")
        for group, counts in enumerate(groups)
        for label in (WITHOUT, WITH)
        for number in range(counts[label])
    ]
    try:
        split = split_groups(pictures, holdout, seed)
    except PictureError:
        return  # too few groups; that it is rarely so is for the next test
    assert sorted(map(id, split.train + split.kept_out)) == sorted(map(id, pictures))
    assert not {p.group for p in split.train} & {p.group for p in split.kept_out}
    for side in (split.train, split.kept_out):
        assert {p.label for p in side} == {WITH, WITHOUT}


@pytest.mark.parametrize("count", [2, 20, 400])
def test_share_kept_out(count: int) -> None:
    pictures = [labelled(label, number) for label in (WITH, WITHOUT) for number in range(count)]
    split = split_groups(pictures, 0.15, 0)
    for label in (WITH, WITHOUT):
        kept = sum(p.label == label for p in split.kept_out)
        assert kept == max(1, int(np.ceil(0.15 * count)))


def test_share_kept_out_by_group() -> None:
    pictures = [labelled(n % 2, n, f"patient{n // 10}") for n in range(1000)]
    split = split_groups(pictures, 0.2, 0)
    assert 0.2 <= len(split.kept_out) / 1000 < 0.23


@pytest.mark.parametrize("seed", range(5))
def test_a_large_group_is_not_kept_out(seed: int) -> None:
    large = [labelled(n % 2, n, "large") for n in range(800)]
    small = [labelled(n % 2, n, f"small{n // 10}") for n in range(800, 1000)]
    assert 0.15 <= len(split_groups(large + small, 0.15, seed).kept_out) / 1000 < 0.17


def test_a_large_group_is_kept_out_where_no_other_holds_the_class() -> None:
    pictures = [labelled(WITH, n, f"patient{n // 5}") for n in range(10)]
    pictures += [labelled(WITHOUT, n, f"patient{n % 2}") for n in range(100)]
    assert len({p.group for p in split_groups(pictures, 0.1, 0).kept_out}) == 1


def test_split_depends_on_the_seed_and_not_on_the_order() -> None:
    pictures = [labelled(label, number) for label in (WITH, WITHOUT) for number in range(30)]
    first = set(split_groups(pictures, 0.2, 0).kept_out)
    assert set(split_groups(pictures[::-1], 0.2, 0).kept_out) == first
    assert set(split_groups(pictures, 0.2, 1).kept_out) != first


@pytest.mark.parametrize(
    "pictures",
    [
        [labelled(WITH, 0), labelled(WITHOUT, 0), labelled(WITHOUT, 1)],  # one picture WITH
        [labelled(n % 2, n, "all") for n in range(10)],  # one group
        [labelled(WITH, n) for n in range(10)],  # one class
    ],
)
def test_too_few_groups_are_refused(pictures: list[LabelledPicture]) -> None:
    with pytest.raises(PictureError, match="too few"):
        split_groups(pictures, 0.15, 0)


# --- survey ------------------------------------------------------------------------------------------------------


def split_of(*folders: Path) -> Split:
    pictures = list_folders(folders[0], folders[1], None)
    return Split(train=tuple(pictures[::2]), kept_out=tuple(pictures[1::2]))


def test_survey_looks_at_those_that_train(write_pictures: WritePictures) -> None:
    def picture(height: int, width: int, value: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return np.full((height, width), value, np.uint8)

    folders = (
        write_pictures("with", {"a.png": picture(10, 20, 5), "b.png": picture(99, 99, 250)}),
        write_pictures("without", {"a.png": picture(40, 8, 105), "b.png": picture(7, 7, 0)}),
    )
    facts = survey(split_of(*folders))  # trains on the two a.png
    assert (facts.scaling.low, facts.scaling.high) == ((5,), (105,))
    assert (facts.longer_side, facts.longest_side) == (30, 40)


def test_survey_names_the_odd_one_out(write_pictures: WritePictures, tmp_path: Path) -> None:
    grey, colour = np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.uint8)
    folders = (
        write_pictures("with", {"a.png": grey, "b.png": grey}),
        write_pictures("without", {"a.png": grey, "odd.png": colour}),
    )
    with pytest.raises(PictureError, match=r"odd\.png: has 3 band\(s\) where .*a\.png has 1"):
        survey(split_of(*folders))
    (folders[1] / "odd.png").unlink()
    tifffile.imwrite(folders[1] / "odd.tif", np.zeros((8, 8), np.uint16))
    with pytest.raises(PictureError, match=r"odd\.tif: has uint16 values where .*a\.png has uint8"):
        survey(split_of(*folders))


def test_scaling_sees_all_of_a_large_picture(write_pictures: WritePictures) -> None:
    # One pixel in 4096 of such a picture, taken in reading order, would be its left edge.
    large = np.zeros((2048, 2048), np.uint8)
    large[:, 1024:1536] = 200
    folders = (write_pictures("with", {"a.png": large, "b.png": large}), write_pictures("without", {"a.png": large}))
    assert survey(split_of(*folders)).scaling.high == (200,)


# --- pictures in memory ------------------------------------------------------------------------------------------


def test_store_lays_mixed_sizes_on_the_square(write_pictures: WritePictures) -> None:
    folder = write_pictures("a", {"a.png": np.zeros((5, 90), np.uint8), "b.png": np.full((64, 64), 255, np.uint8)})
    files = [PictureFile(path=path, name=path.name) for path in sorted(folder.iterdir())]
    store = PictureStore([LabelledPicture(file=f, label=WITH, group="") for f in files], SCALING, 32, 1)
    assert len(store) == 2
    for index, value in ((0, -1), (1, 1)):
        assert store[index].dtype == np.float32
        np.testing.assert_allclose(store[index], np.full((1, 32, 32), value), atol=1e-6)


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
