"""What the page holds of one picture: small pictures of it, and what is found at every threshold of the slider."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detect.detections import Detections
from detect.drawing import as_rgb
from detect.extraction import confidence
from detect.truth import Truth

LONGEST_SIDE = 256  # of the small pictures, pixels
JPEG_QUALITY = 88
MOST_LEVELS = 24  # bits of a pixel of an 8-bit RGB picture


@dataclass(frozen=True, kw_only=True)
class Card:
    """One picture as the page has it. Small pictures are ``data:`` addresses; all three have one size."""

    name: str
    height: int
    width: int
    factor: int
    """Pixels of the picture, along either side, for one of the small pictures."""
    picture: str
    """JPEG: means of blocks of ``factor`` x ``factor`` pixels."""
    map: str
    """8-bit grey PNG of 255 m / (m + t), rounded, where m is the greatest map value of a block, at least 0, and t the
    run's own threshold: 128 where the map is t."""
    masks: str
    """8-bit RGB PNG. Bit k of R + 256 G + 65536 B is set where an object of the k-th threshold has a pixel of the
    block, so the masks are those of the extraction itself."""
    boxes: list[list[int]]
    """For each threshold the objects one after the other, surest first: left, top, width, height in pixels of the
    picture, thousandths of the score."""
    score: float
    """m / (m + t) of the whole map."""
    confidence: float
    """See `detect.extraction.extract`, at the run's own threshold."""
    truth: list[list[int]] | None
    """Rings x, y, x, y... of the true objects in pixels of the picture; None where nothing is known."""
    true_objects: int
    true_pixels: int
    pixels: list[int]
    """In the masks of each threshold."""
    common: list[int]
    """Of these, those that are true."""


def make_card(
    picture_HWC: NDArray[Any],
    map_HW: NDArray[np.float32],
    levels: Sequence[Detections],
    chosen: int,
    threshold: float,
    truth: Truth | None,
) -> Card:
    """The card of a picture.

    Parameters
    ----------
    levels
        What is found in the picture at each threshold of the slider.
    chosen
        Which of them is the run's own, ``threshold``.
    """
    if len(levels) > MOST_LEVELS:
        raise ValueError(f"{len(levels)} thresholds, a page has {MOST_LEVELS} at most")
    height, width = map_HW.shape
    factor = math.ceil(max(height, width) / LONGEST_SIDE)
    bits_HW = np.zeros((height, width), np.uint32)
    true_HW = None if truth is None else truth.objects.union_mask()
    known = ... if truth is None or truth.ignored_HW is None else ~truth.ignored_HW
    pixels, common = [], []
    for bit, found in enumerate(levels):
        mask_HW = found.union_mask()
        bits_HW |= mask_HW.astype(np.uint32) << bit
        if true_HW is not None:
            pixels.append(int(mask_HW[known].sum()))
            common.append(int((mask_HW & true_HW)[known].sum()))
    return Card(
        name=levels[chosen].name,
        height=height,
        width=width,
        factor=factor,
        picture=_address(_small_picture(picture_HWC, factor), ".jpg"),
        map=_address(_small_map(map_HW, factor, threshold), ".png"),
        masks=_address(_small_masks(bits_HW, factor), ".png"),
        boxes=[_boxes(found) for found in levels],
        score=round(confidence(float(map_HW.max()), threshold), 4),
        confidence=round(levels[chosen].confidence or 0.0, 4),  # one that is not known is doubtful
        truth=None if truth is None else _rings(truth.objects),
        true_objects=0 if truth is None else len(truth.objects.instances),
        true_pixels=0 if true_HW is None else int(true_HW[known].sum()),
        pixels=pixels,
        common=common,
    )


def _boxes(found: Detections) -> list[int]:
    numbers: list[int] = []
    for item in found.instances:
        numbers += [round(value) for value in item.bbox]
        numbers.append(round(1000 * (item.score or 0.0)))
    return numbers


def _rings(objects: Detections) -> list[list[int]]:
    return [
        np.rint(ring).astype(int).ravel().tolist()
        for item in objects.instances
        for polygon in item.polygons
        for ring in polygon
    ]


def _small_picture(picture_HWC: NDArray[Any], factor: int) -> NDArray[np.uint8]:
    means_HWC = _blocks(as_rgb(picture_HWC), factor).mean(axis=(1, 3))
    shown_HWC: NDArray[np.uint8] = np.rint(means_HWC).astype(np.uint8)
    grey = (shown_HWC == shown_HWC[..., :1]).all()
    return shown_HWC[..., 0] if grey else shown_HWC[..., ::-1]


def _small_map(map_HW: NDArray[np.float32], factor: int, threshold: float) -> NDArray[np.uint8]:
    highest_HW = np.maximum(_blocks(map_HW, factor).max(axis=(1, 3)), 0).astype(np.float64)
    small_HW: NDArray[np.uint8] = np.rint(255 * highest_HW / (highest_HW + threshold)).astype(np.uint8)
    return small_HW


def _small_masks(bits_HW: NDArray[np.uint32], factor: int) -> NDArray[np.uint8]:
    small_HW = np.bitwise_or.reduce(np.bitwise_or.reduce(_blocks(bits_HW, factor), axis=3), axis=1)
    # OpenCV's order: blue, which has the highest bits, comes first.
    small_HWC: NDArray[np.uint8] = np.stack([small_HW >> shift & 255 for shift in (16, 8, 0)], -1).astype(np.uint8)
    return small_HWC


def _blocks(array: NDArray[Any], factor: int) -> NDArray[Any]:
    """H x W (x C) -> H / f x f x W / f x f (x C); what lies beyond the last row and column repeats them."""
    height, width = array.shape[:2]
    beyond = [(0, -height % factor), (0, -width % factor)] + [(0, 0)] * (array.ndim - 2)
    padded = np.pad(array, beyond, mode="edge")
    rows, columns = padded.shape[:2]
    return padded.reshape(rows // factor, factor, columns // factor, factor, *array.shape[2:])


def _address(pixels: NDArray[np.uint8], suffix: str) -> str:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 9]
    content = cv2.imencode(suffix, np.ascontiguousarray(pixels), options)[1].tobytes()
    kind = "jpeg" if suffix == ".jpg" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
