"""Objects that touch are parted, and pieces of one object are joined, by what a typical object measures.

Both steps are usable alone. An object *fits* where the rectangle of least area around it is at most a quarter longer
and wider than that of the typical object.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from detect.masks import Mask, union
from distmap.common.detection_settings import LARGEST_SIGMA
from distmap.common.object_size import ObjectSize
from distmap.common.shapes import edge_corners, sides

FIT = 1.25  # times the typical length and width, up to which one object may reach
SMOOTHING = 0.1  # of the typical diameter: the noise of the relief that makes no top
TOP_DISTANCE = 0.3  # of the typical diameter, that tops are apart at least
WHOLE = 0.75  # of the typical area, from which on an object is no piece of another

Hull: TypeAlias = NDArray[np.float32]


def split_touching(
    mask: Mask, values_HW: NDArray[np.floating[Any]], size: ObjectSize, *, neck: float = 0.9
) -> list[Mask]:
    """Part what is larger than a typical object where it has a neck, as where cars stand bumper to bumper.

    The relief, distance to the edge times map, is cut into the basins of its tops (watershed). Neighbours are joined
    again, the least parted first, where together they fit a typical object, or where there is no neck between them: the
    pass from one top to the other is at least ``neck`` of the lower one. So a neck in the outline parts, and so does a
    dip in the map; a long truck, which has neither, is one.

    Parameters
    ----------
    mask
        Connected, by corners at least.
    values_HW
        The map at the crop of the mask; what is below 0, as in a gap that was closed, counts as 0.
    size
        Of the typical object.
    neck
        In 0..1; 0 gives the mask back.

    Returns
    -------
    The parts, which add up to the mask, in the order in which their pixels come row by row.
    """
    if neck <= 0 or fits(mask, size):
        return [mask]
    inside_HW = np.pad(mask.crop_HW, 1)
    depth_HW = cv2.distanceTransform(inside_HW.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    product_HW = np.pad(depth_HW[1:-1, 1:-1] * values_HW.clip(0), 1)
    smooth_HW = cv2.GaussianBlur(product_HW, (0, 0), min(LARGEST_SIGMA, max(0.5, SMOOTHING * size.diameter)))
    relief_HW = np.where(inside_HW, np.asarray(smooth_HW, np.float32), np.float32(0))
    apart = min(max(inside_HW.shape), max(1, round(TOP_DISTANCE * size.diameter)))
    labels_HW, count = _basins(relief_HW, inside_HW, apart)
    if count < 2:
        return [mask]
    owner = _merged(labels_HW, count, relief_HW, size, neck)
    parts = _regions(owner[labels_HW][1:-1, 1:-1])
    if len(parts) < 2:
        return [mask]
    return sorted((part.moved(mask.x, mask.y) for part in parts.values()), key=_first_pixel)


def _regions(labels_HW: NDArray[np.int32]) -> dict[int, Mask]:
    """The pixels of each label above 0."""
    from scipy.ndimage import find_objects

    regions = {}
    for label, place in enumerate(find_objects(labels_HW), start=1):
        if place:  # None where no pixel has the label
            rows, columns = place
            regions[label] = Mask(x=columns.start, y=rows.start, crop_HW=labels_HW[place] == label)
    return regions


def _basins(
    relief_HW: NDArray[np.float32], inside_HW: NDArray[np.bool_], min_distance: int
) -> tuple[NDArray[np.int32], int]:
    """Labels from 1 of the basins of the relief's tops, and how many there are."""
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    tops = peak_local_max(relief_HW, min_distance=min_distance, exclude_border=False)  # type: ignore[no-untyped-call]
    if len(tops) < 2:
        return inside_HW.astype(np.int32), 1
    seeds_HW = np.zeros(relief_HW.shape, np.int32)
    seeds_HW[tuple(tops.T)] = np.arange(1, len(tops) + 1)
    # What hangs on by a corner belongs to a basin too.
    labels_HW: NDArray[np.int32] = watershed(  # type: ignore[no-untyped-call]
        -relief_HW, seeds_HW, connectivity=2, mask=inside_HW
    )
    return labels_HW, len(tops)


