"""Pixels that hold nothing: under a mask, without data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Valid = NDArray[np.bool_]


def fill_nearest(values_HWC: NDArray[np.generic], valid_HW: Valid) -> NDArray[np.generic]:
    """Give pixels that hold nothing the value of the nearest one that does: no edge is left for the network to see."""
    import cv2

    if valid_HW.all() or not valid_HW.any():
        return values_HWC
    rows, columns = np.flatnonzero(valid_HW.any(axis=1)), np.flatnonzero(valid_HW.any(axis=0))
    block_HW = valid_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if block_HW.all():  # as at the border of a picture
        height, width = valid_HW.shape
        clamped: NDArray[np.generic] = values_HWC[
            np.clip(np.arange(height), rows[0], rows[-1])[:, None], np.clip(np.arange(width), columns[0], columns[-1])
        ]
        return clamped
    empty_HW = np.logical_not(valid_HW).astype(np.uint8)
    _, nearest_HW = cv2.distanceTransformWithLabels(empty_HW, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    values = np.zeros((int(nearest_HW.max()) + 1, values_HWC.shape[-1]), values_HWC.dtype)
    values[nearest_HW[valid_HW]] = values_HWC[valid_HW]
    filled: NDArray[np.generic] = values[nearest_HW]
    return filled
