"""`evaluate`: every score of found objects, and of the maps behind them, against the truth."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from operator import add
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.detections import Detections
from detect.files import PICTURE_SUFFIXES, files_under, match_names, read_map
from detect.formats import coco
from detect.scores import model as model_scores
from detect.scores.coco import coco_scores
from detect.scores.dota import dota_scores
from detect.scores.objects import centre_hits, count_mae
from detect.scores.pixels import Locality, Overlap, ncc
from detect.scores.ranking import Ranking
from detect.truth import Truth, TruthSet, read_truth

MapReader = Callable[[], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores as `docs/formats.md` defines them; None where a score is not defined or its input was not given."""

    pictures: int
    """Pictures scored."""
    pictures_without_truth: int
    """Pictures left out because nothing is known of them."""
    truth: str
    """"masks", "coco" or "dota"."""
    pixel_truth: str
    """"masks", or "boxes" where pixels are scored against filled boxes."""
    categories: str
    """"matched" by name, or "ignored" where annotations and truth share no category name."""
    objects_found: int
    objects_true: int
    pixel_ap: float | None = None
    pixel_auroc: float | None = None
    dice: float | None = None
    iou: float | None = None
    dice_oracle: float | None = None
    oracle_threshold: float | None = None
    dice_per_group: float | None = None
    dice_groups: dict[str, float | None] = field(default_factory=dict)
    ncc: float | None = None
    ap: float | None = None
    ap50: float | None = None
    ap25: float | None = None
    ap_dota: float | None = None
    ap_dota_categories: dict[str, float] = field(default_factory=dict)
    centre_f1: float | None = None
    count_mae: float | None = None
    image_auroc: float | None = None
    flip_rate: float | None = None
    psnr: float | None = None
    residual: float | None = None
    locality: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """All scores as plain numbers, None where undefined; no NaN."""
        return {name: _finite(value) for name, value in dataclasses.asdict(self).items()}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def evaluate(
    annotations: Path | Sequence[Detections],
    truth: Path | TruthSet,
    *,
    maps: Path | Mapping[str, NDArray[np.float32]] | None = None,
    group: str | None = None,
    categories: Sequence[str] = (),
) -> Evaluation:
    """Score what was found against the truth.

    Parameters
    ----------
    annotations
        COCO JSON as `detect extract` writes it, or its content.
    truth
        See `detect.truth.read_truth`. Pictures without truth are left out and counted.
    maps
        Folder of maps as `detect extract --maps` writes it, or maps by picture name. Without it the scores that need
        maps are None.
    group
        Regular expression, searched in each picture's stem (else in its path without suffix); pictures whose first
        group (else whole match) agrees form a group.
    categories
        Truth of other categories is left out; none: all count.

    Raises
    ------
    ValueError
        A file is not what it should be, no picture has truth, or a scored picture has no map of its size.
    """
    pictures = coco.read(Path(annotations)) if isinstance(annotations, (str, Path)) else list(annotations)
    sizes = {picture.name: (picture.height, picture.width) for picture in pictures}
    known = read_truth(Path(truth), sizes) if isinstance(truth, (str, Path)) else truth
    scored = [picture for picture in pictures if picture.name in known.pictures]
    if not scored:
        raise ValueError("the truth knows none of the annotated pictures")
    truths = [_restrict(known.pictures[picture.name], categories) for picture in scored]
    readers = None if maps is None else _map_readers(maps, scored)
    groups = None if group is None else [group_of(picture.name, group) for picture in scored]

    objects = [item.objects for item in truths]
    names_found = {item.category for picture in scored for item in picture.instances}
    names_true = {item.category for picture in objects for item in picture.instances}
    matched = not names_found or not names_true or bool(names_found & names_true)
    box_scores = coco_scores(scored, objects, use_categories=matched)
    oriented = dota_scores(scored, objects, use_categories=matched)
    positive = [bool(picture.instances) for picture in objects]
    models = [picture.model for picture in scored]
    return Evaluation(
        pictures=len(scored),
        pictures_without_truth=len(pictures) - len(scored),
        truth=known.source,
        pixel_truth="masks" if known.has_masks else "boxes",
        categories="matched" if matched else "ignored",
        objects_found=sum(len(picture.instances) for picture in scored),
        objects_true=sum(len(picture.instances) for picture in objects),
        ap=box_scores.ap,
        ap50=box_scores.ap50,
        ap25=box_scores.ap25,
        ap_dota=oriented.mean,
        ap_dota_categories=oriented.per_category,
        centre_f1=centre_hits(scored, objects, use_categories=matched).f1,
        count_mae=count_mae(scored, objects),
        psnr=model_scores.psnr(models, positive),
        flip_rate=model_scores.flip_rate(models, positive),
        residual=model_scores.residual(models),
        **_pixel_scores(scored, truths, readers, groups),
    )


