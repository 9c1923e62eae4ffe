"""Whether pictures are still those that were looked at when the training began."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from distmap.common.picture_files import PictureError
from distmap.data.folders import LabelledPicture

NAMED = 3  # files in a message

Stamps = Mapping[Path, tuple[int, int]]
"""Size in bytes and time of the last change in nanoseconds, by path."""


def take_stamps(pictures: Iterable[LabelledPicture]) -> Stamps:
    """Size and time of every file."""
    return {picture.file.path: stamp for picture in pictures if (stamp := _stamp(picture.file.path)) is not None}


def check_unchanged(paths: Iterable[Path], stamps: Stamps) -> None:
    """Raise PictureError, which names them, where files are others than they were; those without stamps may be any."""
    changed = [path for path in paths if path in stamps and _stamp(path) != stamps[path]]
    if changed:
        named = ", ".join(map(str, changed[:NAMED])) + (", ..." if len(changed) > NAMED else "")
        raise PictureError(
            f"{named}: changed or removed while the training ran ({len(changed)} file(s)); put the earlier ones back "
            "and use --resume, or start again with --overwrite"
        )


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
