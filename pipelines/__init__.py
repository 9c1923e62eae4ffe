"""The whole job on one kind of data: prepare the two folders, learn, detect.

``synthetic`` writes generated sets whose truth is known. Imports are lazy, so that ``import pipelines`` stays fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.synthetic_sets import synthetic as synthetic

__all__ = ["synthetic"]


def __getattr__(name: str) -> Any:
    if name == "synthetic":
        from pipelines.synthetic_sets import synthetic

        return synthetic
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
