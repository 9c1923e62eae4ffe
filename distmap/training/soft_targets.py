"""Targets of pixels that nobody drew: how sure a map is of each in pictures WITH, and nothing in pictures WITHOUT."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distmap.common.pictures import Array
from distmap.data.batches import PictureStore
from distmap.data.folders import WITH, LabelledPicture
from distmap.data.scaling import Scaling


def soft_target(map_HW: Array, label: int, threshold: float, power: float) -> Array:
    """How sure it is that pixels show the thing, 0..1, H x W float32: m^k / (m^k + threshold^k), 0.5 at the threshold.

    ``power`` k says how sharply that rises: so sharply that neighbours stay apart, so softly that what is faint is not
    taken for nothing. A picture WITHOUT (label 0) shows the thing nowhere, whatever its map says.

    Raises
    ------
    ValueError
        The threshold or the power is not above 0.
    """
    if not (threshold > 0 and power > 0):
        raise ValueError(f"threshold {threshold} and power {power} of soft targets: both must be above 0")
    if label != WITH:
        return np.zeros(map_HW.shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        risen = np.power(np.maximum(map_HW, 0, dtype=np.float64) / threshold, power)
        target = np.where(np.isinf(risen), 1.0, risen / (risen + 1))
    return target.astype(np.float32)


class TargetStore(PictureStore):
    """Pictures with the targets of their pixels, (C + 1) x S x S: the picture in [-1, 1], then its target in 0..1.

    ``targets``: S x S each, or None where the target is 0 everywhere.
    """

    def __init__(
        self,
        pictures: Sequence[LabelledPicture],
        targets: Sequence[Array | None],
        scaling: Scaling,
        image_size: int,
        cache_mb: int,
    ) -> None:
        super().__init__(pictures, scaling, image_size, cache_mb)
        for picture, target_HW in zip(pictures, targets, strict=True):
            if target_HW is not None and target_HW.shape != (image_size, image_size):
                raise ValueError(f"{picture.file.name}: its target has the shape {target_HW.shape}")
        self._targets = tuple(None if target is None else target.astype(np.float16) for target in targets)

    def __getitem__(self, index: int) -> Array:
        picture_CHW = super().__getitem__(index)
        target_HW = self._targets[index]
        plane = np.zeros(picture_CHW.shape[1:], np.float32) if target_HW is None else target_HW.astype(np.float32)
        return np.concatenate([picture_CHW, plane[None]])
