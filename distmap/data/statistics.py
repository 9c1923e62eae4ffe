"""What one look at every picture tells: scaling and usual size."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distmap.common.checked_files import checked
from distmap.common.picture_files import PictureError
from distmap.common.pictures import read_picture
from distmap.data.folders import Split
from distmap.data.scaling import Scaling, decide_scaling, number_kind
from distmap.data.settings import DataSettings

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

    Raises
    ------
    PictureError
        A file is damaged, or its bands or number type differ from the first picture's.
    """
    everything = (*split.train, *split.validation)
    first = read_picture(everything[0].file.path)
    samples: list[NDArray[np.generic]] = []
    sides: list[int] = []
    with ThreadPoolExecutor() as threads:
        pictures = threads.map(lambda p: read_picture(p.file.path), everything)
        for index, (labelled, picture) in enumerate(zip(everything, pictures, strict=True)):
            path = labelled.file.path
            if min(picture.shape[:2]) < LEAST_SIDE:
                raise PictureError(
                    f"{path}: is {picture.shape[1]} x {picture.shape[0]} pixels, too few to say where things "
                    f"are; a side must have {LEAST_SIDE} or more, remove the file"
                )
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
                samples.append(_spread_pixels(picture, settings.sampled_pixels))
    return DatasetStats(
        scaling=decide_scaling(np.concatenate(samples), settings.tail),
        longer_side=int(np.median(sides)),
        longest_side=max(sides),
    )


def _spread_pixels(picture_HWC: NDArray[np.generic], count: int) -> NDArray[np.generic]:
    """About ``count`` pixels, N x C, from all over the picture: every so many rows and columns."""
    height, width, bands = picture_HWC.shape
    step = max(1, round((height * width / count) ** 0.5))
    spread: NDArray[np.generic] = picture_HWC[::step, ::step].reshape(-1, bands)
    return spread
