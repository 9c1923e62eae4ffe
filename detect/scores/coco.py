"""COCO average precision, through pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from detect.detections import DEFAULT_CATEGORY, Detections
from detect.masks import run_lengths

_DEFAULT_MAX_DETECTIONS = 100


@dataclass(frozen=True, kw_only=True)
class AveragePrecision:
    """Average precision in 0..1; None without any truth."""

    ap: float | None = None
    """Mean over the IoU thresholds 0.50, 0.55, ..., 0.95."""
    ap50: float | None = None
    ap25: float | None = None


@dataclass(frozen=True, kw_only=True)
class CocoScores(AveragePrecision):
    """Means over the categories that count and have truth; and every category that is true or found by itself."""

    per_category: dict[str, AveragePrecision]


def coco_scores(
    found: Sequence[Detections],
    truth: Sequence[Detections],
    *,
    shape: Literal["bbox", "segm"] = "bbox",
    use_categories: bool = True,
    counted: Collection[str] | None = None,
) -> CocoScores:
    """Average precision as pycocotools gives it for all areas.

    At most 100 detections a picture count, as in pycocotools; where a picture holds more objects (found or true), as
    many as that, since pycocotools' limit would make a perfect result on a car park look poor.

    Parameters
    ----------
    found, truth
        The same pictures in the same order. Objects without a score count as sure (1).
    shape
        Boxes or masks decide the overlap; an object without a mask has the pixels of its box.
    use_categories
        False: all objects are of one category, called "object".
    counted
        Categories that the means run over; None: all.
    """
    from pycocotools.cocoeval import COCOeval

    if not any(picture.instances for picture in truth):
        return CocoScores(per_category={})
    names = sorted({item.category for picture in [*found, *truth] for item in picture.instances})
    ids = {name: index if use_categories else 1 for index, name in enumerate(names, start=1)}
    scored = names if use_categories else [DEFAULT_CATEGORY]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_coco(truth, ids, shape), _coco(found, ids, shape), shape)
        parameters = evaluation.params
        parameters.iouThrs = np.concatenate([[0.25], parameters.iouThrs])
        parameters.maxDets = [max(_DEFAULT_MAX_DETECTIONS, *(len(item.instances) for item in [*found, *truth]))]
        parameters.areaRng, parameters.areaRngLbl = [[0, 1e5**2]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision_TRK = evaluation.eval["precision"][..., 0, 0]  # the one range of areas, the one limit of detections

    def means(chosen: list[bool]) -> tuple[float | None, float | None, float | None]:
        kept = precision_TRK[..., chosen]
        return _mean(kept[1:]), _mean(kept[1]), _mean(kept[0])

    ap, ap50, ap25 = means([counted is None or name in counted for name in scored])
    each = {name: means([name == other for other in scored]) for name in scored}
    per_category = {name: AveragePrecision(ap=a, ap50=b, ap25=c) for name, (a, b, c) in each.items()}
    return CocoScores(ap=ap, ap50=ap50, ap25=ap25, per_category=per_category)


def _mean(precision: Any) -> float | None:
    values = precision[precision > -1]
    return float(np.mean(values)) if values.size else None


def _coco(pictures: Sequence[Detections], ids: dict[str, int], shape: str) -> Any:
    from pycocotools import mask as coco
    from pycocotools.coco import COCO

    annotations: list[dict[str, Any]] = []
    for image_id, picture in enumerate(pictures, start=1):
        for item in picture.instances:
            annotation: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": ids[item.category],
                "bbox": list(item.bbox),
                "area": item.bbox[2] * item.bbox[3],
                "iscrowd": int(item.crowd),
                "score": 1.0 if item.score is None else item.score,
            }
            if shape == "segm":
                mask = item.pixels(picture.height, picture.width)
                counts = [picture.height * picture.width] if mask is None else None
                counts = run_lengths(mask, picture.height, picture.width) if mask is not None else counts
                rle = {"size": [picture.height, picture.width], "counts": counts}
                annotation["segmentation"] = coco.frPyObjects(rle, picture.height, picture.width)
                annotation["area"] = 0 if mask is None else mask.area
            annotations.append(annotation)
    dataset = COCO()
    dataset.dataset = {
        "images": [
            {"id": image_id, "width": picture.width, "height": picture.height}
            for image_id, picture in enumerate(pictures, start=1)
        ],
        "annotations": annotations,
        "categories": [{"id": index, "name": str(index)} for index in sorted(set(ids.values()))],
    }
    dataset.createIndex()
    return dataset
