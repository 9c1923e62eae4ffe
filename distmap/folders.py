"""The two folders as training data: who is kept out, batches by step number, pictures kept in memory.

Everything random here is a function of (seed, step), so a resumed run draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distmap.common.picture_files import PictureError, PictureFile, find_pictures
from distmap.images import Array, Scaling, decide_scaling, fit_square, number_kind, read_picture

WITHOUT, WITH = 0, 1
PIXELS_A_PICTURE = 4096  # about so many pixels of a picture help to decide the scaling


@dataclass(frozen=True, kw_only=True)
class LabelledPicture:
    """A picture file with its class (1 WITH, 0 WITHOUT) and its group."""

    file: PictureFile
    label: int
    group: str


@dataclass(frozen=True, kw_only=True)
class Split:
    """Pictures that train and pictures kept out for calibration; no group is on both sides."""

    train: tuple[LabelledPicture, ...]
    kept_out: tuple[LabelledPicture, ...]


def list_folders(with_folder: Path, without_folder: Path, group: str | None) -> list[LabelledPicture]:
    """Every picture of both folders.

    ``group`` is a regular expression searched in the file's stem; its first group (or the whole match) names the
    picture's group. Without it each picture is a group of its own.

    Raises
    ------
    PictureError
        A folder is missing or empty, both are the same or one lies in the other, or a name does not match ``group``.
    """
    for folder in (with_folder, without_folder):
        if not folder.is_dir():
            raise PictureError(f"{folder}: no such folder")
    first, second = with_folder.resolve(), without_folder.resolve()
    if first == second:
        raise PictureError(f"{with_folder}: given as both folders; give one folder WITH the thing and one WITHOUT it")
    if first in second.parents or second in first.parents:
        raise PictureError(f"{with_folder} and {without_folder}: one lies inside the other; give two separate folders")
    try:
        pattern = re.compile(group) if group else None
    except re.error as error:
        raise ValueError(f"--group {group!r}: not a regular expression ({error})") from error
    listed = []
    for folder, label in ((with_folder, WITH), (without_folder, WITHOUT)):
        for file in find_pictures([folder]):
            listed.append(LabelledPicture(file=file, label=label, group=_group_of(file, label, pattern)))
    return listed


def _group_of(file: PictureFile, label: int, pattern: re.Pattern[str] | None) -> str:
    if pattern is None:
        return f"{label}/{file.name}"
    match = pattern.search(file.path.stem)
    name: str | None = match and match.group(1 if pattern.groups else 0)
    if name is None:
        raise PictureError(f"{file.path}: the name does not match --group {pattern.pattern!r}; mend the expression")
    return name


def split_groups(pictures: Sequence[LabelledPicture], holdout: float, seed: int) -> Split:
    """Keep whole groups out until about ``holdout`` of each class is out, at least one picture of each.

    Raises
    ------
    PictureError
        The groups are too few to leave both classes on both sides.
    """
    totals = np.bincount([p.label for p in pictures], minlength=2)
    groups: dict[str, list[LabelledPicture]] = {}
    for picture in pictures:
        groups.setdefault(picture.group, []).append(picture)
    names = sorted(groups)
    np.random.default_rng([seed, 1]).shuffle(names)
    out: set[str] = set()
    kept = np.zeros(2, int)
    share = np.maximum(1, holdout * totals)
    # A group that is far too large is kept out only where no other holds the class.
    for enough, most in ((share, 2 * share), (np.ones(2), totals)):
        for name in names:
            counts = np.bincount([p.label for p in groups[name]], minlength=2)
            useful = (counts[kept < enough] > 0).any()
            fits = (kept + counts <= most).all() and (kept + counts < totals).all()
            if name not in out and useful and fits:
                out.add(name)
                kept += counts
    if (kept == 0).any():
        raise PictureError(
            f"{totals[WITH]} pictures WITH and {totals[WITHOUT]} WITHOUT in {len(groups)} group(s) are too few to keep "
            "some of both classes out for calibration; give more pictures or a finer --group"
        )
    return Split(
        train=tuple(p for p in pictures if p.group not in out), kept_out=tuple(p for p in pictures if p.group in out)
    )


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What one look at every picture told: the scaling and the usual size of a picture, in pixels."""

    scaling: Scaling
    longer_side: int
    """Median over the training pictures of the longer side."""
    longest_side: int


