"""What a file, the memory or the disk is behind becomes one line; what the program is at fault for does not."""

from __future__ import annotations

import errno
import zipfile
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors import SafetensorError

from distmap.common.commands import CommandGroup
from distmap.common.errors import naming, plain
from distmap.common.files import files_under, replacing, write_text
from distmap.common.memory import available_memory, check_memory


class DataSourceError(RuntimeError):
    """Stands for pyogrio's."""


DataSourceError.__module__ = "pyogrio.errors"

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")
FILES = [
    (SafetensorError("bad header"), "SafetensorError: bad header"),
    (zipfile.BadZipFile("no zip"), "BadZipFile: no zip"),
    (DataSourceError("no layer"), "DataSourceError: no layer"),
    (RecursionError("depth"), "is nested too deeply"),
    (OverflowError("int too large"), r"holds a number that is too large \(int too large\)"),
    (MemoryError(), "takes more memory than there is"),
    (
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried"),
        "more memory than there is",
    ),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "more memory than there is"),
    (RuntimeError("[enforce fail at inline_container.cc:603] . unexpected pos"), "is the disk full"),
    (EOFError("Ran out of input"), "Ran out of input"),
    (NO_SPACE, "No space left on device"),
    (ValueError("two\nlines"), "two lines"),
]


@pytest.mark.parametrize(("error", "line"), FILES)
def test_one_line_and_status_2(error: Exception, line: str) -> None:
    @click.group(cls=CommandGroup)
    def main() -> None: ...

    @main.command()
    def fail() -> None:
        raise error

    result = CliRunner().invoke(main, ["fail"])
    assert result.exit_code == 2
    (said,) = result.stderr.strip().splitlines()
    assert said.startswith("error: ")
    with pytest.raises(AssertionError, match=line):
        raise AssertionError(said)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), KeyError("x"), AssertionError(), TypeError("x")])
def test_defects_keep_their_traceback(error: Exception) -> None:
    assert plain(error) is None
    with pytest.raises(type(error)), naming("a.json"):
        raise error


def test_what_opencv_says() -> None:
    with pytest.raises(cv2.error) as caught:
        cv2.GaussianBlur(np.zeros((0, 0), np.float32), (3, 3), 1)
    assert str(plain(caught.value)).startswith("damaged, or cannot be worked on")


def test_errors_get_the_name_of_the_file_once() -> None:
    with pytest.raises(ValueError, match=r"^a\.json: is nested too deeply$"), naming("a.json"):
        raise RecursionError
    with pytest.raises(ValueError, match=r"^a\.json: line 3$"), naming("a.json"):
        raise ValueError("a.json: line 3")
    with pytest.raises(ValueError, match=r"^b\.json: bad$"), naming("a.json", None, "b.json"):
        raise ValueError("b.json: bad")
    with pytest.raises(OSError, match="No space") as caught, naming("a.json"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert plain(caught.value) == "a.json: No space left on device"


def fill(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.symlink_to("/dev/full")
        temporary.write_text("x")


def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with replacing(tmp_path / "a.pt") as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed")

    with pytest.raises(ValueError, match=r"a\.pt: cannot be written; is the disk full"):
        write()
    if Path("/dev/full").exists():
        with pytest.raises(OSError, match="No space"):
            fill(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    write_text(tmp_path / "a.png", "")
    path = tmp_path / "b\udce9.png"
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system takes no such names")
    with pytest.raises(ValueError, match=r"b\\udce9\.png: the name is not UTF-8; rename it"):
        files_under(tmp_path)


def test_memory_is_estimated() -> None:
    check_memory(1000, "a mask")
    if available_memory() is not None:
        with pytest.raises(ValueError, match=r"a mask would take 1,000,000\.0 GB of memory, and [\d.,]+ GB are free"):
            check_memory(1e15, "a mask")
