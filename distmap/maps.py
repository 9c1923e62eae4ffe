"""From repaintings to the distinction map."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter

from distmap.images import Array

GATE = 0.01  # difference of branch 1 at which the gate is half open; the range of a picture is 2
HALO_RADIUS = 3  # pixels of the network


def distinction(picture_HWC: Array, without_NHWC: Array, with_NHWC: Array) -> Array:
    """Where branch 1 tells the classes apart, how far the picture is from its repainting as class WITHOUT.

    ``r g / (g + 0.01)`` with the residual ``r = abs(x - x̂(0))`` and the gate ``g = abs(b_1(x, 1) - b_1(x, 0))``, both
    mean over bands. H x W, 0 or more: large where the picture holds what only pictures WITH have, zero where branch 1
    paints the same in both classes. The residual gives the shape; the gate drops what is merely painted badly.
    """
    residual = np.abs(picture_HWC - without_NHWC.sum(axis=0)).mean(axis=-1)
    gate = np.abs(with_NHWC[0] - without_NHWC[0]).mean(axis=-1)
    gated: Array = residual * gate / (gate + GATE)
    return gated


def clean(map_HW: Array, sigma: float, halo: float) -> Array:
    """Smooth a map (Gaussian, ``sigma`` in pixels) and set to zero what is less than ``halo`` times the largest value
    within 3 pixels: the blurred rim of something stronger is not part of it."""
    smoothed = gaussian_filter(map_HW, sigma, mode="nearest") if sigma > 0 else map_HW
    if halo == 0:
        return smoothed
    strongest = maximum_filter(smoothed, size=2 * HALO_RADIUS + 1, mode="nearest")
    cleaned: Array = np.where(smoothed >= halo * strongest, smoothed, 0).astype(np.float32, copy=False)
    return cleaned
