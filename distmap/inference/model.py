"""A trained run in use: decompose pictures into branches, repaint them, map what tells the classes apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from distmap.common.picture_files import PictureFile, find_pictures
from distmap.common.pictures import Array, read_picture
from distmap.config import Config, StudentConfig, read_yaml, validate
from distmap.data.folders import WITH, WITHOUT
from distmap.data.resizing import fitted_size, pad_to, resize
from distmap.data.scaling import Scaling
from distmap.data.statistics import Survey
from distmap.inference.sliding_window import Lens, see_all
from distmap.methods.branched_gan.maps import closed_branch1, distinction, distinction_map, evidence, finish, reach

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import Module

    from distmap.networks.classifiers import PictureClassifier
    from distmap.networks.generators import Generator
    from distmap.networks.localizer import Locator
    from distmap.training.student import Student

WEIGHTS = "weights.safetensors"
WHOLE_PICTURE_SLACK = 1.25  # pictures up to this much longer than the longest one trained on are seen whole
PICTURES_AT_ONCE = 8  # in memory while mapping
DATA_RANGE = 2.0  # of pictures in [-1, 1]


@dataclass(frozen=True, kw_only=True)
class PictureMap:
    """The distinction map of one picture and what the model says of it.

    ``map_HW``: float32 at the picture's size, positive where the picture holds what only pictures WITH have: how much,
    compared with the rest of the picture; a student's maps are probabilities. ``scores``: see
    ``DistinctionModel.explain``; and ``score``, the highest value of the map.
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

    def decomposition(self) -> Array:
        """The picture as an exact sum of branches, N x H x W x C.

        Branch 1 holds the distinction and whatever is painted imperfectly, the others are painted as WITHOUT.
        """
        return np.concatenate([closed_branch1(self.picture_HWC, self.without_NHWC)[None], self.without_NHWC[1:]])

    def evidence(self) -> Array:
        """What the map is made of; see ``maps.evidence``."""
        return evidence(self.picture_HWC, self.without_NHWC, self.with_NHWC, self.place_HW)

    def distinction(self) -> Array:
        """The raw distinction, H x W, before it is cleaned and weighed by the locator."""
        return distinction(self.evidence())


