"""A trained run in use: maps of pictures of any size, and what the method says of how well it explains them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
from distmap.inference.sliding_window import Canvas, Network, see_all, whole_canvas

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from distmap.inference.predictor import Predictor

PICTURES_AT_ONCE = 8  # in memory while mapping


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
    def mapper(self) -> Predictor:
        """What makes the maps."""
        return self.predictor if self.student is None else self.student

    @property
    def scaling(self) -> Scaling:
        return self.stats.scaling

    def window_side(self, height: int, width: int) -> int:
        """Side of the windows, in pixels of a picture, that are brought to the side that predictors see.

        A picture about as large as those trained on is one window; a larger one is covered by windows as large as the
        usual picture.
        """
        longest = max(height, width)
        if longest <= self.data.whole_slack * self.stats.longest_side:
            return longest
        return even(self.stats.longer_side)

    def network(self, predictor: Predictor, forward: Callable[[Tensor], Tensor] | None = None) -> Network:
        """A predictor, or another function of its windows, as ``see_all`` takes it."""
        return Network(
            side=predictor.side,
            forward=predictor if forward is None else forward,
            scale=self.scaling.apply,
            symmetry=self.data.symmetry,
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
        self, picture_HWC: NDArray[np.generic], valid_HW: Valid | None = None, anchor: tuple[int, int] = (0, 0)
    ) -> Canvas:
        return whole_canvas(picture_HWC, valid_HW, self.window_side(*picture_HWC.shape[:2]), anchor)

    def canvas_map(self, canvas: Canvas, raw_KHW: Array) -> Array:
        """The map of a canvas' inner part, H x W, from its raw outputs; 0 where nothing is held."""
        import torch

        scale = canvas.side / self.mapper.side
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
            map_BHW = self.mapper.to_map(
                torch.from_numpy(np.ascontiguousarray(inner_KHW)).to(self.device)[None],
                torch.from_numpy(picture_CHW).to(self.device)[None],
                scale,
                top=rows.start - first[0] * scale,
                left=columns.start - first[1] * scale,
                valid_BHW=None if whole else torch.from_numpy(valid_HW).to(self.device)[None],
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
        scale = canvas.side / self.predictor.side
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
        seen = next(see_all([self._canvas(picture_HWC)], network))
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

    def map_files(self, files: Sequence[PictureFile], *, explained: bool = True) -> Iterator[PictureMap]:
        """Map picture files, in order; the next ones are read while the network works.

        Without ``explained`` there are no scores, and a student need not wait for the method's own predictor.
        """
        for chunk, canvases in self._read_ahead(files):
            maps = self.canvas_maps(canvases)
            scores = self._scores(canvases) if explained and self.student is not None else None
            for file, (map_HW, canvas, raw_KHW) in zip(chunk, maps, strict=True):
                found: dict[str, float] = {}
                if explained:
                    found = next(scores) if scores is not None else self.explain(canvas, raw_KHW)
                    found |= {"score": float(map_HW.max())}
                yield PictureMap(name=file.name, map_HW=map_HW, scores=found)

    def canvas_maps(self, canvases: Sequence[Canvas]) -> Iterator[tuple[Array, Canvas, Array]]:
        """The map of each canvas, with the canvas and its raw outputs, in order."""
        for canvas, raw_KHW in see_all(canvases, self.network(self.mapper)):
            yield self.canvas_map(canvas, raw_KHW), canvas, raw_KHW

    def _scores(self, canvases: Sequence[Canvas]) -> Iterator[dict[str, float]]:
        return (self.explain(*seen) for seen in see_all(canvases, self.network(self.predictor)))

    def raw_files(self, files: Sequence[PictureFile]) -> Iterator[tuple[Array, Array]]:
        """Pictures at the network's scale, H x W x C in [-1, 1], and their raw outputs, K x H x W; in order."""
        for _, canvases in self._read_ahead(files):
            for seen in see_all(canvases, self.network(self.predictor)):
                yield self.at_network_scale(*seen)

    def _read_ahead(self, files: Sequence[PictureFile]) -> Iterator[tuple[Sequence[PictureFile], list[Canvas]]]:
        """Files, a few at a time, with their canvases; the next ones are read meanwhile."""

        def read(some: Sequence[PictureFile]) -> list[Canvas]:
            return [self._read(file) for file in some]

        chunks = [files[first : first + PICTURES_AT_ONCE] for first in range(0, len(files), PICTURES_AT_ONCE)]
        with ThreadPoolExecutor(max_workers=1) as reader:
            upcoming = [reader.submit(read, chunk) for chunk in chunks[:1]]
            for index, chunk in enumerate(chunks):
                canvases = upcoming.pop().result()
                upcoming += [reader.submit(read, chunk) for chunk in chunks[index + 1 : index + 2]]
                yield chunk, canvases

    def _read(self, file: PictureFile) -> Canvas:
        picture = read_placed_picture(file.path)
        self.scaling.check(picture.pixels_HWC, file.path)
        return self._canvas(picture.pixels_HWC, picture.valid_HW, picture.anchor)


def even(side: int) -> int:
    """A side that half a window divides."""
    return side + side % 2
