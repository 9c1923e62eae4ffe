"""NIfTI files: voxels as they are stored, where these lie, and whether two files lie on one grid."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distmap.common.extras import need

SAME_PLACE = 0.25  # of a voxel, at the corners of the volume; less is rounding in headers
SAME_SPACING = 0.01  # relative


@dataclass(frozen=True, kw_only=True, eq=False)
class Nifti:
    """A volume as its file stores it, X x Y x Z in the file's own order.

    ``grid``: the affine, 4 x 4, from voxels to mm. ``codes``: qform_code and sform_code, 0 for an affine that says
    nothing.
    """

    path: Path
    values_XYZ: NDArray[np.float32]
    grid: NDArray[np.float64]
    codes: tuple[int, int]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values_XYZ.shape

    @property
    def spacing(self) -> NDArray[np.float64]:
        return np.asarray(np.linalg.norm(self.grid[:3, :3], axis=0))

    @property
    def placed(self) -> bool:
        """Whether the file says where it lies: it has a code, and its affine is not the identity of new arrays."""
        return any(self.codes) and not np.array_equal(self.grid, np.diag([*self.spacing, 1]))

    def seen(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Values as Z x H x W (lowest, anterior and the patient's right come first) and the 3 x 3 axes in mm."""
        values, grid = self.canonical()
        # The canonical axes run to the right, to the front and up.
        return values[::-1, ::-1].transpose(2, 1, 0), grid[:3, :3]

    def canonical(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Values along right, front and up, and their affine."""
        import nibabel.orientations as turns

        turn = turns.io_orientation(self.grid)  # type: ignore[no-untyped-call]
        values = turns.apply_orientation(self.values_XYZ, turn)  # type: ignore[no-untyped-call]
        back = turns.inv_ornt_aff(turn, self.shape)  # type: ignore[no-untyped-call]
        return values, np.asarray(self.grid @ back, float)


def read_nifti(path: Path) -> Nifti:
    """A volume as it is stored, with the values that its scale (scl_slope, scl_inter) makes of the numbers.

    Raises
    ------
    ValueError
        The file is damaged or no NIfTI file, holds no volume, or its affine is singular.
    """
    need("nibabel", extra="medical")
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        image: Any = nibabel.load(path)
        values = np.asarray(image.dataobj, np.float32)
        grid = np.asarray(image.affine, float)
        codes = int(image.header["qform_code"]), int(image.header["sform_code"])
    except (ImageFileError, HeaderDataError, EOFError, OSError, ValueError, KeyError, zlib.error) as error:
        raise ValueError(f"{path}: not a whole NIfTI file ({error}); fetch it again or leave the case out") from None
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if values.ndim != 3 or 0 in values.shape:
        raise ValueError(f"{path}: is {' x '.join(map(str, values.shape))}, not a volume; leave the case out")
    if not np.isfinite(grid).all() or np.linalg.matrix_rank(grid[:3, :3]) < 3:
        raise ValueError(f"{path}: its affine gives the voxels no volume; leave the case out")
    return Nifti(path=path, values_XYZ=values, grid=grid, codes=codes)


def on_one_grid(files: Sequence[Nifti], *, trust: bool = False) -> list[Nifti]:
    """The files, each of which lies on the grid of the first.

    Parameters
    ----------
    trust
        Take files that do not say where they lie for voxels of the grid on which those of the same shape lie that do.

    Raises
    ------
    ValueError
        A file does not lie on the grid of the first; the message says what differs.
    """
    found = list(_trusted(files)) if trust else list(files)
    for other in found[1:]:
        _check_one_grid(found[0], other)
    return found


def _trusted(files: Sequence[Nifti]) -> Iterator[Nifti]:
    placed = [file for file in files if file.placed]
    # Where these are stored in several orders, none is known to be that of the others.
    alike = all(_stored_alike(placed[0], other) for other in placed[1:])
    for file in files:
        lost = not file.placed and placed and alike and file.shape == placed[0].shape
        yield replace(file, grid=placed[0].grid, codes=placed[0].codes) if lost else file


def _stored_alike(one: Nifti, other: Nifti) -> bool:
    return one.shape == other.shape and _same_place(one.grid, other.grid, one.shape)


def _check_one_grid(first: Nifti, other: Nifti) -> None:
    """Raise ValueError unless every voxel of one lies where a voxel of the other does, however they are stored."""
    (values, grid), (others, its_grid) = first.canonical(), other.canonical()
    if values.shape == others.shape and first.placed == other.placed and _same_place(grid, its_grid, values.shape):
        return
    where = f"{other.path}: does not lie on the grid of {first.path.name}"
    differences = ", ".join(_differences(other, first)) or "the orders of their axes differ"
    if first.placed != other.placed:
        lost = other if first.placed else first
        raise ValueError(
            f"{where} ({differences}); resample one of them. {lost.path.name} does not say where it lies: give "
            "--trust-grid where its voxels are those of the other, in the same order"
        )
    raise ValueError(f"{where} ({differences}); resample one of them")


def _same_place(one: NDArray[np.float64], other: NDArray[np.float64], shape: Sequence[int]) -> bool:
    """Whether the voxels of two affines lie at one place, at each corner of the volume."""
    spacing = np.linalg.norm(one[:3, :3], axis=0)
    if not np.allclose(spacing, np.linalg.norm(other[:3, :3], axis=0), rtol=SAME_SPACING, atol=0):
        return False
    corners = np.array(np.meshgrid(*[(0, length - 1) for length in shape], [1])).reshape(4, -1)
    return float(np.abs((one - other) @ corners).max()) <= SAME_PLACE * float(spacing.min())


def _differences(one: Nifti, other: Nifti) -> Iterator[str]:
    """What the headers of two files say differently, in words."""
    if one.shape != other.shape:
        yield f"shape {_numbers(one.shape, ' x ')}, not {_numbers(other.shape, ' x ')}"
    if not np.allclose(one.spacing, other.spacing, rtol=SAME_SPACING, atol=0):
        yield f"spacing {_numbers(one.spacing)} mm, not {_numbers(other.spacing)} mm"
    axes, others = (np.round(item.grid[:3, :3] / item.spacing, 3).ravel() for item in (one, other))
    if not np.allclose(axes, others, atol=SAME_SPACING):
        yield f"axes {_numbers(axes)}, not {_numbers(others)}"
    if not np.allclose(one.grid[:3, 3], other.grid[:3, 3], atol=SAME_SPACING):
        yield f"origin {_numbers(one.grid[:3, 3])} mm, not {_numbers(other.grid[:3, 3])} mm"
    if one.codes != other.codes:
        yield f"qform and sform codes {_numbers(one.codes)}, not {_numbers(other.codes)}"


def _numbers(values: Any, between: str = " ") -> str:
    return between.join(f"{value + 0:g}" for value in values)
