"""Files: written so that nothing half-written ever stands under a final name, read back, and found in folders."""

from __future__ import annotations

import filecmp
import json
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from distmap.common.checked_files import LARGEST_JSON, parse_json, read_bounded, read_utf8
from distmap.common.errors import naming, naming_os_errors
from distmap.common.locks import locked

LONGEST_PREFIX = 40  # characters of the final name in a temporary one, which must fit where the final one just does
STANDARD_STREAMS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
DESCRIPTOR = re.compile(r"/(?:dev/fd|proc/self/fd)/(\d+)")

_unfinished: set[Path] = set()  # hidden folders that are being filled


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden temporary name beside ``path``; moved onto it when the block ends well, removed when it does not.

    What was written is on the disk before it has the final name. A link is followed: the file that it leads to is
    replaced. A stream (a pipe, or a device such as ``/dev/stdout`` or ``/dev/null``) gets the content in the end.

    Raises
    ------
    ValueError
        ``path`` is a folder, or a device that holds data.
    """
    if _is_stream(path):
        with _written_through(path) as temporary:
            yield temporary
        return
    final = path.resolve() if path.is_symlink() else path
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.stem[:LONGEST_PREFIX]}.{secrets.token_hex(4)}.part{final.suffix}")
    try:
        with naming(path, hidden=temporary):
            yield temporary
            if _unfinished.isdisjoint(final.parents):
                move_file(temporary, final)
                _flush_names(final.parent)
            else:
                temporary.replace(final)  # ``filling`` has all on the disk in the end
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def filling(folder: Path, what: str = "", *, replace: bool = True) -> Iterator[Path]:
    """An empty hidden folder beside ``folder``; what it holds is moved into ``folder`` when the block ends, unless it
    failed.

    Files that ``folder`` holds already are kept, or replaced where names agree; without ``replace`` the content must
    agree, too. Ctrl-C is no failure: what is finished
    is kept, so files are to be written with ``replacing``. Others are kept out of ``folder`` meanwhile, see
    ``distmap.common.locks.locked``, also for ``what``.

    Raises
    ------
    ValueError
        There is a file of this name, another command is writing there, or something else than a file has the name of
        a file that is to be moved there, or a file of other content has, where none is to be replaced.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file, give a folder")
    with locked(folder, what):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:LONGEST_PREFIX]}."))
        _unfinished.add(temporary)
        try:
            with naming_os_errors(folder, temporary):
                try:
                    yield temporary
                    _move_files(temporary, folder, replace)
                except KeyboardInterrupt:
                    _move_files(temporary, folder, replace)
                    raise
        finally:
            _unfinished.discard(temporary)
            shutil.rmtree(temporary, ignore_errors=True)


def move_file(source: Path, target: Path) -> None:
    """Move a file onto a name on the same disk, in one move, once its content is on the disk.

    Raises
    ------
    ValueError
        Something that is not a file has this name.
    """
    _check_replaceable(target)
    _flush(source)
    source.replace(target)


def _move_files(source: Path, target: Path, replace: bool) -> None:
    files = sorted(path for path in source.rglob("*") if path.is_file())
    places = [target / file.relative_to(source) for file in files]
    for file, place in zip(files, places, strict=True):
        _check_replaceable(place)
        if not replace and place.is_file() and not filecmp.cmp(file, place, shallow=False):
            raise ValueError(
                f"{place}: is there already and says something else; name another folder, or give --overwrite"
            )
    for file in files:
        _flush(file)
    target.mkdir(parents=True, exist_ok=True)
    for file, place in zip(files, places, strict=True):
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)
    for folder in {place.parent for place in places}:
        _flush_names(folder)


def _check_replaceable(place: Path) -> None:
    if place.exists() and not place.is_file():
        raise ValueError(f"{place}: is not a file, and is not replaced; remove it, or name another folder")


