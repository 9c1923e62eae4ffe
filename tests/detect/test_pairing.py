"""Which file belongs to which picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.pairing import beside, match_names, pair_files


def test_names_match_by_path_then_by_stem() -> None:
    assert match_names(["x/a.png", "b.png"], {"x/a.tif": 1, "y/b.tif": 2, "y/a.tif": 3}) == {"x/a.png": 1, "b.png": 2}
    assert match_names(["a.jpg"], {"a.png": 1, "a.jpg": 2}) == {"a.jpg": 2}
    with pytest.raises(ValueError, match=r"a\.jpg: x/a\.png and y/a\.png both fit"):
        match_names(["a.jpg"], {"x/a.png": 1, "y/a.png": 2})
    with pytest.raises(ValueError, match=r"a\.png: fits both with/a\.jpg and without/a\.jpg"):
        match_names(["with/a.jpg", "without/a.jpg"], {"a.png": 1})


def test_names_match_in_any_unicode_form() -> None:
    apart, together = "u\u0308ber", "\u00fcber"
    assert match_names([f"{apart}.png"], {f"{together}.txt": 1}) == {f"{apart}.png": 1}
    assert match_names([f"x/{together}.png"], {f"y/{apart}.txt": 1}) == {f"x/{together}.png": 1}


def test_two_pictures_do_not_share_a_file(tmp_path: Path) -> None:
    path = beside(tmp_path, "sub/a.png", ".tiff")
    assert path == tmp_path / "sub" / "a.tiff"
    path.touch()
    with pytest.raises(ValueError, match=r"sub/a\.jpg: a\.tiff would be that of another picture too"):
        beside(tmp_path, "sub/a.jpg", ".tiff")


def test_a_file_without_a_picture(tmp_path: Path) -> None:
    files = {"a.txt": tmp_path / "a.txt", "b.txt": tmp_path / "b.txt"}
    assert pair_files(["a.png"], files, partial=True) == {"a.png": tmp_path / "a.txt"}
    with pytest.raises(ValueError, match=r"b\.txt: no picture has this name, so its size is not known"):
        pair_files(["a.png"], files)


def test_files_of_pictures_stay_in_their_folder_and_are_found_again(tmp_path: Path) -> None:
    names = ["10.jpg", "..\\label\\12.jpg", "/abs/one.jpg", "C:\\d\\two.jpg", "../../three.jpg"]
    written = [beside(tmp_path, name, ".txt") for name in names]
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "10.txt",
        "label/12.txt",
        "abs/one.txt",
        "d/two.txt",
        "three.txt",
    ]
    files = {path.relative_to(tmp_path).as_posix(): path for path in written}
    assert pair_files(names, files) == dict(zip(names, written, strict=True))
