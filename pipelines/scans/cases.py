"""Which files of a BraTS release make up a case, by their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from distmap.common.files import files_under

MODALITIES = {"flair": ("flair", "t2f"), "t1": ("t1", "t1n"), "t1ce": ("t1ce", "t1c", "t1gd"), "t2": ("t2", "t2w")}
"""Modalities and what the releases call them: up to 2021, then from 2023 on."""
SEGMENTATIONS = ("seg", "segm")  # one case of BraTS 2020 says Segm

_FILE = re.compile(r"(?P<case>.+)[_-](?P<kind>[A-Za-z0-9]+)\.nii(\.gz)?", re.IGNORECASE)
_TIMEPOINT = re.compile(r"(?P<patient>BraTS-[A-Za-z]+-\d+)-\d+")  # from 2023 on a patient may come several times


@dataclass(frozen=True, kw_only=True)
class Case:
    """The two files of a case that are used."""

    name: str
    picture: Path
    segmentation: Path

    @property
    def patient(self) -> str:
        """The case, less the number of the visit where the release numbers visits."""
        visit = _TIMEPOINT.fullmatch(self.name)
        return visit["patient"] if visit else self.name


@dataclass(frozen=True, kw_only=True)
class Cases:
    """Cases that can be used, and names of those that lack one of the two files."""

    complete: tuple[Case, ...]
    without_segmentation: tuple[str, ...]
    without_modality: tuple[str, ...]


def find_cases(folder: Path, modality: str) -> Cases:
    """Cases below a folder, by name.

    Raises
    ------
    ValueError
        The modality is none, no case is complete, or two files say they are the same of one case.
    """
    kinds = next((names for names in MODALITIES.values() if modality.lower() in names), None)
    if kinds is None:
        raise ValueError(f"--modality {modality}: choose one of {', '.join(MODALITIES)}")
    pictures: dict[str, Path] = {}
    segmentations: dict[str, Path] = {}
    others: dict[str, set[str]] = {}
    for file in files_under(folder, {".nii", ".gz"}):
        parts = _FILE.fullmatch(file.name)
        if parts is None:
            continue
        case, kind = parts["case"], parts["kind"].lower()
        others.setdefault(case, set()).add(kind)
        for wanted, listed in ((kinds, pictures), (SEGMENTATIONS, segmentations)):
            if kind not in wanted:
                continue
            if case in listed:
                raise ValueError(f"{file}: {listed[case]} is the same of case {case}; keep one of them")
            listed[case] = file
    segmentations = dict(_by_folder(pictures, segmentations)) | segmentations
    complete = tuple(
        Case(name=name, picture=file, segmentation=segmentations[name])
        for name, file in sorted(pictures.items())
        if name in segmentations
    )
    if not complete:
        raise ValueError(_none_complete(folder, kinds, pictures, set().union(*others.values())))
    used = {case.segmentation for case in complete}
    return Cases(
        complete=complete,
        without_segmentation=tuple(sorted(pictures.keys() - segmentations.keys())),
        without_modality=tuple(
            sorted(name for name, file in segmentations.items() if name not in pictures and file not in used)
        ),
    )


def _by_folder(pictures: dict[str, Path], segmentations: dict[str, Path]) -> Iterator[tuple[str, Path]]:
    """Segmentations under another name, where a folder holds one case and one segmentation: BraTS 2020, case 355."""
    for name, file in pictures.items():
        beside = [path for path in segmentations.values() if path.parent == file.parent]
        alone = sum(path.parent == file.parent for path in pictures.values()) == 1
        if name not in segmentations and alone and len(beside) == 1:
            yield name, beside[0]


def _none_complete(folder: Path, kinds: Sequence[str], pictures: dict[str, Path], seen: set[str]) -> str:
    name = f"<case>_{kinds[0]}.nii.gz (or <case>-{kinds[1]}.nii.gz)"
    if pictures:
        return f"{folder}: {len(pictures)} cases, none with its segmentation <case>_seg.nii.gz (or <case>-seg.nii.gz)"
    hint = f"; there are {', '.join(sorted(seen))}" if seen else "; give the folder that holds the cases"
    return f"{folder}: holds no {name}{hint}"
