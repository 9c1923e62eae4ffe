"""How large a typical object is, found in maps without any label."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from distmap.common.shapes import edge_corners, sides

LONGEST = 100_000  # pixels that an object may be long
MOST_SPREAD = 6.0  # of objects that are alike, see `ObjectSize.countable`
SEVERAL = 0.05  # of the pictures, that hold several objects where these come in numbers
FEWEST_OBJECTS = 8  # fewer say nothing
AS_THICK = 0.8  # of the usual thickness in the same picture, that what is no fragment has
BANDWIDTH = 0.2  # of the density over the logarithm of areas
ALIKE_MODE = 0.67  # of the highest mode's density, from which on a mode counts as much
ROW, ROW_MODE, ROW_THICK = 3.0, 0.18, 0.6  # how much smaller, less dense and thinner what makes the rows may be
NEAR_MODE = 1.5  # objects whose area is within this factor of the mode are the typical ones


@dataclass(frozen=True, kw_only=True)
class ObjectSize:
    """The typical object, in pixels of the pictures.

    Raises
    ------
    ValueError
        A number is not finite, or too small to be that of an object.
    """

    area: float
    length: float
    """Of the rectangle of least area around it; at least `width`."""
    width: float
    spread: float = 1.0
    """How many times larger the largest objects are than the smallest, the outermost tenths left aside; by area, or by
    the square of their thickness where that differs less, as it does where objects touch in rows."""
    several: float = 0.0
    """Share of the pictures that hold several objects, of those that hold any."""
    objects: int = 0
    """How many it was found from; 0: somebody said it."""

    def __post_init__(self) -> None:
        sides = 0 < self.width <= self.length <= LONGEST and 0 < self.area <= LONGEST**2
        if not (sides and 1 <= self.spread < np.inf and self.objects >= 0 and 0 <= self.several <= 1):
            raise ValueError(
                f"object size: area {self.area}, length {self.length}, width {self.width}, spread {self.spread}, "
                f"several {self.several}, objects {self.objects}; all must be finite, the first three above 0, the "
                f"length at least the width and at most {LONGEST}, the spread at least 1, several a fraction"
            )

    @property
    def diameter(self) -> float:
        """Side of a square of the same area."""
        return float(np.sqrt(self.area))

    @property
    def countable(self) -> bool:
        """Whether objects are alike in size or come in numbers, as cars do; where not, as with tumours, one with a neck
        is no two."""
        return self.spread < MOST_SPREAD or self.several >= SEVERAL

    def scaled(self, factor: float) -> ObjectSize:
        """The same object where a length has ``factor`` times as many pixels."""
        return replace(self, area=self.area * factor**2, length=self.length * factor, width=self.width * factor)


def describe_objects(size: ObjectSize | None) -> str:
    """One line for people: how large objects are, and what follows."""
    if size is None:
        return "too few to tell their size, so none is split"
    measures = f"about {size.length:.0f} x {size.width:.0f} pixels"
    if size.countable:
        return measures
    return f"{measures}, but of no typical size (the largest {size.spread:.0f} times the smallest), so none is split"


def parse_object_size(text: str) -> ObjectSize:
    """The size that somebody says: ``35x16`` for length x width, or ``24`` for the side of a square as large."""
    try:
        sides = [float(word) for word in text.lower().split("x")]
        if len(sides) > 2:
            raise ValueError
        width, length = min(sides), max(sides)
        return ObjectSize(area=length * width, length=length, width=width)
    except ValueError:
        raise ValueError(
            f"object size {text!r}: give auto, a length and a width in pixels such as 35x16, or one number, "
            "the side of a square as large"
        ) from None


def find_object_size(maps: Iterable[NDArray[np.floating]], threshold: float) -> ObjectSize | None:
    """The typical object of maps, H x W each, of pictures that hold objects; None where too few are found.

    Objects are the 8-connected parts that reach the threshold, each as it is: nothing is split. Those that the
    picture's border cuts are left out, and so are fragments: parts that are thin beside the usual thickness in their
    picture (the median over parts, weighed by area times thickness). The typical ones are around the first of the high
    modes of the density of the logarithm of area; or around a lower mode at a third of the area of the highest or less
    where objects are about as thick, since rows of touching objects are made of them. (At a half there are halves,
    too.)
    """
    found = [_objects(map_HW, threshold) for map_HW in maps]
    whole = [item for objects, _ in found for item in objects]
    if len(whole) < FEWEST_OBJECTS:
        return None
    area, thickness, length, width = np.array(whole).T
    typical = _typical(area, thickness)
    return ObjectSize(
        area=float(np.median(area[typical])),
        length=float(np.median(length[typical])),
        width=float(np.median(width[typical])),
        spread=min(_spread(area), _spread(thickness**2)),
        several=float(np.mean([count > 1 for _, count in found if count])),
        objects=len(whole),
    )


def _objects(map_HW: NDArray[np.floating], threshold: float) -> tuple[list[tuple[float, ...]], int]:
    """Area, thickness (diameter of the largest disk inside), length and width of each whole object of a map; and how
    many objects it has, cut ones too."""
    height, width = map_HW.shape
    taken_HW = (map_HW >= threshold).astype(np.uint8)
    count, labels_HW, stats, _ = cv2.connectedComponentsWithStats(taken_HW, connectivity=8)
    # What lies beyond the border is not known, so a part does not become thinner there.
    depth_HW = cv2.distanceTransform(np.pad(taken_HW, 1, mode="edge"), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    parts: list[tuple[float, ...]] = []
    whole: list[bool] = []
    for label in range(1, count):
        left, top, columns, rows, area = stats[label].tolist()
        place = slice(top, top + rows), slice(left, left + columns)
        part_HW = labels_HW[place] == label
        thickness = 2 * float(depth_HW[place][part_HW].max()) - 1
        parts.append((area, thickness, *sides(edge_corners(part_HW))))
        whole.append(left > 0 and top > 0 and left + columns < width and top + rows < height)
    if not parts:
        return [], 0
    area_N, thickness_N = np.array(parts).T[:2]
    thick_N = thickness_N >= AS_THICK * _weighted_median(thickness_N, area_N * thickness_N)
    kept = [part for part, thick, uncut in zip(parts, thick_N.tolist(), whole, strict=True) if thick and uncut]
    return kept, int(thick_N.sum())


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulated, cumulated[-1] / 2)])


def _spread(values: NDArray[np.float64]) -> float:
    low, high = np.quantile(values, [0.1, 0.9]).tolist()
    return float(high / low)


def _typical(area: NDArray[np.float64], thickness: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which objects are the typical ones."""
    logs = np.log(area)
    grid = np.arange(logs.min() - BANDWIDTH, logs.max() + 2 * BANDWIDTH, BANDWIDTH / 10)
    density = np.exp(-0.5 * ((grid[:, None] - logs) / BANDWIDTH) ** 2).sum(axis=1)
    before, after = np.pad(density, 1)[:-2], np.pad(density, 1)[2:]

    def near(mode: float) -> NDArray[np.bool_]:
        close: NDArray[np.bool_] = np.abs(logs - mode) <= np.log(NEAR_MODE)
        return close

    modes = (density >= before) & (density > after)
    high = grid[modes & (density >= ALIKE_MODE * density.max())][0]
    thick = ROW_THICK * np.median(thickness[near(high)])
    largest = grid[density.argmax()] - np.log(ROW)  # block that rows at the highest mode may be made of
    for mode in grid[modes & (density >= ROW_MODE * density.max()) & (grid < high) & (grid <= largest)]:
        if np.median(thickness[near(mode)]) >= thick:
            return near(mode)
    return near(high)
