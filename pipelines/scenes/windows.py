"""Scenes as windows of one size on a lattice fixed on the ground, whatever part of a scene is read.

Every extent of a scene cuts the same windows, so the map of a crop is the crop of the map, but within a window of the
crop's border, where windows look beyond it. How windows are seen and blended is `distmap.inference.sliding_window`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from distmap.inference.sliding_window import Canvas, Windows, lattice
from pipelines.scenes.source import Scene, SceneReader, Valid

Floats = NDArray[np.float32]
NOISE_BITS = 10  # of the 24 binary digits of a float32


class WindowMapper(Protocol):
    """What makes maps of parts of a scene. A window's raw outputs depend on that window alone."""

    def windows(self, height: int, width: int) -> Windows:
        """The windows that cover a scene of this size."""

    def margin(self, windows: Windows) -> int:
        """How far, in pixels of the scene, the map looks around a pixel."""

    def bytes_per_pixel(self, windows: Windows) -> float:
        """Memory that mapping takes for each pixel."""

    def maps(self, canvases: Sequence[Canvas]) -> list[Floats]:
        """The map of each canvas' inner part."""


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
class SceneCanvas:
    """All windows that touch a region of a scene, and which pixels of the region hold something."""

    region: Region
    canvas: Canvas

    @property
    def valid_HW(self) -> Valid:  # noqa: N802 - an array's name ends in its shape
        return self.canvas.valid_HW[self.canvas.inner]


def read_canvas(reader: SceneReader, region: Region, windows: Windows) -> SceneCanvas:
    """Read what the windows on ``region`` see, beyond the region and beyond the scene too."""
    scene = reader.scene
    rows, columns = lattice(scene.height, scene.width, windows, scene.anchor)
    top, bottom = touching(rows, region.top, region.bottom, windows.side)
    left, right = touching(columns, region.left, region.right, windows.side)
    pixels_HWC, valid_HW = reader.read(top, left, bottom - top, right - left)
    outer = Region(top=top, left=left, bottom=bottom, right=right)
    canvas = Canvas(pixels_HWC=pixels_HWC, valid_HW=valid_HW, windows=windows, inner=region.within(outer))
    return SceneCanvas(region=region, canvas=canvas)


def touching(starts: range, first: int, end: int, side: int) -> tuple[int, int]:
    """Where the first of the windows that touch first..end starts, and where the last one ends."""
    touched = [start for start in starts if start < end and start + side > first]
    return touched[0], touched[-1] + side


def map_canvas(read: SceneCanvas, mapper: WindowMapper) -> tuple[Floats, Valid]:
    """The map of the canvas' region, 0 where nothing is held, and which pixels hold something."""
    valid_HW = read.valid_HW
    if not read.canvas.valid_HW.any():
        return np.zeros(valid_HW.shape, np.float32), valid_HW
    (map_HW,) = mapper.maps([read.canvas])
    return np.where(valid_HW, rounded(map_HW), np.float32(0)), valid_HW


def rounded(map_HW: Floats) -> Floats:
    """A map to 14 binary digits, a relative error of 3e-5 at most, ties to the larger magnitude.

    What is below is rounding noise of the blending, which differs between machines, and which files are full of.
    """
    bits_HW = np.ascontiguousarray(map_HW).view(np.int32) + np.int32(1 << NOISE_BITS - 1)
    bits_HW &= np.int32(-1 << NOISE_BITS)
    return bits_HW.view(np.float32)
