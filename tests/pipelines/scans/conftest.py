"""Generated volumes and cases of them, and the command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import nibabel
import numpy as np
from click.testing import CliRunner, Result
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray

from pipelines.cli import main

WIDTH, DEPTH, HEIGHT = 24, 30, 20  # right, front, up
CLASSES = ("with", "without")
Voxels = NDArray[np.int16]


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["brats", *map(str, arguments)])


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def read(path: Path) -> NDArray[Any]:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None, path
    return np.asarray(picture)


def save(path: Path, values: Voxels, codes: str = "RAS", spacing: tuple[float, float, float] = (1, 1, 1)) -> Path:
    """Write voxels given along right, front, up as a file that stores them along ``codes``."""
    image = nibabel.Nifti1Image(values, np.diag([*spacing, 1.0]))  # type: ignore[no-untyped-call]
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(codes))  # type: ignore[no-untyped-call]
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image.as_reoriented(turn), path)  # type: ignore[no-untyped-call]
    return path


def brain(seed: int = 0) -> Voxels:
    """Noise with a rim of background; the lowest two and the highest two slices hold a small brain."""
    values = np.random.default_rng(seed).integers(100, 1000, (WIDTH, DEPTH, HEIGHT)).astype(np.int16)
    values[:2], values[-4:], values[:, :3], values[:, -1:] = 0, 0, 0, 0
    values[:, 6:, :2] = values[:, 6:, -2:] = 0
    return values


def tumour(first: int, last: int, side: int = 12) -> Voxels:
    """A block of ``side`` x 12 voxels on slices ``first`` to ``last``."""
    labels = np.zeros((WIDTH, DEPTH, HEIGHT), np.int16)
    labels[4 : 4 + side, 8:20, first : last + 1] = 2
    return labels


def write_cases(folder: Path, names: list[str], codes: str = "RAS") -> Path:
    for index, name in enumerate(names):
        save(folder / name / f"{name}_flair.nii.gz", brain(index), codes)
        save(folder / name / f"{name}_seg.nii.gz", tumour(8, 11), codes)
    return folder


def write_volume(path: Path, values: NDArray[Any], affine: NDArray[Any], slope: float = 1, inter: float = 0) -> Path:
    """Write voxels as they are given; what is read is slope x values + inter."""
    image = nibabel.Nifti1Image(values, affine)  # type: ignore[no-untyped-call]
    image.header.set_slope_inter(slope, inter)  # type: ignore[no-untyped-call]
    nibabel.save(image, path)
    # nibabel scales what it writes, so the numbers are put back as they were.
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([slope, inter], "<f4").tobytes()
    content[352:] = values.tobytes(order="F")
    path.write_bytes(content)
    return path


def write_bands(folder: Path, name: str, kinds: Sequence[str], labels: Voxels) -> None:
    """Write a case whose scans hold noise of their own, ``<name>_<kind>.nii.gz``, beside its segmentation."""
    for seed, kind in enumerate(kinds):
        save(folder / name / f"{name}_{kind}.nii.gz", brain(seed))
    save(folder / name / f"{name}_seg.nii.gz", labels)
