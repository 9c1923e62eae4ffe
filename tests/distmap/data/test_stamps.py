"""Pictures that change are named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from distmap.common.picture_files import PictureError, PictureFile
from distmap.data.folders import LabelledPicture
from distmap.data.stamps import check_unchanged, take_stamps


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    files = [tmp_path / f"{number}.png" for number in range(5)]
    for file in files:
        file.write_bytes(b"content")
    return files


def labelled(files: list[Path]) -> list[LabelledPicture]:
    return [LabelledPicture(file=PictureFile(path=file, name=file.name), label=0, group=file.name) for file in files]


def test_what_stays_is_fine(files: list[Path]) -> None:
    check_unchanged(files, take_stamps(labelled(files)))
    check_unchanged(files, {})


def test_what_changes_is_named(files: list[Path]) -> None:
    stamps = take_stamps(labelled(files))
    time = files[0].stat().st_mtime_ns
    files[1].write_bytes(b"other content")
    os.utime(files[1], ns=(time, stamps[files[1]][1]))  # as some programs do
    files[2].unlink()
    with pytest.raises(PictureError, match=r"1\.png, \S*2\.png: changed or removed .* \(2 file\(s\)\)"):
        check_unchanged(files, stamps)
    for file in files:
        file.write_bytes(b"more content than before")
    with pytest.raises(PictureError, match=r"0\.png, \S*1\.png, \S*2\.png, \.\.\.: .* \(5 file\(s\)\)"):
        check_unchanged(files, stamps)
