"""What one look at every picture tells: scaling and usual size."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distmap.common.nodata import Valid
from distmap.common.picture_files import PictureError
from distmap.common.pictures import read_picture, read_placed_picture
from distmap.data.folders import Split
from distmap.data.scaling import Scaling, decide_scaling, number_kind
from distmap.data.settings import DataSettings


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

    def to_json(self) -> dict[str, Any]:
        """Plain values, which ``from_json`` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DatasetStats:
        """What ``to_json`` gave; raises KeyError or TypeError where it is not that."""
        scaling = values["scaling"]
        return cls(
            scaling=Scaling(low=tuple(scaling["low"]), high=tuple(scaling["high"]), dtype=scaling["dtype"]),
            longer_side=int(values["longer_side"]),
            longest_side=int(values["longest_side"]),
        )


def dataset_stats(split: Split, settings: DataSettings) -> DatasetStats:
    """Open every picture once: scaling from those that train, and all must agree in bands and kind of number.

    Pixels that hold nothing have no part in the scaling.

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
        pictures = threads.map(lambda p: read_placed_picture(p.file.path), everything)
        for index, (labelled, placed) in enumerate(zip(everything, pictures, strict=True)):
            path, picture = labelled.file.path, placed.pixels_HWC
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
                samples.append(_spread_pixels(picture, placed.valid_HW, settings.sampled_pixels))
    return DatasetStats(
        scaling=decide_scaling(np.concatenate(samples), settings.tail),
        longer_side=int(np.median(sides)),
        longest_side=max(sides),
    )


def _spread_pixels(picture_HWC: NDArray[np.generic], valid_HW: Valid | None, count: int) -> NDArray[np.generic]:
    """About ``count`` pixels, N x C, from all over the picture: every so many rows and columns, or every so many of
    those that hold something."""
    if valid_HW is not None:
        pixels_NC: NDArray[np.generic] = picture_HWC[valid_HW]
        return pixels_NC[:: max(1, round(len(pixels_NC) / count))]
    height, width, bands = picture_HWC.shape
    step = max(1, round((height * width / count) ** 0.5))
    spread: NDArray[np.generic] = picture_HWC[::step, ::step].reshape(-1, bands)
    return spread
