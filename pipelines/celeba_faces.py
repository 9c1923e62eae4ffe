"""CelebA, aligned pictures -> the two folders by one attribute. Where an attribute shows in a face nobody has drawn,
so there is no truth beside the splits.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distmap.common.files import files_under, read_lines
from distmap.common.pictures import read_picture
from distmap.common.progress import Progress, Silent
from distmap.data.resizing import resize
from pipelines.sets import SPLITS, Counts, check_fraction, check_new, new_set, no_counts, write_picture

ATTRIBUTES, PARTITION = "list_attr_celeba", "list_eval_partition"
PICTURES = {".jpg", ".jpeg", ".png"}
PARTITIONS = {"0": "train", "1": None, "2": "test"}  # 1 is for validation: in neither split
SMALLEST = 16


@dataclass(frozen=True, kw_only=True)
class Faces:
    """What was written, and how many pictures that have the attribute listed are not there."""

    counts: Counts
    missing: int
    partition: bool
    """Whether the splits are the data set's own, which keep a person in one of them."""


def celeba(
    source: str | Path,
    folder: str | Path,
    *,
    attribute: str,
    count: int = 5000,
    crop: int = 178,
    image_size: int | None = None,
    test: float = 0.1,
    seed: int = 0,
    progress: Progress | None = None,
) -> Faces:
    """Write CelebA's aligned pictures as the two folders: those with an attribute, and those without.

    ``folder`` gets ``{train,test}/{with,without}/<number>.png``, the square in the middle of each picture. The splits
    are the data set's own (``list_eval_partition``) where that file is there.

    Parameters
    ----------
    source
        Searched recursively for ``list_attr_celeba.txt`` (or ``.csv``) and for the pictures it lists.
    attribute
        As the list calls it, such as Male or Eyeglasses.
    count
        At most so many pictures in each folder of the training split and a fifth as many of the test split, at random.
    crop
        Side of the square in pixels, 16 or more; the aligned pictures are 178 wide and 218 high.
    image_size
        Side of what is written; None: that of the square.
    test
        Fraction of the pictures for the test split, where the data set does not say.

    Raises
    ------
    ValueError
        A file or an argument cannot be used, or a folder of the training split gets no picture.
    FileExistsError
        ``folder`` is a file or holds something already.
    """
    source, folder = Path(source), Path(folder)
    _check(count, crop, image_size)
    check_fraction("--test", test)
    check_new(folder)
    progress = progress or Silent()
    values = read_attribute(_only_file(source, ATTRIBUTES), attribute)
    pictures = _pictures(source, values)
    partition = _find_file(source, PARTITION)
    rng = np.random.default_rng(seed)
    splits = read_partition(partition) if partition is not None else _assign(values, test, rng)
    chosen = _choose(pictures, values, splits, count, rng)
    for label, names in chosen["train"].items():
        if not names:
            raise ValueError(f"{source}: no picture for training is {label} {attribute}; choose another --attribute")

    counts = no_counts()
    total = sum(len(names) for classes in chosen.values() for names in classes.values())
    written = 0
    with new_set(folder) as unfinished:
        for split, classes in chosen.items():
            for label, names in classes.items():
                for name in names:
                    progress.update("writing pictures", written / total, {})
                    _write(unfinished / split / label / f"{Path(name).stem}.png", pictures[name], crop, image_size)
                    written += 1
                counts[split][label] = len(names)
    return Faces(counts=counts, missing=len(values) - len(pictures), partition=partition is not None)


def _check(count: int, crop: int, image_size: int | None) -> None:
    if count < 1:
        raise ValueError(f"--count {count}: must be 1 or more pictures")
    if crop < SMALLEST:
        raise ValueError(f"--crop {crop}: must be {SMALLEST} or more pixels")
    if image_size is not None and image_size < SMALLEST:
        raise ValueError(f"--image-size {image_size}: must be {SMALLEST} or more pixels")


def _assign(names: Collection[str], test: float, rng: np.random.Generator) -> dict[str, str | None]:
    """The split of each picture, where the data set does not say."""
    numbers = rng.random(len(names))
    return {name: "test" if number < test else "train" for name, number in zip(names, numbers, strict=True)}


