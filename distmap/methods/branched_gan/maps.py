"""From repaintings to the distinction map."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter, uniform_filter
from scipy.special import expit

from distmap.common.pictures import Array
from distmap.config import MapConfig

GATE = 0.01  # difference of branch 1 at which the gate is half open; the range of a picture is 2
HALO_RADIUS = 3  # pixels of the network
SATURATION = 0.05  # map at which half of what `follow_edges` filters is reached
FLAT = 1e-6  # variance of a picture in [-1, 1] or of a share, below which it is noise of the numbers
FINER = 2  # scale from which on edges are looked for no further away
USUAL = 0.01  # mean of a map around a pixel, at which evening it out changes nothing
FAINT = 3e-4  # is added to that mean: what is about zero stays so
SUBDUED = 0.03  # evened map of which half is left when it is subdued
EDGE_SOFTNESS = 0.004  # edges of a picture in [-1, 1] below the root of this, 0.06, are not followed


def closed_branch1(picture_HWC: Array, without_NHWC: Array) -> Array:
    """What branch 1 holds of a picture when the others paint it as WITHOUT, H x W x C: x - sum_{k >= 2} b_k(x, 0).

    With it the branches add up to the picture exactly; what is painted imperfectly is in it too.
    """
    rest: Array = picture_HWC - without_NHWC[1:].sum(axis=0)
    return rest


def evidence(picture_HWC: Array, without_NHWC: Array, with_NHWC: Array, place_HW: Array) -> Array:
    """All that a map is made of, H x W x (2C + 1): what branch 1 holds of the picture beyond b_1(x, 0), then
    b_1(x, 1) - b_1(x, 0), then the locator's logit.

    Linear in what the networks give, so means over overlapping windows may be taken of it.
    """
    residual = closed_branch1(picture_HWC, without_NHWC) - without_NHWC[0]
    return np.concatenate([residual, with_NHWC[0] - without_NHWC[0], place_HW[..., None]], axis=-1)


def distinction(evidence_HWK: Array) -> Array:
    """The distinction, H x W, 0 or more: what branch 1 holds of the picture that it lacks as class WITHOUT.

    ``r g / (g + 0.01)`` with ``r`` the size of what `closed_branch1` has beyond b_1(x, 0), which is abs(x - x̂(0)), and
    the gate ``g = abs(b_1(x, 1) - b_1(x, 0))``, both mean over bands. Large where the picture holds what only pictures
    WITH have, zero where branch 1 paints the same in both classes: ``r`` gives the shape, the gate drops what is merely
    painted badly. On development pictures abs(b_1(x, 0)) and g by themselves were worse maps (see docs/choices.md).
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


def follow_edges(map_HW: Array, picture_HW: Array, config: MapConfig, scale: float = 1.0) -> Array:
    """Move a map's edges to those of the picture near them: a guided filter (He, Sun & Tang 2013).

    ``picture_HW``: mean over the bands of the picture in [-1, 1], at the size of the map. What is filtered is m / (m +
    0.05), so that one bright spot does not outweigh all around it; the result is in the unit of the map again, and
    nowhere more than the map is nearby: a line through a few values overshoots at the brightest and darkest pixels.
    ``scale``: as in ``distinction_map``.
    """
    radius = _edge_radius(config, scale)
    if radius == 0:
        return map_HW
    share = map_HW / (map_HW + SATURATION)
    most = maximum_filter(share, size=2 * radius + 1, mode="nearest")
    share = np.clip(guided_filter(share, picture_HW, radius, EDGE_SOFTNESS), 0, most)
    followed: Array = (SATURATION * share / (1 - share)).astype(np.float32, copy=False)
    return followed


def finish(map_HW: Array, picture_HW: Array, config: MapConfig, scale: float = 1.0) -> Array:
    """The map as it is handed out, of ``distinction_map`` at the size of the picture: its edges moved to those of the
    picture, then evened out, then subdued. ``picture_HW``, ``scale``: as in ``follow_edges``."""
    return subdue(even_out(follow_edges(map_HW, picture_HW, config, scale), config, scale))


