"""From a map to objects: smoothing, threshold, clean-up, components, scores. Each step is usable alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from detect.detections import DEFAULT_CATEGORY, Detections, Instance
from detect.masks import Mask
from detect.touching import join_pieces, split_touching
from distmap.common.confidence import as_probabilities, soft_dice_confidence
from distmap.common.detection_settings import LARGEST_AREA, LARGEST_RADIUS, LARGEST_SIGMA
from distmap.common.memory import check_memory
from distmap.common.object_size import ObjectSize

ScoreRule = Literal["peak", "mean", "mass"]
ThresholdRule = Literal["otsu", "triangle"]


LARGEST = {
    "smoothing": LARGEST_SIGMA,
    "close_radius": LARGEST_RADIUS,
    "open_radius": LARGEST_RADIUS,
    "max_hole": LARGEST_AREA,
    "min_area": LARGEST_AREA,
    "join_gap": LARGEST_RADIUS,
}
"""What is possible, by setting."""

SMALL_DISK = (
    32  # radius up to which OpenCV goes over the disk; its time grows with the disk, that of distances does not
)


class PictureMap(Protocol):
    """A map and the picture it belongs to, as `distmap` gives them; anything with these attributes will do."""

    @property
    def name(self) -> str:
        """File name of the picture relative to its folder, with forward slashes."""

    @property
    def map_HW(self) -> NDArray[np.float32]:  # noqa: N802
        """The map at the picture's size, + = only in WITH."""

    @property
    def scores(self) -> Mapping[str, float]:
        """Scores of the model for this picture, passed on as they are; `confidence` among them is the picture's."""


@dataclass(frozen=True, kw_only=True)
class ExtractionConfig:
    """How a map becomes objects. Lengths in pixels, areas in pixels, thresholds in the map's own unit.

    Raises
    ------
    ValueError
        A value outside its range.
    """

    threshold: float | ThresholdRule
    """An object has a pixel where the smoothed map is at least this, > 0; or the rule that finds it for each map."""
    low_threshold: float | None = None
    """Hysteresis: an object reaches as far as the smoothed map is at least this; None: as `threshold`."""
    value_range: tuple[float, float] | None = None
    """Map values that become 0 and 1 first, as for heat maps in 0..255; None: the map stays as it is."""
    smoothing: float = 0.0
    """Standard deviation of the Gaussian put on the map next; 0: none."""
    close_radius: float = 0.0
    """Radius of the disk that closes gaps; 0: none."""
    open_radius: float = 0.0
    """Radius of the disk that removes what is thinner than the disk; 0: none."""
    max_hole: int = 0
    """Holes of at most this area are filled."""
    connectivity: Literal[4, 8] = 8
    """Whether pixels that touch by a corner are connected (8) or not (4)."""
    min_area: int = 1
    """Smaller objects are dropped, their halo counted."""
    max_area: int | None = None
    """Larger objects are dropped; None: no limit."""
    drop_border: bool = False
    """Drop objects that touch the picture's border."""
    object_size: ObjectSize | None = None
    """The typical object, by which touching objects are split, pieces joined and objects scored; None: neither is done,
    and a pixel is the measure of scores."""
    neck: float = 0.9
    """Larger objects are split at a neck of at most this fraction of what it joins, see `detect.touching`; 0: never."""
    join_gap: float = 0.0
    """Pieces of one object are joined over a gap of less than this; 0: never."""
    halo: float = 0.0
    """Pixels of an object below this fraction of the mean of its map are left out; 0: none."""
    score: ScoreRule = "mass"
    """What orders the objects, see `score`."""
    probabilities: bool = False
    """Whether the map's values are probabilities, as a student's are; otherwise m / (m + threshold) stands for one in
    a picture's confidence."""
    category: str = DEFAULT_CATEGORY

    def __post_init__(self) -> None:
        if isinstance(self.threshold, str):
            if self.threshold not in ("otsu", "triangle") or self.low_threshold is not None:
                raise ValueError(f"threshold {self.threshold!r} is no number, nor otsu or triangle without a low one")
        else:
            low = self.threshold if self.low_threshold is None else self.low_threshold
            if not 0 < low <= self.threshold < float("inf"):
                raise ValueError(f"threshold {self.threshold}, low threshold {low}: need 0 < low <= threshold")
        for name, most in LARGEST.items():
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be from 0 to {most}")
        if self.value_range is not None and not -float("inf") < self.value_range[0] < self.value_range[1] < float(
            "inf"
        ):
            raise ValueError(f"value_range is {self.value_range}, it must be two finite numbers, the lower one first")
        if not 0 <= self.neck <= 1:
            raise ValueError(f"neck is {self.neck}, it must be from 0 to 1")
        if not 0 <= self.halo < 1:
            raise ValueError(f"halo is {self.halo}, it must be at least 0 and less than 1")
        if self.score not in get_args(ScoreRule):
            raise ValueError(f"score {self.score!r} is none of {', '.join(get_args(ScoreRule))}")
        if self.max_area is not None and self.max_area < self.min_area:
            raise ValueError(f"max_area {self.max_area} is less than min_area {self.min_area}")
        if self.connectivity not in (4, 8):
            raise ValueError(f"connectivity is {self.connectivity}, it must be 4 or 8")


