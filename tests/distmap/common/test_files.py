"""Nothing half-written ever stands under a final name."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from distmap.common import files
from distmap.common.files import (
    files_by_name,
    files_under,
    filling,
    read_json,
    read_lines,
    replacing,
    write_json,
    write_text,
)


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


def test_a_name_that_just_fits(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 125 + ".json")  # 255 bytes
    write_json(path, [])
    assert read_json(path) == []
    with filling(tmp_path / ("é" * 127)) as folder:
        write_text(folder / "a", "a")
    assert read_json(path) == []


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "deep" / "er" / "a.txt", "a")
    assert (tmp_path / "deep" / "er" / "a.txt").read_text() == "a"


def test_files_and_folders_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    def failing() -> None:
        with replacing(tmp_path / "file") as file, filling(tmp_path / "folder") as folder:
            file.write_text("half")
            (folder / "a").write_text("half")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        failing()
    assert list(tmp_path.iterdir()) == []
    with filling(tmp_path / "folder") as folder:
        (folder / "a").write_text("one")
    with filling(tmp_path / "folder") as folder:
        (folder / "b").write_text("two")
    assert sorted(file.name for file in (tmp_path / "folder").iterdir()) == ["a", "b"]
    with pytest.raises(ValueError, match="is a file, give a folder"), filling(tmp_path / "folder" / "a"):
        pass


def test_finished_files_are_kept_when_the_user_stops(tmp_path: Path) -> None:
    def stopped() -> None:
        with filling(tmp_path / "folder") as folder:
            (folder / "a").write_text("whole")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert (tmp_path / "folder" / "a").read_text() == "whole"


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"x̂": [1, None]})
    assert path.read_text(encoding="utf-8") == '{"x̂": [1, null]}\n'
    assert read_json(path) == {"x̂": [1, None]}
    write_json(path, [1], indent=1)
    assert path.read_text() == "[\n 1\n]\n"
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))
    assert read_json(path) == [1]


def test_json_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')  # as some editors save it
    assert read_json(path) == {"a": 1}
    for content in (b'{"a": \xff', b"{", b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.json: not a JSON file"):
            read_json(path)
    with pytest.raises(ValueError, match="is a folder, expected a JSON file"):
        read_json(tmp_path)


def test_lines_with_their_places(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "one\n\ntwo\n")
    assert read_lines(path) == [(f"{path}: line 1", "one"), (f"{path}: line 3", "two")]
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"a\.txt: is not UTF-8 text"):
        read_lines(path)


def test_files_below_a_folder(tmp_path: Path) -> None:
    for name in ("b.txt", "a.TXT", "sub/c.png", ".hidden/d.txt", ".e.txt"):
        write_text(tmp_path / name, "")
    assert [file.name for file in files_under(tmp_path, {".txt"})] == ["a.TXT", "b.txt"]
    assert files_by_name(tmp_path, {".png"}) == {"sub/c.png": tmp_path / "sub" / "c.png"}
    assert [file.name for file in files_under(tmp_path)] == ["a.TXT", "b.txt", "c.png"]
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        files_under(tmp_path / "nowhere")


# --- what is replaced, and what is not -----------------------------------------------------------------------------


def test_a_pipe_gets_the_content_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_json(pipe, {"a": 1})
    reader.join()
    assert read == ['{"a": 1}\n']
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.fixture
def device(tmp_path: Path) -> Callable[[str], Path]:
    """``device("null")`` -> a device like that of /dev; never that itself where it could be replaced."""

    def find(name: str) -> Path:
        own = Path("/dev") / name
        if os.geteuid():
            return own
        try:
            os.mknod(tmp_path / name, 0o666 | stat.S_IFCHR, own.stat().st_rdev)
        except PermissionError:
            pytest.skip("no devices can be made here")
        return tmp_path / name

    return find


def test_a_device_stays(tmp_path: Path, device: Callable[[str], Path]) -> None:
    null = device("null")
    link = tmp_path / "link.json"
    link.symlink_to(null)
    for path in (link, null):
        write_json(path, [1])
        assert path.is_char_device()
    assert link.is_symlink()
    assert not list(tmp_path.glob(".*"))


def test_a_full_device_is_named(device: Callable[[str], Path]) -> None:
    full = device("full")
    with pytest.raises(OSError, match="No space left") as raised:
        write_text(full, "a")
    assert raised.value.filename == str(full)
    assert full.is_char_device()


@pytest.mark.parametrize("name", ["/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_gets_the_content_in_its_turn(tmp_path: Path, name: str) -> None:
    code = (
        "from pathlib import Path; from distmap.common.files import write_text; print('one'); "
        f"write_text(Path({name!r}), 'two\\n'); print('three')"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "one\ntwo\nthree\n"
    with (tmp_path / "a.txt").open("w") as file:
        subprocess.run(command, check=True, stdout=file)
    assert (tmp_path / "a.txt").read_text() == "one\ntwo\nthree\n"
    assert list(tmp_path.iterdir()) == [tmp_path / "a.txt"]


def test_names_of_streams_are_known() -> None:
    names = ("/dev/stdout", "/dev/../dev/stderr", "/dev/fd/7", "/dev/null", "stdout")
    assert [files._descriptor(Path(name)) for name in names] == [1, 2, 7, None, None]
    assert [files.is_standard_output(Path(name)) for name in names] == [True, False, False, False, False]


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("old", "new"):
        (tmp_path / name).symlink_to(Path("folder") / name)
    (tmp_path / "folder" / "old").write_text("before")
    for name in ("old", "new"):
        write_text(tmp_path / name, "after")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / "folder" / name).read_text() == "after"
    assert len(list(tmp_path.rglob("*"))) == 5


def test_what_is_neither_file_nor_stream_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="is a folder; name a file"):
        write_text(tmp_path, "a")
    monkeypatch.chdir(tmp_path)  # names of sockets must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with pytest.raises(ValueError, match="neither a file nor a stream"):
            write_text(tmp_path / "socket", "a")
    assert (tmp_path / "socket").is_socket()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_filled_folder_keeps_what_is_no_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    make(out / "b")

    def fill() -> None:
        with filling(out) as folder:
            write_text(folder / "a", "a")
            write_text(folder / "b", "b")

    with pytest.raises(ValueError, match=r"out/b: is not a file"):
        fill()
    assert not (out / "b").is_file()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "b"]


# --- interruptions, full disks -------------------------------------------------------------------------------------


def test_what_is_finished_is_kept_after_ctrl_c_also_while_it_is_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupts = iter([False, True])
    move = Path.replace

    def replace(source: Path, target: Path) -> Path:
        if target.parent.name == "out" and next(interrupts, False):
            raise KeyboardInterrupt
        return move(source, target)

    def fill() -> None:
        with filling(tmp_path / "out") as folder:
            for name in "abc":
                write_text(folder / name, name)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        fill()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "c", "out"]


def test_a_folder_that_is_being_filled_is_locked(tmp_path: Path) -> None:
    refused: list[str] = []

    def fill() -> None:
        try:
            with filling(tmp_path / "out", "--maps"):
                pass
        except ValueError as error:
            refused.append(str(error))

    with filling(tmp_path / "out"):
        thread = threading.Thread(target=fill)
        thread.start()
        thread.join()
    assert len(refused) == 1
    assert refused[0].startswith(f"--maps {tmp_path / 'out'}: another command")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_what_was_there_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fsync(_handle: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=os.strerror(code)) as raised:
        write_text(path, "new")
    assert raised.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_errors_name_the_final_file_of_a_folder(tmp_path: Path) -> None:
    def fill() -> None:
        with filling(tmp_path / "out") as folder:
            (folder / "a" / "b").write_text("")

    with pytest.raises(FileNotFoundError) as raised:
        fill()
    assert raised.value.filename == str(tmp_path / "out" / "a" / "b")


def test_files_and_names_are_on_the_disk_in_this_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    move = Path.replace

    def fsync(handle: int) -> None:
        done.append(Path(f"/proc/self/fd/{handle}").readlink().suffix)

    def replace(source: Path, target: Path) -> Path:
        done.append("moved")
        return move(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    folder = tmp_path / "a.folder"
    folder.mkdir()
    write_text(folder / "a.txt", "a")
    assert done == [".txt", "moved", ".folder"]


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    for name in ("real/day1/a.png", "real/day1/deep/b.png", "with/c.png", "with/own/d.png", "outside.png"):
        write_text(tmp_path / name, "")
    given = tmp_path / "with"
    (given / "day1").symlink_to(tmp_path / "real" / "day1")
    (given / "day1 again").symlink_to(tmp_path / "real" / "day1")
    (given / "another own").symlink_to(given / "own")
    (given / "loop").symlink_to(given)
    (given / "above").symlink_to(tmp_path)
    (given / "own" / "self").symlink_to("self")
    (tmp_path / "real" / "day1" / "back").symlink_to(given)
    (given / "nowhere").symlink_to(tmp_path / "missing")
    assert list(files_by_name(given)) == ["c.png", "day1/a.png", "day1/deep/b.png", "own/d.png"]
    only_links = tmp_path / "links"
    only_links.mkdir()
    (only_links / "x").symlink_to(tmp_path / "real" / "day1" / "deep")
    assert list(files_by_name(only_links)) == ["x/b.png"]


def test_names_have_one_unicode_form(tmp_path: Path) -> None:
    apart, together = "u\u0308ber.png", "\u00fcber.png"
    write_text(tmp_path / "a" / apart, "")
    assert files_by_name(tmp_path) == {f"a/{together}": tmp_path / "a" / apart}
    write_text(tmp_path / "a" / together, "")
    with pytest.raises(ValueError, match="the same name as another file, in another Unicode form"):
        files_by_name(tmp_path)
