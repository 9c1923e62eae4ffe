"""Windows of one size on a lattice fixed on the ground, painted one by one and blended with a Hann weight.

Every extent of a scene cuts the same windows, so the map of a crop is the crop of the map, but within a window of
the crop's border, where windows look beyond it. The windows overlap by half. A pixel's weights add up to 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.scenes.source import Pixels, Scene, SceneReader, Valid

Floats = NDArray[np.float32]
WINDOWS_AT_ONCE = 16
NOISE_BITS = 10  # of the 24 binary digits of a float32


class WindowMapper(Protocol):
    """What makes maps: it paints each window by itself, and turns what is blended from them into a map."""

    @property
    def side(self) -> int:
        """Height and width of a window in pixels of the scene."""

    @property
    def channels(self) -> int:
        """How many numbers a pixel has when painted, K."""

    @property
    def reach(self) -> int:
        """How far, in pixels, `map` looks around a pixel."""

    def paint(self, windows_BHWC: Pixels) -> Floats:
        """Windows in the numbers of the file -> B x H x W x K. A window's answer depends on that window alone."""

    def map(self, blended_HWK: Floats) -> Floats:
        """What the windows give together -> the map, H x W."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """Rows top..bottom and columns left..right of a scene, the ends exclusive."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    def grown(self, margin: int, scene: Scene) -> Region:
        """The region with a margin, within the scene."""
        return Region(
            top=max(0, self.top - margin),
            left=max(0, self.left - margin),
            bottom=min(scene.height, self.bottom + margin),
            right=min(scene.width, self.right + margin),
        )

    def shared(self, other: Region) -> Region | None:
        """What two regions have in common."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        return Region(top=top, left=left, bottom=bottom, right=right) if top < bottom and left < right else None

    def within(self, outer: Region) -> tuple[slice, slice]:
        """Where the region lies in an array of ``outer``."""
        return (
            slice(self.top - outer.top, self.bottom - outer.top),
            slice(self.left - outer.left, self.right - outer.left),
        )


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """All windows that touch a region, as one array. ``rows`` and ``columns``: where windows start in it, by parity."""

    region: Region
    top: int
    left: int
    pixels_HWC: Pixels
    valid_HW: Valid
    rows: tuple[tuple[int, ...], tuple[int, ...]]
    columns: tuple[tuple[int, ...], tuple[int, ...]]


def read_canvas(reader: SceneReader, region: Region, side: int) -> Canvas:
    """Read what the windows on ``region`` see, beyond the region and beyond the scene too."""
    row, column = reader.scene.anchor
    rows, columns = lattice(row, region.top, region.bottom, side), lattice(column, region.left, region.right, side)
    top, left = min(rows[0] + rows[1]), min(columns[0] + columns[1])
    bottom, right = max(rows[0] + rows[1]) + side, max(columns[0] + columns[1]) + side
    pixels_HWC, valid_HW = reader.read(top, left, bottom - top, right - left)
    return Canvas(
        region=region,
        top=top,
        left=left,
        pixels_HWC=pixels_HWC,
        valid_HW=valid_HW,
        rows=tuple(tuple(start - top for start in starts) for starts in rows),  # type: ignore[arg-type]
        columns=tuple(tuple(start - left for start in starts) for starts in columns),  # type: ignore[arg-type]
    )


def lattice(anchor: int, first: int, end: int, side: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where windows that touch first..end start: the even ones of the lattice and the odd ones.

    The lattice has a window at every multiple of half a side, counted from ``anchor`` pixels before 0.
    """
    step = max(1, side // 2)
    numbers = range((first + anchor - side) // step + 1, (end - 1 + anchor) // step + 1)
    even = tuple(number * step - anchor for number in numbers if number % 2 == 0)
    odd = tuple(number * step - anchor for number in numbers if number % 2)
    return even, odd


def hann(side: int) -> Floats:
    """Hann weight of a window, S x S, divided by the sum over all windows of the lattice that share the pixel."""
    step = max(1, side // 2)
    line = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    place = np.arange(side) % step
    line /= np.bincount(place, weights=line)[place]
    return np.outer(line, line).astype(np.float32)


def map_canvas(canvas: Canvas, mapper: WindowMapper) -> tuple[Floats, Valid]:
    """The map of the canvas' region, 0 where nothing is held, and which pixels hold something.

    The order in which windows are added to a pixel is that of the lattice, so it is the same in every extent.
    """
    side = mapper.side
    weight_HW1 = hann(side)[..., None]
    blended_HWK = np.zeros((*canvas.valid_HW.shape, mapper.channels), np.float32)
    for some in _batches(canvas, side):
        painted = mapper.paint(np.stack([_window(canvas, top, left, side) for top, left in some]))
        for (top, left), window_HWK in zip(some, painted, strict=True):
            blended_HWK[top : top + side, left : left + side] += window_HWK * weight_HW1
    inner = canvas.region.within(
        Region(top=canvas.top, left=canvas.left, bottom=canvas.region.bottom, right=canvas.region.right)
    )
    valid_HW = canvas.valid_HW[inner]
    map_HW = np.asarray(mapper.map(blended_HWK[inner]), np.float32)
    return np.where(valid_HW, rounded(map_HW), np.float32(0)), valid_HW


def rounded(map_HW: Floats) -> Floats:
    """A map to 14 binary digits, a relative error of 3e-5 at most, ties to the larger magnitude.

    What is below is rounding noise of the blending, which differs between machines, and which files are full of.
    """
    bits_HW = np.ascontiguousarray(map_HW).view(np.int32) + np.int32(1 << NOISE_BITS - 1)
    bits_HW &= np.int32(-1 << NOISE_BITS)
    return bits_HW.view(np.float32)


def _batches(canvas: Canvas, side: int) -> Iterator[list[tuple[int, int]]]:
    """Corners of windows that hold something, never two overlapping ones in a wrong order."""
    corners = [
        (top, left)
        for rows in canvas.rows
        for columns in canvas.columns
        for top in rows
        for left in columns
        if canvas.valid_HW[top : top + side, left : left + side].any()
    ]
    for first in range(0, len(corners), WINDOWS_AT_ONCE):
        yield corners[first : first + WINDOWS_AT_ONCE]


def _window(canvas: Canvas, top: int, left: int, side: int) -> Pixels:
    place = (slice(top, top + side), slice(left, left + side))
    return fill(canvas.pixels_HWC[place], canvas.valid_HW[place])


def fill(window_HWC: Pixels, valid_HW: Valid) -> Pixels:
    """Give pixels that hold nothing the value of the nearest one that does: no edge is left for the network to see."""
    if valid_HW.all():
        return window_HWC
    rows, columns = np.flatnonzero(valid_HW.any(axis=1)), np.flatnonzero(valid_HW.any(axis=0))
    block_HW = valid_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if block_HW.all():  # as at the border of a scene
        height, width = valid_HW.shape
        clamped: Pixels = window_HWC[
            np.clip(np.arange(height), rows[0], rows[-1])[:, None], np.clip(np.arange(width), columns[0], columns[-1])
        ]
        return clamped
    empty_HW = np.logical_not(valid_HW).astype(np.uint8)
    _, nearest_HW = cv2.distanceTransformWithLabels(empty_HW, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    values = np.zeros((int(nearest_HW.max()) + 1, window_HWC.shape[-1]), window_HWC.dtype)
    values[nearest_HW[valid_HW]] = window_HWC[valid_HW]
    filled: Pixels = values[nearest_HW]
    return filled
