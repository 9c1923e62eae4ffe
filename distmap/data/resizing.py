"""Bringing pictures to the size at which a network sees them."""

from __future__ import annotations

import cv2
import numpy as np

from distmap.common.pictures import Array

OPENCV_BANDS = 4  # more at once it does not shrink


def resize(picture: Array, height: int, width: int) -> Array:
    """H x W x C or H x W to another size: area averages where it shrinks, linear where it grows."""
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = height * width < picture.shape[0] * picture.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    bands_HWC = picture.reshape(*picture.shape[:2], -1)
    resized = np.empty((height, width, bands_HWC.shape[2]), np.float32)
    for first in range(0, bands_HWC.shape[2], OPENCV_BANDS):
        some = slice(first, first + OPENCV_BANDS)
        part = cv2.resize(np.ascontiguousarray(bands_HWC[..., some]), (width, height), interpolation=interpolation)
        resized[..., some] = part.reshape(height, width, -1)
    return resized.reshape(height, width, *picture.shape[2:])


def fitted_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width once the longer side is ``side``; the aspect is kept."""
    scale = side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def fit_square(picture_HWC: Array, side: int) -> Array:
    """A whole picture on a square: longer side scaled to ``side``, the rest filled by repeating the border.

    The picture lies in the upper left corner, ``fitted_size`` large.
    """
    height, width = fitted_size(picture_HWC.shape[0], picture_HWC.shape[1], side)
    return pad_to(resize(picture_HWC, height, width), side, side)


def pad_to(picture_HWC: Array, height: int, width: int) -> Array:
    """Repeat the last row and column until the picture is at least that large."""
    below, right = max(0, height - picture_HWC.shape[0]), max(0, width - picture_HWC.shape[1])
    if not below and not right:
        return picture_HWC
    padded: Array = np.pad(picture_HWC, ((0, below), (0, right), (0, 0)), mode="edge")
    return padded
