"""How networks that look at square windows see pictures of any size: in batches, blended where windows overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from distmap.common.pictures import Array
from distmap.data.resizing import pad_to, window_starts

if TYPE_CHECKING:
    import torch
    from torch import Tensor

WINDOWS_AT_ONCE = 16  # through the networks


@dataclass(frozen=True, kw_only=True)
class Lens:
    """Networks that look at square windows: ``look`` takes B x C x S x S to B x K x S x S, S = ``side`` and K =
    ``channels``; what it gives is averaged over ``symmetry`` (see ``distmap.data.batches.symmetries``)."""

    side: int
    channels: int
    look: Callable[[Tensor], Tensor]
    symmetry: str
    device: torch.device

    def see(self, windows_BHWC: Array) -> Array:
        """What the networks give of windows of the lens's side, B x K x S x S."""
        import torch

        from distmap.inference.views import over_symmetries

        x_BCHW = torch.from_numpy(np.ascontiguousarray(np.moveaxis(windows_BHWC, -1, 1))).to(self.device)
        with torch.inference_mode():
            seen: Array = over_symmetries(x_BCHW, self.symmetry, self.look).cpu().numpy()
        return seen


def see_all(pictures: Iterable[Array], lens: Lens) -> Iterator[tuple[Array, Array]]:
    """Each picture, H x W x C at the scale of the lens, and what the lens gives of it, K x H x W; in order.

    A picture larger than a window is covered by half-overlapping ones, blended with a Hann weight. Pictures are seen
    together as long as they fill one batch: memory for one large picture is enough.
    """
    waiting: list[_Canvas] = []
    for picture_HWC in pictures:
        waiting.append(_Canvas(picture_HWC, lens))
        if sum(len(canvas.corners) for canvas in waiting) >= WINDOWS_AT_ONCE:
            yield from _fill(waiting, lens)
            waiting.clear()
    yield from _fill(waiting, lens)


def _fill(canvases: Sequence[_Canvas], lens: Lens) -> list[tuple[Array, Array]]:
    """Fill several canvases together: their windows share batches."""
    jobs = [(canvas, top, left) for canvas in canvases for top, left in canvas.corners]
    for first in range(0, len(jobs), WINDOWS_AT_ONCE):
        some = jobs[first : first + WINDOWS_AT_ONCE]
        windows_BHWC = np.stack([canvas.window(top, left) for canvas, top, left in some])
        for (canvas, top, left), seen_KHW in zip(some, lens.see(windows_BHWC), strict=True):
            canvas.add(seen_KHW, top, left)
    return [(canvas.picture_HWC, canvas.blended()) for canvas in canvases]


class _Canvas:
    """A picture on which what windows give is blended."""

    def __init__(self, picture_HWC: Array, lens: Lens) -> None:
        self.picture_HWC = picture_HWC
        self._side = side = lens.side
        self._padded_HWC = pad_to(picture_HWC, side, side)
        size = self._padded_HWC.shape[:2]
        tops, lefts = (window_starts(length, side) for length in size)
        self.corners = [(top, left) for top in tops for left in lefts]
        self._weight = _hann(side) if len(self.corners) > 1 else np.ones((side, side), np.float32)
        self._weights = np.zeros(size, np.float32)
        self._total = np.zeros((lens.channels, *size), np.float32)

    def _place(self, top: int, left: int) -> tuple[slice, slice]:
        return slice(top, top + self._side), slice(left, left + self._side)

    def window(self, top: int, left: int) -> Array:
        """The picture's pixels in a window, S x S x C."""
        return self._padded_HWC[self._place(top, left)]

    def add(self, seen_KHW: Array, top: int, left: int) -> None:
        """Blend in what a window gave."""
        place = self._place(top, left)
        self._total[:, *place] += seen_KHW * self._weight
        self._weights[place] += self._weight

    def blended(self) -> Array:
        """What the windows give together, K x H x W."""
        height, width = self.picture_HWC.shape[:2]
        return (self._total / self._weights)[:, :height, :width]


def _hann(side: int) -> Array:
    """Hann weight of a window, S x S, positive everywhere."""
    line = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    return np.outer(line, line).astype(np.float32)
