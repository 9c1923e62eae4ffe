"""Where a file for a picture goes: always below the output folder, whatever the picture is called."""

from __future__ import annotations

import os
import re
from pathlib import Path

_DRIVE = re.compile(r"^[A-Za-z]:(?=/)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])", re.IGNORECASE)
_LONGEST_PART = 255  # bytes of a file or folder name
_LONGEST_NAME = 1024  # bytes of all of them together
_DEEPEST = 64  # folders
_LONGEST_SHOWN = 80  # characters of a name in a message


def name_inside(name: str) -> str:
    r"""The name as a posix path that cannot lead out of a folder.

    Backslashes are slashes. Drive letters, leading slashes, ``.`` and ``..`` are left out.

    Parameters
    ----------
    name
        What a file calls a picture.

    Returns
    -------
    The name, in which nothing changes where it was such a path already. It may be empty.

    Examples
    --------
    >>> name_inside(r"..\label\12.jpg"), name_inside("/data/a.png"), name_inside("C:/b.png"), name_inside("c/d.png")
    ('label/12.jpg', 'data/a.png', 'b.png', 'c/d.png')
    """
    parts = _DRIVE.sub("", name.replace("\\", "/")).split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


def stem_inside(name: str) -> str:
    """`name_inside` without the last suffix: ``a/b.c.png`` gives ``a/b.c``."""
    folder, slash, last = name_inside(name).rpartition("/")
    dot = last.rfind(".")
    return folder + slash + (last[:dot] if 0 < dot < len(last) - 1 else last)


def output_path(folder: Path, name: str, suffix: str) -> Path:
    """Where a file for picture `name` goes: its path without suffix, below `folder`, with another suffix.

    Parameters
    ----------
    name
        What a file calls the picture; see `name_inside` for what is left out.
    suffix
        With its dot.

    Raises
    ------
    ValueError
        The name is empty, too long or too deep, holds control characters or what is no text, or is one that Windows
        keeps for devices.
    """
    shown = repr(name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}...")
    stem = stem_inside(name)
    if not stem:
        raise ValueError(f"{shown}: no file can have this name; rename the picture")
    if _CONTROL.search(stem):
        raise ValueError(f"{shown}: holds control characters, so no file gets this name; rename the picture")
    parts = f"{stem}{suffix}".split("/")
    reserved = next((part for part in parts if _RESERVED.fullmatch(part.partition(".")[0].rstrip())), None)
    if reserved is not None:
        raise ValueError(f"{shown}: Windows keeps the name {reserved!r} for a device; rename the picture")
    try:
        sizes = [len(os.fsencode(part)) for part in parts]
    except UnicodeEncodeError:
        raise ValueError(f"{shown}: is not text that a file name can hold; rename the picture") from None
    if max(sizes) > _LONGEST_PART or sum(sizes) > _LONGEST_NAME or len(sizes) > _DEEPEST:
        raise ValueError(
            f"{shown}: too long for a file name ({_LONGEST_PART} bytes a part, {_LONGEST_NAME} in all, {_DEEPEST} parts"
            " at most); rename the picture"
        )
    return folder.joinpath(*parts)
