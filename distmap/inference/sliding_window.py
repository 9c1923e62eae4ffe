"""How a predictor that sees square windows sees pictures of any size: windows overlap and are blended.

Windows lie on a lattice: they start at every multiple of their step, counted from the picture's ``anchor``. Those that
are needed to cover the picture are used, so that none begins or ends more than a step beyond it. A large scene is cut
into parts that see the same windows. Windows are cut in pixels of the picture and each is brought to the side that the
predictor sees; raw outputs are blended at the predictor's scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from distmap.common.nodata import Valid, fill_nearest
from distmap.common.pictures import Array
from distmap.data.resizing import resize

if TYPE_CHECKING:
    import torch
    from torch import Tensor

WINDOWS_AT_ONCE = 16  # through the networks,
PIXELS_AT_ONCE = 2**19  # or fewer, where windows are large


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The windows that a picture is covered by.

    ``side`` and ``step`` are in pixels of the picture, ``seen`` is the side of what the predictor is shown of each.
    """

    side: int
    step: int
    seen: int

    @property
    def scale(self) -> float:
        """Pixels of the picture for each of the predictor's."""
        return self.side / self.seen


def half_overlapping(side: int, seen: int) -> Windows:
    """Windows that overlap by half."""
    return Windows(side=side, step=max(1, side // 2), seen=seen)


def window_starts(length: int, windows: Windows, anchor: int = 0) -> range:
    """Where the windows start that cover ``length`` pixels: every step, the first at most at 0.

    ``anchor``: how many pixels before 0 a window of the lattice starts.
    """
    step = windows.step
    first = -(anchor % step)
    more = max(0, -(-(length - windows.side - first) // step))
    return range(first, first + more * step + 1, step)


def lattice(height: int, width: int, windows: Windows, anchor: tuple[int, int] = (0, 0)) -> tuple[range, range]:
    """Where windows start along rows and columns of a picture; one that fits into a window is that window."""
    if windows.side >= max(height, width):
        anchor = 0, 0
    return window_starts(height, windows, anchor[0]), window_starts(width, windows, anchor[1])


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """The pixels that some windows see: a whole picture, or part of a scene.

    Attributes
    ----------
    pixels_HWC
        In the numbers of the file, from the first window's first pixel to the last one's last.
    valid_HW
        Which of them hold something; beyond the picture none does.
    windows
        That cover it; they start at every multiple of their step.
    inner
        Rows and columns of the canvas whose map is asked for.
    """

    pixels_HWC: NDArray[np.generic]
    valid_HW: Valid
    windows: Windows
    inner: tuple[slice, slice]

    @property
    def scale(self) -> float:
        """Pixels of the picture for each of the predictor's."""
        return self.windows.scale

    def corners(self) -> list[tuple[int, int]]:
        """Top left corners of windows that hold something."""
        side = self.windows.side
        rows, columns = (range(0, length - side + 1, self.windows.step) for length in self.valid_HW.shape)
        return [
            (top, left) for top in rows for left in columns if self.valid_HW[top : top + side, left : left + side].any()
        ]

    def window(self, top: int, left: int) -> NDArray[np.generic]:
        """The pixels of a window; those that hold nothing have the value of the nearest that does."""
        side = self.windows.side
        place = (slice(top, top + side), slice(left, left + side))
        return fill_nearest(self.pixels_HWC[place], self.valid_HW[place])


def whole_canvas(
    picture_HWC: NDArray[np.generic], valid_HW: Valid | None, windows: Windows, anchor: tuple[int, int] = (0, 0)
) -> Canvas:
    """The canvas of a whole picture, covered by these windows; ``anchor`` as `lattice` takes it."""
    height, width = picture_HWC.shape[:2]
    rows, columns = lattice(height, width, windows, anchor)
    around = (
        (-rows[0], rows[-1] + windows.side - height),
        (-columns[0], columns[-1] + windows.side - width),
    )
    valid = np.ones((height, width), bool) if valid_HW is None else valid_HW
    return Canvas(
        pixels_HWC=np.pad(picture_HWC, (*around, (0, 0))),
        valid_HW=np.pad(valid, around),
        windows=windows,
        inner=(slice(-rows[0], height - rows[0]), slice(-columns[0], width - columns[0])),
    )


@dataclass(frozen=True, kw_only=True)
class Network:
    """What sees windows: ``forward`` takes B x C x S x S in [-1, 1] to B x K x S x S; that is averaged over
    ``symmetry`` (see ``distmap.data.batches.symmetries``). ``scale`` brings numbers of a file to [-1, 1]."""

    forward: Callable[[Tensor], Tensor]
    scale: Callable[[NDArray[np.generic]], Array]
    symmetry: str
    device: torch.device

    def see(self, windows: Sequence[NDArray[np.generic]], side: int) -> Array:
        """Raw outputs of windows that are brought to this side, B x K x S x S."""
        import torch

        scaled = [resize(self.scale(window_HWC), side, side) for window_HWC in windows]
        x_BCHW = torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.stack(scaled), -1, 1))).to(self.device)
        with torch.inference_mode():
            seen: Array = over_symmetries(x_BCHW, self.symmetry, self.forward).cpu().numpy()
        return seen


def over_symmetries(x_BCHW: Tensor, symmetry: str, forward: Callable[[Tensor], Tensor]) -> Tensor:
    """Mean over the views that leave the label alone, each turned back: B x K x H x W of a ``forward`` that gives
    that."""
    import torch

    from distmap.data.batches import symmetries

    views = symmetries(symmetry)
    total: Tensor | None = None
    for turns, mirror in views:
        view = torch.rot90(x_BCHW, turns, (2, 3))
        seen = forward(view.flip(-1) if mirror else view)
        seen = torch.rot90(seen.flip(-1) if mirror else seen, -turns, (2, 3))
        total = seen if total is None else total + seen
    assert total is not None
    return total / len(views)


def see_all(canvases: Iterable[Canvas], network: Network) -> Iterator[tuple[Canvas, Array]]:
    """Each canvas and its raw outputs, K x h x w at the network's scale; in order.

    Canvases are seen together as long as their windows fill one batch: memory for one large picture is enough.
    """
    waiting: list[Canvas] = []
    windows = 0
    for canvas in canvases:
        if waiting and canvas.windows.seen != waiting[0].windows.seen:
            yield from _see_together(waiting, network)
            waiting, windows = [], 0
        waiting.append(canvas)
        windows += len(canvas.corners())
        if windows >= _at_once(canvas.windows.seen):
            yield from _see_together(waiting, network)
            waiting, windows = [], 0
    if waiting:
        yield from _see_together(waiting, network)


def _at_once(seen: int) -> int:
    """How many windows of this side go through the networks together."""
    return max(1, min(WINDOWS_AT_ONCE, PIXELS_AT_ONCE // seen**2))


def _see_together(canvases: Sequence[Canvas], network: Network) -> Iterator[tuple[Canvas, Array]]:
    """Canvases whose windows are seen at one side."""
    seen = canvases[0].windows.seen
    blends = [_Blend(canvas) for canvas in canvases]
    jobs = [(blend, top, left) for blend in blends for top, left in blend.canvas.corners()]
    for first in range(0, len(jobs), _at_once(seen)):
        some = jobs[first : first + _at_once(seen)]
        seen_BKHW = network.see([blend.canvas.window(top, left) for blend, top, left in some], seen)
        for (blend, top, left), raw_KHW in zip(some, seen_BKHW, strict=True):
            blend.add(raw_KHW, top, left)
    for blend in blends:
        yield blend.canvas, blend.finished()


class _Blend:
    """Raw outputs of a canvas' windows, averaged with a Hann weight where windows overlap."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self._side = side = canvas.windows.seen
        self._scale = canvas.scale
        height, width = (round(length / self._scale) for length in canvas.valid_HW.shape)
        self._alone = (height, width) == (side, side)
        self._weight = np.ones((side, side), np.float32) if self._alone else hann(side)
        self._weights = np.zeros((height, width), np.float32)
        self._total: Array | None = None

    def add(self, raw_KHW: Array, top: int, left: int) -> None:
        """Blend in what a window gave."""
        if self._total is None:
            self._total = np.zeros((len(raw_KHW), *self._weights.shape), np.float32)
        row, column = round(top / self._scale), round(left / self._scale)
        place = slice(row, row + self._side), slice(column, column + self._side)
        self._total[:, *place] += raw_KHW * self._weight
        self._weights[place] += self._weight

    def finished(self) -> Array:
        """What the windows give together; pixels that hold nothing have the outputs of the nearest that does."""
        if self._total is None:
            return np.zeros((1, *self._weights.shape), np.float32)
        raw_KHW = self._total / np.maximum(self._weights, np.finfo(np.float32).tiny)
        inner_HW = np.zeros(self.canvas.valid_HW.shape, bool)
        inner_HW[self.canvas.inner] = True
        if self.canvas.valid_HW[inner_HW].all():
            return raw_KHW
        valid_HW = resize(self.canvas.valid_HW.astype(np.float32), *self._weights.shape) > 0
        filled_HWK = fill_nearest(np.moveaxis(raw_KHW, 0, -1), valid_HW)
        return np.moveaxis(filled_HWK.astype(np.float32, copy=False), -1, 0)


def hann(side: int) -> Array:
    """Hann weight of a window, S x S, positive everywhere; windows that overlap by half add up to 1."""
    line = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    return np.outer(line, line).astype(np.float32)
