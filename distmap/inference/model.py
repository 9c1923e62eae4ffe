"""A trained run in use: maps of pictures of any size, and what the method says of how well it explains them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from distmap.common.nodata import Valid, fill_nearest
from distmap.common.picture_files import PictureFile, find_pictures
from distmap.common.pictures import Array, read_placed_picture
from distmap.data.folders import WITHOUT
from distmap.data.resizing import resize
from distmap.data.scaling import Scaling
from distmap.data.settings import DataSettings
from distmap.data.statistics import DatasetStats
from distmap.inference.sliding_window import Canvas, Network, Windows, half_overlapping, see_all, whole_canvas

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from distmap.inference.predictor import Predictor

PICTURES_AT_ONCE = 8  # in memory while mapping
EXPLAINED = 16  # pictures at most, where a student makes the maps


@dataclass(frozen=True, kw_only=True)
class PictureMap:
    """The distinction map of one picture and what the model says of it.

    ``map_HW``: float32 at the picture's size, positive where the picture holds what only pictures WITH have: how much,
    compared with the rest of the picture; a student's maps are probabilities. ``scores``: the predictor's
    ``diagnostics``; and ``score``, the highest value of the map.
    """

    name: str
    map_HW: Array
    scores: dict[str, float]


class DistinctionModel:
    """A trained predictor with the statistics of its pictures; made by ``distmap.load``.

    Attributes
    ----------
    predictor
        The method's own; it explains pictures, and makes the maps where there is no student.
    student
        Makes the maps where there is one.
    """

    def __init__(
        self,
        predictor: Predictor,
        stats: DatasetStats,
        data: DataSettings,
        *,
        device: torch.device,
        student: Predictor | None = None,
    ) -> None:
        self.predictor = predictor.to(device).eval()
        self.student = student.to(device).eval() if student is not None else None
        self.stats = stats
        self.data = data
        self.device = device

    def with_student(self, student: Predictor) -> DistinctionModel:
        """The same model, whose maps a student makes."""
        return DistinctionModel(self.predictor, self.stats, self.data, device=self.device, student=student)

    @property
    def source(self) -> str:
        """What the maps are of: ``student``, or the kind of the predictor's maps."""
        return self.mapper.kind

    @property
    def sources(self) -> tuple[str, ...]:
        """What the maps may be of."""
        return self.predictor.kinds + (() if self.student is None else self.student.kinds)

    def of_source(self, source: str) -> DistinctionModel:
        """The model whose maps are of one of its sources; ``auto``: as they are.

        Raises
        ------
        ValueError
            There is no such source.
        """
        if source in ("auto", self.source):
            return self
        if source not in self.predictor.kinds:
            raise ValueError(
                f"--source {source}: the run has no such maps; choose one of auto, {', '.join(self.sources)}"
            )
        predictor = copy.copy(self.predictor)  # the weights are shared, what it makes of them is not
        predictor.choose(source, follow_edges=predictor.follow_edges)
        return DistinctionModel(predictor, self.stats, self.data, device=self.device)

    @property
    def mapper(self) -> Predictor:
        """What makes the maps."""
        return self.predictor if self.student is None else self.student

    @property
    def scaling(self) -> Scaling:
        return self.stats.scaling

    def windows(
        self, height: int, width: int, *, predictor: Predictor | None = None, usual: int | None = None
    ) -> Windows:
        """The windows that cover a picture of this size, as a predictor sees it, or the one that makes the maps.

        A picture about as large as those trained on is one window; a larger one is covered by windows as large as the
        usual picture, or, where the predictor sees larger ones as well, several times as large, which overlap by one.
        ``usual``: side of the usual picture, where it is another one than in training.
        """
        predictor = predictor or self.mapper
        longest = max(height, width)
        if usual is None and longest <= self.data.whole_slack * self.stats.longest_side:
            return half_overlapping(longest, predictor.side)
        usual = usual or even(self.stats.longer_side)
        times = min(predictor.span, math.ceil(longest / usual))
        if times == 1:
            return half_overlapping(usual, predictor.side)
        return Windows(side=times * usual, step=(times - 1) * usual, seen=times * predictor.side)

    def network(self, predictor: Predictor, forward: Callable[[Tensor], Tensor] | None = None) -> Network:
        """A predictor, or another function of its windows, as ``see_all`` takes it."""
        return Network(
            forward=predictor if forward is None else forward,
            scale=self.scaling.apply,
            symmetry=self.data.symmetry if predictor.averaged else "none",
            device=self.device,
        )

    def map(self, picture_HWC: NDArray[np.generic], valid_HW: Valid | None = None) -> Array:
        """The distinction map of a picture in the numbers of its file, H x W float32 at its size; see ``PictureMap``.

        ``valid_HW``: which pixels hold something; the map of others is 0.

        Raises
        ------
        PictureError
            Bands or number type are not those trained on.
        """
        self.scaling.check(picture_HWC, "the picture")
        canvas = self._canvas(picture_HWC, valid_HW)
        (map_HW,) = (self.canvas_map(*seen) for seen in see_all([canvas], self.network(self.mapper)))
        return map_HW

    def _canvas(
        self,
        picture_HWC: NDArray[np.generic],
        valid_HW: Valid | None = None,
        anchor: tuple[int, int] = (0, 0),
        predictor: Predictor | None = None,
    ) -> Canvas:
        windows = self.windows(*picture_HWC.shape[:2], predictor=predictor)
        return whole_canvas(picture_HWC, valid_HW, windows, anchor)

    def canvas_map(
        self, canvas: Canvas, raw_KHW: Array, predictor: Predictor | None = None, kind: str | None = None
    ) -> Array:
        """The map of a canvas' inner part, H x W, from the raw outputs of a predictor, or of what makes the maps; 0
        where nothing is held. ``kind``: of map; None: the one in use."""
        import torch

        scale = canvas.scale
        rows, columns = canvas.inner
        # Only what overlaps the inner part counts: beyond it the border is repeated.
        first, last = (int(rows.start / scale), int(columns.start / scale)), (rows.stop / scale, columns.stop / scale)
        end = [-int(-edge // 1) for edge in last]
        inner_KHW = raw_KHW[:, first[0] : end[0], first[1] : end[1]]
        valid_HW = canvas.valid_HW[canvas.inner]
        whole = bool(valid_HW.all())
        pixels_HWC = fill_nearest(canvas.pixels_HWC[canvas.inner], valid_HW)
        picture_CHW = np.ascontiguousarray(np.moveaxis(self.scaling.apply(pixels_HWC), -1, 0))
        with torch.inference_mode():
            map_BHW = (predictor or self.mapper).to_map(
                torch.from_numpy(np.ascontiguousarray(inner_KHW)).to(self.device)[None],
                torch.from_numpy(picture_CHW).to(self.device)[None],
                scale,
                top=rows.start - first[0] * scale,
                left=columns.start - first[1] * scale,
                valid_BHW=None if whole else torch.from_numpy(valid_HW).to(self.device)[None],
                kind=kind,
            )
        map_HW: Array = map_BHW[0].float().cpu().numpy()
        return map_HW if whole else np.where(valid_HW, map_HW, np.float32(0))

    def explain(self, canvas: Canvas, raw_KHW: Array) -> dict[str, float]:
        """The predictor's diagnostics of a whole picture, from its raw outputs."""
        import torch

        picture_HWC, raw = self.at_network_scale(canvas, raw_KHW)
        x_CHW = torch.from_numpy(np.ascontiguousarray(np.moveaxis(picture_HWC, -1, 0))).to(self.device)
        return self.predictor.diagnostics(x_CHW, torch.from_numpy(raw).to(self.device))

    def at_network_scale(self, canvas: Canvas, raw_KHW: Array) -> tuple[Array, Array]:
        """A whole picture at the network's scale, H x W x C in [-1, 1], and the raw outputs of it, K x H x W."""
        scale = canvas.scale
        top, left = (round(part.start / scale) for part in canvas.inner)
        height, width = (max(1, round((part.stop - part.start) / scale)) for part in canvas.inner)
        filled_HWC = self.scaling.apply(fill_nearest(canvas.pixels_HWC, canvas.valid_HW))
        picture_HWC = resize(filled_HWC, *raw_KHW.shape[1:])[top : top + height, left : left + width]
        return picture_HWC, np.ascontiguousarray(raw_KHW[:, top : top + height, left : left + width])

    def decompose(self, picture_HWC: NDArray[np.generic], label: int | None = None) -> Array:
        """Branches of a picture, N x H x W x C at the network's scale; branch 1 is the first.

        With a ``label`` they are b_k(x, label), which sum to ``reconstruct(picture, label)`` at that scale. Without one
        they sum to the picture exactly: the others are b_k(x, WITHOUT), and branch 1 holds the rest, that is the
        distinction and whatever is reconstructed imperfectly.

        Raises
        ------
        PictureError
            Bands or number type are not those trained on.
        ValueError
            The method does not decompose pictures.
        """
        branches = getattr(self.predictor, "branches", None)
        if branches is None:
            raise ValueError("this run's method does not decompose pictures; fit one with the method branched-gan")
        self.scaling.check(picture_HWC, "the picture")
        as_class = WITHOUT if label is None else label
        network = self.network(self.predictor, lambda x_BCHW: branches(x_BCHW, as_class).flatten(1, 2))
        seen = next(see_all([self._canvas(picture_HWC, predictor=self.predictor)], network))
        scaled_HWC, raw_KHW = self.at_network_scale(*seen)
        branches_NHWC = np.moveaxis(raw_KHW.reshape(-1, self.scaling.bands, *raw_KHW.shape[1:]), 1, -1)
        if label is None:
            rest_NHWC = branches_NHWC[1:]
            branches_NHWC = np.concatenate([(scaled_HWC - rest_NHWC.sum(axis=0))[None], rest_NHWC])
        return branches_NHWC

    def reconstruct(self, picture_HWC: NDArray[np.generic], label: int) -> Array:
        """The picture reconstructed as class ``label``, at its own size, in the numbers of its file (float32): as its
        own class it should stay as it is, as the other one it is a counterfactual. Raises as ``decompose`` does."""
        total = self.decompose(picture_HWC, label).sum(axis=0)
        return self.scaling.undo(np.clip(resize(total, *picture_HWC.shape[:2]), -1, 1))

    def maps(self, sources: Iterable[str | Path]) -> Iterator[PictureMap]:
        """Map every picture in files and folders (searched recursively), in order.

        Raises
        ------
        PictureError
            A picture cannot be read or is not of the kind trained on. All names are checked before the first map.
        """
        yield from self.map_files(find_pictures(sources))

    def map_files(
        self, files: Sequence[PictureFile], *, explained: bool = True, averaged: bool = True
    ) -> Iterator[PictureMap]:
        """Map picture files, in order; the next ones are read while the network works.

        Without ``averaged`` each picture is seen in one view alone, not in all its symmetries.

        With ``explained`` there are scores. Where a student makes the maps, some pictures, spread evenly, are explained
        by the method's own predictor as well, which takes much longer than mapping; not those larger than one window.
        """
        every = max(1, -(-len(files) // EXPLAINED))
        index = 0
        for chunk, canvases in self._read_ahead(files):
            for file, (map_HW, canvas, raw_KHW) in zip(
                chunk, self.canvas_maps(canvases, averaged=averaged), strict=True
            ):
                scores: dict[str, float] = {}
                if explained and self.mapper is self.predictor:
                    scores = self.explain(canvas, raw_KHW)
                elif explained and index % every == 0:
                    whole = self._read(file, self.predictor)
                    if len(whole.corners()) == 1:
                        (seen,) = self._seen([whole], self.predictor, averaged=False)
                        scores = self.explain(*seen)
                if explained:
                    scores |= {"score": float(map_HW.max())}
                index += 1
                yield PictureMap(name=file.name, map_HW=map_HW, scores=scores)

    def maps_by_kind(
        self, files: Sequence[PictureFile], kinds: Sequence[str]
    ) -> Iterator[tuple[dict[str, Array], dict[str, float]]]:
        """The maps of each picture by their kind, of what makes the maps, and what it says of the picture; in order."""
        for _, canvases in self._read_ahead(files):
            for canvas, raw_KHW in self._seen(canvases, self.mapper):
                scores = self.explain(canvas, raw_KHW) if self.mapper is self.predictor else {}
                yield {kind: self.canvas_map(canvas, raw_KHW, kind=kind) for kind in kinds}, scores

    def canvas_maps(
        self, canvases: Sequence[Canvas], *, averaged: bool = True
    ) -> Iterator[tuple[Array, Canvas, Array]]:
        """The map of each canvas, with the canvas and its raw outputs, in order."""
        for canvas, raw_KHW in self._seen(canvases, self.mapper, averaged=averaged):
            yield self.canvas_map(canvas, raw_KHW), canvas, raw_KHW

    def _seen(
        self, canvases: Sequence[Canvas], predictor: Predictor, *, averaged: bool = True
    ) -> Iterator[tuple[Canvas, Array]]:
        network = self.network(predictor)
        return see_all(canvases, network if averaged else replace(network, symmetry="none"))

    def raw_files(self, files: Sequence[PictureFile]) -> Iterator[tuple[Array, Array]]:
        """Pictures at the network's scale, H x W x C in [-1, 1], and the raw outputs, K x H x W, of the method's own
        predictor; in order."""
        for _, canvases in self._read_ahead(files, self.predictor):
            for seen in self._seen(canvases, self.predictor):
                yield self.at_network_scale(*seen)

    def _read_ahead(
        self, files: Sequence[PictureFile], predictor: Predictor | None = None
    ) -> Iterator[tuple[Sequence[PictureFile], list[Canvas]]]:
        """Files, a few at a time, with their canvases for a predictor, or for what makes the maps; the next ones are
        read meanwhile."""

        def read(some: Sequence[PictureFile]) -> list[Canvas]:
            return [self._read(file, predictor) for file in some]

        chunks = [files[first : first + PICTURES_AT_ONCE] for first in range(0, len(files), PICTURES_AT_ONCE)]
        with ThreadPoolExecutor(max_workers=1) as reader:
            upcoming = [reader.submit(read, chunk) for chunk in chunks[:1]]
            for index, chunk in enumerate(chunks):
                canvases = upcoming.pop().result()
                upcoming += [reader.submit(read, chunk) for chunk in chunks[index + 1 : index + 2]]
                yield chunk, canvases

    def _read(self, file: PictureFile, predictor: Predictor | None = None) -> Canvas:
        picture = read_placed_picture(file.path)
        self.scaling.check(picture.pixels_HWC, file.path)
        return self._canvas(picture.pixels_HWC, picture.valid_HW, picture.anchor, predictor)


def even(side: int) -> int:
    """A side that half a window divides."""
    return side + side % 2
