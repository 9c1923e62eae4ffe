"""Scores of objects that ask for no overlap: centre hits and counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from detect.detections import Detections, Instance


@dataclass(frozen=True, kw_only=True)
class CentreHits:
    """Counts of objects; add up over pictures."""

    hits: int
    found: int
    true: int

    @property
    def f1(self) -> float | None:
        """2 hits / (found + true); None where nothing is found and nothing is true."""
        return 2 * self.hits / (self.found + self.true) if self.found + self.true else None


def centre_hits(found: Sequence[Detections], truth: Sequence[Detections], *, use_categories: bool = True) -> CentreHits:
    """Count truth boxes that a detection's centre falls into, each once.

    Detections are taken the surest first (equal scores: in their order), pictures one by one. Of the truth boxes around
    its centre that are still free, a detection takes the one whose centre is nearest. A box is the oriented box where
    the truth gives one, else the axis-aligned one; its border belongs to it.
    """
    return CentreHits(
        hits=sum(hit for _, hit in centre_matches(found, truth, use_categories=use_categories)),
        found=sum(len(picture.instances) for picture in found),
        true=sum(len(picture.instances) for picture in truth),
    )


def centre_matches(
    found: Sequence[Detections], truth: Sequence[Detections], *, use_categories: bool = True
) -> list[tuple[float, bool]]:
    """Score of every detection and whether it is a hit, by the rule of `centre_hits`."""
    matches = []
    for picture, true in zip(found, truth, strict=True):
        free = list(true.instances)
        rated = [(1.0 if item.score is None else item.score, item) for item in picture.instances]
        for score, item in sorted(rated, key=lambda pair: -pair[0]):
            x, y = item.centre
            same = [box for box in free if not use_categories or box.category == item.category]
            around = [box for box in same if _inside(box, x, y)]
            if around:
                nearest = min(around, key=lambda box: math.dist(box.centre, (x, y)))
                free = [box for box in free if box is not nearest]
            matches.append((score, bool(around)))
    return matches


def _inside(box: Instance, x: float, y: float) -> bool:
    left, top, width, height = box.bbox
    if box.corners_42 is None or box.mask is not None:
        return left <= x <= left + width and top <= y <= top + height
    import shapely

    return bool(shapely.intersects_xy(shapely.Polygon(box.corners_42), x, y))


def count_mae(found: Sequence[Detections], truth: Sequence[Detections]) -> float | None:
    """Mean over pictures of abs(objects found - objects true); None without pictures."""
    errors = [abs(len(picture.instances) - len(true.instances)) for picture, true in zip(found, truth, strict=True)]
    return sum(errors) / len(errors) if errors else None
