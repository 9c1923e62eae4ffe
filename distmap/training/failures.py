"""Disk and memory of a training: what cannot fit is refused, and what runs out tells the user how to go on."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distmap.common.errors import is_out_of_memory
from distmap.common.memory import check_memory

# Of a step on a CPU, for each pixel of a batch: a fifth of what the default branched GAN was measured to take (2.8 KB).
LEAST_BYTES = 500
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def check_step_fits(image_size: int, batch_size: int) -> None:
    """Refuse, before anything is written, a training of which a single step takes more memory than there is.

    Raises
    ------
    ValueError
        It does; the message has the estimate, which is a low one.
    """
    named = f"setting image_size={image_size} (with data.batch_size={batch_size}): a step of the training"
    check_memory(LEAST_BYTES * batch_size * image_size**2, named)


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
