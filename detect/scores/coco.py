"""COCO average precision, through pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from detect.detections import Detections
from detect.masks import run_lengths

_DEFAULT_MAX_DETECTIONS = 100


@dataclass(frozen=True, kw_only=True)
class CocoScores:
    """Average precision in 0..1, mean over the categories that have truth; None without any truth."""

    ap: float | None
    """Mean over the IoU thresholds 0.50, 0.55, ..., 0.95."""
    ap50: float | None
    ap25: float | None


def coco_scores(
    found: Sequence[Detections],
    truth: Sequence[Detections],
    *,
    shape: Literal["bbox", "segm"] = "bbox",
    use_categories: bool = True,
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
    """
    from pycocotools.cocoeval import COCOeval

    if not any(picture.instances for picture in truth):
        return CocoScores(ap=None, ap50=None, ap25=None)
    names = sorted({item.category for picture in [*found, *truth] for item in picture.instances})
    ids = {name: index if use_categories else 1 for index, name in enumerate(names, start=1)}
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_coco(truth, ids, shape), _coco(found, ids, shape), shape)
        parameters = evaluation.params
        parameters.iouThrs = np.concatenate([[0.25], parameters.iouThrs])
        parameters.maxDets = [max(_DEFAULT_MAX_DETECTIONS, *(len(item.instances) for item in [*found, *truth]))]
        parameters.areaRng, parameters.areaRngLbl = [[0, 1e5**2]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"]
    return CocoScores(ap=_mean(precision[1:]), ap50=_mean(precision[1]), ap25=_mean(precision[0]))


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
