"""How large a typical object is."""

from __future__ import annotations

from distmap.common.object_size import ObjectSize


def test_scaled() -> None:
    """Lengths grow with the factor, the area with its square; how alike objects are stays."""
    size = ObjectSize(area=100, length=20, width=8, spread=3, objects=50)
    assert size.scaled(1.5) == ObjectSize(area=225, length=30, width=12, spread=3, objects=50)
    assert size.scaled(1.5).diameter == 1.5 * size.diameter
