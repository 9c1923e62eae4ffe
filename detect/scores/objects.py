"""Scores of objects that ask for no overlap: centre hits and counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from detect.detections import DEFAULT_CATEGORY, Detections, Instance


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


@dataclass(frozen=True, kw_only=True)
class CentreScores(CentreHits):
    """Counts over the categories that count; and every category that is true or found by itself."""

    per_category: dict[str, CentreHits]


def centre_hits(
    found: Sequence[Detections],
    truth: Sequence[Detections],
    *,
    use_categories: bool = True,
    counted: Collection[str] | None = None,
) -> CentreScores:
    """Count truth boxes that a detection's centre falls into, each once.

    Detections are taken the surest first (equal scores: in their order), pictures one by one. Of the truth boxes around
    its centre that are still free, a detection takes the one whose centre is nearest. A box is the oriented box where
    the truth gives one, else the axis-aligned one; its border belongs to it.

    Parameters
    ----------
    use_categories
        False: all objects are of one category, called "object".
    counted
        Categories that the sums run over; None: all.
    """

    def count(items: Iterable[Instance]) -> Counter[str]:
        return Counter(item.category if use_categories else DEFAULT_CATEGORY for item in items)

    hits = count(item for item, hit in centre_matches(found, truth, use_categories=use_categories) if hit)
    in_found = count(item for picture in found for item in picture.instances)
    in_truth = count(item for picture in truth for item in picture.instances)
    per_category = {
        name: CentreHits(hits=hits[name], found=in_found[name], true=in_truth[name])
        for name in sorted(in_found | in_truth)
    }
    kept = [item for name, item in per_category.items() if counted is None or name in counted]
    return CentreScores(
        hits=sum(item.hits for item in kept),
        found=sum(item.found for item in kept),
        true=sum(item.true for item in kept),
        per_category=per_category,
    )


def centre_matches(
    found: Sequence[Detections], truth: Sequence[Detections], *, use_categories: bool = True
) -> list[tuple[Instance, bool]]:
    """Every detection and whether it is a hit, by the rule of `centre_hits`."""
    matches = []
    for picture, true in zip(found, truth, strict=True):
        free = list(true.instances)
        for item in sorted(picture.instances, key=lambda item: -1.0 if item.score is None else -item.score):
            x, y = item.centre
            same = [box for box in free if not use_categories or box.category == item.category]
            around = [box for box in same if _inside(box, x, y)]
            if around:
                nearest = min(around, key=lambda box: math.dist(box.centre, (x, y)))
                free = [box for box in free if box is not nearest]
            matches.append((item, bool(around)))
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