def extract(maps: Iterable[PictureMap], config: ExtractionConfig) -> Iterator[Detections]:
    """Objects of each map, one picture at a time, and how sure its masks are.

    The confidence of a picture is the model's own, where `PictureMap.scores` hold `confidence`, else the Soft Dice
    Confidence of the objects' pixels in the smoothed map, see `distmap.common.confidence`.

    Raises
    ------
    ValueError
        Two pictures have one name, a map is not H x W of finite numbers, or a confidence is not within 0..1.
    """
    seen: set[str] = set()
    for item in maps:
        if item.name in seen:
            raise ValueError(f"{item.name}: two pictures have this name, give the one folder that holds both")
        seen.add(item.name)
        try:
            smooth_HW = smoothed(item.map_HW, config)
            threshold = _threshold(smooth_HW, config)
            instances = _objects(smooth_HW, threshold, config)
        except ValueError as error:
            raise ValueError(f"{item.name}: {error}") from None
        height, width = smooth_HW.shape
        model = dict(item.scores)
        picture = Detections(
            name=item.name,
            height=height,
            width=width,
            instances=instances,
            confidence=model.pop("confidence", None),
            model=model,
        )
        if picture.confidence is None:
            probability_HW = _probabilities(smooth_HW, threshold, config)
            picture = replace(picture, confidence=soft_dice_confidence(probability_HW, picture.union_mask()))
        yield picture


def find_objects(map_HW: NDArray[Any], config: ExtractionConfig) -> tuple[Instance, ...]:
    """Objects of one map, the surest first.

    The order of the steps: `normalise`, `smooth`, threshold (low), `close_gaps`, `open_thin`, `fill_holes`, components,
    hysteresis (components without a pixel at the high threshold go), `split_touching`, `join_pieces`, border and area,
    `outlined`, scores. Areas are judged with halos, as that of the typical object was found.

    Raises
    ------
    ValueError
        The map is not H x W of finite numbers.
    """
    smooth_HW = smoothed(map_HW, config)
    return _objects(smooth_HW, _threshold(smooth_HW, config), config)


def _threshold(smooth_HW: NDArray[np.float32], config: ExtractionConfig) -> float | None:
    """The threshold as a number; None where the rule finds none in this map."""
    return find_threshold(smooth_HW, config.threshold) if isinstance(config.threshold, str) else config.threshold


