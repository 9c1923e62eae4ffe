"""One object's pixels, and their exact outlines, boxes and run lengths.

Conventions, everywhere in `detect`: coordinates are pixel edges, so the pixel in column 3 spans x from 3 to 4, and a
block of w x h pixels whose first pixel is (x, y) has the box (x, y, w, h) and the half-open range
[x, x + w) x [y, y + h).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detect.detections import MOST_COORDINATE
from distmap.common.memory import check_memory
from distmap.common.shapes import edge_corners

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, width, height in pixels, at pixel edges."""

Ring: TypeAlias = NDArray[np.float64]
"""N x 2 corners (x, y) at pixel edges, not closed."""

Polygon: TypeAlias = list[Ring]
"""The outer ring, then the holes."""

_Scalar = TypeVar("_Scalar", bound=np.generic)

_LONGEST_RUN = 2**32  # pycocotools counts in 32 bits
_MOST_CHARACTERS, _MOST_RUNS = (
    7,
    2**28,
)  # of a number in compressed run lengths, and so many numbers: 64 bits hold the sums
_LONGEST_OUTLINE = 2**25  # in steps of its grid, each of which takes some 20 bytes
_FAR = 2**16  # pixels beyond the picture from which on polygons are clipped; nearer ones stay exactly as they are

# pycocotools rasterises polygons on a grid this many times finer than the pixels.
_COCO_GRID = 5.0


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Mask:
    """Pixels of one object: the crop that holds them all, and where it lies in the picture.

    The crop is tight (each of its sides holds a pixel), so `box` needs no search, and thousands of small objects on a
    large picture cost their own pixels only.
    """

    x: int
    y: int
    crop_HW: NDArray[np.bool_]

    @classmethod
    def of(cls, mask_HW: ArrayLike) -> Mask | None:
        """The object of the pixels that are not 0, or None where there are none."""
        pixels_HW = np.asarray(mask_HW) != 0
        rows, columns = np.flatnonzero(pixels_HW.any(axis=1)), np.flatnonzero(pixels_HW.any(axis=0))
        if rows.size == 0:
            return None
        top, left = int(rows[0]), int(columns[0])
        return cls(x=left, y=top, crop_HW=pixels_HW[top : rows[-1] + 1, left : columns[-1] + 1].copy())

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.crop_HW))

    @property
    def box(self) -> Box:
        """Exact bounding box."""
        height, width = self.crop_HW.shape
        return float(self.x), float(self.y), float(width), float(height)

    def window(self, array_HW: NDArray[_Scalar]) -> NDArray[_Scalar]:
        """The part of a picture-sized array that the crop covers, as a view."""
        height, width = self.crop_HW.shape
        return array_HW[self.y : self.y + height, self.x : self.x + width]

    def moved(self, right: int, down: int) -> Mask:
        """The same pixels so much further right and down."""
        return Mask(x=self.x + right, y=self.y + down, crop_HW=self.crop_HW)

    def draw(self, canvas_HW: NDArray[Any], value: Any = True) -> None:
        """Set this object's pixels of `canvas_HW` (a picture-sized array) to `value`, in place."""
        self.window(canvas_HW)[self.crop_HW] = value


def union(masks: Sequence[Mask]) -> Mask:
    """All pixels of one or more masks of a picture as one mask."""
    left, top = min(mask.x for mask in masks), min(mask.y for mask in masks)
    right = max(mask.x + mask.crop_HW.shape[1] for mask in masks)
    bottom = max(mask.y + mask.crop_HW.shape[0] for mask in masks)
    crop_HW = np.zeros((bottom - top, right - left), np.bool_)
    for mask in masks:
        mask.moved(-left, -top).draw(crop_HW)
    return Mask(x=left, y=top, crop_HW=crop_HW)


