"""What one look at every picture tells: scaling and usual size."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distmap.common.checked_files import checked
from distmap.common.nodata import Valid
from distmap.common.picture_files import PictureError
from distmap.common.pictures import read_placed_picture
from distmap.data.folders import LabelledPicture, Split
from distmap.data.scaling import Scaling, decide_scaling, number_kind
from distmap.data.settings import DataSettings

OPEN_PICTURES = 4  # at a time
LONGEST_SIDE = 2**31 - 1
LEAST_SIDE = 2


@dataclass(frozen=True, kw_only=True)
class DatasetStats:
    """What one look at every picture told: the scaling and the usual size of a picture, in pixels."""

    scaling: Scaling
    longer_side: int
    """Median over the training pictures of the longer side."""
    longest_side: int

    @property
    def bands(self) -> int:
        return self.scaling.bands

    def __post_init__(self) -> None:
        if not 1 <= self.longer_side <= self.longest_side <= LONGEST_SIDE:
            raise ValueError(
                f"longer_side {self.longer_side}, longest_side {self.longest_side}: must be from 1 to {LONGEST_SIDE}, "
                "the first at most the second"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values, which ``from_json`` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DatasetStats:
        """What ``to_json`` gave; raises ValueError where it is not that."""
        stats: DatasetStats = checked(cls, values, "statistics")
        return stats


def dataset_stats(split: Split, settings: DataSettings) -> DatasetStats:
    """Open every picture once: scaling from those that train, and all must agree in bands and kind of number.

    Pixels that hold nothing have no part in the scaling.

    Raises
    ------
    PictureError
        A file is damaged, or its bands or number type differ from the first picture's.
    """
    everything = (*split.train, *split.validation)
    first, path = _look(everything[0], settings), everything[0].file.path
    samples: list[NDArray[np.generic]] = []
    sides: list[int] = []
    with closing(_looks(everything, settings)) as looks:
        for index, (labelled, seen) in enumerate(zip(everything, looks, strict=True)):
            if seen.bands != first.bands:
                raise PictureError(
                    f"{labelled.file.path}: has {seen.bands} band(s) where {path} has {first.bands}; "
                    "convert them to the same bands"
                )
            if number_kind(seen.dtype) != number_kind(first.dtype):
                raise PictureError(
                    f"{labelled.file.path}: has {seen.dtype} values where {path} has {first.dtype}; "
                    "convert them to the same type"
                )
            if index < len(split.train):
                sides.append(seen.longer_side)
                samples.append(seen.pixels_NC)
    return DatasetStats(
        scaling=decide_scaling(np.concatenate(samples), settings.tail),
        longer_side=int(np.median(sides)),
        longest_side=max(sides),
    )


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What is kept of a picture."""

    longer_side: int
    bands: int
    dtype: np.dtype[Any]
    pixels_NC: NDArray[np.generic]


def _look(labelled: LabelledPicture, settings: DataSettings) -> _Seen:
    placed = read_placed_picture(labelled.file.path)
    picture_HWC = placed.pixels_HWC
    height, width, bands = picture_HWC.shape
    if max(height, width) < LEAST_SIDE:
        raise PictureError(
            f"{labelled.file.path}: is {width} x {height} pixels, too few to say where things are; a side must have "
            f"{LEAST_SIDE} or more, remove the file"
        )
    return _Seen(
        longer_side=max(height, width),
        bands=bands,
        dtype=picture_HWC.dtype,
        pixels_NC=_spread_pixels(picture_HWC, placed.valid_HW, settings.sampled_pixels),
    )


def _looks(pictures: Sequence[LabelledPicture], settings: DataSettings) -> Generator[_Seen, None, None]:
    """Looks at pictures in their order; a few are open at a time, and no more are opened once it is closed."""
    with ThreadPoolExecutor(OPEN_PICTURES) as threads:
        waiting = iter(pictures)
        upcoming = deque(threads.submit(_look, each, settings) for each in islice(waiting, OPEN_PICTURES))
        while upcoming:
            seen = upcoming.popleft().result()
            upcoming.extend(threads.submit(_look, each, settings) for each in islice(waiting, 1))
            yield seen


def _spread_pixels(picture_HWC: NDArray[np.generic], valid_HW: Valid | None, count: int) -> NDArray[np.generic]:
    """About ``count`` pixels, N x C, from all over the picture: every so many rows and columns, or every so many of
    those that hold something."""
    if valid_HW is not None:
        pixels_NC: NDArray[np.generic] = picture_HWC[valid_HW]
        return pixels_NC[:: max(1, round(len(pixels_NC) / count))]
    height, width, bands = picture_HWC.shape
    step = max(1, round((height * width / count) ** 0.5))
    # A copy, so that the picture itself can go.
    spread: NDArray[np.generic] = picture_HWC[::step, ::step].reshape(-1, bands).copy()
    return spread
