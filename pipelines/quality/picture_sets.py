"""The pictures behind the rows: what is taken from which data, and written as the two folders with the truth apart.

A set is a folder ``{train,test}/{with,without}`` with the truth of the test split, and ``set.json``, which says how it
was made. Sets of one kind differ by the split alone.
"""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import pipelines
from detect.evaluation import group_of
from distmap.common.files import files_under, write_json
from distmap.common.progress import Progress
from pipelines.quality.splits import Drawn, Split, SplitGroups
from pipelines.scans.cases import find_cases
from pipelines.sets import CLASSES, SPLITS, new_set
from pipelines.synthetic_sets import Split as SyntheticSplit

SET = "set.json"
SLICE_GROUP = r"^(.*)_\d+$"  # <patient>_<slice>, <case>_<slice>
HEMISPHERE_GROUP = r"^(.*)_\d+_"  # <case>_<slice>_left
PLACE_GROUP = r"^(.+?)__"  # <group>__<scene>, <group>__<scene>__<x>_<y>


class PictureSet(Protocol):
    """Pictures that a row is about."""

    @property
    def source(self) -> str | None:
        """The folder in the data that is needed; None: nothing is."""

    def name(self, seed: int) -> str:
        """Of the folder that is written; with the seed where pictures depend on it."""

    def write(self, data: Path, folder: Path, seed: int, progress: Progress) -> SplitGroups | None:
        """Write into an empty folder, and say which groups are in which split where there are groups."""


