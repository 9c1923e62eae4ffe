"""Tries commands on files and says what went wrong.

A failure names the seed of its input: ``make fuzz FUZZ_COUNT=1 FUZZ_SEED=123 PYTEST_ARGS='-k coco'`` runs it alone.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
from click.testing import CliRunner

COUNT = int(os.environ.get("FUZZ_COUNT", "0"))  # inputs of each kind; 0: as many as each kind has
SEED = int(os.environ.get("FUZZ_SEED", "0"))
MOST_SECONDS = 20.0

Mutate = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One command in a folder of its own: ``in/`` holds what it reads, ``out/`` is where it may write."""

    place: Path
    main: click.Group
    arguments: tuple[object, ...]
    reads_files: bool = True
    """Whether what is wrong is in a file, which must be named."""
    writes_run: bool = False
    """Whether a failure may leave the run changed, as one in the midst of a training does."""


def checked(case: Case) -> str | None:
    """What is wrong with how a command ended; None where nothing is."""
    before = contents(case.place)
    start = time.process_time()  # of this process, so that a busy machine makes no difference
    result = CliRunner().invoke(case.main, [str(argument) for argument in case.arguments])
    seconds = time.process_time() - start
    said = f"{' '.join(map(str, case.arguments))}: "
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        import traceback

        return said + "".join(traceback.format_exception(result.exception))[-1500:]
    if seconds > MOST_SECONDS:
        return f"{said}took {seconds:.0f} s: {result.stderr[-300:]}"
    if result.exit_code not in (0, 2):
        return f"{said}status {result.exit_code}: {result.output[-300:]}"
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    if len(errors) != (1 if result.exit_code else 0) or "Traceback" in result.output:
        return f"{said}{len(errors)} error lines at status {result.exit_code}: {result.output[-500:]}"
    if result.exit_code and not result.stderr.splitlines()[-1].startswith("error: "):
        return f"{said}the last line is no error: {result.stderr[-300:]}"
    if result.exit_code and case.reads_files and str(case.place) not in errors[0]:
        return f"{said}names no file and no setting: {errors[0]}"
    after = contents(case.place)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    allowed = [] if result.exit_code else ["out/"]
    if case.writes_run or not result.exit_code:
        allowed.append("in/run/")
    wrong = sorted(name for name in changed if not name.startswith(tuple(allowed)))
    return f"{said}status {result.exit_code} and changed {wrong[:5]}" if wrong else None


def contents(place: Path) -> dict[str, str]:
    """A sum of every file below the folder that holds the case's own, so that what goes astray is seen."""
    root = place.parent.parent
    files = [path for path in root.rglob("*") if path.is_file()]
    inside = place.relative_to(root).as_posix() + "/"
    return {
        path.relative_to(root).as_posix().removeprefix(inside): hashlib.sha1(path.read_bytes()).hexdigest()
        for path in files
    }


def tried(count: int, place: Path, make: Callable[[Path, random.Random], Case]) -> list[str]:
    """What went wrong in so many cases."""
    faults = []
    for number in range(COUNT or count):
        folder = place / "deep" / "case"
        (folder / "in").mkdir(parents=True)
        (folder / "out").mkdir()
        fault = checked(make(folder, random.Random(SEED + number)))
        if fault is not None:
            faults.append(f"seed {SEED + number}: {fault}")
        shutil.rmtree(place / "deep")
    return faults


def mutate_one(folder: Path, mutate: Mutate, rng: random.Random) -> None:
    """Change one file of a folder, or the file itself."""
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else [folder]
    file = rng.choice(files)
    file.write_bytes(mutate(file.read_bytes(), rng))
