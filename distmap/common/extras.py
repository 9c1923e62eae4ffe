"""Optional packages: what is missing is said in one line with what installs it."""

from __future__ import annotations

import importlib.util
from typing import Literal

Extra = Literal["medical", "scenes", "onnx", "report"]


def need(*packages: str, extra: Extra) -> None:
    """Say so where an optional package is not installed.

    Parameters
    ----------
    packages
        Names as they are imported, such as ``nibabel``.
    extra
        The part of the package's optional dependencies that brings them, as in ``pip install 'distmap[medical]'``.

    Raises
    ------
    ValueError
        One of them is not installed.

    Examples
    --------
    >>> need("json", extra="report")
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        them = "it" if len(missing) == 1 else "them"
        raise ValueError(f"needs {' and '.join(missing)}; install {them} with pip install 'distmap[{extra}]'")
