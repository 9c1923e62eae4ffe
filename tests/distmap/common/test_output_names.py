"""Files for pictures go below the output folder, whatever the pictures are called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distmap.common.output_names import name_inside, output_path, stem_inside

OUT = Path("/out/here")
pieces = st.sampled_from(
    ["..", ".", "/", "\\", "//", "C:", "c:\\", "\0", "\n", "a", "b.png", " ", "~", "\ud800", "x" * 300]
)
names = st.one_of(st.text(), st.lists(st.one_of(pieces, st.text(max_size=3)), max_size=12).map("".join))


@given(name=names, suffix=st.sampled_from([".txt", ".png", ".tiff"]))
def test_no_name_leads_out_of_the_folder(name: str, suffix: str) -> None:
    try:
        path = output_path(OUT, name, suffix)
    except ValueError:
        return
    assert os.path.normpath(path) == str(path)
    assert path.is_relative_to(OUT)
    assert path != OUT
    assert path.name.endswith(suffix)
    assert all(len(os.fsencode(part)) <= 255 for part in path.parts)
    assert not any(character in str(path) for character in "\0\n\r")


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("a.png", "a.png"),
        ("sub/a.b.png", "sub/a.b.png"),
        ("..\\label\\12.jpg", "label/12.jpg"),
        ("../../a.png", "a.png"),
        ("x/../../../a.png", "x/a.png"),
        ("/home/me/a.png", "home/me/a.png"),
        ("C:\\data\\a.png", "data/a.png"),
        ("\\\\server\\share\\a.png", "server/share/a.png"),
        ("a:b.png", "a:b.png"),
        ("./a.png", "a.png"),
        (".hidden", ".hidden"),
        ("..", ""),
    ],
)
def test_what_leads_out_is_left_out(name: str, inside: str) -> None:
    assert name_inside(name) == inside


def test_suffixes() -> None:
    assert output_path(OUT, "sub/a.b.png", ".txt") == OUT / "sub/a.b.txt"
    assert [stem_inside(name) for name in ("a", ".a", "a.", "x.y/a", "x/a.tar.gz")] == [
        "a",
        ".a",
        "a.",
        "x.y/a",
        "x/a.tar",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "no file can have this name"),
        ("../..", "no file can have this name"),
        ("a\0.png", "control characters"),
        ("a\nb.png", "control characters"),
        ("x/NUL.png", "keeps the name 'NUL.txt' for a device"),
        ("con/a.png", "keeps the name 'con' for a device"),
        ("a" * 252 + ".png", "too long"),
        ("a/" * 64 + "b.png", "too long"),
        ("\ud800.png", "is not text"),
    ],
)
def test_what_no_file_can_be_called_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        output_path(OUT, name, ".txt")
