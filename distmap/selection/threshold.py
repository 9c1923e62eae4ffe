"""A threshold without labels of pixels, from maps of pictures of both folders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distmap.common.detection_settings import DetectionSettings
from distmap.common.pictures import Array

RATES = tuple(float(rate) for rate in np.round(np.geomspace(0.2, 1e-5, 44), 8))


def threshold_for(values: Array, rate: float) -> float:
    """The smallest threshold > 0 that at most a fraction ``rate`` of ``values`` reaches (value >= threshold).

    Raises
    ------
    ValueError
        There are no values, or the rate is not between 0 and 1.
    """
    if not 0 < rate < 1:
        raise ValueError(f"false alarm rate {rate}: must lie between 0 and 1")
    if values.size == 0:
        raise ValueError("no map to calibrate on")
    allowed = int(rate * values.size)
    highest_refused = np.partition(values.ravel(), values.size - 1 - allowed)[values.size - 1 - allowed]
    return float(np.nextafter(np.float32(max(highest_refused, 0)), np.float32(np.inf)))


def calibrate(
    without_maps: Sequence[Array], with_maps: Sequence[Array], threshold: float | None = None
) -> DetectionSettings:
    """Threshold from maps (H x W each), pooled over their pixels: of pictures WITHOUT that were kept out of training,
    and of pictures WITH.

    The threshold parts the pixels of pictures WITH in two, with the greatest variance between the two parts (Otsu
    1979). A rate of false alarms in pictures WITHOUT, the usual
    criterion, depends on a few strong pixels of what may be a dozen pictures; here they only tell what fraction of
    their pixels is taken, at this and at other thresholds. No label of a pixel is used. ``threshold``: in its place,
    where it is known.

    Raises
    ------
    ValueError
        There are no maps of one of the folders.
    """
    if not without_maps or not with_maps:
        raise ValueError("no map to calibrate on")
    nothing, something = (
        np.concatenate([map_HW.ravel() for map_HW in maps]).astype(np.float32) for maps in (without_maps, with_maps)
    )
    threshold = find_threshold(something) if threshold is None else threshold
    return DetectionSettings(
        threshold=threshold,
        low_threshold=threshold,
        false_alarm=float((nothing >= threshold).mean()),
        rates=RATES,
        thresholds=tuple(threshold_for(nothing, rate) for rate in RATES),
        pictures=len(without_maps),
    )


def find_threshold(values: Array) -> float:
    """The value > 0 that parts pixels in two; above the greatest where all are the same."""
    from skimage.filters import threshold_otsu

    greatest = float(values.max())
    if float(values.min()) == greatest:
        return float(np.nextafter(np.float32(max(greatest, 0)), np.float32(np.inf)))
    return float(threshold_otsu(values))  # type: ignore[no-untyped-call]


def mean_scores(scores: Sequence[tuple[int, dict[str, float]]]) -> dict[str, float]:
    """Means over validation pictures, each given as (label, its diagnostics).

    ``psnr`` of the same-class reconstruction, ``residual``, and ``flip_rate``, how often a picture reconstructed as
    the other class is taken for it; those that the diagnostics do not tell are left out.
    """
    names = ("without", "with")
    figures: dict[str, list[float]] = {"psnr": [], "residual": [], "flip_rate": []}
    for label, score in scores:
        known = {
            "psnr": score.get(f"psnr_{names[label]}"),
            "residual": score.get("residual"),
            "flip_rate": score.get(f"flips_to_{names[1 - label]}"),
        }
        for name, value in known.items():
            figures[name] += [] if value is None else [value]
    return {name: float(np.mean(values)) for name, values in figures.items() if values}