def _probabilities(
    smooth_HW: NDArray[np.float32], threshold: float | None, config: ExtractionConfig
) -> NDArray[np.float32]:
    """The smoothed map as probabilities, 0.5 at the threshold that bounds the masks unless it holds them itself."""
    if config.probabilities:
        return np.clip(smooth_HW, 0, 1)
    if threshold is None:  # all that is above 0 is alike: in doubt
        return np.where(smooth_HW > 0, np.float32(0.5), np.float32(0))
    return as_probabilities(smooth_HW, threshold if config.low_threshold is None else config.low_threshold)


def _objects(smooth_HW: NDArray[np.float32], high: float | None, config: ExtractionConfig) -> tuple[Instance, ...]:
    """Objects of a smoothed map, see `find_objects`; none without a threshold."""
    if high is None:
        return ()
    found_HW = foreground(smooth_HW, high, config)
    masks = [
        mask for mask in components(found_HW, config.connectivity) if mask.window(smooth_HW)[mask.crop_HW].max() >= high
    ]
    instances = []
    for whole in one_by_one(masks, lambda mask: mask.window(smooth_HW), config):
        if whole.area < config.min_area or (config.max_area is not None and whole.area > config.max_area):
            continue
        if config.drop_border and _on_border(whole, *found_HW.shape):
            continue
        for mask in outlined(whole, whole.window(smooth_HW), config):
            rating = score(mask.window(smooth_HW)[mask.crop_HW], high, config.score, config.object_size)
            instances.append(Instance(mask=mask, score=rating, category=config.category))
    instances.sort(key=lambda instance: -(instance.score or 0.0))
    return tuple(instances)


def smoothed(map_HW: NDArray[Any], config: ExtractionConfig) -> NDArray[np.float32]:
    """What the threshold is put on: the map, normalised and smoothed as ``config`` says."""
    return smooth(map_HW if config.value_range is None else normalise(map_HW, *config.value_range), config.smoothing)


def foreground(smooth_HW: NDArray[np.float32], threshold: float, config: ExtractionConfig) -> NDArray[np.bool_]:
    """Where objects may be: the smoothed map reaches the threshold (the low one where there is one), with gaps closed,
    what is thin removed and holes filled as ``config`` says."""
    found_HW: NDArray[np.bool_] = smooth_HW >= (threshold if config.low_threshold is None else config.low_threshold)
    if config.close_radius or config.open_radius:
        found_HW = open_thin(close_gaps(found_HW, config.close_radius), config.open_radius)
    return fill_holes(found_HW, config.max_hole) if config.max_hole else found_HW


def one_by_one(
    masks: Sequence[Mask], values_of: Callable[[Mask], NDArray[np.floating[Any]]], config: ExtractionConfig
) -> list[Mask]:
    """Masks of single objects: touching ones are split, then pieces joined, both as ``config`` says.

    ``values_of``: gives the smoothed map at the crop of a mask.
    """
    size = config.object_size
    if size is None:
        return list(masks)
    parts = [part for mask in masks for part in split_touching(mask, values_of(mask), size, neck=config.neck)]
    return join_pieces(parts, size, gap=config.join_gap)


def _on_border(mask: Mask, height: int, width: int) -> bool:
    rows, columns = mask.crop_HW.shape
    return mask.x == 0 or mask.y == 0 or mask.y + rows == height or mask.x + columns == width


def normalise(map_HW: NDArray[Any], lower: float, upper: float) -> NDArray[np.float32]:
    """Bring a map of any dtype to 0..1: `lower` and less become 0, `upper` and more become 1.

    Raises
    ------
    ValueError
        `lower` is not less than `upper`.
    """
    if not lower < upper:
        raise ValueError(f"the range {lower}..{upper} is empty")
    scaled_HW = (np.asarray(map_HW, np.float32) - np.float32(lower)) / np.float32(upper - lower)
    return np.asarray(np.clip(scaled_HW, 0, 1), np.float32)