def even_out(map_HW: Array, config: MapConfig, scale: float = 1.0) -> Array:
    """Make a map alike strong in all pictures: m (0.01 / (mean of m around + 0.0003)) ** ``config.evenness``.

    How much is repainted differs with a picture's contrast, and one threshold is to serve all. The mean is that within
    ``config.even_radius``, of what lies within the picture; so one of a picture that the network sees whole is the same
    everywhere, and a scene is evened out place by place. ``scale``: pixels of this map for each of the network's.
    """
    if config.evenness == 0:
        return map_HW
    radius = round(config.even_radius * scale)
    total, count = (
        uniform_filter(x_HW, 2 * radius + 1, mode="constant")
        for x_HW in (map_HW.astype(np.float64), np.ones(map_HW.shape))
    )
    mean = np.maximum(total, 0) / count  # rounding may leave less than nothing
    evened: Array = (map_HW * (USUAL / (mean + FAINT)) ** config.evenness).astype(np.float32)
    return evened


def subdue(map_HW: Array) -> Array:
    """Take what is faint for less, as a Wiener filter does: m m / (m + 0.03), which is m - 0.03 where m is large.

    Around what is repainted a little is, too, over wide areas. The order of pixels stays as it is.
    """
    subdued: Array = map_HW * map_HW / (map_HW + SUBDUED)
    return subdued


def edge_prominence(map_HW: Array, picture_HW: Array, radius: int) -> float | None:
    """How much a picture varies where its map has edges, over how much it varies usually.

    Variances are those within squares of side 2 ``radius`` + 1; *where* weighs them by that of the map (as
    `follow_edges` filters it), *usually* is their median. In pictures that are texture all over it is small (2.4 for
    the generated set ``effect``), and there edges are not worth following. None where the map is the same everywhere.
    """

    def variance(x_HW: Array) -> Array:
        mean_HW, of_squares_HW = (uniform_filter(y_HW, 2 * radius + 1, mode="nearest") for y_HW in (x_HW, x_HW * x_HW))
        spread: Array = np.maximum(of_squares_HW - mean_HW * mean_HW, 0)
        return spread

    of_map, of_picture = variance(map_HW / (map_HW + SATURATION)), variance(picture_HW)
    if of_map.max() < FLAT:
        return None
    return float(np.average(of_picture, weights=of_map) / max(float(np.median(of_picture)), FLAT))


def guided_filter(values_HW: Array, guide_HW: Array, radius: int, softness: float) -> Array:
    """Values as a local linear function of a guide, in squares of side 2 ``radius`` + 1 (He, Sun & Tang 2013, eq. 5, 6
    and 8); edges of the guide weaker than the square root of ``softness`` are smoothed over. Borders are repeated."""

    def mean(x_HW: Array) -> Array:
        blurred: Array = uniform_filter(x_HW, 2 * radius + 1, mode="nearest")
        return blurred

    mean_guide, mean_values = mean(guide_HW), mean(values_HW)
    variance = np.maximum(mean(guide_HW * guide_HW) - mean_guide * mean_guide, 0)
    slope = (mean(guide_HW * values_HW) - mean_guide * mean_values) / (variance + softness)
    filtered: Array = mean(slope) * guide_HW + mean(mean_values - slope * mean_guide)
    return filtered


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
    """How far around a pixel, in pixels of the map, ``distinction_map`` and then ``finish`` look."""
    cleaning = _radius(config.smoothing * scale) + round(HALO_RADIUS * scale)
    evening = round(config.even_radius * scale) if config.evenness else 0
    return max(cleaning, _radius(config.place_smoothing * scale)) + 2 * _edge_radius(config, scale) + evening


def _edge_radius(config: MapConfig, scale: float) -> int:
    """In pixels of the map; up to twice as far where pictures are finer than the network, which saw less of them."""
    return round(config.edge_radius * scale * min(max(scale, 1), FINER))


def _radius(sigma: float) -> int:
    return int(4 * sigma + 0.5)  # where gaussian_filter cuts its kernel
