"""A trained run in use: decompose pictures into branches, repaint them, map what tells the classes apart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from distmap.config import Config, read_yaml, validate
from distmap.folders import WITH, WITHOUT, Survey, symmetries
from distmap.images import (
    Array,
    PictureFile,
    Scaling,
    find_pictures,
    fitted_size,
    pad_to,
    read_picture,
    resize,
    window_starts,
)
from distmap.maps import distinction, distinction_map, evidence

if TYPE_CHECKING:
    import torch
    from torch.nn import Module

    from distmap.networks import Generator, Judge, Locator

WEIGHTS = "weights.safetensors"
WHOLE_PICTURE_SLACK = 1.25  # pictures up to this much longer than the longest one trained on are seen whole
WINDOWS_AT_ONCE = 16  # through the network
PICTURES_AT_ONCE = 8  # in memory while mapping
DATA_RANGE = 2.0  # of pictures in [-1, 1]


@dataclass(frozen=True, kw_only=True)
class PictureMap:
    """The distinction map of one picture and what the model says of it.

    ``map_HW``: float32 at the picture's size, positive where the picture holds what only pictures WITH have, in units
    of the scaled picture ([-1, 1]). ``scores``: see ``DistinctionModel.explain``.
    """

    name: str
    map_HW: Array
    scores: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Painting:
    """A picture as the network saw it and what it painted, at the network's scale, all in about [-1, 1].

    ``picture_HWC``; ``without_NHWC`` and ``with_NHWC``: the branches under either class, whose sum over N is the
    repainted picture. ``place_HW``: the locator's logit of WITH at each place.
    """

    picture_HWC: Array
    without_NHWC: Array
    with_NHWC: Array
    place_HW: Array

    def repainted(self, label: int) -> Array:
        """The repainting as class ``label`` (1 WITH, 0 WITHOUT), H x W x C."""
        branches = self.with_NHWC if label == WITH else self.without_NHWC
        total: Array = branches.sum(axis=0)
        return total

    def evidence(self) -> Array:
        """What the map is made of; see ``distmap.maps.evidence``."""
        return evidence(self.picture_HWC, self.without_NHWC, self.with_NHWC, self.place_HW)

    def distinction(self) -> Array:
        """The raw distinction, H x W, before it is cleaned and weighed by the locator."""
        return distinction(self.evidence())


class DistinctionModel:
    """A trained generator with the scaling of its pictures; made by ``distmap.load``."""

    def __init__(
        self,
        config: Config,
        survey: Survey,
        generator: Generator,
        locator: Locator,
        judge: Judge | None,
        device: torch.device,
    ) -> None:
        self.config = config
        self.survey = survey
        self.device = device
        self._generator = generator.to(device).eval()
        self._locator = locator.to(device).eval()
        self._judge = judge.to(device).eval() if judge is not None else None

    @property
    def scaling(self) -> Scaling:
        return self.survey.scaling

    @property
    def networks(self) -> dict[str, Module]:
        """What holds weights, by name."""
        parts = {"generator": self._generator, "locator": self._locator, "judge": self._judge}
        return {name: network for name, network in parts.items() if network is not None}

    def paint(self, picture_HWC: NDArray[np.generic]) -> Painting:
        """Repaint a picture (in the numbers of its file) as either class, branch by branch.

        A picture about as large as those trained on is seen whole; a larger one is brought to their scale and covered
        by half-overlapping windows, blended with a Hann weight. Either way the result is averaged over the symmetries
        of the data, so branches still add up to the repainting.

        Raises
        ------
        PictureError
            Bands or number type are not those trained on.
        """
        self.scaling.check(picture_HWC, "the picture")
        return next(self._paint_all([picture_HWC]))

    def _paint_all(self, pictures: Iterable[NDArray[np.generic]]) -> Iterator[Painting]:
        """Paint pictures in order, together as long as they fill one batch: memory for one large picture is enough."""
        waiting: list[_Canvas] = []
        for picture_HWC in pictures:
            waiting.append(self._canvas(self.scaling.apply(picture_HWC)))
            if sum(len(canvas.corners) for canvas in waiting) >= WINDOWS_AT_ONCE:
                yield from self._paint(waiting)
                waiting.clear()
        yield from self._paint(waiting)

    def _paint(self, canvases: Sequence[_Canvas]) -> list[Painting]:
        """Paint on several canvases together: their windows share batches of the network."""
        side = self.config.image_size
        jobs = [(canvas, top, left) for canvas in canvases for top, left in canvas.corners]
        for first in range(0, len(jobs), WINDOWS_AT_ONCE):
            some = jobs[first : first + WINDOWS_AT_ONCE]
            windows = np.stack([canvas.padded[top : top + side, left : left + side] for canvas, top, left in some])
            for (canvas, top, left), painted, place in zip(some, *self._paint_windows(windows), strict=True):
                canvas.add(painted, place, top, left)
        return [canvas.painting() for canvas in canvases]

    def _canvas(self, scaled_HWC: Array) -> _Canvas:
        side = self.config.image_size
        longest = max(scaled_HWC.shape[:2])
        whole = longest <= WHOLE_PICTURE_SLACK * self.survey.longest_side
        reference = longest if whole else self.survey.longer_side
        height, width = fitted_size(scaled_HWC.shape[0], scaled_HWC.shape[1], round(longest * side / reference))
        return _Canvas(resize(scaled_HWC, height, width), side, self.config.generator.branches)

    def _paint_windows(self, windows_BHWC: Array) -> tuple[Array, Array]:
        """Of square windows, the branches B x 2N x S x S x C, first as WITHOUT, then as WITH, and the locator's logits
        B x S x S; averaged over symmetries."""
        import torch
        import torch.nn.functional as F

        x_BCHW = torch.from_numpy(np.ascontiguousarray(np.moveaxis(windows_BHWC, -1, 1))).to(self.device)
        views = symmetries(self.config.data.symmetry)
        branches: Any = 0
        places: Any = 0
        with torch.inference_mode():
            for turns, mirror in views:
                view = torch.rot90(x_BCHW, turns, (2, 3))
                view = view.flip(-1) if mirror else view
                features = self._generator.encode(view)
                labels = torch.full((len(view),), WITHOUT, device=self.device)
                both = torch.cat(
                    [self._generator.paint(features, labels), self._generator.paint(features, 1 - labels)], dim=1
                )
                place = F.interpolate(self._locator.places(view)[:, None], view.shape[2:], mode="bilinear")[:, 0]
                both, place = (part.flip(-1) if mirror else part for part in (both, place))
                branches = branches + torch.rot90(both, -turns, (3, 4))
                places = places + torch.rot90(place, -turns, (1, 2))
            branches, places = (total / len(views) for total in (branches, places))
            return np.moveaxis(branches.cpu().numpy(), 2, -1), places.cpu().numpy()

    def decompose(self, picture_HWC: NDArray[np.generic], label: int) -> Array:
        """Branches b_k(x, label), N x H x W x C at the network's scale; they sum to ``reconstruct(picture, label)``
        at that scale. Branch 1 is the first."""
        painting = self.paint(picture_HWC)
        return painting.with_NHWC if label == WITH else painting.without_NHWC

    def reconstruct(self, picture_HWC: NDArray[np.generic], label: int) -> Array:
        """The picture repainted as class ``label``, at its own size, in the numbers of its file (float32)."""
        repainted = resize(self.paint(picture_HWC).repainted(label), *picture_HWC.shape[:2])
        return self.scaling.undo(np.clip(repainted, -1, 1))

    def map(self, picture_HWC: NDArray[np.generic]) -> Array:
        """The distinction map of a picture, cleaned, H x W float32 at the picture's size; see ``PictureMap``."""
        return resize(self._cleaned(self.paint(picture_HWC)), *picture_HWC.shape[:2])

    def _cleaned(self, painting: Painting) -> Array:
        return distinction_map(painting.evidence(), self.config.map)

    def evidence(self, windows_BHWC: NDArray[np.generic]) -> Array:
        """Paint square windows of a scene, in the numbers of its file, each by itself: B x H x W x (2C + 1), float32.

        What comes back (see ``distmap.maps.evidence``) may be averaged where windows overlap; ``map_evidence`` makes
        the map of it. Windows of any size are brought to that of the network.

        Raises
        ------
        PictureError
            Bands or number type are not those trained on.
        """
        self.scaling.check(windows_BHWC, "the scene")
        side, network = windows_BHWC.shape[1], self.config.image_size
        scaled = np.stack([resize(self.scaling.apply(window), network, network) for window in windows_BHWC])
        branches, places = self._paint_windows(scaled)
        without, with_ = np.split(branches, 2, axis=1)
        found = (evidence(*parts) for parts in zip(scaled, without, with_, places, strict=True))
        return np.stack([resize(window, side, side) for window in found])

    def map_evidence(self, evidence_HWK: Array, scale: float = 1.0) -> Array:
        """The map, H x W, of what ``evidence`` gave; ``scale``: pixels of it for each of the network's."""
        return distinction_map(evidence_HWK, self.config.map, scale)

    def explain(self, painting: Painting) -> dict[str, float]:
        """How well the model explains a picture.

        ``psnr_with``, ``psnr_without``: repainted as that class against itself, in dB. ``residual``: mean absolute
        difference of the picture and the better of its two sums of branches. ``score``: the highest value of its
        map. ``flips_to_with``, ``flips_to_without``: 1 where a judge trained apart takes the repainting for
        that class, else 0 (pictures no larger than one window).
        """
        scores = {}
        errors = []
        for label, name in ((WITHOUT, "without"), (WITH, "with")):
            difference = painting.repainted(label) - painting.picture_HWC
            mse = max(float(np.square(difference).mean()), 1e-12)
            scores[f"psnr_{name}"] = float(10 * np.log10(DATA_RANGE**2 / mse))
            errors.append(float(np.abs(difference).mean()))
            verdict = self._verdict(painting.repainted(label))
            if verdict is not None:
                scores[f"flips_to_{name}"] = float(verdict == label)
        scores["residual"] = min(errors)
        scores["score"] = float(self._cleaned(painting).max())
        return scores

    def _verdict(self, repainted_HWC: Array) -> int | None:
        """The class that the judge sees, or None where there is no judge or the picture is larger than its window."""
        import torch

        side = self.config.image_size
        if self._judge is None or max(repainted_HWC.shape[:2]) > side:
            return None
        x_HWC = pad_to(repainted_HWC, side, side)
        with torch.inference_mode():
            x_BCHW = torch.from_numpy(np.moveaxis(x_HWC, -1, 0)[None].copy()).to(self.device)
            return int(self._judge(x_BCHW).argmax(dim=1).item())

    def maps(self, sources: Iterable[str | Path]) -> Iterator[PictureMap]:
        """Map every picture in files and folders (searched recursively), in order.

        Raises
        ------
        PictureError
            A picture cannot be read or is not of the kind trained on. All names are checked before the first map.
        """
        yield from self.map_files(find_pictures(sources))

    def paint_files(self, files: Iterable[PictureFile]) -> Iterator[Painting]:
        """Paint picture files, in order; see ``paint``."""
        yield from self._paint_all(self._read(file) for file in files)

    def map_files(self, files: Sequence[PictureFile]) -> Iterator[PictureMap]:
        """Map picture files, in order; the next ones are read while the network works."""

        def read(some: Sequence[PictureFile]) -> list[NDArray[np.generic]]:
            return [self._read(file) for file in some]

        chunks = [files[first : first + PICTURES_AT_ONCE] for first in range(0, len(files), PICTURES_AT_ONCE)]
        with ThreadPoolExecutor(max_workers=1) as reader:
            upcoming = [reader.submit(read, chunk) for chunk in chunks[:1]]
            for index, chunk in enumerate(chunks):
                pictures = upcoming.pop().result()
                upcoming += [reader.submit(read, chunk) for chunk in chunks[index + 1 : index + 2]]
                paintings = self._paint_all(pictures)
                for file, picture, painting in zip(chunk, pictures, paintings, strict=True):
                    yield PictureMap(
                        name=file.name,
                        map_HW=resize(self._cleaned(painting), picture.shape[0], picture.shape[1]),
                        scores=self.explain(painting),
                    )

    def _read(self, file: PictureFile) -> NDArray[np.generic]:
        picture = read_picture(file.path)
        self.scaling.check(picture, file.path)
        return picture