def find_threshold(map_HW: NDArray[np.floating[Any]], rule: ThresholdRule) -> float | None:
    """Threshold of one map from its histogram: Otsu's or the triangle method, both scikit-image's.

    Only values above 0 are looked at, since below 0 a map speaks of what only WITHOUT has.

    Returns
    -------
    The threshold, above 0; None for a map that is nowhere above 0 or has one value there.
    """
    from skimage import filters

    positive = map_HW[map_HW > 0]
    if positive.size == 0 or positive.min() == positive.max():
        return None
    method: Callable[..., float] = filters.threshold_otsu if rule == "otsu" else filters.threshold_triangle
    # scikit-image's foreground is what lies above its threshold, ours what reaches it.
    return float(np.nextafter(np.float32(method(positive)), np.float32(np.inf)))


def smooth(map_HW: NDArray[np.floating[Any]], sigma: float) -> NDArray[np.float32]:
    """Gaussian smoothing of a map.

    Parameters
    ----------
    map_HW
        Any floating dtype, finite.
    sigma
        Standard deviation in pixels; 0 leaves the map as it is. The kernel ends at 4 sigma and the map is mirrored at
        its border, edge pixel included (as `scipy.ndimage.gaussian_filter` does unless told otherwise).
    """
    values_HW = np.ascontiguousarray(map_HW, np.float32)
    if values_HW.ndim != 2 or values_HW.size == 0:
        raise ValueError(f"a map is height x width, this one has shape {values_HW.shape}")
    if not np.isfinite(values_HW).all():
        raise ValueError("the map holds values that are not finite")
    if sigma <= 0:
        return values_HW
    size = 2 * int(4 * sigma + 0.5) + 1
    return np.asarray(cv2.GaussianBlur(values_HW, (size, size), sigma, borderType=cv2.BORDER_REFLECT), np.float32)