def outlines(masks: Sequence[Mask]) -> list[list[Polygon]]:
    """Polygons along the pixel edges of each mask: one polygon for each part, holes included.

    Pixels that touch by a corner only are parts of their own, which keeps every ring simple. Rasterising the polygons
    (pycocotools) gives the mask back exactly. GDAL's polygonizer does the work, once for all masks on a packed canvas,
    since a call for each mask costs more than its pixels.
    """
    from rasterio.features import shapes

    if not masks:
        return []
    offsets, height, width = _pack([mask.crop_HW.shape for mask in masks])
    canvas_HW = np.zeros((height, width), np.int32)
    for index, (mask, (top, left)) in enumerate(zip(masks, offsets, strict=True), start=1):
        rows, columns = mask.crop_HW.shape
        canvas_HW[top : top + rows, left : left + columns][mask.crop_HW] = index
    result: list[list[Polygon]] = [[] for _ in masks]
    for geometry, value in shapes(canvas_HW, mask=canvas_HW > 0, connectivity=4):
        index = int(value) - 1
        shift = np.array([masks[index].x - offsets[index][1], masks[index].y - offsets[index][0]], float)
        result[index].append([np.asarray(ring[:-1], float) + shift for ring in geometry["coordinates"]])
    return result


def _pack(shapes: Sequence[tuple[int, ...]]) -> tuple[list[tuple[int, int]], int, int]:
    """Places (top, left) for crops on shelves, one pixel apart, and the canvas' height and width."""
    limit = max(2048, *(shape[1] for shape in shapes))
    places: list[tuple[int, int]] = []
    top = left = shelf = width = 0
    for rows, columns in shapes:
        if left and left + columns > limit:
            top, left, shelf = top + shelf + 1, 0, 0
        places.append((top, left))
        left += columns + 1
        shelf, width = max(shelf, rows), max(width, left)
    return places, top + shelf, width


def oriented_boxes(masks: Sequence[Mask]) -> NDArray[np.float64]:
    """Rectangle of least area around each mask's pixel edges (not pixel centres).

    Returns
    -------
    N x 4 x 2 corners (x, y), clockwise on the screen, the one nearest the top left of the picture first.
    """
    import shapely

    if not masks:
        return np.zeros((0, 4, 2))
    corners = [edge_corners(mask.crop_HW) for mask in masks]
    owner = np.repeat(np.arange(len(masks)), [len(points) for points in corners])
    # A line through the corners has their hull, and is made without an object for every point.
    lines = shapely.linestrings(np.concatenate(corners), indices=owner)
    rings = shapely.get_coordinates(shapely.oriented_envelope(lines))
    rings = rings.reshape(len(masks), 5, 2)[:, :4]
    # The rectangle is found around the origin, where floating point is finest, and moved into place.
    boxes: NDArray[np.float64] = order_corners(rings) + np.array([[mask.x, mask.y] for mask in masks], float)[:, None]
    return boxes


def order_corners(corners_N42: NDArray[np.float64]) -> NDArray[np.float64]:
    """Four corners each, put clockwise on the screen (y down), the one with the least x + y first."""
    x, y = corners_N42[..., 0], corners_N42[..., 1]
    turning = np.sum(x * np.roll(y, -1, axis=-1) - np.roll(x, -1, axis=-1) * y, axis=-1)
    ordered = np.where((turning < 0)[..., None, None], corners_N42[..., ::-1, :], corners_N42)
    first = np.argmin(np.round(ordered.sum(axis=-1), 6), axis=-1)
    index = (first[..., None] + np.arange(4)) % 4
    return np.asarray(np.take_along_axis(ordered, index[..., None], axis=-2))


