"""What one look at every picture tells: scaling and usual size."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distmap.common.picture_files import PictureError
from distmap.common.pictures import read_picture
from distmap.data.folders import Split
from distmap.data.scaling import Scaling, decide_scaling, number_kind

PIXELS_A_PICTURE = 4096  # about so many pixels of a picture help to decide the scaling


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
