"""Which file belongs to which picture, told by names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import TypeVar

from distmap.common.files import same_form
from distmap.common.output_names import output_path, stem_inside

T = TypeVar("T")


def match_names(names: Iterable[str], available: Mapping[str, T]) -> dict[str, T]:
    """Pair picture names with entries of `available`: by path without suffix, else by a stem that is there once.

    Names are compared in one Unicode form, see `distmap.common.files.same_form`.

    Parameters
    ----------
    names
        Posix paths of pictures, relative to their folder.
    available
        What to find, by posix path relative to its own folder.

    Returns
    -------
    Entries found, by picture name; names without an entry are absent.

    Raises
    ------
    ValueError
        Several entries share a picture's stem, or several pictures would get the same entry.
    """
    by_path: dict[str, list[str]] = {}
    by_stem: dict[str, list[str]] = {}
    for key in available:
        by_path.setdefault(without_suffix(same_form(key)), []).append(key)
        by_stem.setdefault(_stem(same_form(key)), []).append(key)
    found: dict[str, str] = {}
    for name in names:
        same = same_form(name)
        candidates = by_path.get(without_suffix(same)) or by_stem.get(_stem(same)) or []
        if name in candidates:
            candidates = [name]
        if len(candidates) > 1:
            both = " and ".join(candidates[:2])
            raise ValueError(f"{name}: {both} both fit; keep one, or use the same subfolders")
        if candidates:
            found[name] = candidates[0]
    taken: dict[str, str] = {}
    for name, key in found.items():
        if key in taken:
            raise ValueError(f"{key}: fits both {taken[key]} and {name}; use the same subfolders on both sides")
        taken[key] = name
    return {name: available[key] for name, key in found.items()}


def pair_files(names: Iterable[str], files: Mapping[str, Path], *, partial: bool = False) -> dict[str, Path]:
    """The file of each picture that has one, as `match_names` finds it.

    Parameters
    ----------
    partial
        Whether files without a picture are left out; otherwise they are an error.

    Raises
    ------
    ValueError
        A file has no picture, or what `match_names` refuses.
    """
    found = match_names(names, files)
    alone = sorted(set(files.values()) - set(found.values()))
    if alone and not partial:
        raise ValueError(f"{alone[0]}: no picture has this name, so its size is not known")
    return found


def without_suffix(name: str) -> str:
    """The posix path without its last suffix, as files are called that are written for the picture.

    ``a/b.c.png`` gives ``a/b.c``; what leads out of a folder is left out (`distmap.common.output_names`).
    """
    return stem_inside(name)


def _stem(name: str) -> str:
    return PurePosixPath(without_suffix(name)).name


def beside(folder: Path, name: str, suffix: str) -> Path:
    """Where a file for picture `name` goes: its path without suffix, below `folder`, with another suffix.

    Raises
    ------
    ValueError
        The file is there already, so two pictures differ in their suffix only; or no file can have this name.
    """
    path = output_path(folder, name, suffix)
    if path.exists():
        raise ValueError(f"{name}: {path.name} would be that of another picture too; rename one")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
