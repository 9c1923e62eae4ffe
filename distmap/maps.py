"""From repaintings to the distinction map."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter
from scipy.special import expit

from distmap.config import MapConfig
from distmap.images import Array

GATE = 0.01  # difference of branch 1 at which the gate is half open; the range of a picture is 2
HALO_RADIUS = 3  # pixels of the network


def evidence(picture_HWC: Array, without_NHWC: Array, with_NHWC: Array, place_HW: Array) -> Array:
    """All that a map is made of, H x W x (2C + 1): x - x̂(0), then b_1(x, 1) - b_1(x, 0), then the locator's logit.

    Linear in what the networks give, so means over overlapping windows may be taken of it.
    """
    residual = picture_HWC - without_NHWC.sum(axis=0)
    return np.concatenate([residual, with_NHWC[0] - without_NHWC[0], place_HW[..., None]], axis=-1)


def distinction(evidence_HWK: Array) -> Array:
    """Where branch 1 tells the classes apart, how far the picture is from its repainting as class WITHOUT.

    ``r g / (g + 0.01)`` with the residual ``r = abs(x - x̂(0))`` and the gate ``g = abs(b_1(x, 1) - b_1(x, 0))``, both
    mean over bands. H x W, 0 or more: large where the picture holds what only pictures WITH have, zero where branch 1
    paints the same in both classes. The residual gives the shape; the gate drops what is merely painted badly.
    """
    residual, gate = (np.abs(half).mean(axis=-1) for half in np.split(evidence_HWK[..., :-1], 2, axis=-1))
    product: Array = residual * gate / (gate + GATE)
    return product


def distinction_map(evidence_HWK: Array, config: MapConfig, scale: float = 1.0) -> Array:
    """The map, H x W: ``distinction``, cleaned; unless it is to be plain, times the smoothed probability that the
    locator gives a place.

    The repainting knows what shape, the locator knows where. ``scale``: pixels of this map for each of the network's,
    which the settings are in.
    """
    cleaned = clean(distinction(evidence_HWK), config.smoothing, config.halo, scale)
    if config.kind == "plain":
        return cleaned
    place = expit(evidence_HWK[..., -1])
    if config.place_smoothing:
        place = gaussian_filter(place, config.place_smoothing * scale, mode="nearest")
    product: Array = cleaned * place
    return product


def clean(map_HW: Array, sigma: float, halo: float, scale: float = 1.0) -> Array:
    """Smooth a map (Gaussian, ``sigma`` in pixels) and set to zero what is less than ``halo`` times the largest value
    within 3 pixels: the blurred rim of something stronger is not part of it. ``scale``: pixels of this map for each of
    those that ``sigma`` and the 3 are in."""
    smoothed = gaussian_filter(map_HW, sigma * scale, mode="nearest") if sigma > 0 else map_HW
    if halo == 0:
        return smoothed
    strongest = maximum_filter(smoothed, size=2 * round(HALO_RADIUS * scale) + 1, mode="nearest")
    cleaned: Array = np.where(smoothed >= halo * strongest, smoothed, 0).astype(np.float32, copy=False)
    return cleaned


def reach(config: MapConfig, scale: float = 1.0) -> int:
    """How far around a pixel, in pixels of the map, ``distinction_map`` looks."""
    cleaning = _radius(config.smoothing * scale) + round(HALO_RADIUS * scale)
    return max(cleaning, _radius(config.place_smoothing * scale))


def _radius(sigma: float) -> int:
    return int(4 * sigma + 0.5)  # where gaussian_filter cuts its kernel
