"""Which files are pictures, and what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from distmap.common.picture_files import PictureError, find_pictures


def test_folders_are_searched_recursively_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "sub/deep/c.tiff"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [file.name for file in find_pictures([tmp_path])] == ["a.JPG", "b.png", "sub/deep/c.tiff"]
    assert [file.name for file in find_pictures([tmp_path / "sub/deep/c.tiff", str(tmp_path / "sub")])] == [
        "c.tiff",
        "deep/c.tiff",
    ]


def test_hidden_files_and_clutter_are_passed_over(tmp_path: Path) -> None:
    for name in ("a.png", ".DS_Store", "._a.png", ".thumbnails/a.png", "Thumbs.db", "desktop.ini"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [file.name for file in find_pictures([tmp_path])] == ["a.png"]


def test_a_folder_below_a_hidden_one_can_be_given(tmp_path: Path) -> None:
    folder = tmp_path / ".cache" / "pictures"
    folder.mkdir(parents=True)
    (folder / "a.png").touch()
    assert len(find_pictures([folder])) == 1


def test_names_have_one_unicode_form_and_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "e\u0301.png").touch()
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "link").symlink_to(tmp_path / "real")
    assert [file.name for file in find_pictures([tmp_path / "given"])] == ["link/\u00e9.png"]
    assert [file.name for file in find_pictures([tmp_path / "real" / "e\u0301.png"])] == ["\u00e9.png"]


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="nowhere: no such"):
        find_pictures([tmp_path / "nowhere"])
    (tmp_path / "empty" / "inside").mkdir(parents=True)
    with pytest.raises(PictureError, match="empty: the folder holds no pictures"):
        find_pictures([tmp_path / "empty"])
    (tmp_path / "empty" / "notes.txt").write_text("hello")
    with pytest.raises(PictureError, match=r"notes\.txt: not a picture"):
        find_pictures([tmp_path / "empty"])