def mask_of_polygons(rings: Sequence[ArrayLike], height: int, width: int) -> Mask | None:
    """Pixels that pycocotools gives polygons in a picture of `height` x `width`; None where there are none.

    Parameters
    ----------
    rings
        Outer rings, each N x 2 or flat (x, y, x, y, ...), N >= 3; the result is their union.
    """
    from pycocotools import mask as coco

    points = [_near(np.asarray(ring, float).reshape(-1, 2), height, width) for ring in rings]
    # Rasterised in a window around the polygons. Each corner is first snapped to the grid that pycocotools works on,
    # with its own rounding (truncation of 5 x + 0.5), so that moving the window cannot change a pixel.
    snapped = [np.trunc(ring * _COCO_GRID + 0.5) for ring in points if len(ring) >= 3]
    if not snapped:
        return None
    corners = np.concatenate(snapped) / _COCO_GRID
    left, top = (max(0, int(value)) for value in np.floor(corners.min(axis=0)) - 1)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 1
    right, bottom = min(width, int(right)), min(height, int(bottom))
    if right <= left or bottom <= top:
        return None
    _check_window(bottom - top, right - left)
    moved = []
    for ring in snapped:
        grid = ring - np.array([left, top]) * _COCO_GRID
        steps = np.abs(np.diff(grid, axis=0, append=grid[:1])).max(axis=1).sum()
        if steps > _LONGEST_OUTLINE:
            raise ValueError(
                f"a polygon of {len(ring)} corners has an outline of {steps / _COCO_GRID:.3g} pixels, more than the "
                f"{_LONGEST_OUTLINE / _COCO_GRID:.3g} that can be drawn; draw it more coarsely or in parts"
            )
        # Truncation goes towards 0, so a negative grid point needs its own offset to come out as itself.
        moved.append((np.where(grid < 0, grid - 0.9, grid) / _COCO_GRID).ravel().tolist())
    rle = coco.merge(coco.frPyObjects(moved, bottom - top, right - left))
    found = Mask.of(coco.decode(rle))
    return None if found is None else Mask(x=found.x + left, y=found.y + top, crop_HW=found.crop_HW)


def _near(ring_N2: Ring, height: int, width: int) -> Ring:
    """A ring without what lies far outside the picture; the pixels inside are the same."""
    if not np.isfinite(ring_N2).all() or np.abs(ring_N2).max(initial=0) > MOST_COORDINATE:
        raise ValueError(f"a polygon has corners that are not finite, or beyond {MOST_COORDINATE:.0f} pixels")
    for axis, side in enumerate((width, height)):
        if ring_N2[:, axis].min(initial=0) < -_FAR:
            ring_N2 = _clipped(ring_N2, axis, -1.0, 1)
        if ring_N2[:, axis].max(initial=0) > side + _FAR:
            ring_N2 = _clipped(ring_N2, axis, side + 1.0, -1)
    return ring_N2


def _clipped(ring_N2: Ring, axis: int, bound: float, sign: int) -> Ring:
    """The part of a ring on one side of a line (Sutherland and Hodgman); along the line it may run to and fro."""
    following = np.roll(ring_N2, -1, axis=0)
    here, there = sign * (ring_N2[:, axis] - bound), sign * (following[:, axis] - bound)
    crossing = (here >= 0) != (there >= 0)
    share = np.divide(here, here - there, out=np.zeros_like(here), where=crossing)
    cut = ring_N2 + share[:, None] * (following - ring_N2)
    cut[:, axis] = bound
    kept: Ring = np.stack([ring_N2, cut], axis=1)[np.stack([here >= 0, crossing], axis=1)]
    return kept


def _check_window(height: int, width: int) -> None:
    if height * width >= _LONGEST_RUN:
        raise ValueError(f"a mask of {width} x {height} pixels is more than the {_LONGEST_RUN - 1} that COCO can count")
    check_memory(3 * height * width, f"a mask of {width} x {height} pixels")


def mask_of_outlines(polygons: Sequence[Polygon], height: int, width: int) -> Mask | None:
    """Pixels of polygons with holes, as `outlines` gives them, in a picture of `height` x `width`; None for none."""
    outer = mask_of_polygons([polygon[0] for polygon in polygons], height, width)
    if outer is None or all(len(polygon) == 1 for polygon in polygons):
        return outer
    rows, columns = outer.crop_HW.shape
    canvas_HW = np.zeros((rows, columns), bool)
    corner = np.array([outer.x, outer.y])
    for polygon in polygons:
        part_HW = np.zeros((rows, columns), bool)
        for ring, value in zip(polygon, [True] + [False] * (len(polygon) - 1), strict=True):
            pixels = mask_of_polygons([np.asarray(ring) - corner], rows, columns)
            if pixels is not None:
                pixels.draw(part_HW, value)
        canvas_HW |= part_HW
    found = Mask.of(canvas_HW)
    return None if found is None else Mask(x=found.x + outer.x, y=found.y + outer.y, crop_HW=found.crop_HW)


