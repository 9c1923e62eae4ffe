"""`evaluate`: every score of found objects, and of the maps behind them, against the truth."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from operator import add
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.conversion import format_of_source, listed_categories, read_annotations
from detect.detections import DEFAULT_CATEGORY, Detections
from detect.rasters import read_map
from detect.saved_maps import map_files
from detect.scores import model as model_scores
from detect.scores.bootstrap import ratio_interval
from detect.scores.coco import AveragePrecision, CocoScores, coco_scores
from detect.scores.curves import Curve, free_response, object_precision_recall, pixel_precision_recall, risk_curve
from detect.scores.dota import DotaScores, dota_scores
from detect.scores.objects import CentreHits, CentreScores, centre_hits, count_mae
from detect.scores.pixels import Locality, Overlap, ncc
from detect.scores.ranking import Ranking
from detect.scores.regions import aupro
from detect.scores.risk import RiskCoverage, risk_coverage
from detect.truth import Truth, TruthSet, read_truth

MapReader = Callable[[], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores as `docs/formats/scores.md` defines them; None where a score is not defined or its input was not given."""

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
    """Of the categories that were looked for."""
    objects_true: int
    """Of the same categories."""
    pixel_ap: float | None = None
    pixel_auroc: float | None = None
    pixel_aupro: float | None = None
    dice: float | None = None
    iou: float | None = None
    dice_oracle: float | None = None
    oracle_threshold: float | None = None
    dice_per_picture: float | None = None
    """Mean over the pictures in which something is true or found."""
    dice_per_group: float | None = None
    dice_groups: dict[str, float | None] = field(default_factory=dict)
    ncc: float | None = None
    ap: float | None = None
    ap50: float | None = None
    ap25: float | None = None
    ap_dota: float | None = None
    ap_dota_categories: dict[str, float] = field(default_factory=dict)
    """Every category's, those not looked for too."""
    centre_f1: float | None = None
    count_mae: float | None = None
    image_auroc: float | None = None
    flip_rate: float | None = None
    psnr: float | None = None
    residual: float | None = None
    locality: float | None = None
    risk_coverage: RiskCoverage | None = None
    """Of the Dice of each picture, in order of the pictures' confidence; None unless all pictures have a confidence and
    the truth has masks."""
    mask_ap: float | None = None
    """COCO's `ap` of masks; None where the truth has none."""
    mask_ap50: float | None = None
    mask_ap25: float | None = None
    ap_dota_horizontal: float | None = None
    ap_dota_area: float | None = None
    """As `ap_dota`, by the area under the curve."""
    per_category: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name: whether it was looked for, and so counts in the scores of objects; its objects and scores."""
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """95 % bootstrap intervals over groups, else pictures, by score."""
    curves: dict[str, Curve] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """All scores as plain numbers, None where undefined; no NaN."""
        plain = dataclasses.asdict(dataclasses.replace(self, curves={}))
        del plain["curves"]
        return {name: _finite(value) for name, value in plain.items()}


def _finite(value: Any) -> Any:
    # A model may say that its reconstruction is perfect: infinite PSNR is no JSON.
    return None if isinstance(value, float) and not math.isfinite(value) else value


def evaluate(
    annotations: str | Path | Sequence[Detections],
    truth: str | Path | TruthSet,
    *,
    maps: str | Path | Mapping[str, NDArray[np.float32]] | None = None,
    group: str | None = None,
    categories: Sequence[str] = (),
    all_categories: bool = False,
    images: str | Path | None = None,
    ignore: int | None = None,
    bootstrap: int = 1000,
) -> Evaluation:
    """Score what was found against the truth.

    Scores of objects run over the categories that were looked for: those that the annotations list, or those of their
    objects. True objects of other categories are left out of them, and only shown by `Evaluation.per_category`. Scores
    of pixels take all of the truth, since a map knows no category.

    Parameters
    ----------
    annotations
        COCO JSON as `detect extract` writes it or any other format of `detect.conversion`, or its content.
    truth
        See `detect.truth.read_truth`. Pictures without truth are left out and counted.
    maps
        Folder of maps as `detect extract --maps` writes it, or maps by picture name. Without it the scores that need
        maps are None.
    group
        Regular expression, searched in each picture's stem (else in its path without suffix); pictures whose first
        group (else whole match) agrees form a group. None: the pictures' own groups, where all have one.
    categories
        Objects of other categories are left out, and so are pixels of theirs from the truth; none: see above.
    all_categories
        Whether categories of the truth that nobody looked for count like those that were.
    images
        Folder of the pictures, for annotations that do not say the pictures' sizes.
    ignore
        Number in true masks that marks pixels of which nothing is known; they are no part of objects and have no part
        in scores of pixels.
    bootstrap
        Draws behind the intervals; 0: no intervals.

    Raises
    ------
    ValueError
        A file is not what it should be, no picture has truth, or a scored picture has no map of its size.
    """
    pictures, listed = _read(annotations, truth, images)
    sizes = {picture.name: (picture.height, picture.width) for picture in pictures}
    known = read_truth(Path(truth), sizes, ignore=ignore) if isinstance(truth, (str, Path)) else truth
    scored = [picture for picture in pictures if picture.name in known.pictures]
    if not scored:
        raise ValueError("the truth knows none of the annotated pictures")
    truths = [known.pictures[picture.name] for picture in scored]
    if categories:
        truths = [dataclasses.replace(item, objects=_only(item.objects, categories)) for item in truths]
    readers = None if maps is None else _map_readers(maps, scored)
    groups = _groups(scored, group)
    objects = _Objects.of(
        scored,
        [item.objects for item in truths],
        listed=listed | _names(pictures),
        categories=categories,
        all_categories=all_categories,
    )
    object_scores = objects.scores(has_masks=known.has_masks)
    pixels = _Pixels(scored, truths, readers)
    risk = _risk_coverage(scored, pixels.overlaps) if known.has_masks else None
    return Evaluation(
        pictures=len(scored),
        pictures_without_truth=len(pictures) - len(scored),
        truth=known.source,
        pixel_truth="masks" if known.has_masks else "boxes",
        categories="matched" if objects.matched else "ignored",
        intervals=pixels.intervals(groups, bootstrap),
        curves=objects.curves() | pixels.curves() | ({} if risk is None else {"risk_coverage": risk_curve(risk)}),
        risk_coverage=risk,
        image_auroc=_image_auroc(scored, truths, pixels.peaks),
        **object_scores,
        **_model_scores(scored, objects.true),
        **pixels.scores(groups),
    )


def _read(
    annotations: str | Path | Sequence[Detections], truth: str | Path | TruthSet, images: str | Path | None
) -> tuple[Sequence[Detections], set[str]]:
    """The pictures with their objects, and the categories that the file lists."""
    listed: set[str] = set()
    pictures: Sequence[Detections] = () if isinstance(annotations, (str, Path)) else annotations
    if isinstance(annotations, (str, Path)):
        source = Path(annotations)
        kind = format_of_source(source)
        # A COCO results list takes the numbers of its pictures from the truth.
        reference = Path(truth) if isinstance(truth, (str, Path)) and Path(truth).is_file() else None
        pictures = read_annotations(source, source_format=kind, images=images, pictures=reference)
        listed = listed_categories(source, source_format=kind)
    if not pictures:
        raise ValueError(f"{annotations if isinstance(annotations, (str, Path)) else 'annotations'}: holds no picture")
    return pictures, listed


@dataclass(frozen=True, kw_only=True, eq=False)
class _Objects:
    """Objects found and true, and which of them count."""

    true: list[Detections]
    """All of them: those that do not count take no part in the means, yet have scores of their own."""
    counted_found: Sequence[Detections]
    counted_true: Sequence[Detections]
    looked_for: Collection[str]
    """Categories that count."""
    matched: bool
    """Whether annotations and truth share a category name; otherwise names play no part."""

    @classmethod
    def of(
        cls,
        found: Sequence[Detections],
        true: list[Detections],
        *,
        listed: set[str],
        categories: Sequence[str],
        all_categories: bool,
    ) -> _Objects:
        """``listed``: categories of the annotations."""
        names = _names(true)
        wanted = set(categories) or names
        if listed and wanted and not listed & wanted:
            return cls(true=true, counted_found=found, counted_true=true, looked_for={DEFAULT_CATEGORY}, matched=False)
        looked_for = set(categories) or listed or names
        looked_for = looked_for | names if all_categories else looked_for
        return cls(
            true=true,
            counted_found=[_only(picture, looked_for) for picture in found],
            counted_true=[_only(picture, looked_for) for picture in true],
            looked_for=looked_for,
            matched=True,
        )

    def scores(self, *, has_masks: bool) -> dict[str, Any]:
        """The scores of objects, by name."""
        found, true = self.counted_found, self.true
        how: dict[str, Any] = {"use_categories": self.matched, "counted": self.looked_for}
        box_scores = coco_scores(found, true, **how)
        mask_scores = coco_scores(found, true, shape="segm", **how) if has_masks else None
        oriented = dota_scores(found, true, **how)
        centres = centre_hits(found, true, **how)
        return {
            "objects_found": centres.found,
            "objects_true": centres.true,
            "ap": box_scores.ap,
            "ap50": box_scores.ap50,
            "ap25": box_scores.ap25,
            "ap_dota": oriented.mean,
            "ap_dota_categories": oriented.per_category,
            "ap_dota_area": dota_scores(found, true, rule="area", **how).mean,
            "ap_dota_horizontal": dota_scores(found, true, boxes="horizontal", **how).mean,
            "mask_ap": mask_scores.ap if mask_scores else None,
            "mask_ap50": mask_scores.ap50 if mask_scores else None,
            "mask_ap25": mask_scores.ap25 if mask_scores else None,
            "centre_f1": centres.f1,
            "count_mae": count_mae(found, self.counted_true),
            "per_category": _per_category(self.looked_for, centres, box_scores, mask_scores, oriented),
        }

    def curves(self) -> dict[str, Curve]:
        """The curves of objects, by name."""
        counted = self.counted_found, self.counted_true
        return {
            "objects_precision_recall": object_precision_recall(*counted, use_categories=self.matched),
            "objects_free_response": free_response(*counted, use_categories=self.matched),
        }


def _model_scores(scored: Sequence[Detections], true: Sequence[Detections]) -> dict[str, Any]:
    models = [picture.model for picture in scored]
    positive = [bool(picture.instances) for picture in true]
    return {
        "psnr": model_scores.psnr(models, positive),
        "flip_rate": model_scores.flip_rate(models, positive),
        "residual": model_scores.residual(models),
    }


def _groups(scored: Sequence[Detections], pattern: str | None) -> list[str] | None:
    if pattern is not None:
        return [group_of(picture.name, pattern) for picture in scored]
    groups = [picture.group for picture in scored if picture.group is not None]
    return groups if len(groups) == len(scored) else None


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


def _names(pictures: Iterable[Detections]) -> set[str]:
    return {item.category for picture in pictures for item in picture.instances}


def _only(picture: Detections, categories: Collection[str]) -> Detections:
    kept = tuple(item for item in picture.instances if item.category in categories)
    return dataclasses.replace(picture, instances=kept)


def _per_category(
    looked_for: Collection[str],
    centres: CentreScores,
    boxes: CocoScores,
    masks: CocoScores | None,
    oriented: DotaScores,
) -> dict[str, dict[str, Any]]:
    """Figures of every category that was looked for or has an object."""
    result = {}
    for name in sorted({*looked_for, *centres.per_category}):
        # A category without any object is in none of the scores.
        counts = centres.per_category.get(name, CentreHits(hits=0, found=0, true=0))
        precision = boxes.per_category.get(name, AveragePrecision())
        result[name] = {
            "looked_for": name in looked_for,
            "objects_found": counts.found,
            "objects_true": counts.true,
            **dataclasses.asdict(precision),
            "mask_ap50": None if masks is None else masks.per_category.get(name, AveragePrecision()).ap50,
            "ap_dota": oriented.per_category.get(name),
            "centre_f1": counts.f1,
        }
    return result


def _map_readers(maps: str | Path | Mapping[str, NDArray[np.float32]], scored: Sequence[Detections]) -> list[MapReader]:
    """A function for each picture that gives its map, so that only one map is in memory at a time."""
    if not isinstance(maps, Mapping):
        files = map_files(maps, [picture.name for picture in scored])
        return [partial(read_map, files[picture.name]) for picture in scored]
    missing = [picture.name for picture in scored if picture.name not in maps]
    if missing:
        raise ValueError(
            f"{missing[0]}: has no map in the maps given ({len(missing)} of {len(scored)} pictures have none)"
        )
    return [partial(maps.__getitem__, picture.name) for picture in scored]


class _Pixels:
    """What the pixels of all pictures say, gathered in one pass with one map in memory at a time."""

    def __init__(
        self, scored: Sequence[Detections], truths: Sequence[Truth], readers: Sequence[MapReader] | None
    ) -> None:
        self.overlaps: list[Overlap] = []
        self.peaks: list[float] = []
        self.ranking: Ranking | None = None
        self._locality = Locality()
        self._likeness: list[float] = []
        self._aupro: float | None = None
        true_values: list[NDArray[np.float32]] = []
        false_values: list[NDArray[np.float32]] = []
        regions: list[NDArray[np.float32]] = []
        for index, (picture, truth) in enumerate(zip(scored, truths, strict=True)):
            true_HW = truth.objects.union_mask()
            known = ... if truth.ignored_HW is None else ~truth.ignored_HW
            self.overlaps.append(Overlap.of(picture.union_mask()[known], true_HW[known]))
            if readers is None:
                continue
            map_HW = readers[index]()
            if map_HW.shape != true_HW.shape:
                size = f"{map_HW.shape[1]} x {map_HW.shape[0]}"
                raise ValueError(f"{picture.name}: its map is {size}, the picture {picture.width} x {picture.height}")
            self.peaks.append(float(map_HW.max()))
            true_values.append(map_HW[true_HW])
            false_values.append(map_HW[known][~true_HW[known]])
            masks = [item.pixels(picture.height, picture.width) for item in truth.objects.instances]
            regions += [mask.window(map_HW)[mask.crop_HW] for mask in masks if mask is not None]
            if true_HW.any():
                self._locality += Locality.of(map_HW[known], true_HW[known])
                effect_HW = true_HW if truth.effect_HW is None else truth.effect_HW
                value = ncc(map_HW[known], effect_HW[known])
                self._likeness.append(0.0 if value is None else value)
        if readers is not None:
            background = np.concatenate(false_values)
            false_values.clear()
            self.ranking = Ranking(np.concatenate(true_values), background)
            del background  # each copy has the size of all maps
            self._aupro = aupro(regions, self.ranking.false)

    def curves(self) -> dict[str, Curve]:
        """The curve of pixels, where there are maps."""
        return {} if self.ranking is None else {"pixels_precision_recall": pixel_precision_recall(self.ranking)}

    def scores(self, groups: Sequence[str] | None) -> dict[str, Any]:
        """The scores of pixels, by name."""
        pooled = reduce(add, self.overlaps)
        result: dict[str, Any] = {
            "dice": pooled.dice,
            "iou": pooled.iou,
            "dice_per_picture": _mean([overlap.dice for overlap in self.overlaps]),
        }
        if groups is not None:
            dice = {name: overlap.dice for name, overlap in self._by_group(groups).items()}
            result |= {"dice_per_group": _mean(dice.values()), "dice_groups": dice}
        if self.ranking is not None:
            best = self.ranking.best_dice()
            result |= {
                "pixel_ap": self.ranking.average_precision(),
                "pixel_auroc": self.ranking.auroc(),
                "pixel_aupro": self._aupro,
                "dice_oracle": best and best[0],
                "oracle_threshold": best and best[1],
                "locality": self._locality.ratio,
                "ncc": _mean(self._likeness),
            }
        return result

    def intervals(self, groups: Sequence[str] | None, samples: int) -> dict[str, tuple[float, float]]:
        """Bootstrap intervals of the Dice scores, by name."""
        if not samples:
            return {}
        found = {
            "dice": ratio_interval(
                [2 * overlap.both for overlap in self.overlaps],
                [overlap.found + overlap.true for overlap in self.overlaps],
                groups=groups,
                samples=samples,
            ),
            "dice_per_picture": _mean_interval([overlap.dice for overlap in self.overlaps], groups, samples),
        }
        if groups is not None:
            dice = [overlap.dice for overlap in self._by_group(groups).values()]
            found["dice_per_group"] = _mean_interval(dice, None, samples)
        return {name: interval for name, interval in found.items() if interval is not None}

    def _by_group(self, groups: Sequence[str]) -> dict[str, Overlap]:
        pooled: dict[str, Overlap] = {}
        for name, overlap in zip(groups, self.overlaps, strict=True):
            pooled[name] = pooled.get(name, Overlap()) + overlap
        return dict(sorted(pooled.items()))


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def _mean_interval(
    values: Sequence[float | None], groups: Sequence[str] | None, samples: int
) -> tuple[float, float] | None:
    numerator = [0.0 if value is None else value for value in values]
    denominator = [float(value is not None) for value in values]
    return ratio_interval(numerator, denominator, groups=groups, samples=samples)


def _risk_coverage(scored: Sequence[Detections], overlaps: Sequence[Overlap]) -> RiskCoverage | None:
    confidences = [picture.confidence for picture in scored if picture.confidence is not None]
    if len(confidences) < len(scored):
        return None
    # To find nothing where nothing is true is right.
    return risk_coverage(confidences, [1.0 if overlap.dice is None else overlap.dice for overlap in overlaps])


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
