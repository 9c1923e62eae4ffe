"""`Detections`: the objects of one picture, whatever file they come from or go to; `DetectionSet`: of many."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from detect.masks import Box, Mask, Polygon

MOST_COORDINATE = 2.0**31  # pixels
MOST_PIXELS = 2**40  # a million by a million

DEFAULT_CATEGORY = "object"


@dataclass(frozen=True, kw_only=True, eq=False)
class Instance:
    """One object: its mask, or a box where nobody knows the mask.

    Coordinates are pixel edges (see `detect.masks`). What is not given is derived: the boxes from the mask, the
    axis-aligned box from the oriented one.

    Raises
    ------
    ValueError
        No shape is given, a number is not finite, a size is negative, or the score is not within 0..1.
    """

    mask: Mask | None = None
    """Pixels of the object."""
    box: Box | None = None
    """Axis-aligned box (left, top, width, height) as given from outside; None: derived."""
    corners_42: NDArray[np.float64] | None = None
    """Corners (x, y) of the oriented box as given from outside; None: derived."""
    score: float | None = None
    """Confidence in 0..1; None for truth."""
    category: str = DEFAULT_CATEGORY
    difficult: bool = False
    """DOTA's mark for objects that need not be found."""
    crowd: bool = False
    """COCO's `iscrowd`: a region of many objects."""

    def __post_init__(self) -> None:
        if self.mask is None and self.box is None and self.corners_42 is None:
            raise ValueError("an object needs a mask, a box or an oriented box")
        if self.box is not None and not (all(map(math.isfinite, self.box)) and min(self.box[2:]) >= 0):
            raise ValueError(f"box {list(self.box)} is not (x, y, width >= 0, height >= 0) in finite numbers")
        if self.corners_42 is not None and not all(map(math.isfinite, self.corners_42.ravel())):
            raise ValueError(f"oriented box {self.corners_42.ravel().tolist()} holds numbers that are not finite")
        if max(map(abs, self._numbers()), default=0.0) > MOST_COORDINATE:
            raise ValueError(f"a box reaches beyond {MOST_COORDINATE:.0f} pixels, where no picture has anything")
        if self.score is not None and not 0 <= self.score <= 1:
            raise ValueError(f"score {self.score} is not within 0..1")

    def _numbers(self) -> list[float]:
        numbers = [] if self.box is None else list(self.box)
        return numbers if self.corners_42 is None else numbers + self.corners_42.ravel().tolist()

    @property
    def shape(self) -> Literal["mask", "box", "oriented box"]:
        """What the object is known by, in the word that files use."""
        if self.mask is not None:
            return "mask"
        return "box" if self.corners_42 is None else "oriented box"

    @cached_property
    def bbox(self) -> Box:
        """Axis-aligned box: left, top, width, height in pixels, at pixel edges."""
        if self.box is not None:
            return self.box
        if self.mask is not None:
            return self.mask.box
        assert self.corners_42 is not None
        (left, top), (right, bottom) = self.corners_42.min(axis=0).tolist(), self.corners_42.max(axis=0).tolist()
        return left, top, right - left, bottom - top

    @cached_property
    def obb(self) -> NDArray[np.float64]:
        """Oriented box, 4 x 2 corners (x, y): as given, else the least rectangle around the mask, else the box."""
        if self.corners_42 is not None:
            return self.corners_42
        if self.mask is not None:
            from detect.masks import oriented_boxes

            return oriented_boxes([self.mask]).reshape(4, 2)
        import numpy as np

        x, y, width, height = self.bbox
        return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], float)

    @cached_property
    def area(self) -> float:
        """Mask pixels; without a mask, the area of the oriented box."""
        if self.mask is not None:
            return float(self.mask.area)
        corners: list[list[float]] = self.obb.tolist()
        return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(corners, corners[1:] + corners[:1], strict=True))) / 2

    @property
    def polygons(self) -> list[Polygon]:
        """Polygons along the pixel edges of the mask, one a part, holes included; without a mask, the oriented box."""
        if self.mask is None:
            return [[self.obb]]
        from detect.masks import outlines

        return outlines([self.mask])[0]

    @property
    def centre(self) -> tuple[float, float]:
        """Centre (x, y) of the axis-aligned box."""
        x, y, width, height = self.bbox
        return x + width / 2, y + height / 2

    def pixels(self, height: int, width: int) -> Mask | None:
        """The mask; without one, the pixels that pycocotools gives the oriented box. None where there are none."""
        if self.mask is not None:
            return self.mask
        from detect.masks import mask_of_polygons

        return mask_of_polygons([self.obb], height, width)


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """The objects of one picture.

    Raises
    ------
    ValueError
        The picture has no size, a mask reaches outside the picture, or the confidence is not within 0..1.
    """

    name: str
    """File name relative to its folder, with forward slashes."""
    height: int
    width: int
    instances: tuple[Instance, ...] = ()
    group: str | None = None
    """What the picture shares with others (a patient, a scene), where that is known."""
    model: Mapping[str, float] = field(default_factory=dict)
    """Scores of the model for this picture, see `detect.scores.model`."""
    number: int | None = None
    """The id that a file gives the picture; None: none."""
    confidence: float | None = None
    """How sure the masks are, in 0..1, so that the doubtful pictures can be looked at first; None: not known."""

    def __post_init__(self) -> None:
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise ValueError(f"{self.name}: confidence {self.confidence} is not within 0..1")
        if self.height <= 0 or self.width <= 0:
            raise ValueError(f"{self.name}: {self.width} x {self.height} is no picture size")
        if self.height * self.width > MOST_PIXELS:
            raise ValueError(
                f"{self.name}: {self.width} x {self.height} is more than any picture has, {MOST_PIXELS} pixels at most"
            )
        for instance in self.instances:
            mask = instance.mask
            if mask is not None:
                rows, columns = mask.crop_HW.shape
                if mask.x < 0 or mask.y < 0 or mask.y + rows > self.height or mask.x + columns > self.width:
                    raise ValueError(f"{self.name}: a mask reaches outside the {self.width} x {self.height} picture")

    def oriented_boxes(self) -> NDArray[np.float64]:
        """`Instance.obb` of every object, N x 4 x 2, at once, which for masks is much quicker than one by one."""
        import numpy as np

        from detect.masks import oriented_boxes

        derived = [item.corners_42 is None and item.mask is not None for item in self.instances]
        masks = [item.mask for item, wanted in zip(self.instances, derived, strict=True) if wanted and item.mask]
        boxes_N42 = np.zeros((len(self.instances), 4, 2))
        boxes_N42[derived] = oriented_boxes(masks)
        for index in np.flatnonzero(~np.array(derived, bool)).tolist():
            boxes_N42[index] = self.instances[index].obb
        return boxes_N42

    def union_mask(self) -> NDArray[np.bool_]:
        """All objects as one mask, height x width; objects without a mask are drawn as their oriented box."""
        import numpy as np

        from distmap.common.memory import check_memory

        check_memory(2 * self.height * self.width, f"{self.name}: a mask of {self.width} x {self.height} pixels")
        canvas_HW = np.zeros((self.height, self.width), bool)
        for instance in self.instances:
            mask = instance.pixels(self.height, self.width)
            if mask is not None:
                mask.draw(canvas_HW)
        return canvas_HW


@dataclass(frozen=True, kw_only=True)
class Category:
    """A category as a file lists it."""

    name: str
    number: int | None = None
    """The id that a file gives it; None: none."""
    parent: str = ""
    """COCO's `supercategory`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectionSet(Sequence[Detections]):
    """The pictures of a data set with what belongs to the whole of it."""

    pictures: tuple[Detections, ...]
    categories: tuple[Category, ...] = ()
    """What the file lists, in its order, those that no object has too; empty where it has no list."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """What was read but is not among the pictures and objects: how many, by what it is and why."""

    @overload
    def __getitem__(self, index: int) -> Detections: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Detections, ...]: ...

    def __getitem__(self, index: int | slice) -> Detections | tuple[Detections, ...]:
        """One picture, or some."""
        return self.pictures[index]

    def __iter__(self) -> Iterator[Detections]:
        """Every picture."""
        return iter(self.pictures)

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.pictures)