def _merged(
    labels_HW: NDArray[np.int32], count: int, relief_HW: NDArray[np.float32], size: ObjectSize, neck: float
) -> NDArray[np.int32]:
    """Which region each basin is of once neighbours are joined; index and values are labels, 0 stays 0."""
    tops = np.zeros(count + 1, np.float32)
    np.maximum.at(tops, labels_HW.ravel(), relief_HW.ravel())
    hulls: dict[int, Hull] = {label: _hull(_corners(region)) for label, region in _regions(labels_HW).items()}
    passes: list[dict[int, float]] = [{} for _ in range(count + 1)]
    queue: list[tuple[float, int, int]] = []

    def consider(one: int, other: int) -> None:
        heapq.heappush(queue, (-passes[one][other] / min(tops[one], tops[other]), one, other))

    for (one, other), height in _passes(labels_HW, relief_HW):
        passes[one][other] = passes[other][one] = height
        consider(one, other)
    owner = np.arange(count + 1, dtype=np.int32)
    while queue:
        openness, one, other = heapq.heappop(queue)
        known = owner[one] == one and owner[other] == other and other in passes[one]
        if not known or -openness != passes[one][other] / min(tops[one], tops[other]):
            continue  # of before one of them was joined to another
        if -openness < neck and not _fits([hulls[one], hulls[other]], size):
            continue
        owner[owner == other] = one
        tops[one] = max(tops[one], tops[other])
        hulls[one] = _hull(np.concatenate([hulls[one], hulls[other]]))
        del passes[one][other]
        for third, height in passes[other].items():
            if third != one:
                passes[third].pop(other)
                passes[one][third] = passes[third][one] = max(height, passes[one].get(third, 0.0))
        for third in passes[one]:
            consider(one, third)
    return owner


def _passes(labels_HW: NDArray[np.int32], relief_HW: NDArray[np.float32]) -> Iterable[tuple[tuple[int, int], float]]:
    """Pairs of regions that touch, corners included, and the height of the highest pass between them."""
    height, width = labels_HW.shape
    highest: dict[tuple[int, int], float] = {}
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = slice(0, height - down), slice(max(0, -right), width - max(0, right))
        there = slice(down, height), slice(max(0, right), width - max(0, -right))
        one, other = labels_HW[here], labels_HW[there]
        touch = (one != other) & (one > 0) & (other > 0)
        low, high = np.minimum(one, other)[touch], np.maximum(one, other)[touch]
        passes = np.minimum(relief_HW[here], relief_HW[there])[touch]
        for pair in zip(low.tolist(), high.tolist(), passes.tolist(), strict=True):
            highest[pair[:2]] = max(pair[2], highest.get(pair[:2], 0.0))
    return highest.items()


def _hull(points_N2: NDArray[np.floating[Any]]) -> Hull:
    """Convex hull of points (x, y)."""
    return np.asarray(cv2.convexHull(points_N2.astype(np.float32))[:, 0], np.float32)


def fits(mask: Mask, size: ObjectSize) -> bool:
    """Whether a mask is no larger than a typical object, so `split_touching` gives it back, whatever its values."""
    return _fits([edge_corners(mask.crop_HW)], size)


def _fits(points: Sequence[NDArray[Any]], size: ObjectSize) -> bool:
    length, width = sides(np.concatenate(points))
    return length <= FIT * size.length and width <= FIT * size.width


def join_pieces(masks: Sequence[Mask], size: ObjectSize, *, gap: float) -> list[Mask]:
    """Join pieces of one object: neighbours of which neither is a whole one, and which together fit a typical one.

    Parameters
    ----------
    masks
        Of one picture.
    size
        Of the typical object.
    gap
        The nearest pieces are joined first, up to so many pixels between their edges; 0 gives the masks back.

    Returns
    -------
    The objects; one that is joined stands in the place of its first piece.
    """
    groups = find_pieces(masks, size, gap=gap)
    return [masks[group[0]] if len(group) == 1 else union([masks[index] for index in group]) for group in groups]


