"""Labels of pixels that nobody drew: what a map is sure of in pictures WITH, and all of every picture WITHOUT."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from distmap.common.pictures import Array
from distmap.data.batches import PictureStore
from distmap.data.folders import WITH, LabelledPicture
from distmap.data.scaling import Scaling

NEGATIVE, POSITIVE, IGNORED = 0, 1, 2


def pseudo_label(map_HW: Array, label: int, threshold: float, low_threshold: float) -> NDArray[np.uint8] | None:
    """What each pixel of a picture of class ``label`` is taken for: 0 without the thing, 1 with it, 2 ignored.

    A picture WITHOUT (0) holds the thing nowhere, whatever its map says. In a picture WITH (1) the pixels with map >=
    ``threshold`` have it, those with map < ``low_threshold`` lack it, and what is between is ignored; None where no
    pixel reaches the threshold: the thing is somewhere, but the map does not say where.

    Raises
    ------
    ValueError
        Not 0 < ``low_threshold`` <= ``threshold``.
    """
    if not 0 < low_threshold <= threshold:
        raise ValueError(
            f"thresholds {low_threshold} and {threshold} of pseudo-labels: the lower one must be above 0 and not above "
            "the other"
        )
    if label != WITH:
        return np.full(map_HW.shape, NEGATIVE, np.uint8)
    sure = map_HW >= threshold
    if not sure.any():
        return None
    labels: NDArray[np.uint8] = np.where(sure, POSITIVE, np.where(map_HW < low_threshold, NEGATIVE, IGNORED)).astype(
        np.uint8
    )
    return labels


class PseudoLabelledStore(PictureStore):
    """Pictures with the labels of their pixels, (C + 2) x S x S: the picture in [-1, 1], its target (0 or 1) and the
    target's weight (0 where ignored, else 1).

    ``labels``: S x S each, as ``pseudo_label`` gives them.
    """

    def __init__(
        self,
        pictures: Sequence[LabelledPicture],
        labels: Sequence[NDArray[np.uint8]],
        scaling: Scaling,
        image_size: int,
        cache_mb: int,
    ) -> None:
        super().__init__(pictures, scaling, image_size, cache_mb)
        for picture, label_HW in zip(pictures, labels, strict=True):
            if label_HW.shape != (image_size, image_size):
                raise ValueError(
                    f"{picture.file.path}: pseudo-labels of {label_HW.shape} pixels for a network that sees "
                    f"{image_size} x {image_size}"
                )
        self._labels = tuple(labels)

    def __getitem__(self, index: int) -> Array:
        labels_HW = self._labels[index]
        planes = np.stack([labels_HW == POSITIVE, labels_HW != IGNORED]).astype(np.float32)
        return np.concatenate([super().__getitem__(index), planes])