def group_of(name: str, pattern: str) -> str:
    """The group of a picture: what `pattern` finds in its stem, else in its path without suffix.

    Raises
    ------
    ValueError
        The pattern is no regular expression, or finds nothing.
    """
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"--group {pattern!r} is no regular expression: {error}") from None
    path = PurePosixPath(name).with_suffix("")
    found = regex.search(path.name) or regex.search(str(path))
    if found is None:
        raise ValueError(f"{name}: --group {pattern!r} does not match this name")
    return found.group(1) if regex.groups and found.group(1) is not None else found.group(0)


def _restrict(truth: Truth, categories: Sequence[str]) -> Truth:
    if not categories:
        return truth
    kept = tuple(item for item in truth.objects.instances if item.category in categories)
    return dataclasses.replace(truth, objects=dataclasses.replace(truth.objects, instances=kept))


def _map_readers(maps: Path | Mapping[str, NDArray[np.float32]], scored: Sequence[Detections]) -> list[MapReader]:
    """A function for each picture that gives its map, so that only one map is in memory at a time."""
    readers: dict[str, MapReader]
    if isinstance(maps, Mapping):
        missing = [picture.name for picture in scored if picture.name not in maps]
        readers = {name: partial(maps.__getitem__, name) for name in maps}
    else:
        folder = Path(maps)
        files = {file.relative_to(folder).as_posix(): file for file in files_under(folder, PICTURE_SUFFIXES)}
        found = match_names([picture.name for picture in scored], files)
        missing = [picture.name for picture in scored if picture.name not in found]
        readers = {name: partial(read_map, file) for name, file in found.items()}
    if missing:
        where = "the maps given" if isinstance(maps, Mapping) else maps
        raise ValueError(f"{missing[0]}: has no map in {where} ({len(missing)} of {len(scored)} pictures have none)")
    return [readers[picture.name] for picture in scored]


def _pixel_scores(
    scored: Sequence[Detections],
    truths: Sequence[Truth],
    readers: Sequence[MapReader] | None,
    groups: Sequence[str] | None,
) -> dict[str, Any]:
    overlaps: list[Overlap] = []
    localities: list[Locality] = []
    likeness: list[float] = []
    peaks: list[float] = []
    true_values: list[NDArray[np.float32]] = []
    false_values: list[NDArray[np.float32]] = []
    for index, (picture, truth) in enumerate(zip(scored, truths, strict=True)):
        true_HW = truth.objects.union_mask()
        overlaps.append(Overlap.of(picture.union_mask(), true_HW))
        if readers is None:
            continue
        map_HW = readers[index]()
        if map_HW.shape != true_HW.shape:
            height, width = map_HW.shape
            raise ValueError(
                f"{picture.name}: its map is {width} x {height}, the picture {picture.width} x {picture.height}"
            )
        peaks.append(float(map_HW.max()))
        true_values.append(map_HW[true_HW])
        false_values.append(map_HW[~true_HW])
        if true_HW.any():
            localities.append(Locality.of(map_HW, true_HW))
            value = ncc(map_HW, true_HW if truth.effect_HW is None else truth.effect_HW)
            likeness.append(0.0 if value is None else value)
    pooled = reduce(add, overlaps)
    result: dict[str, Any] = {"dice": pooled.dice, "iou": pooled.iou}
    if groups is not None:
        result |= _group_scores(overlaps, groups)
    if readers is not None:
        ranking = Ranking(np.concatenate(true_values), np.concatenate(false_values))
        best = ranking.best_dice()
        result |= {
            "pixel_ap": ranking.average_precision(),
            "pixel_auroc": ranking.auroc(),
            "dice_oracle": best and best[0],
            "oracle_threshold": best and best[1],
            "locality": reduce(add, localities, Locality()).ratio,
            "ncc": sum(likeness) / len(likeness) if likeness else None,
        }
    result["image_auroc"] = _image_auroc(scored, truths, peaks)
    return result


def _group_scores(overlaps: Sequence[Overlap], groups: Sequence[str]) -> dict[str, Any]:
    pooled: dict[str, Overlap] = {}
    for name, overlap in zip(groups, overlaps, strict=True):
        pooled[name] = pooled.get(name, Overlap()) + overlap
    dice = {name: overlap.dice for name, overlap in sorted(pooled.items())}
    defined = [value for value in dice.values() if value is not None]
    return {"dice_per_group": sum(defined) / len(defined) if defined else None, "dice_groups": dice}


def _image_auroc(scored: Sequence[Detections], truths: Sequence[Truth], peaks: Sequence[float]) -> float | None:
    # The model's own score of a picture, else the map's greatest value, else the surest object.
    if all("score" in picture.model for picture in scored):
        ratings = [picture.model["score"] for picture in scored]
    elif peaks:
        ratings = list(peaks)
    else:
        surest = [[1.0 if item.score is None else item.score for item in picture.instances] for picture in scored]
        ratings = [max(values, default=0.0) for values in surest]
    positive = np.array([bool(truth.objects.instances) for truth in truths])
    values = np.array(ratings, float)
    return Ranking(values[positive], values[~positive]).auroc()