def _choose(
    pictures: Mapping[str, Path],
    values: Mapping[str, bool],
    splits: Mapping[str, str | None],
    count: int,
    rng: np.random.Generator,
) -> dict[str, dict[str, list[str]]]:
    """Names of the pictures that are written, by split and class."""
    chosen: dict[str, dict[str, list[str]]] = {}
    for split in SPLITS:
        most = count if split == "train" else max(1, count // 5)
        classes = {
            label: [name for name in pictures if values[name] == has and splits.get(name) == split]
            for label, has in (("with", True), ("without", False))
        }
        chosen[split] = {label: _some(names, most, rng) for label, names in classes.items()}
    return chosen


def read_attribute(file: Path, attribute: str) -> dict[str, bool]:
    """Whether each picture has the attribute, by file name.

    Raises
    ------
    ValueError
        The list is none of CelebA's, or has no such attribute.
    """
    rows = _rows(file)
    # The text file says first how many pictures there are; its head line has no name for the first column.
    head = next((row for _, row in rows if len(row) > 1), [])
    names = head if file.suffix == ".txt" else head[1:]
    if attribute not in names:
        raise ValueError(f"--attribute {attribute}: {file} has {', '.join(names) or 'none'}")
    column = names.index(attribute) + 1
    values: dict[str, bool] = {}
    for place, row in rows:
        if row is head or len(row) == 1:
            continue
        if len(row) != len(names) + 1 or row[column] not in ("1", "-1"):
            raise ValueError(f"{place}: expected a file name and {len(names)} times 1 or -1")
        values[row[0]] = row[column] == "1"
    if not values:
        raise ValueError(f"{file}: lists no picture")
    return values


def read_partition(file: Path) -> dict[str, str | None]:
    """The split of each picture by file name; None for those set aside for validation.

    Raises
    ------
    ValueError
        A line is not a file name with 0, 1 or 2.
    """
    splits: dict[str, str | None] = {}
    for place, row in _rows(file):
        if row == ["image_id", "partition"]:
            continue
        if len(row) != 2 or row[1] not in PARTITIONS:
            raise ValueError(f"{place}: expected a file name and 0, 1 or 2")
        splits[row[0]] = PARTITIONS[row[1]]
    return splits


def _rows(file: Path) -> list[tuple[str, list[str]]]:
    """Fields of each line, with its place; separated by commas in a CSV, else by blanks."""
    lines = read_lines(file)
    if file.suffix == ".csv":
        return [(place, next(csv.reader([line]))) for place, line in lines]
    return [(place, line.split()) for place, line in lines]


def _only_file(source: Path, stem: str) -> Path:
    file = _find_file(source, stem)
    if file is None:
        raise ValueError(f"{source}: holds no {stem}.txt or {stem}.csv; give the folder CelebA was unpacked into")
    return file


def _find_file(source: Path, stem: str) -> Path | None:
    """The list of that name; as text where there are both, as the data set's authors give it."""
    found = [path for path in files_under(source, {".txt", ".csv"}) if path.stem == stem]
    return min(found, key=lambda path: (path.suffix != ".txt", len(path.parts), path), default=None)


def _pictures(source: Path, values: Mapping[str, bool]) -> dict[str, Path]:
    """Listed pictures that are there, in the list's order; PNGs (``img_align_celeba_png``) go by the JPEG's name."""
    aligned = [path for path in files_under(source, PICTURES) if "img_align_celeba" in _parents(path, source)]
    found = {path.stem: path for path in aligned}
    pictures = {name: found[Path(name).stem] for name in values if Path(name).stem in found}
    if not pictures:
        raise ValueError(f"{source}: holds none of the {len(values)} pictures listed, in a folder img_align_celeba")
    return pictures


def _parents(path: Path, source: Path) -> str:
    return path.relative_to(source).parent.as_posix()


def _some(names: Sequence[str], most: int, rng: np.random.Generator) -> list[str]:
    """At most so many, at random, in their order."""
    if len(names) <= most:
        return list(names)
    return [names[index] for index in np.sort(rng.permutation(len(names))[:most])]


def _write(path: Path, source: Path, crop: int, image_size: int | None) -> None:
    picture_HWC = read_picture(source)
    height, width = picture_HWC.shape[:2]
    if min(height, width) < crop:
        raise ValueError(f"{source}: is {width} x {height}, too small for --crop {crop}")
    top, left = (height - crop) // 2, (width - crop) // 2
    square_HWC = picture_HWC[top : top + crop, left : left + crop]
    if image_size is not None:
        square_HWC = np.rint(resize(square_HWC.astype(np.float32), image_size, image_size)).astype(picture_HWC.dtype)
    write_picture(path, square_HWC)