def survey(split: Split) -> Survey:
    """Open every picture once: scaling from those that train, and all must agree in bands and kind of number.

    Raises
    ------
    PictureError
        A file is damaged, or its bands or number type differ from the first picture's.
    """
    everything = (*split.train, *split.kept_out)
    first = read_picture(everything[0].file.path)
    samples: list[NDArray[np.generic]] = []
    sides: list[int] = []
    with ThreadPoolExecutor() as threads:
        pictures = threads.map(lambda p: read_picture(p.file.path), everything)
        for index, (labelled, picture) in enumerate(zip(everything, pictures, strict=True)):
            path = labelled.file.path
            if picture.shape[-1] != first.shape[-1]:
                raise PictureError(
                    f"{path}: has {picture.shape[-1]} band(s) where {everything[0].file.path} has {first.shape[-1]}; "
                    "convert them to the same bands"
                )
            if number_kind(picture.dtype) != number_kind(first.dtype):
                raise PictureError(
                    f"{path}: has {picture.dtype} values where {everything[0].file.path} has {first.dtype}; "
                    "convert them to the same type"
                )
            if index < len(split.train):
                sides.append(max(picture.shape[:2]))
                samples.append(_spread_pixels(picture))
    return Survey(
        scaling=decide_scaling(np.concatenate(samples)),
        longer_side=int(np.median(sides)),
        longest_side=max(sides),
    )


def _spread_pixels(picture_HWC: NDArray[np.generic]) -> NDArray[np.generic]:
    """About ``PIXELS_A_PICTURE`` pixels, N x C, from all over the picture: every so many rows and columns."""
    height, width, bands = picture_HWC.shape
    step = max(1, round((height * width / PIXELS_A_PICTURE) ** 0.5))
    spread: NDArray[np.generic] = picture_HWC[::step, ::step].reshape(-1, bands)
    return spread


class PictureStore:
    """Pictures ready for the network, C x S x S in [-1, 1], kept in memory up to a limit."""

    def __init__(self, pictures: Sequence[LabelledPicture], scaling: Scaling, image_size: int, cache_mb: int) -> None:
        self.pictures = tuple(pictures)
        self._scaling = scaling
        self._size = image_size
        self._room = cache_mb * 2**20
        self._cache: dict[int, Array] = {}

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Array:
        cached = self._cache.get(index)
        if cached is not None:
            return cached
        picture = read_picture(self.pictures[index].file.path)
        ready = np.ascontiguousarray(np.moveaxis(fit_square(self._scaling.apply(picture), self._size), -1, 0))
        if self._room >= ready.nbytes:
            self._room -= ready.nbytes
            self._cache[index] = ready
        return ready


def symmetries(kind: str) -> list[tuple[int, bool]]:
    """The (quarter turns, mirrored) that leave the label alone; the identity comes first."""
    turns = range(4) if kind == "all" else range(1)
    mirrored = (False,) if kind == "none" else (False, True)
    return [(turn, mirror) for mirror in mirrored for turn in turns]


def batches(
    store: PictureStore, symmetry: str, size: int, key: tuple[int, ...], start: int
) -> Generator[tuple[Array, NDArray[np.int64]], None, None]:
    """Endless batches from step ``start`` on: pictures B x C x S x S and labels B, half of each class.

    B is ``size``, or one less where that is odd. Batch t depends on (``key``, t) alone. Pictures are turned and
    mirrored as ``symmetry`` allows. The next batch is read while the present one is used.
    """
    labels = np.array([picture.label for picture in store.pictures])
    members = [np.flatnonzero(labels == label) for label in (WITHOUT, WITH)]
    turns = symmetries(symmetry)

    def batch(step: int) -> tuple[Array, NDArray[np.int64]]:
        rng = np.random.default_rng([*key, step])
        half = size // 2
        chosen = np.concatenate([rng.choice(members[WITH], half), rng.choice(members[WITHOUT], half)])
        views = []
        for index in chosen:
            turn, mirror = turns[rng.integers(len(turns))]
            view = np.rot90(store[int(index)], turn, axes=(1, 2))
            views.append(view[:, :, ::-1] if mirror else view)
        return np.stack(views), labels[chosen]

    with ThreadPoolExecutor(max_workers=1) as reader:
        upcoming = reader.submit(batch, start)
        step = start
        while True:
            step += 1
            present, upcoming = upcoming, reader.submit(batch, step)
            yield present.result()