def run_lengths(mask: Mask, height: int, width: int) -> list[int]:
    """COCO's uncompressed run lengths of a mask in its picture: column by column, zeros first."""
    column, row = np.nonzero(np.diff(np.pad(mask.crop_HW.T, ((0, 0), (1, 1))).astype(np.int8)))
    edges = (mask.x + column) * height + mask.y + row
    starts, ends = edges[0::2], edges[1::2]
    # A run to the foot of one column goes on at the head of the next.
    separate = starts[1:] != ends[:-1]
    edges = np.column_stack([starts[np.append(True, separate)], ends[np.append(separate, True)]]).ravel()
    counts: list[int] = np.diff(edges, prepend=0, append=height * width).tolist()
    if max(counts) >= _LONGEST_RUN:
        raise ValueError(f"a picture of {width} x {height} is too large for COCO's run lengths, which have 32 bits")
    return counts if counts[-1] else counts[:-1]


def mask_of_run_lengths(rle: Mapping[str, Any]) -> Mask | None:
    """Pixels of a COCO RLE (`size`, `counts` as a list, text or bytes); None where there are none.

    Raises
    ------
    ValueError
        The counts are no whole numbers, or do not add up to the size.
    """
    height, width = rle["size"]
    counts = rle["counts"]
    if isinstance(counts, list):
        most = height * width
        if not all(isinstance(count, int) and 0 <= count <= most for count in counts):
            raise ValueError(f"RLE counts must be whole numbers from 0 to {height} x {width}")
        lengths = np.array(counts, np.int64)
    else:
        lengths = counts_of_text(counts if isinstance(counts, bytes) else counts.encode("utf-8"))
    total = sum(lengths.tolist())
    if total != height * width:
        raise ValueError(f"RLE counts add up to {total}, not to {height} x {width}")
    ends = np.cumsum(lengths)
    starts, stops = (ends - lengths)[1::2], ends[1::2]
    filled = stops > starts
    if not filled.any():
        return None
    first, last = int(starts[filled][0]) // height, (int(stops[filled][-1]) - 1) // height
    _check_window(height, last + 1 - first)
    # Only the columns from the first to the last pixel are drawn.
    edges = np.column_stack([starts[filled], stops[filled]]).ravel() - first * height
    runs = np.diff(edges, prepend=0, append=(last + 1 - first) * height)
    values = np.arange(len(runs)) % 2 == 1
    found = Mask.of(np.repeat(values, runs).reshape(-1, height).T)
    return None if found is None else found.moved(first, 0)


def counts_of_text(text: bytes) -> NDArray[np.int64]:
    """Run lengths of COCO's compressed text: 5 bits a character, lowest first; from the fourth number on what is added
    to the last but one.

    Raises
    ------
    ValueError
        A character that the format has not, a number that does not end, or one that is too large or below 0.
    """
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if codes.size == 0:
        return codes
    if codes.min() < 0 or codes.max() > 63:
        raise ValueError("RLE counts hold a character that COCO's text has not")
    ending = (codes & 32) == 0
    if not ending[-1]:
        raise ValueError("RLE counts end within a number")
    stops = np.flatnonzero(ending)
    begins = np.append(0, stops[:-1] + 1)
    digits = stops - begins + 1
    if digits.max() > _MOST_CHARACTERS:
        raise ValueError("RLE counts hold a number that is too large")
    place = np.arange(codes.size) - np.repeat(begins, digits)
    numbers = np.add.reduceat((codes & 31) << (5 * place), begins)
    negative = (codes[stops] & 16) != 0
    numbers[negative] -= 1 << (5 * digits[negative])
    if len(numbers) > _MOST_RUNS:
        raise ValueError(f"RLE counts hold {len(numbers)} numbers, more than {_MOST_RUNS}")
    for first in (1, 2):
        numbers[first::2] = np.cumsum(numbers[first::2])
    if numbers.min() < 0:
        raise ValueError("RLE counts hold a number below 0")
    return numbers
