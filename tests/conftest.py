"""What several test folders need: generated pictures, and the place of the real ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from numpy.typing import NDArray

os.environ["HF_HUB_OFFLINE"] = "1"  # no test downloads weights; networks of timm begin with random ones

ROOT = Path(__file__).resolve().parent.parent

# Timing on a busy machine says nothing about the code, and a failure must come back when the test is run again.
hypothesis.settings.register_profile("distmap", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("distmap")

Picture = NDArray[Any]
WritePictures = Callable[..., Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked ``real`` where the real pictures are absent."""
    if not _data_folder().is_dir():
        skip = pytest.mark.skip(reason=f"no real pictures in {_data_folder()} (set DISTMAP_DATA)")
        for item in items:
            if "real" in item.keywords:
                item.add_marker(skip)


def _data_folder() -> Path:
    return Path(os.environ.get("DISTMAP_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real pictures; the test is skipped where it is absent."""
    folder = _data_folder()
    if not folder.is_dir():
        pytest.skip(f"no real pictures in {folder} (set DISTMAP_DATA)")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """A random generator that gives the same numbers in every run."""
    return np.random.default_rng(0)


@pytest.fixture
def write_pictures(tmp_path: Path) -> WritePictures:
    """Return ``write_pictures(name, {file_name: array})``, which writes a folder of pictures and gives its path.

    Arrays are (height, width) or (height, width, 3) in RGB order; the file name's suffix says the format.
    """
    import cv2

    def write(name: str, pictures: dict[str, Picture]) -> Path:
        folder = tmp_path / name
        for file_name, picture in pictures.items():
            path = folder / file_name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.ascontiguousarray(picture[..., ::-1]) if picture.ndim == 3 else picture
            assert cv2.imwrite(str(path), pixels), path
        return folder

    return write


@pytest.fixture
def two_folders(rng: np.random.Generator, write_pictures: WritePictures) -> tuple[Path, Path]:
    """WITH and WITHOUT: eight 32 x 32 grey PNGs each; WITH has a white 8 x 8 block at rows and columns 12..19."""
    halves = []
    for name in ("with", "without"):
        pictures = {}
        for i in range(8):
            picture = rng.integers(60, 120, (32, 32), dtype=np.uint8)
            if name == "with":
                picture[12:20, 12:20] = 250
            pictures[f"{name}_{i}.png"] = picture
        halves.append(write_pictures(name, pictures))
    return halves[0], halves[1]
