"""Lines that tell of something a user should know and that is no error."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Notice(UserWarning):
    """What was done with an input that can be taken in more than one way."""


def notice(text: str) -> None:
    """Tell it as a Python warning, which the command lines show as one line."""
    warnings.warn(text, Notice, stacklevel=2)


@contextmanager
def shown_notices() -> Iterator[None]:
    """Notices as lines ``warning: ...`` on standard error, all of them; other warnings as before."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", Notice)
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, Notice):
                print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)
            else:
                usual(message, category, *rest, **more)

        warnings.showwarning = show
        yield
