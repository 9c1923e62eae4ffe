"""Which files are pictures, and what they are called."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from distmap.common.files import files_by_name, same_form

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
CLUTTER = frozenset({"thumbs.db", "desktop.ini"})


class PictureError(ValueError):
    """A file or folder that cannot serve as pictures; the message names it and says what to do."""


@dataclass(frozen=True, kw_only=True)
class PictureFile:
    """A picture on disk. ``name`` is relative to the folder it was found in, with forward slashes, in
    one Unicode form (`distmap.common.files.same_form`)."""

    path: Path
    name: str


def find_pictures(sources: Iterable[str | Path]) -> list[PictureFile]:
    """Pictures in files and folders (searched recursively), sorted by name within each source.

    Hidden files and folders are passed over, and linked folders followed, as `distmap.common.files.files_under` does.

    Raises
    ------
    PictureError
        A source does not exist or holds no picture, or a file is not of a kind that can be read.
    """
    found: list[PictureFile] = []
    for source in map(Path, sources):
        if source.is_dir():
            inside = {name: path for name, path in files_by_name(source).items() if path.name.lower() not in CLUTTER}
            if not inside:
                raise PictureError(f"{source}: the folder holds no pictures; put {_kinds()} files there")
            found += [PictureFile(path=path, name=name) for name, path in inside.items()]
        elif source.is_file():
            found.append(PictureFile(path=source, name=same_form(source.name)))
        else:
            raise PictureError(f"{source}: no such file or folder")
    for picture in found:
        if picture.path.suffix.lower() not in PICTURE_SUFFIXES:
            raise PictureError(f"{picture.path}: not a picture; move it elsewhere (pictures are {_kinds()} files)")
    return found


def _kinds() -> str:
    return "PNG, JPEG, BMP, WebP or TIFF"