class _Canvas:
    """A picture at the network's scale on which windows are painted and blended with a Hann weight."""

    def __init__(self, picture_HWC: Array, side: int, branches: int) -> None:
        self.picture_HWC = picture_HWC
        self.padded = pad_to(picture_HWC, side, side)
        tops, lefts = (window_starts(length, side) for length in self.padded.shape[:2])
        self.corners = [(top, left) for top in tops for left in lefts]
        self._side = side
        self._branches = branches
        self._weight = _hann(side) if len(self.corners) > 1 else np.ones((side, side), np.float32)
        self._weights = np.zeros(self.padded.shape[:2], np.float32)
        self._total = np.zeros((2 * branches, *self.padded.shape), np.float32)
        self._places = np.zeros(self.padded.shape[:2], np.float32)

    def add(self, painted_NHWC: Array, place_HW: Array, top: int, left: int) -> None:
        """Blend in a window's branches, first as WITHOUT, then as WITH, and the locator's logits."""
        place = (slice(top, top + self._side), slice(left, left + self._side))
        self._total[:, *place] += painted_NHWC * self._weight[:, :, None]
        self._places[place] += place_HW * self._weight
        self._weights[place] += self._weight

    def painting(self) -> Painting:
        """What the windows give together."""
        height, width = self.picture_HWC.shape[:2]
        blended = (self._total / self._weights[:, :, None])[:, :height, :width]
        return Painting(
            picture_HWC=self.picture_HWC,
            without_NHWC=blended[: self._branches],
            with_NHWC=blended[self._branches :],
            place_HW=(self._places / self._weights)[:height, :width],
        )


