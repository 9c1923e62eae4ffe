"""DOTA average precision: VOC matching with oriented or horizontal boxes.

The rules, as DOTA publishes them (Xia et al., CVPR 2018, after PASCAL VOC):

1. Categories are scored one by one; the mean runs over the categories that have truth.
2. All detections of a category, of all pictures together, are taken in descending order of score (equal scores: in the
   order given).
3. A detection's partner is the truth object of its picture and category with the greatest IoU, the first of several,
   whether it is taken already or not.
4. IoU > 0.5 (not >=) with a partner that is not difficult: a hit when the partner is free, which it then no longer is;
   a false alarm when it is taken (a duplicate). With a difficult partner: neither, however often.
5. Otherwise the detection is a false alarm.
6. Recall counts truth that is not difficult. The 11-point form takes the greatest precision at recall >= t for
   t = 0, 0.1, ..., 1 as floating point adds them up (0.30000000000000004 is one of them); the area form integrates the
   precision's upper envelope over recall.

Oriented IoU is that of the polygons, exact. Horizontal boxes follow the pixel-inclusive rule of VOC: sides are
x_max - x_min + 1, after the coordinates of the truth are cut to whole numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from detect.detections import DEFAULT_CATEGORY, Detections, Instance

AveragePrecisionRule = Literal["voc07", "area"]
BoxKind = Literal["oriented", "horizontal"]

_ELEVEN_POINTS = np.arange(0.0, 1.1, 0.1)


@dataclass(frozen=True, kw_only=True)
class DotaScores:
    """Average precision in 0..1."""

    mean: float | None
    """Mean over the categories that count and have truth that is not difficult; None without any."""
    per_category: dict[str, float]
    """Every category that has truth that is not difficult."""


def dota_scores(
    found: Sequence[Detections],
    truth: Sequence[Detections],
    *,
    boxes: BoxKind = "oriented",
    rule: AveragePrecisionRule = "voc07",
    overlap: float = 0.5,
    use_categories: bool = True,
    counted: Collection[str] | None = None,
) -> DotaScores:
    """Average precision of DOTA's tasks 1 (oriented) and 2 (horizontal).

    Parameters
    ----------
    found, truth
        The same pictures in the same order. Objects without a score count as sure (1).
    overlap
        IoU that a hit must exceed.
    use_categories
        False: all objects are of one category, called "object".
    counted
        Categories that the mean runs over; None: all.
    """

    def by_category(pictures: Sequence[Detections]) -> dict[str, list[list[Instance]]]:
        groups: dict[str, list[list[Instance]]] = {}
        for index, picture in enumerate(pictures):
            for item in picture.instances:
                name = item.category if use_categories else DEFAULT_CATEGORY
                groups.setdefault(name, [[] for _ in pictures])[index].append(item)
        return groups

    true_groups, found_groups = by_category(truth), by_category(found)
    per_category = {}
    for name, true in sorted(true_groups.items()):
        positives = sum(not item.difficult for items in true for item in items)
        if positives:
            hits, false_alarms = match(found_groups.get(name, [[] for _ in truth]), true, boxes=boxes, overlap=overlap)
            per_category[name] = average_precision(hits, false_alarms, positives, rule)
    values = [value for name, value in per_category.items() if counted is None or name in counted]
    return DotaScores(mean=float(np.mean(values)) if values else None, per_category=per_category)


def match(
    found: Sequence[Sequence[Instance]], true: Sequence[Sequence[Instance]], *, boxes: BoxKind, overlap: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say of each detection of one category whether it is a hit and whether it is a false alarm, the surest first.

    Parameters
    ----------
    found, true
        Objects of each picture.
    """
    scores: list[float] = []
    partners: list[tuple[int, int, float]] = []
    for index, (items, candidates) in enumerate(zip(found, true, strict=True)):
        if not items:
            continue
        iou_NM = _oriented_iou(items, candidates) if boxes == "oriented" else _horizontal_iou(items, candidates)
        best = iou_NM.argmax(axis=1) if candidates else np.zeros(len(items), int)
        for row, item in enumerate(items):
            scores.append(1.0 if item.score is None else item.score)
            partners.append((index, int(best[row]), float(iou_NM[row, best[row]]) if candidates else 0.0))
    order = np.argsort(-np.array(scores, float), kind="stable")
    hits, false_alarms = np.zeros(len(order), bool), np.zeros(len(order), bool)
    taken: set[tuple[int, int]] = set()
    for place, detection in enumerate(order.tolist()):
        index, column, iou = partners[detection]
        if iou > overlap:
            if true[index][column].difficult:
                continue
            hits[place] = (index, column) not in taken
            false_alarms[place] = not hits[place]
            taken.add((index, column))
        else:
            false_alarms[place] = True
    return hits, false_alarms


def average_precision(
    hits: NDArray[np.bool_], false_alarms: NDArray[np.bool_], positives: int, rule: AveragePrecisionRule = "voc07"
) -> float:
    """Average precision of detections in descending order of score.

    Parameters
    ----------
    positives
        Truth objects that are not difficult; > 0.
    """
    hit_count, alarm_count = np.cumsum(hits), np.cumsum(false_alarms)
    recall = hit_count / positives
    precision = hit_count / np.maximum(hit_count + alarm_count, np.finfo(float).eps)
    if rule == "voc07":
        return float(np.mean([precision[recall >= point].max(initial=0.0) for point in _ELEVEN_POINTS]))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def _oriented_iou(found: Sequence[Instance], true: Sequence[Instance]) -> NDArray[np.float64]:
    import shapely

    iou_NM = np.zeros((len(found), len(true)))
    if not true:
        return iou_NM
    found_N, true_M = (_polygons(items) for items in (found, true))
    row, column = shapely.STRtree(true_M).query(found_N, predicate="intersects")
    common = shapely.area(shapely.intersection(found_N[row], true_M[column]))
    either = shapely.area(found_N)[row] + shapely.area(true_M)[column] - common
    iou_NM[row, column] = np.divide(common, either, out=np.zeros_like(common), where=either > 0)
    return iou_NM


def _polygons(items: Sequence[Instance]) -> NDArray[np.object_]:
    import shapely

    polygons = np.asarray(shapely.polygons(np.stack([item.obb for item in items])))
    # Corners in a wrong order cross over; their hull is the box that was meant.
    crossed = ~shapely.is_valid(polygons)
    polygons[crossed] = shapely.convex_hull(polygons[crossed])
    return polygons


def _horizontal_iou(found: Sequence[Instance], true: Sequence[Instance]) -> NDArray[np.float64]:
    def edges(items: Sequence[Instance]) -> NDArray[np.float64]:
        return np.array([[x, y, x + width, y + height] for x, y, width, height in (item.bbox for item in items)])

    if not true:
        return np.zeros((len(found), 0))
    found_N4, true_M4 = edges(found)[:, None], np.trunc(edges(true))[None]
    sides = np.minimum(found_N4[..., 2:], true_M4[..., 2:]) - np.maximum(found_N4[..., :2], true_M4[..., :2]) + 1
    common = np.maximum(sides, 0).prod(axis=-1)
    area_N = (found_N4[..., 2:] - found_N4[..., :2] + 1).prod(axis=-1)
    area_M = (true_M4[..., 2:] - true_M4[..., :2] + 1).prod(axis=-1)
    return np.asarray(common / (area_N + area_M - common))
