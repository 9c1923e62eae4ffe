"""The two folders: which pictures there are, and which of them are kept for validation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distmap.common.picture_files import PictureError, PictureFile
from distmap.data.folders import (
    WITH,
    WITHOUT,
    LabelledPicture,
    list_folders,
    split_groups,
    stratified_subsample,
)

Folders = tuple[Path, Path]
WritePictures = Callable[..., Path]


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
    assert sorted(map(id, split.train + split.validation)) == sorted(map(id, pictures))
    assert not {p.group for p in split.train} & {p.group for p in split.validation}
    for side in (split.train, split.validation):
        assert {p.label for p in side} == {WITH, WITHOUT}


@pytest.mark.parametrize("count", [2, 20, 400])
def test_fraction_kept_for_validation(count: int) -> None:
    pictures = [labelled(label, number) for label in (WITH, WITHOUT) for number in range(count)]
    split = split_groups(pictures, 0.15, 0)
    for label in (WITH, WITHOUT):
        kept = sum(p.label == label for p in split.validation)
        assert kept == max(1, int(np.ceil(0.15 * count)))


def test_fraction_kept_for_validation_by_group() -> None:
    pictures = [labelled(n % 2, n, f"patient{n // 10}") for n in range(1000)]
    split = split_groups(pictures, 0.2, 0)
    assert 0.2 <= len(split.validation) / 1000 < 0.23


@pytest.mark.parametrize("seed", range(5))
def test_a_large_group_is_not_kept_for_validation(seed: int) -> None:
    large = [labelled(n % 2, n, "large") for n in range(800)]
    small = [labelled(n % 2, n, f"small{n // 10}") for n in range(800, 1000)]
    assert 0.15 <= len(split_groups(large + small, 0.15, seed).validation) / 1000 < 0.17


def test_a_large_group_is_kept_for_validation_where_no_other_holds_the_class() -> None:
    pictures = [labelled(WITH, n, f"patient{n // 5}") for n in range(10)]
    pictures += [labelled(WITHOUT, n, f"patient{n % 2}") for n in range(100)]
    assert len({p.group for p in split_groups(pictures, 0.1, 0).validation}) == 1


def test_split_depends_on_the_seed_and_not_on_the_order() -> None:
    pictures = [labelled(label, number) for label in (WITH, WITHOUT) for number in range(30)]
    first = set(split_groups(pictures, 0.2, 0).validation)
    assert set(split_groups(pictures[::-1], 0.2, 0).validation) == first
    assert set(split_groups(pictures, 0.2, 1).validation) != first


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


# --- subsampling -------------------------------------------------------------------------------------------------


def test_a_stratified_subsample_is_spread_evenly(pictures: Folders) -> None:
    listed = list_folders(*pictures, None)
    few = stratified_subsample(listed, 3)
    assert [picture.file.name for picture in few] == [
        *("with_00.png", "with_06.png", "with_11.png"),
        *("without_00.png", "without_06.png", "without_11.png"),
    ]
    assert stratified_subsample(listed, 100) == listed


def test_a_stratified_subsample_takes_what_there_is_of_a_small_class() -> None:
    listed = [labelled(WITHOUT, n) for n in range(9)] + [labelled(WITH, 0)]
    assert [(p.label, p.file.name) for p in stratified_subsample(listed, 2)] == [
        (WITH, "1_0.png"),
        *((WITHOUT, "0_0.png"), (WITHOUT, "0_8.png")),
    ]
    assert stratified_subsample(listed, 0) == []


def test_links_bring_no_picture_into_both_folders(tmp_path: Path) -> None:
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").touch()
    (tmp_path / "with" / "link").symlink_to(tmp_path / "without")
    with pytest.raises(PictureError, match=r"link/a\.png and .*without/a\.png: one file in both folders"):
        list_folders(tmp_path / "with", tmp_path / "without", None)