def close_gaps(mask_HW: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Morphological closing with a disk of `radius` pixels: gaps narrower than the disk are filled."""
    return _morphology(mask_HW, cv2.MORPH_CLOSE, radius)


def open_thin(mask_HW: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Morphological opening with a disk of `radius` pixels: what is thinner than the disk is removed."""
    return _morphology(mask_HW, cv2.MORPH_OPEN, radius)


def _morphology(mask_HW: NDArray[np.bool_], operation: int, radius: float) -> NDArray[np.bool_]:
    if radius <= 0:
        return mask_HW
    # A frame of background lets the closing reach past the border and come back.
    frame = 2 * int(radius) if radius <= SMALL_DISK else int(radius) + 1
    height, width = mask_HW.shape
    check_memory(18 * (height + 2 * frame) * (width + 2 * frame), f"a disk of radius {radius} pixels")
    framed = np.pad(mask_HW, frame)
    if radius <= SMALL_DISK:
        steps = np.arange(-int(radius), int(radius) + 1)
        disk = (steps[:, None] ** 2 + steps**2 <= radius**2).astype(np.uint8)
        result = np.asarray(cv2.morphologyEx(framed.view(np.uint8), operation, disk)).view(bool)
    elif operation == cv2.MORPH_CLOSE:
        result = ~_dilated(~_dilated(framed, radius), radius)
    else:
        result = _dilated(~_dilated(~framed, radius), radius)
    return result[frame : frame + height, frame : frame + width]


def _dilated(mask_HW: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """What is at most ``radius`` pixels from the mask."""
    from scipy.ndimage import distance_transform_edt

    if not mask_HW.any():
        return mask_HW
    reached: NDArray[np.bool_] = np.rint(distance_transform_edt(~mask_HW) ** 2) <= radius**2
    return reached


def fill_holes(mask_HW: NDArray[np.bool_], max_area: int) -> NDArray[np.bool_]:
    """Fill holes of at most `max_area` pixels. A hole is background enclosed by the mask, not open to the border."""
    outside_HW = np.logical_not(mask_HW).view(np.uint8)
    _, labels_HW, stats, _ = cv2.connectedComponentsWithStats(outside_HW, connectivity=4)
    left, top, width, height, area = stats.T
    enclosed = (left > 0) & (top > 0) & (left + width < mask_HW.shape[1]) & (top + height < mask_HW.shape[0])
    fill = enclosed & (area <= max_area)
    fill[0] = False
    return np.asarray(mask_HW | fill[labels_HW], bool)


def components(mask_HW: NDArray[np.bool_], connectivity: Literal[4, 8] = 8) -> list[Mask]:
    """Connected parts of a mask, in the order in which their pixels come row by row."""
    pixels_HW = np.ascontiguousarray(mask_HW, bool).view(np.uint8)
    count, labels_HW, stats, _ = cv2.connectedComponentsWithStats(pixels_HW, connectivity=connectivity)
    return [
        Mask(x=x, y=y, crop_HW=labels_HW[y : y + height, x : x + width] == label)
        for label, (x, y, width, height, _) in enumerate(stats[1:count].tolist(), start=1)
    ]


def outlined(mask: Mask, values_HW: NDArray[np.floating[Any]], config: ExtractionConfig) -> list[Mask]:
    """An object without its halo, split once more, since a halo hides the necks of what touches.

    What is split off and smaller than ``config.min_area`` is left out.

    Parameters
    ----------
    values_HW
        The smoothed map at the crop of the mask, above 0 within the mask.
    """
    kept = without_halo(mask, values_HW, config.halo)
    if config.halo <= 0 or config.object_size is None:
        return [kept]
    values_HW = kept.moved(-mask.x, -mask.y).window(values_HW)
    parts = split_touching(kept, values_HW, config.object_size, neck=config.neck)
    return [part for part in parts if part.area >= config.min_area] or [kept]


def without_halo(mask: Mask, values_HW: NDArray[np.floating[Any]], fraction: float) -> Mask:
    """An object without its pixels below ``fraction`` of the mean of its map.

    Around what is strong a map falls off over a few pixels, all of which may reach a threshold that is to find faint
    objects too.

    Parameters
    ----------
    values_HW
        The smoothed map at the crop of the mask, above 0 within the mask.
    fraction
        Less than 1; 0 gives the mask back.
    """
    if fraction <= 0:
        return mask
    kept = Mask.of(mask.crop_HW & (values_HW >= fraction * values_HW[mask.crop_HW].mean(dtype=np.float64)))
    assert kept is not None  # the greatest value is not below the mean
    return kept.moved(mask.x, mask.y)


def score(
    values: NDArray[np.floating[Any]],
    threshold: float,
    rule: ScoreRule = "mass",
    size: ObjectSize | None = None,
) -> float:
    """Confidence of an object in 0..1: s / (s + threshold), 0.5 where s, the object's strength, is the threshold.

    Parameters
    ----------
    values
        The smoothed map at the object's pixels.
    threshold
        The threshold that made it an object; > 0.
    rule
        What s is. "mass": the mean times the square root of the fraction that the object's area is of the typical one,
        so that 0.5 has a typical object that just reaches the threshold everywhere, or one a quarter as large whose map
        is twice the threshold. "peak": the greatest value. "mean": the mean; what just reaches the threshold has 0.5
        by either.
    size
        The typical object; None: a pixel.
    """
    total = float(values.sum(dtype=np.float64))
    return confidence(strength(float(values.max()), total, values.size, rule, size), threshold)


def strength(peak: float, total: float, area: int, rule: ScoreRule, size: ObjectSize | None) -> float:
    """An object's strength, from the greatest value and the sum of the map over its ``area`` pixels; see `score`."""
    if rule == "peak":
        return peak
    return total / area if rule == "mean" else total / (area * (1.0 if size is None else size.area)) ** 0.5


def confidence(strength: float, threshold: float) -> float:
    """S / (s + threshold) for strengths above 0, else 0."""
    return max(strength, 0.0) / (max(strength, 0.0) + threshold)