def _hann(side: int) -> Array:
    """Hann weight of a window, S x S, positive everywhere."""
    line = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    return np.outer(line, line).astype(np.float32)


def save(run: Path, model: DistinctionModel) -> None:
    """Write a model's weights, with what is needed to use them, under their final name in one move."""
    from safetensors.torch import save_file

    from distmap.files import replacing

    survey = model.survey
    tensors = {
        f"{part}.{name}": value.contiguous()
        for part, network in model.networks.items()
        for name, value in network.state_dict().items()
    }
    metadata = {
        "low": json.dumps(survey.scaling.low),
        "high": json.dumps(survey.scaling.high),
        "dtype": survey.scaling.dtype,
        "longer_side": str(survey.longer_side),
        "longest_side": str(survey.longest_side),
        "map_kind": model.config.map.kind,
    }
    with replacing(run / WEIGHTS) as path:
        save_file(tensors, path, metadata)


def load(run: str | Path, device: str = "auto") -> DistinctionModel:
    """A trained run, ready to map pictures.

    Raises
    ------
    ValueError
        The folder is not a run, its training has not come to an end yet, or its files are damaged.
    """
    from safetensors import SafetensorError, safe_open

    from distmap.devices import pick_device
    from distmap.networks import Generator, Judge, Locator

    run = Path(run)
    if not (run / "config.yaml").is_file():
        raise ValueError(f"{run}: not a run folder (no config.yaml); make one with `distmap fit`")
    if not (run / WEIGHTS).is_file():
        raise ValueError(f"{run}: holds no weights yet; finish its training with `distmap fit ... --resume`")
    config = validate(read_yaml(run / "config.yaml"))
    tensors: dict[str, Any] = {}
    try:
        with safe_open(run / WEIGHTS, framework="pt") as file:
            metadata = file.metadata()
            for name in file.keys():  # noqa: SIM118 - not a mapping
                tensors[name] = file.get_tensor(name)
        survey = Survey(
            scaling=Scaling(
                low=tuple(json.loads(metadata["low"])),
                high=tuple(json.loads(metadata["high"])),
                dtype=metadata["dtype"],
            ),
            longer_side=int(metadata["longer_side"]),
            longest_side=int(metadata["longest_side"]),
        )
        kind: Any = metadata["map_kind"]
        generator = Generator(config.generator, survey.scaling.bands)
        generator.load_state_dict(_part(tensors, "generator."))
        locator = Locator(config.locator, survey.scaling.bands)
        locator.load_state_dict(_part(tensors, "locator."))
        judge = Judge(config.judge, survey.scaling.bands, config.image_size)
        judge.load_state_dict(_part(tensors, "judge."))
    except (SafetensorError, KeyError, TypeError, RuntimeError, ValueError) as error:
        raise ValueError(f"{run / WEIGHTS}: damaged, or not made with this config.yaml") from error
    config = replace(config, map=replace(config.map, kind=kind))
    return DistinctionModel(config, survey, generator, locator, judge, pick_device(device))


def _part(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
