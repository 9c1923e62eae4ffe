"""Of two commands that write into one folder, the second is refused."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Keep other processes out of a folder while the block runs, by a hidden file beside it that goes with the block.

    Parameters
    ----------
    what
        What the folder is to the user, such as ``--out``, for the message.

    Raises
    ------
    ValueError
        Another process is in it.
    """
    place = folder.resolve()
    missing = [parent for parent in place.parents if not parent.exists()]
    place.parent.mkdir(parents=True, exist_ok=True)
    path = place.with_name(f".{place.name[:40]}.lock")
    handle = _acquire(path, f"{what} {folder}")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)
        for parent in missing:
            with suppress(OSError):  # it is in use by now
                parent.rmdir()


def _acquire(path: Path, named: str) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The one that held it may have removed the file meanwhile.
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except BlockingIOError:
            os.close(handle)
            raise ValueError(
                f"{named}: another command is writing there; wait until it has ended, or name another folder"
            ) from None
        os.close(handle)
