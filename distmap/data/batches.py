"""Pictures as training data: kept in memory, and drawn as batches by step number.

Everything random here is a function of (seed, step), so a resumed run draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from distmap.common.pictures import Array, read_filled_picture
from distmap.data.folders import WITH, WITHOUT, LabelledPicture, stratified_subsample
from distmap.data.resizing import fit_square
from distmap.data.scaling import Scaling
from distmap.data.stamps import Stamps, check_unchanged


class PictureStore:
    """Pictures ready for the network, C x S x S in [-1, 1], kept in memory up to a limit.

    A file that is not as ``stamps`` say when it is read is refused; see ``distmap.data.stamps``.
    """

    def __init__(
        self,
        pictures: Sequence[LabelledPicture],
        scaling: Scaling,
        image_size: int,
        cache_mb: int,
        stamps: Stamps | None = None,
    ) -> None:
        self.pictures = tuple(pictures)
        self._stamps = stamps or {}
        self._scaling = scaling
        self._size = image_size
        self._room = cache_mb * 2**20
        self._cache: dict[int, Array] = {}

    def __len__(self) -> int:
        return len(self.pictures)

    def sample(self, count: int) -> PictureStore:
        """At most ``count`` pictures of each class, spread evenly; they are read again each time."""
        few = stratified_subsample(self.pictures, count)
        return PictureStore(few, self._scaling, self._size, cache_mb=0, stamps=self._stamps)

    def check_unchanged(self, pictures: Iterable[LabelledPicture]) -> None:
        """Raise PictureError where files are not as the stamps say, also of pictures of other stores."""
        check_unchanged((picture.file.path for picture in pictures), self._stamps)

    def __getitem__(self, index: int) -> Array:
        cached = self._cache.get(index)
        if cached is not None:
            return cached
        self.check_unchanged([self.pictures[index]])
        picture = read_filled_picture(self.pictures[index].file.path)
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
