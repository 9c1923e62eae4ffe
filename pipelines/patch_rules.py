"""Which patches of a scene hold an object, which hold none, and which leave it open; and how objects are cut by them.

Coordinates are pixel edges (x to the right, y down) of the scene that the patches are cut from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.detections import Instance

WITH, WITHOUT, AMBIGUOUS = 1, 0, -1
WHOLE = 1 - 1e-6  # an object with this fraction inside is not cut
DECIMALS = 2  # of coordinates that are written, in pixels

Corners = NDArray[np.int64]
"""Left and top of patches, N x 2."""


def patch_corners(height: int, width: int, patch: int, stride: int) -> Corners:
    """Patches on a grid, row by row; the last of a row or column is flush with the scene's edge."""

    def starts(length: int) -> list[int]:
        return [*range(0, length - patch, stride), length - patch] if length >= patch else []

    return np.array([(left, top) for top in starts(height) for left in starts(width)], np.int64).reshape(-1, 2)


def label_patches(
    corners_N2: Corners, patch: int, things: Sequence[Instance], excluded: Sequence[Instance], inside: float
) -> NDArray[np.int8]:
    """Say of each patch whether it is WITH (1), WITHOUT (0) or ambiguous (-1).

    WITH: at least ``inside`` of the area of a thing that is not difficult lies in the patch. WITHOUT: nothing touches
    it, not even at its edge. Ambiguous: a thing touches it, but no more; or anything excluded touches it, whatever
    else is there.
    """
    import shapely

    boxes_N = shapely.box(corners_N2[:, 0], corners_N2[:, 1], corners_N2[:, 0] + patch, corners_N2[:, 1] + patch)
    labels_N = np.full(len(boxes_N), WITHOUT, np.int8)
    outlines = polygons(things)
    touched, thing = shapely.STRtree(outlines).query(boxes_N, predicate="intersects")
    labels_N[touched] = AMBIGUOUS
    sure = np.array([not item.difficult for item in things], bool)[thing]
    labels_N[touched[sure & (_covered(outlines[thing], boxes_N[touched]) >= inside)]] = WITH
    labels_N[shapely.STRtree(polygons(excluded)).query(boxes_N, predicate="intersects")[0]] = AMBIGUOUS
    return labels_N


def cut_objects(things: Sequence[Instance], left: int, top: int, patch: int, inside: float) -> list[Instance]:
    """Objects as a patch shows them, in its own pixels.

    An object that is cut becomes the least rectangle around what is left of it, and is difficult where less than
    ``inside`` of its area is; one without area in the patch is left out.
    """
    import shapely

    box = shapely.box(left, top, left + patch, top + patch)
    outlines = polygons(things)
    fractions = _covered(outlines, np.full(len(outlines), box))
    shown = []
    for item, outline, fraction in zip(things, outlines, fractions, strict=True):
        if fraction <= 0:
            continue
        corners_42 = item.obb
        if fraction < WHOLE:
            rest = shapely.oriented_envelope(shapely.intersection(outline, box))
            corners_42 = shapely.get_coordinates(rest)[:4]
        difficult = item.difficult or fraction < inside
        shown.append(moved(item, corners_42 - [left, top], difficult=difficult))
    return shown


def moved(item: Instance, corners_42: NDArray[np.float64], *, difficult: bool) -> Instance:
    """The object at another place, to hundredths of a pixel."""
    return Instance(corners_42=np.round(corners_42, DECIMALS), category=item.category, difficult=difficult)


def polygons(items: Sequence[Instance]) -> NDArray[Any]:
    """Outlines of oriented boxes; corners in a wrong order cross over, so their hull is taken."""
    import shapely

    if not items:
        return np.empty(0, object)
    outlines = np.asarray(shapely.polygons(np.stack([item.obb for item in items])))
    crossed = ~shapely.is_valid(outlines)
    outlines[crossed] = shapely.convex_hull(outlines[crossed])
    return outlines


def _covered(outlines: NDArray[Any], boxes: NDArray[Any]) -> NDArray[np.float64]:
    """Fraction of each outline's area in its box; 0 for outlines without area."""
    import shapely

    area = shapely.area(outlines)
    common = shapely.area(shapely.intersection(outlines, boxes))
    return np.asarray(np.divide(common, area, out=np.zeros_like(area), where=area > 0))
