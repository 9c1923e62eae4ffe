"""Signals: what ends a command from outside saves its work as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]

ENDINGS = (signal.SIGTERM, signal.SIGHUP)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def handled(handler: Handler = _interrupt) -> Iterator[None]:
    """Have Ctrl-C, SIGTERM and SIGHUP call ``handler`` in place of what they do, by default raise KeyboardInterrupt.

    SIGTERM and SIGHUP are left alone where they are ignored (``nohup``) or the program has handlers of its own; all are
    outside the main thread, which alone is told of them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in ENDINGS if signal.getsignal(number) in (signal.SIG_DFL, _interrupt)]
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, *ours)}
    try:
        yield
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)
