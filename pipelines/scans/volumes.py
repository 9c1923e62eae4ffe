"""A case as one volume: the grey of its scans, each scaled once, and its tumour, on square pixels; its hemispheres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distmap.data.resizing import resize
from pipelines.scans.cases import Case
from pipelines.scans.nifti import SAME_SPACING, Nifti, on_one_grid, read_nifti

PERCENTILES = (0.5, 99.5)  # of the brain: they become the darkest and the brightest grey
SAME_GREY = 1e-4  # of the range of a scan; less is rounding where it was scaled
LEAST_LABEL = 0.5  # of a segmentation in floating-point numbers
NO_LABEL = 1e-3  # up to here a label is 0 with rounding
NOT_FINITE = "holds values that are not finite; leave the case out"
CORNERS_ALIKE = 5  # of eight, that make a background


@dataclass(frozen=True, kw_only=True, eq=False)
class Volume:
    """A case as slices from the lowest up: grey 1..255 in the brain and 0 outside, a band a scan; the whole tumour."""

    picture_ZHWC: NDArray[np.uint8]
    tumour_ZHW: NDArray[np.bool_]

    @property
    def brain(self) -> NDArray[np.bool_]:
        """Where any of the bands has brain, Z x H x W."""
        return np.asarray((self.picture_ZHWC > 0).any(axis=-1))


def read_volume(case: Case, *, trust_grid: bool = False) -> Volume:
    """Read the files of a case, bring them to one orientation, scale the grey of each scan and make pixels square.

    Parameters
    ----------
    trust_grid
        See `brats`.

    Raises
    ------
    ValueError
        A file is damaged, is no volume or holds no brain, or they do not lie on one grid.
    """
    files = [read_nifti(path) for path in (*case.pictures, case.segmentation)]
    *scans, segmentation = on_one_grid(files, trust=trust_grid)
    grey_ZHWC = np.stack([_grey(scan) for scan in scans], axis=-1)
    (_, axes), (labels_ZHW, _) = scans[0].seen(), segmentation.seen()
    tumour_ZHW = _find_tumour(case.segmentation, labels_ZHW)
    size_HW = _square_size(labels_ZHW.shape[1:], spacing_HW=np.linalg.norm(axes, axis=0)[[1, 0]])
    # Linear, so that the outline of the tumour lies where it did: half-way between its last pixel and the next.
    grey_ZHWC = np.stack([resize(layer_HWC, *size_HW) for layer_HWC in grey_ZHWC])
    tumour_ZHW = np.stack([resize(layer_HW, *size_HW) for layer_HW in tumour_ZHW.astype(np.float32)]) >= 0.5
    return Volume(picture_ZHWC=np.rint(grey_ZHWC).astype(np.uint8), tumour_ZHW=tumour_ZHW)


def _grey(scan: Nifti) -> NDArray[np.float32]:
    """A scan's brain from 1 to 255, the rest 0, Z x H x W."""
    values_ZHW, _ = scan.seen()
    brain_ZHW = _find_brain(scan.path, values_ZHW)
    low, high = np.percentile(values_ZHW[brain_ZHW], PERCENTILES)
    scaled_ZHW = np.clip((values_ZHW - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1)
    return np.where(brain_ZHW, 1 + 254 * scaled_ZHW, 0).astype(np.float32)


def _find_brain(path: Path, values_ZHW: NDArray[np.float32]) -> NDArray[np.bool_]:
    """All that is not background: the one value that most corners of the volume have, or no number at all."""
    finite_ZHW = np.isfinite(values_ZHW)
    if not finite_ZHW.all():
        if finite_ZHW[np.ix_(*([0, -1],) * 3)].any() or not finite_ZHW.any():
            raise ValueError(f"{path}: {NOT_FINITE}")
        return np.asarray(finite_ZHW)
    corners = np.sort(values_ZHW[np.ix_(*([0, -1],) * 3)].ravel())
    zeros = np.count_nonzero(corners == 0)
    background = float(0 if 2 * zeros >= len(corners) else corners[len(corners) // 2])
    # What is stored as 0 is exact; another value may come from a scale, or from resampling.
    most = 0.0 if background == 0 else SAME_GREY * float(np.ptp(values_ZHW))
    if background != 0 and np.count_nonzero(np.abs(corners - background) <= most) < CORNERS_ALIKE:
        shown = ", ".join(f"{value:g}" for value in np.unique(corners))
        raise ValueError(
            f"{path}: its background is not one value, the corners are {shown}; strip the skull and set what is "
            "outside of the brain to 0, or leave the case out"
        )
    # As much rounding as the faces of the volume show.
    faces = np.concatenate([np.abs(np.take(values_ZHW, (0, -1), axis) - background).ravel() for axis in range(3)])
    rounding = min(most, 2 * float(faces[faces <= most].max(initial=0)))
    brain_ZHW: NDArray[np.bool_] = np.abs(values_ZHW - background) > rounding
    if not brain_ZHW.any():
        raise ValueError(f"{path}: holds nothing but {background:g}; leave the case out")
    return brain_ZHW


def _find_tumour(path: Path, labels_ZHW: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The whole tumour: all labels but 0, and what is near 0 in floating-point numbers is 0."""
    if not np.isfinite(labels_ZHW).all():
        raise ValueError(f"{path}: {NOT_FINITE}")
    largest = float(labels_ZHW.max())
    if NO_LABEL < largest < LEAST_LABEL:
        raise ValueError(f"{path}: its largest label is {largest:g}, and labels are 1 and more; scale them back")
    return np.asarray(labels_ZHW > LEAST_LABEL)


def _square_size(shape: Sequence[int], spacing_HW: NDArray[np.float64]) -> tuple[int, int]:
    """Height and width once pixels are square; as they are where they are square already."""
    side = spacing_HW.min()
    if spacing_HW.max() <= side * (1 + SAME_SPACING):
        return shape[0], shape[1]
    height, width = (
        max(1, round(float(count * length / side))) for count, length in zip(shape, spacing_HW, strict=True)
    )
    return height, width


def halved(volume: Volume) -> dict[str, Volume]:
    """The patient's right hemisphere, and the left one mirrored, so that both are seen as the right one is.

    Every case of BraTS has a tumour, so slices without lie at other levels than slices with, and what the folders
    differ in is anatomy. The other hemisphere lies at the same level. The cut is the middle of the box around the
    brain; what lies outside of the box is cut off as well.
    """
    brain_ZHW = volume.brain
    rows, columns = (np.flatnonzero(brain_ZHW.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    top, bottom, first, last = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    width = (last - first + 1) // 2

    def side(values: NDArray[Any], part: str) -> NDArray[Any]:
        box = values[:, top:bottom, first:last]  # Z x H x W, or Z x H x W x C
        return box[:, :, :width] if part == "right" else box[:, :, ::-1][:, :, :width]

    return {
        part: Volume(picture_ZHWC=side(volume.picture_ZHWC, part), tumour_ZHW=side(volume.tumour_ZHW, part))
        for part in ("right", "left")
    }
