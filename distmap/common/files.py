"""Files: written so that nothing half-written ever stands under a final name, read back, and found in folders."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distmap.common.checked_files import LARGEST_JSON, parse_json, read_bounded, read_utf8
from distmap.common.errors import naming

LONGEST_PREFIX = 40  # characters of the final name in a temporary one, which must fit where the final one just does


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden temporary name beside ``path``; moved onto it when the block ends well, removed when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem[:LONGEST_PREFIX]}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        with naming(path):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """An empty hidden folder beside ``folder``; what it holds is moved into ``folder`` when the block ends, unless it
    failed.

    Files that ``folder`` holds already are kept, or replaced where names agree. Ctrl-C is no failure: what is finished
    is kept.

    Raises
    ------
    ValueError
        There is a file of this name.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file, give a folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:LONGEST_PREFIX]}."))
    try:
        try:
            yield temporary
        except KeyboardInterrupt:
            _move_files(temporary, folder)
            raise
        _move_files(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move_files(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) in one move."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any, *, indent: int | None = None) -> None:
    """Write a JSON file in one move, on one line unless there is an indent.

    Raises
    ------
    ValueError
        A number is not finite.
    """
    write_text(path, json.dumps(content, allow_nan=False, ensure_ascii=False, indent=indent) + "\n")


def read_json(path: Path) -> Any:
    """What a JSON file holds; raises ValueError that names the file where it is damaged or a folder."""
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, expected a JSON file")
    return parse_json(read_bounded(path, LARGEST_JSON), path)


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Lines of a UTF-8 text file that are not empty, each with its place ("file: line 3")."""
    lines = read_utf8(path).splitlines()
    return [(f"{path}: line {number}", line) for number, line in enumerate(lines, start=1) if line.strip()]


def files_by_name(folder: Path, suffixes: Iterable[str] | None = None) -> dict[str, Path]:
    """What `files_under` finds, by posix path relative to the folder."""
    return {file.relative_to(folder).as_posix(): file for file in files_under(folder, suffixes)}


def files_under(folder: Path, suffixes: Iterable[str] | None = None) -> list[Path]:
    """Files below a folder (recursively, sorted, hidden ones left out), of these suffixes where some are given.

    Raises
    ------
    ValueError
        There is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    wanted = None if suffixes is None else frozenset(suffixes)
    found = sorted(
        file
        for file in folder.rglob("*")
        if (wanted is None or file.suffix.lower() in wanted)
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and file.is_file()
    )
    for file in found:
        check_name(file)
    return found


def check_name(file: Path) -> None:
    """Raise ValueError where a name is not UTF-8, since no file that lists it could say it."""
    try:
        str(file).encode("utf-8")
    except UnicodeEncodeError:
        shown = str(file).encode("utf-8", "backslashreplace").decode("utf-8")
        raise ValueError(f"{shown}: the name is not UTF-8; rename it") from None
