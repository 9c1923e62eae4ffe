"""Progress on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def progress(items: Iterable[T], what: str, *, total: int | None = None, every: float = 10.0) -> Iterator[T]:
    """Yield `items` and tell how many there were so far.

    Parameters
    ----------
    what
        What the items are, in the plural.
    every
        Seconds between two lines where standard error is no terminal.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track

        yield from track(items, what, total=total, console=Console(stderr=True))
        return
    said = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - said > every:
            said = time.monotonic()
            print(f"{count}{f' of {total}' if total else ''} {what}", file=sys.stderr)
