"""What maps windows: the part of a method that a run keeps, and the one place where a map is made."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distmap.inference.refinement import resample


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A further picture of a sample sheet, C x H x W in [-1, 1], with what it shows."""

    title: str
    picture_CHW: Tensor


class Predictor(nn.Module):
    """Windows in, maps out. A method derives from it and says what its networks give and how a map is made of that.

    Maps are made in three steps, which nothing outside needs to know apart: ``forward`` gives *raw outputs* of square
    windows; the raw outputs of overlapping windows are averaged; ``to_map`` makes the map of them.

    Attributes
    ----------
    side
        Height and width of the windows that it sees, even.
    kinds
        Kinds of map that it can make; ``kind`` is the one in use.
    candidates
        Those of them that are chosen from by validation pictures, the preferred one first.
    follow_edges
        Whether maps may follow the edges of pictures; where validation pictures have low edge contrast they do not.
    """

    kinds: tuple[str, ...] = ("map",)
    refine_bytes: int = 64
    """Memory that ``to_map`` takes, in bytes for each pixel of a picture."""
    span: int = 1
    """It sees windows of up to so many times ``side`` as well, a whole number of times."""
    threshold: float | None = None
    """At which its maps are cut, where that is known beforehand; None: it is found in them."""
    averaged: bool = True
    """Whether its raw outputs are averaged over the symmetries of the pictures."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        self.candidates = self.kinds
        self.kind = self.candidates[0]
        self.follow_edges = True

    def choose(self, kind: str, *, follow_edges: bool) -> Predictor:
        """Make maps of this kind from now on; raises ValueError for a kind that it has not."""
        if kind not in self.kinds:
            raise ValueError(f"map kind {kind!r}: choose one of {', '.join(self.kinds)}")
        self.kind, self.follow_edges = kind, follow_edges
        return self

    def raw_channels(self, bands: int) -> int:
        """K of the raw outputs, for pictures of so many bands."""
        return 1

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Raw outputs, B x K x H x W, of pictures in [-1, 1]; they may be averaged where windows overlap."""
        raise NotImplementedError

    def coarse_map(self, raw_BKHW: Tensor, kind: str | None = None) -> Tensor:
        """The map at the network's scale, B x H x W, of this kind or the one in use; at least 0."""
        raise NotImplementedError

    def coarse_margin(self) -> int:
        """How far around a pixel ``coarse_map`` looks, in pixels of the network."""
        return 0

    def refine(
        self,
        map_BHW: Tensor,
        picture_BCHW: Tensor,
        scale: float,
        valid_BHW: Tensor | None = None,
        kind: str | None = None,
    ) -> Tensor:
        """A coarse map of this kind that was brought to the size of its picture -> the map as it is handed out, B x H x
        W."""
        return map_BHW

    def refine_margin(self, scale: float) -> int:
        """How far around a pixel ``refine`` looks, in pixels of the picture."""
        return 0

    def to_map(
        self,
        raw_BKHW: Tensor,
        picture_BCHW: Tensor,
        scale: float = 1.0,
        *,
        top: float = 0.0,
        left: float = 0.0,
        valid_BHW: Tensor | None = None,
        kind: str | None = None,
    ) -> Tensor:
        """The map of pictures, B x H x W at their size, from raw outputs at the network's scale.

        Parameters
        ----------
        raw_BKHW
            Blended raw outputs that cover the picture.
        picture_BCHW
            The picture in [-1, 1].
        scale
            Pixels of the picture for each of the network's.
        top, left
            Where the picture begins in the raw outputs, in pixels of the picture.
        valid_BHW
            Pixels that hold something; None: all. What is invalid counts as beyond the picture.
        kind
            Of map; None: the one in use.
        """
        coarse_BHW = self.coarse_map(raw_BKHW, kind)
        height, width = picture_BCHW.shape[-2:]
        map_BHW = resample(coarse_BHW[:, None], height, width, scale, top=top, left=left)[:, 0]
        return self.refine(map_BHW, picture_BCHW, scale, valid_BHW, kind)

    def margin(self, scale: float = 1.0) -> int:
        """How far around a pixel ``to_map`` looks, in pixels of the picture."""
        return int((self.coarse_margin() + 1) * scale + 1) + self.refine_margin(scale)

    @torch.no_grad()
    def diagnostics(self, picture_CHW: Tensor, raw_KHW: Tensor) -> dict[str, float]:
        """What the predictor says of how well it explains a picture, both at the network's scale; may be empty."""
        return {}

    @torch.no_grad()
    def panels(self, picture_CHW: Tensor, label: int) -> list[Panel]:
        """Further pictures for a sample sheet, of a picture of class ``label`` that fills one window; may be empty."""
        return []
