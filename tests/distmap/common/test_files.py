"""Nothing half-written ever stands under a final name."""

from __future__ import annotations

from pathlib import Path

import pytest

from distmap.common.files import read_json, replacing, write_text


def test_the_file_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path  # a move within one disk
        assert temporary.suffix == ".txt"  # writers go by the suffix
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_text_is_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "x̂ ≥ 0\n")
    assert (tmp_path / "a.txt").read_bytes() == "x̂ ≥ 0\n".encode()


def test_read_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_text(path, '{"a": [1, null]}')
    assert read_json(path) == {"a": [1, None]}
    path.write_bytes(b'{"a": \xff')
    with pytest.raises(ValueError, match=r"a\.json: not a JSON file"):
        read_json(path)
