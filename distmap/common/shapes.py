"""Where the pixels of a shape lie, and how long and wide it is."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def edge_corners(mask_HW: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Corners (x, y) of the outermost pixels of each row of a mask, N x 2: they have the convex hull of all."""
    rows = np.flatnonzero(mask_HW.any(axis=1))
    first = mask_HW[rows].argmax(axis=1)
    last = mask_HW.shape[1] - mask_HW[rows, ::-1].argmax(axis=1)
    x, y = np.concatenate([first, last, first, last]), np.concatenate([rows, rows, rows + 1, rows + 1])
    return np.column_stack([x, y]).astype(float)


def sides(points_N2: NDArray[np.floating]) -> tuple[float, float]:
    """Length and width of the rectangle of least area around points."""
    one, other = cv2.minAreaRect(points_N2.astype(np.float32))[1]
    return max(one, other), min(one, other)
