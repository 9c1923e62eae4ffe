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
    return gated(differences(picture_HWC, without_NHWC, with_NHWC))


def differences(picture_HWC: Array, without_NHWC: Array, with_NHWC: Array) -> Array:
    """X - x̂(0), then b_1(x, 1) - b_1(x, 0): H x W x 2C, from which `gated` makes the map.

    Linear in the branches, so means over overlapping windows may be taken of these instead. Leading axes are kept.
    """
    residual = picture_HWC - without_NHWC.sum(axis=-4)
    return np.concatenate([residual, with_NHWC[..., 0, :, :, :] - without_NHWC[..., 0, :, :, :]], axis=-1)


def gated(differences_HWC: Array) -> Array:
    """The map of what `differences` gives, H x W."""
    residual, gate = (np.abs(half).mean(axis=-1) for half in np.split(differences_HWC, 2, axis=-1))
    product: Array = residual * gate / (gate + GATE)
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


def reach(sigma: float, scale: float = 1.0) -> int:
    """How far around a pixel, in pixels of the map, `clean` looks."""
    return int(4 * sigma * scale + 0.5) + round(HALO_RADIUS * scale)