@dataclass(frozen=True, kw_only=True)
class Generated:
    """Generated pictures, see `pipelines.synthetic`; other pictures for each seed."""

    split: SyntheticSplit
    count: int = 500
    image_size: int | None = None

    @property
    def source(self) -> None:
        return None

    def name(self, seed: int) -> str:
        return f"{self.split}-{seed}" if self.image_size is None else f"{self.split}-{self.image_size}-{seed}"

    def write(self, data: Path, folder: Path, seed: int, progress: Progress) -> None:
        pipelines.synthetic(folder, split=self.split, count=self.count, image_size=self.image_size, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Slices:
    """``lgg``: slices that are in two folders already, by patient; masks of those that are scored."""

    label: str
    split: Split
    count: int | None = None
    """Training pictures of each class: patients are drawn by the seed until so many are there; None: all."""

    @property
    def source(self) -> str:
        return "lgg"

    def name(self, seed: int) -> str:
        return self.label if self.count is None else f"{self.label}-{seed}"

    def write(self, data: Path, folder: Path, seed: int, progress: Progress) -> SplitGroups:
        source = data / self.source
        pictures = {label: files_under(source / label, {".png"}) for label in CLASSES}
        groups = self.split.apply(_patient(file) for files in pictures.values() for file in files)
        trained: set[str] = set()
        for label, files in pictures.items():
            train = [file for file in files if _patient(file) in groups.train]
            if self.count is not None:
                train = some(train, _patient, self.count, drawn(groups.train, seed))
            test = [file for file in files if _patient(file) in groups.test]
            trained |= {_patient(file) for file in train}
            _copy(train, folder / "train" / label)
            _copy(test, folder / "test" / label)
            _copy([source / "masks" / file.name for file in test], folder / "test" / "masks")
        return SplitGroups(train=tuple(sorted(trained)), test=groups.test)


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """``aerial`` and ``planes``: scenes with DOTA labels, by place, cut by `pipelines.dota`."""

    label: str
    folder: str
    """In the data: ``images/``, ``labelTxt/`` and ``index.csv``, which gives each scene's group."""
    split: Split
    category: str
    scale: float
    patch: int = 64

    @property
    def source(self) -> str:
        return self.folder

    def name(self, seed: int) -> str:
        return self.label

    def write(self, data: Path, folder: Path, seed: int, progress: Progress) -> SplitGroups:
        source = data / self.folder
        with (source / "index.csv").open(encoding="utf-8", newline="") as lines:
            group_of_file = {row["file"]: row["group"] for row in csv.DictReader(lines)}
        groups = self.split.apply(group_of_file.values())
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-scenes-") as place:
            for file, group in group_of_file.items():
                if group in groups.train or group in groups.test:
                    picture, labels = Path("images", file), Path("labelTxt", f"{Path(file).stem}.txt")
                    for part in (picture, labels):
                        link = Path(place) / part.parent / f"{group}__{part.name}"
                        link.parent.mkdir(exist_ok=True)
                        link.symlink_to((source / part).resolve())
            pipelines.dota(
                place,
                folder,
                category=self.category,
                patch=self.patch,
                scale=self.scale,
                group=PLACE_GROUP,
                test_groups=groups.test,
                progress=progress,
            )
        return groups


@dataclass(frozen=True, kw_only=True)
class Cases:
    """``brats``: NIfTI cases, cut by `pipelines.brats`."""

    label: str
    split: Drawn
    hemispheres: bool = False

    @property
    def source(self) -> str:
        return "brats"

    def name(self, seed: int) -> str:
        return self.label

    def write(self, data: Path, folder: Path, seed: int, progress: Progress) -> SplitGroups:
        source = data / self.source
        groups = self.split.apply(case.name for case in find_cases(source, ["flair"]).complete)
        pipelines.brats(source, folder, hemispheres=self.hemispheres, test_cases=groups.test, progress=progress)
        return groups


def prepare(pictures: PictureSet, data: Path, folder: Path, seed: int, progress: Progress) -> dict[str, Any]:
    """Write a set unless it is there as it should be, and give what ``set.json`` says: what is in it, by split.

    Raises
    ------
    ValueError
        The data are absent or not as they should be; nothing is written then.
    """
    made = describe(pictures) | {"name": pictures.name(seed)}
    if (folder / SET).is_file():
        known: dict[str, Any] = json.loads((folder / SET).read_text(encoding="utf-8"))
        if known["made"] == made:
            return known
    shutil.rmtree(folder, ignore_errors=True)
    progress.say(f"{folder}: preparing")
    with new_set(folder) as unfinished:
        groups = pictures.write(data, unfinished, seed, progress)
        content = {
            "made": made,
            "groups": None if groups is None else {"train": list(groups.train), "test": list(groups.test)},
            "pictures": {split: {name: _count(unfinished / split / name) for name in CLASSES} for split in SPLITS},
        }
        write_json(unfinished / SET, content, indent=1)
    return content


def describe(pictures: PictureSet) -> dict[str, Any]:
    """How a set is made, as plain values; equal for equal sets."""
    plain: dict[str, Any] = json.loads(json.dumps({"kind": type(pictures).__name__} | asdict(pictures)))  # type: ignore[call-overload]
    return plain


def check_data(sources: Iterable[str | None], data: Path) -> None:
    """Raise ValueError that says what to do where a folder of the data is absent."""
    missing = sorted({source for source in sources if source is not None and not (data / source).is_dir()})
    if missing:
        names = ", ".join(missing)
        raise ValueError(
            f"DISTMAP_DATA={data}: holds no {names}; set it to the folder with the real pictures, or choose rows that "
            "need none (--rows presence,shape,effect)"
        )


def drawn(groups: Sequence[str], seed: int) -> list[str]:
    """The groups in an order that the seed decides."""
    order = sorted(groups)
    np.random.default_rng(seed).shuffle(order)
    return order


def some(files: Sequence[Path], group: Callable[[Path], str], count: int, order: Sequence[str]) -> list[Path]:
    """The first ``count`` files, group after group in the order given: more of them hold the fewer.

    Raises
    ------
    ValueError
        There are not so many.
    """
    place: Mapping[str, int] = {name: index for index, name in enumerate(order)}
    listed = sorted((file for file in files if group(file) in place), key=lambda file: (place[group(file)], file.name))
    if len(listed) < count:
        raise ValueError(
            f"{count} pictures are wanted where {files[0].parent if files else 'a class'} has {len(listed)}"
        )
    return listed[:count]


def _patient(file: Path) -> str:
    return group_of(file.name, SLICE_GROUP)


def _copy(files: Iterable[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)


def _count(folder: Path) -> int:
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0
