"""Of two that write into one folder, the second is refused."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from distmap.common.locks import locked

HOLD = """
import sys
from pathlib import Path
from distmap.common.locks import locked
with locked(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


@contextmanager
def _held_elsewhere(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process is in the folder."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        yield other
        other.kill()


def _refusals(folder: Path) -> list[str]:
    """What another thread is told that wants to lock the folder; empty where it may."""
    refused: list[str] = []

    def lock() -> None:
        try:
            with locked(folder):
                pass
        except ValueError as error:
            refused.append(str(error))

    thread = threading.Thread(target=lock)
    thread.start()
    thread.join()
    return refused


def test_the_second_is_refused_and_told_why(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with (
        _held_elsewhere(run),
        pytest.raises(ValueError, match=r"--run .*run: another command is writing there; wait"),
        locked(run, "--run"),
    ):
        pass


def test_a_link_to_a_folder_is_that_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    with locked(tmp_path / "run"):
        assert _refusals(tmp_path / "link")


def test_a_process_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with _held_elsewhere(run) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
    with locked(run):
        pass
    assert not list(tmp_path.iterdir())


def test_nothing_is_left(tmp_path: Path) -> None:
    with locked(tmp_path / "new" / "folder" / "run"):
        assert [path.name for path in tmp_path.rglob("*.lock")] == [".run.lock"]
    assert not list(tmp_path.iterdir())


def test_what_was_written_meanwhile_stays(tmp_path: Path) -> None:
    run = tmp_path / "new" / "run"
    with locked(run):
        run.mkdir(parents=True)
    assert list(tmp_path.rglob("*")) == [run.parent, run]


def test_other_folders_are_free(tmp_path: Path) -> None:
    with locked(tmp_path / "a"):
        assert not _refusals(tmp_path / "b")


def test_a_thread_may_lock_what_it_has_locked_and_others_may_not(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        with locked(tmp_path / "run"):
            pass
        assert len(_refusals(tmp_path / "run")) == 1
    assert not _refusals(tmp_path / "run")


def test_one_may_wait(tmp_path: Path) -> None:
    entered: list[str] = []

    def wait() -> None:
        with locked(tmp_path / "run", wait=True):
            entered.append("second")

    thread = threading.Thread(target=wait)
    with locked(tmp_path / "run"):
        thread.start()
        thread.join(0.1)
        entered.append("first")
    thread.join()
    assert entered == ["first", "second"]
    assert not list(tmp_path.iterdir())


def test_names_that_just_fit(tmp_path: Path) -> None:
    first, second = tmp_path / ("é" * 126 + "a"), tmp_path / ("é" * 126 + "b")  # 253 bytes
    with locked(first):
        assert _refusals(first)
        assert not _refusals(second)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def flock(_handle: int, _operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tmp_path / "run"):
        pass


def test_where_no_file_can_be_made_beside_it_the_folder_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    actual = os.open

    def read_only(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return actual(path, flags, mode)

    monkeypatch.setattr(os, "open", read_only)
    with locked(run):
        assert len(_refusals(run)) == 1
    assert not _refusals(run)
    assert run.is_dir()