class DistinctionModel:
    """A trained generator with the scaling of its pictures; made by ``distmap.load``.

    Where there is a ``student``, the maps are its own; repaintings are the generator's all the same.
    """

    def __init__(
        self,
        config: Config,
        survey: Survey,
        generator: Generator,
        locator: Locator,
        judge: PictureClassifier | None,
        device: torch.device,
        student: Student | None = None,
    ) -> None:
        self.config = config
        self.survey = survey
        self.device = device
        self._generator = generator.to(device).eval()
        self._locator = locator.to(device).eval()
        self._judge = judge.to(device).eval() if judge is not None else None
        self._student = student.to(device).eval() if student is not None else None

    def with_student(self, student: Student, settings: StudentConfig) -> DistinctionModel:
        """The same model, whose maps a student with these settings makes."""
        config = replace(self.config, student=settings)
        return DistinctionModel(config, self.survey, self._generator, self._locator, self._judge, self.device, student)

    @property
    def scaling(self) -> Scaling:
        return self.survey.scaling

    @property
    def networks(self) -> dict[str, Module]:
        """What holds weights, by name."""
        parts = {
            "generator": self._generator,
            "locator": self._locator,
            "judge": self._judge,
            "student": self._student,
        }
        return {name: network for name, network in parts.items() if network is not None}

    @property
    def map_side(self) -> int:
        """Side of the square windows, in pixels of the network, that make the maps."""
        return self._lens().side

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
        for picture_HWC, painted_KHW in self._seen(pictures, self._painter()):
            yield self._painting(picture_HWC, painted_KHW)

    def _painting(self, picture_HWC: Array, painted_KHW: Array) -> Painting:
        """Sorts what ``distmap.inference.views.painted`` gives of a picture."""
        branches = self.config.generator.branches
        height, width, bands = picture_HWC.shape
        painted_NHWC = np.moveaxis(painted_KHW[:-1].reshape(2 * branches, bands, height, width), 1, -1)
        return Painting(
            picture_HWC=picture_HWC,
            without_NHWC=painted_NHWC[:branches],
            with_NHWC=painted_NHWC[branches:],
            place_HW=painted_KHW[-1],
        )

    def _painter(self) -> Lens:
        """The generator and the locator."""
        from distmap.inference.views import painted

        return self._lens_of(
            side=self.config.image_size,
            channels=2 * self.config.generator.branches * self.scaling.bands + 1,
            look=lambda x_BCHW: painted(self._generator, self._locator, x_BCHW),
        )

    def _lens(self) -> Lens:
        """What the maps are made by: the student, or else the generator and the locator."""
        student = self._student
        if student is None:
            return self._painter()
        from distmap.training.student import student_side

        side = student_side(self.survey, self.config.student)
        return self._lens_of(side=side, channels=1, look=lambda x_BCHW: student(x_BCHW)[:, None])

    def _lens_of(self, *, side: int, channels: int, look: Callable[[Tensor], Tensor]) -> Lens:
        symmetry = self.config.data.symmetry
        return Lens(side=side, channels=channels, look=look, symmetry=symmetry, device=self.device)

    def _seen(self, pictures: Iterable[NDArray[np.generic]], lens: Lens) -> Iterator[tuple[Array, Array]]:
        """Pictures at the scale of a lens, H x W x C, and what it gives of them, K x H x W, in order."""
        return see_all((self._fitted(self.scaling.apply(picture_HWC), lens.side) for picture_HWC in pictures), lens)

    def _fitted(self, scaled_HWC: Array, side: int) -> Array:
        """A picture brought to the size at which networks with windows of this side see it."""
        longest = max(scaled_HWC.shape[:2])
        whole = longest <= WHOLE_PICTURE_SLACK * self.survey.longest_side
        reference = longest if whole else self.survey.longer_side
        height, width = fitted_size(scaled_HWC.shape[0], scaled_HWC.shape[1], round(longest * side / reference))
        return resize(scaled_HWC, height, width)

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
        """The distinction map of a picture, cleaned, H x W float32 at the picture's size; see ``PictureMap``.

        Raises
        ------
        PictureError
            Bands or number type are not those trained on.
        """
        self.scaling.check(picture_HWC, "the picture")
        map_HW, _ = next(self._map_all([picture_HWC], explained=False))
        return self._at_size(map_HW, picture_HWC)

    def _at_size(self, map_HW: Array, picture_HWC: NDArray[np.generic]) -> Array:
        """A map at the network's scale -> finished, at the size of the picture."""
        resized = resize(map_HW, *picture_HWC.shape[:2])
        if self._student is not None:
            return resized
        scale = max(picture_HWC.shape[:2]) / max(map_HW.shape)
        return finish(resized, _grey(self.scaling.apply(picture_HWC)), self.config.map, scale)

    def _map_all(
        self, pictures: Sequence[NDArray[np.generic]], *, explained: bool
    ) -> Iterator[tuple[Array, dict[str, float]]]:
        """Maps at the network's scale, and the pictures' scores where they are to be explained; in order."""
        if self._student is not None and not explained:
            for scaled_HWC, seen_KHW in self._seen(pictures, self._lens()):
                yield self.map_evidence(self._found(scaled_HWC, seen_KHW)), {}
            return
        maps = None if self._student is None else self._map_all(pictures, explained=False)
        for painting in self._paint_all(pictures):
            map_HW = next(maps)[0] if maps else distinction_map(painting.evidence(), self.config.map)
            scores = self.explain(painting) if explained else {}
            yield map_HW, scores

    def _found(self, picture_HWC: Array, seen_KHW: Array) -> Array:
        """Of what the lens of the maps gives, that which a map is made of, H x W x K."""
        if self._student is not None:
            return np.moveaxis(seen_KHW, 0, -1)
        return self._painting(picture_HWC, seen_KHW).evidence()

    @property
    def channels(self) -> int:
        """K of ``evidence``."""
        return 1 if self._student is not None else 2 * self.scaling.bands + 2

    def evidence(self, windows_BHWC: NDArray[np.generic]) -> Array:
        """What the map of square windows of a scene, in the numbers of its file, is made of: B x H x W x K, float32.

        Each window is seen by itself. What comes back (a student's logit, or else what ``maps.evidence`` gives
        and the picture in grey) may be averaged where windows overlap; ``map_evidence`` makes the map of it. Windows of
        any size are brought to that of the network.

        Raises
        ------
        PictureError
            Bands or number type are not those trained on.
        """
        self.scaling.check(windows_BHWC, "the scene")
        lens = self._lens()
        side = windows_BHWC.shape[1]
        whole = [self.scaling.apply(window) for window in windows_BHWC]
        scaled = np.stack([resize(window, lens.side, lens.side) for window in whole])
        found = (self._found(*parts) for parts in zip(scaled, lens.see(scaled), strict=True))
        evidence_BHWK = np.stack([resize(window, side, side) for window in found])
        if self._student is not None:
            return evidence_BHWK
        return np.concatenate([evidence_BHWK, np.stack([_grey(window) for window in whole])[..., None]], axis=-1)

    def map_evidence(self, evidence_HWK: Array, scale: float = 1.0) -> Array:
        """The map, H x W, of what ``evidence`` gave; ``scale``: pixels of it for each of the network's."""
        if self._student is not None:
            probability: Array = expit(evidence_HWK[..., 0])
            return probability
        map_HW = distinction_map(evidence_HWK[..., :-1], self.config.map, scale)
        return finish(map_HW, evidence_HWK[..., -1], self.config.map, scale)

    def reach(self, scale: float = 1.0) -> int:
        """How far around a pixel, in pixels of the evidence, ``map_evidence`` looks."""
        return 0 if self._student is not None else reach(self.config.map, scale)

    def explain(self, painting: Painting) -> dict[str, float]:
        """How well the model explains a picture.

        ``psnr_with``, ``psnr_without``: repainted as that class against itself, in dB. ``residual``: mean absolute
        difference of the picture and the better of its two sums of branches. ``flips_to_with``, ``flips_to_without``:
        1 where a judge trained apart takes the repainting for that class, else 0 (pictures no larger than one window).
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

    def map_files(self, files: Sequence[PictureFile], *, explained: bool = True) -> Iterator[PictureMap]:
        """Map picture files, in order; the next ones are read while the network works.

        Without ``explained`` there are no scores, and a student need not wait for the generator.
        """

        def read(some: Sequence[PictureFile]) -> list[NDArray[np.generic]]:
            return [self._read(file) for file in some]

        chunks = [files[first : first + PICTURES_AT_ONCE] for first in range(0, len(files), PICTURES_AT_ONCE)]
        with ThreadPoolExecutor(max_workers=1) as reader:
            upcoming = [reader.submit(read, chunk) for chunk in chunks[:1]]
            for index, chunk in enumerate(chunks):
                pictures = upcoming.pop().result()
                upcoming += [reader.submit(read, chunk) for chunk in chunks[index + 1 : index + 2]]
                mapped = self._map_all(pictures, explained=explained)
                for file, picture, (map_HW, scores) in zip(chunk, pictures, mapped, strict=True):
                    whole_HW = self._at_size(map_HW, picture)
                    scores = scores | {"score": float(whole_HW.max())} if explained else {}
                    yield PictureMap(name=file.name, map_HW=whole_HW, scores=scores)

    def _read(self, file: PictureFile) -> NDArray[np.generic]:
        picture = read_picture(file.path)
        self.scaling.check(picture, file.path)
        return picture


def _grey(picture_HWC: Array) -> Array:
    grey: Array = picture_HWC.mean(axis=-1)
    return grey


def save(run: Path, model: DistinctionModel) -> None:
    """Write a model's weights, with what is needed to use them, under their final name in one move."""
    from safetensors.torch import save_file

    from distmap.common.files import replacing

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
        "edge_radius": str(model.config.map.edge_radius),
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

    from distmap.networks.classifiers import PictureClassifier
    from distmap.networks.devices import pick_device
    from distmap.networks.generators import Generator
    from distmap.networks.localizer import Locator

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
        edge_radius = float(metadata["edge_radius"])
        generator = Generator(config.generator, survey.scaling.bands)
        generator.load_state_dict(_part(tensors, "generator."))
        locator = Locator(config.locator, survey.scaling.bands)
        locator.load_state_dict(_part(tensors, "locator."))
        judge = PictureClassifier(config.judge, survey.scaling.bands, config.image_size)
        judge.load_state_dict(_part(tensors, "judge."))
        student = None
        if any(name.startswith("student.") for name in tensors):
            from distmap.training.student import Student

            student = Student(config.student, survey.scaling.bands)
            student.load_state_dict(_part(tensors, "student."))
    except (SafetensorError, KeyError, TypeError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{run / WEIGHTS}: damaged, or not made with this config.yaml or version; train again with --overwrite"
        ) from error
    config = replace(config, map=replace(config.map, kind=kind, edge_radius=edge_radius))
    return DistinctionModel(config, survey, generator, locator, judge, pick_device(device), student)


def _part(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
