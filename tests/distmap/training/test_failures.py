"""Full disks and too little memory in one line that says how to go on."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from distmap.common.errors import naming
from distmap.training.failures import check_step_fits, told_how_to_go_on


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run" / "state").mkdir(parents=True)
    (tmp_path / "run" / "state" / "latest.pt").touch()
    return tmp_path / "run"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_memory(run: Path, error: Exception) -> None:
    with pytest.raises(ValueError, match=r"--run .*run: memory ran out \(.*the last state is kept.*--resume"):
        fail(run, error)
    (run / "state" / "latest.pt").unlink()
    with pytest.raises(ValueError, match="no state was saved yet"):
        fail(run, error)


def test_memory_that_ends_while_a_file_is_read(run: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"memory ran out \(.*one\.png: .*the last state is kept"),
        told_how_to_go_on(run),
        naming("one.png"),
    ):
        raise MemoryError


@pytest.mark.parametrize("named", [True, False])
def test_disk(run: Path, named: bool) -> None:
    name = str(run / "metrics.jsonl")
    with pytest.raises(OSError, match=r"No space left on device; the last state is kept: .* --resume") as raised:
        fail(run, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *([name] if named else [])))
    assert raised.value.filename == (name if named else str(run))


@pytest.mark.parametrize("error", [RuntimeError("defect"), ValueError("wrong"), PermissionError(errno.EACCES, "no")])
def test_others_stay_as_they_are(run: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        fail(run, error)
    assert raised.value is error


def fail(run: Path, error: Exception) -> None:
    with told_how_to_go_on(run):
        raise error


def test_steps_that_cannot_fit_are_refused() -> None:
    check_step_fits(64, 8)
    with pytest.raises(ValueError, match=r"image_size=8192 \(with data.batch_size=4096\): a step .* would take .* GB"):
        check_step_fits(8192, 4096)