def _flush(path: Path) -> None:
    """Have a file on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _flush_names(folder: Path) -> None:
    """Have the names in a folder on the disk, where its file system can do that."""
    with suppress(OSError):
        _flush(folder)


def _is_stream(path: Path) -> bool:
    """Whether a name is that of a stream, which is written to; raises ValueError where it can be neither."""
    if _descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    if stat.S_ISDIR(mode):
        raise ValueError(f"{path}: is a folder; name a file")
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise ValueError(f"{path}: is neither a file nor a stream; name a file")
    return not stat.S_ISREG(mode)


def is_standard_output(path: Path) -> bool:
    """Whether a name stands for standard output, so that nothing else is to be written there."""
    return _descriptor(path) == 1


def _descriptor(path: Path) -> int | None:
    """Which of this process's open files a name stands for, such as 1 for ``/dev/stdout``."""
    name = os.path.normpath(path.absolute())  # unlike resolve, it does not follow the link to what a stream leads to
    match = DESCRIPTOR.fullmatch(name)
    return int(match[1]) if match else STANDARD_STREAMS.get(name)


@contextmanager
def _written_through(path: Path) -> Iterator[Path]:
    """A temporary file whose content goes to a stream when the block ends well."""
    with tempfile.TemporaryDirectory(prefix="distmap-") as folder:
        temporary = Path(folder) / path.name
        with naming_os_errors(path, temporary):
            yield temporary
            sys.stdout.flush()
            descriptor = _descriptor(path)
            target = path.open("wb") if descriptor is None else os.fdopen(os.dup(descriptor), "wb")
            with temporary.open("rb") as content, target as stream:
                shutil.copyfileobj(content, stream)


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
    """What `files_under` finds, by posix path relative to the folder, in the form of `same_form`.

    Raises
    ------
    ValueError
        There is no such folder, or two names are the same but for the form of their letters.
    """
    found: dict[str, Path] = {}
    for file in files_under(folder, suffixes):
        name = same_form(file.relative_to(folder).as_posix())
        if name in found:
            raise ValueError(f"{file}: has the same name as another file, in another Unicode form; rename one")
        found[name] = file
    return found


def same_form(name: str) -> str:
    """A name in the one Unicode form (NFC) in which names are compared: some systems store accents apart."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def files_under(folder: Path, suffixes: Iterable[str] | None = None) -> list[Path]:
    """Files below a folder (recursively, sorted, hidden ones left out), of these suffixes where some are given.

    Folders that are links are followed, each folder once: its own place counts before links to it, and links to what
    the folder lies in are left out.

    Raises
    ------
    ValueError
        There is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    wanted = None if suffixes is None else frozenset(suffixes)
    found = [file for file in _walk(folder) if (wanted is None or file.suffix.lower() in wanted) and file.is_file()]
    for file in found:
        check_name(file)
    return sorted(found, key=lambda file: tuple(map(same_form, file.relative_to(folder).parts)))


def check_name(file: Path) -> None:
    """Raise ValueError where a name is not UTF-8, since no file that lists it could say it."""
    try:
        str(file).encode("utf-8")
    except UnicodeEncodeError:
        shown = str(file).encode("utf-8", "backslashreplace").decode("utf-8")
        raise ValueError(f"{shown}: the name is not UTF-8; rename it") from None


def _walk(folder: Path) -> Iterator[Path]:
    """All that is no folder, below a folder."""
    start = folder.resolve()
    seen = {start, *start.parents}
    own, links = deque([folder]), deque[Path]()
    while own or links:
        if own:
            place = own.popleft()
        else:
            place = links.popleft()
            target = place.resolve()
            if target in seen:
                continue
            seen.add(target)
        with os.scandir(place) as entries:
            inside = sorted(entry.name for entry in entries if not entry.name.startswith("."))
        for name in inside:
            path = place / name
            if not path.is_dir():
                yield path
            elif path.is_symlink():
                links.append(path)
            elif (target := path.resolve()) not in seen:
                seen.add(target)
                own.append(path)
