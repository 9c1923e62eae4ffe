"""What a training that runs out of disk or memory tells the user: that its last state is kept, and how to go on."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distmap.common.errors import is_out_of_memory

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def told_how_to_go_on(run: Path) -> Iterator[None]:
    """Say of a full disk and of too little memory in one line what was the matter and how to go on.

    Raises
    ------
    OSError
        The disk is full; it names the file.
    ValueError
        Memory ran out.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        reason = f"{error.strerror}; {_kept(run)}: make room and go on with --resume"
        raise OSError(error.errno, reason, str(error.filename or run)) from error
    except Exception as error:
        # What reads a file raises an error of its own that names it, and memory is the cause.
        if not any(is_out_of_memory(one) for one in (error, error.__cause__) if one is not None):
            raise
        told = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(
            f"--run {run}: memory ran out ({told}); {_kept(run)}: free some and go on with --resume, or start again "
            "with a smaller --image-size, data.batch_size or data.cache_mb"
        ) from error


def _kept(run: Path) -> str:
    from distmap.training.checkpoint import STATE

    return "the last state is kept" if (run / STATE).is_file() else "no state was saved yet"
