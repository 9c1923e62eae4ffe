"""Files: written so that nothing half-written ever stands under a final name, read back, and found in folders."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LONGEST_PREFIX = 40  # characters of the final name in a temporary one, which must fit where the final one just does


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden temporary name beside ``path``; moved onto it when the block ends well, removed when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem[:LONGEST_PREFIX]}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
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
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except IsADirectoryError:
        raise ValueError(f"{path}: is a folder, expected a JSON file") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from error


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Lines of a UTF-8 text file that are not empty, each with its place ("file: line 3")."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is not UTF-8 text") from None
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
    return sorted(found, key=lambda file: tuple(map(same_form, file.relative_to(folder).parts)))


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
