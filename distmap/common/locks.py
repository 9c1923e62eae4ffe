"""Locks: of two commands that write into one folder, the second is refused."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LONGEST_NAME = 200  # bytes of a folder's name in that of its lock, which must fit where the folder's just does
TRIES = 100
WITHOUT_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF})

_held: set[tuple[int, Path]] = set()  # by which thread


@contextmanager
def locked(folder: Path, what: str = "", *, wait: bool = False) -> Iterator[None]:
    """Keep other processes, and other threads of this one, out of a folder while the block runs.

    The lock is on a hidden file beside the folder, which need not exist. It goes with the block, and with the process
    however that ends. Where the file system has no locks there is none. A thread may lock a folder that it has locked.

    Parameters
    ----------
    folder : the folder to write to; links to it are the same folder.
    what : what it is to the user, such as ``--run``, for the message.
    wait : wait until the other one is done.

    Raises
    ------
    ValueError
        Another one is in it, and this is not to wait.
    """
    place = folder.resolve()
    mine = (threading.get_ident(), place)
    if mine in _held:
        yield
        return
    path = place.with_name(f".{_short(place.name)}.lock")
    made = _missing_parents(place)
    handle = _acquire(path, place, f"{what} {folder}".strip(), wait)
    _held.add(mine)
    try:
        yield
    finally:
        _held.discard(mine)
        if handle is not None:
            if _is_at(handle, path):
                path.unlink(missing_ok=True)
            os.close(handle)
        for parent in made:
            with suppress(OSError):  # it is used by now
                parent.rmdir()


def _short(name: str) -> str:
    encoded = os.fsencode(name)
    if len(encoded) <= LONGEST_NAME:
        return name
    return f"{name[:40]}.{hashlib.sha256(encoded).hexdigest()[:16]}"


def _missing_parents(place: Path) -> list[Path]:
    """Folders that the lock's file will need, innermost first."""
    return [parent for parent in place.parents if not parent.exists()]


def _acquire(path: Path, place: Path, named: str, wait: bool) -> int | None:
    """A descriptor that holds the lock; None where there can be none."""
    while (handle := _open(path, place)) is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(handle)
            raise ValueError(
                f"{named}: another command is writing there; wait until it has ended, or name another folder"
            ) from None
        except OSError as error:
            os.close(handle)
            if error.errno in WITHOUT_LOCKS:
                return None
            raise
        except BaseException:
            os.close(handle)
            raise
        # The one that held it may have removed the file meanwhile: then the lock is on nothing.
        if _is_at(handle, path) or _is_at(handle, place):
            return handle
        os.close(handle)
    return None


def _open(path: Path, place: Path) -> int | None:
    """The hidden file; the folder itself where no file can be made beside it; None where neither can be had."""
    for _ in range(TRIES):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError:
            continue  # another one has just removed the parent, which it had made for its own lock
        except OSError:
            break
    with suppress(OSError):
        return os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    return None


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat(follow_symlinks=False))
    except OSError:
        return False