def find_pieces(masks: Sequence[Mask], size: ObjectSize, *, gap: float) -> list[list[int]]:
    """Which masks `join_pieces` joins: for each object the numbers of its pieces.

    Of pieces equally near, those whose pixels come first row by row are joined first: the order of masks plays no part.
    """
    if gap <= 0 or len(masks) < 2:
        return [[index] for index in range(len(masks))]
    # Pieces are known by their place among all.
    numbers = sorted(
        (index for index, mask in enumerate(masks) if mask.area < WHOLE * size.area),
        key=lambda index: _first_pixel(masks[index]),
    )
    pieces = _join([masks[index] for index in numbers], size, gap)
    whole = [[index] for index in sorted(set(range(len(masks))) - set(numbers))]
    return sorted([*whole, *(sorted(numbers[piece] for piece in group) for group in pieces)])


def _join(pieces: Sequence[Mask], size: ObjectSize, gap: float) -> list[list[int]]:
    """Join the nearest two that fit one object until none do: for each object the numbers of its pieces."""
    joined = dict(enumerate(pieces))
    groups = {piece: [piece] for piece in joined}
    queue = _near_pairs(pieces, gap)
    neighbours: dict[int, set[int]] = {piece: set() for piece in joined}
    for _, one, other in queue:
        neighbours[one].add(other)
        neighbours[other].add(one)
    done: set[int] = set()
    while queue:
        _, one, other = heapq.heappop(queue)
        if one in done or other in done or one not in joined or other not in joined:
            continue
        if not _fits([_corners(joined[one]), _corners(joined[other])], size):
            continue
        joined[one] = union([joined[one], joined.pop(other)])
        groups[one] += groups.pop(other)
        neighbours[one] |= neighbours.pop(other)
        if joined[one].area >= WHOLE * size.area:
            done.add(one)
            continue
        for third in neighbours[one] - {one}:
            if third in joined:
                neighbours[third].add(one)
                first, second = min(one, third), max(one, third)
                distance = _gap(joined[first], joined[second])
                if distance < gap:
                    heapq.heappush(queue, (distance, first, second))
    return list(groups.values())


def _near_pairs(pieces: Sequence[Mask], gap: float) -> list[tuple[float, int, int]]:
    """A heap of the pairs of pieces less than ``gap`` pixels apart: the distance, then their numbers in order."""
    import shapely

    bounds = np.array([_bounds(mask) for mask in pieces]).reshape(-1, 4)
    tree = shapely.STRtree(shapely.box(*bounds.T))
    near = tree.query(tree.geometries, predicate="dwithin", distance=gap)
    pairs = [(_gap(pieces[one], pieces[other]), one, other) for one, other in near.T.tolist() if one < other]
    heap = [pair for pair in pairs if pair[0] < gap]
    heapq.heapify(heap)
    return heap


def _first_pixel(mask: Mask) -> tuple[int, int]:
    return mask.y, mask.x + int(mask.crop_HW[0].argmax())


def _bounds(mask: Mask) -> tuple[float, float, float, float]:
    left, top, width, height = mask.box
    return left, top, left + width, top + height


def _corners(mask: Mask) -> NDArray[np.float64]:
    return np.add(edge_corners(mask.crop_HW), [mask.x, mask.y])


def _gap(one: Mask, other: Mask) -> float:
    """Pixels between the edges of two masks, along a row, a column or a line in between."""
    from scipy.spatial import KDTree

    points, others = (np.argwhere(mask.crop_HW) + np.array([mask.y, mask.x]) for mask in (one, other))
    return float(np.min(KDTree(points).query(others)[0])) - 1
