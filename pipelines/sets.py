"""What the commands that write a set share: ``DIR/{train,test}/{with,without}``, there whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from distmap.common.locks import locked

SPLITS = ("train", "test")
CLASSES = ("without", "with")  # in the order of the labels 0 and 1

Counts = dict[str, dict[str, int]]
"""Pictures by split and class, as in ``counts["train"]["with"]``."""


def no_counts() -> Counts:
    """0 for every split and class."""
    return {split: dict.fromkeys(reversed(CLASSES), 0) for split in SPLITS}


def check_new(folder: Path) -> None:
    """Raise FileExistsError where a set cannot be written to ``folder``: it is a file or holds something already."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists already and is not an empty folder: choose another or remove it")


@contextmanager
def new_set(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside ``folder``; it becomes ``folder`` when the block ends well, else it is dropped.

    Raises
    ------
    FileExistsError
        ``folder`` is a file or holds something already.
    ValueError
        Another command is writing there.
    """
    with locked(folder):
        check_new(folder)
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.absolute().parent))
        try:
            unfinished.chmod(0o755)  # mkdtemp's folders are for their owner alone
            yield unfinished
            unfinished.replace(folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise


def picture_suffix(bands: int) -> str:
    """Of files that hold so many bands: PNG for grey and colours, TIFF for others."""
    return ".png" if bands in (1, 3) else ".tif"


def write_picture(path: Path, picture: NDArray[Any]) -> None:
    """Write H x W or H x W x C as the suffix says: 1 or 3 bands (RGB), in TIFF any number, compressed without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        pixels = picture[..., 0] if picture.shape[2:] == (1,) else picture
        # Unless told so, the last of four bands is taken for alpha.
        photometric = "rgb" if picture.shape[2:] == (3,) else "minisblack"
        tifffile.imwrite(
            path, pixels, photometric=photometric, planarconfig="contig", compression="zlib", metadata=None,
            software=False,
        )  # fmt: skip
        return
    pixels = np.ascontiguousarray(picture[..., ::-1]) if picture.ndim == 3 else picture
    if not cv2.imwrite(str(path), pixels):
        raise OSError(f"cannot write {path}")


def check_fraction(option: str, value: float) -> None:
    """Raise ValueError unless 0 < value < 1."""
    if not 0 < value < 1:
        raise ValueError(f"{option} {value}: must lie between 0 and 1")


def choose_test_groups(
    groups: Iterable[str], *, fraction: float, named: Sequence[str] = (), seed: int = 0, what: str, option: str
) -> frozenset[str]:
    """Which groups (cases, scenes) make up the test split: those named, else ``fraction`` of them by the seed.

    At least one group is in either split.

    Parameters
    ----------
    what
        A group in a word, in the plural, for messages.
    option
        The option behind ``named``, for messages.

    Raises
    ------
    ValueError
        There is one group only, a named one is not there, or none is left for training.
    """
    available = sorted(set(groups))
    if len(available) < 2:
        there = ", ".join(available) or "none"
        raise ValueError(f"two splits need two or more {what}; there is {there}")
    for name in named:
        if name not in available:
            raise ValueError(f"{option} {name}: is not one of the {len(available)} {what}, such as {available[0]}")
    if named:
        if len(set(named)) == len(available):
            raise ValueError(f"{option} names all {len(available)} {what}: leave some for training")
        return frozenset(named)
    count = min(max(1, round(fraction * len(available))), len(available) - 1)
    order = np.random.default_rng(seed).permutation(len(available))
    return frozenset(available[index] for index in order[:count])
