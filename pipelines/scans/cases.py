"""Which files of a BraTS release make up a case, by their names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
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
    """The files of a case that are used: a scan of each modality, in the order of the bands, and the segmentation."""

    name: str
    pictures: tuple[Path, ...]
    segmentation: Path

    @property
    def patient(self) -> str:
        """The case, less the number of the visit where the release numbers visits."""
        visit = _TIMEPOINT.fullmatch(self.name)
        return visit["patient"] if visit else self.name


@dataclass(frozen=True, kw_only=True)
class Cases:
    """Cases that can be used, and names of those that lack a file."""

    complete: tuple[Case, ...]
    without_segmentation: tuple[str, ...]
    without_modality: tuple[str, ...]


def find_cases(folder: Path, modalities: Sequence[str]) -> Cases:
    """Cases below a folder that have every one of the modalities, by name.

    Raises
    ------
    ValueError
        A modality is none or is there twice, no case is complete, or two files say they are the same of one case.
    """
    kinds = [MODALITIES[modality] for modality in _known(modalities)]
    scans: list[dict[str, Path]] = [{} for _ in kinds]  # of each modality, by case
    segmentations: dict[str, Path] = {}
    seen: set[str] = set()
    for file in files_under(folder, {".nii", ".gz"}):
        parts = _FILE.fullmatch(file.name)
        if parts is None:
            continue
        case, kind = parts["case"], parts["kind"].lower()
        seen.add(kind)
        for wanted, listed in (*zip(kinds, scans, strict=True), (SEGMENTATIONS, segmentations)):
            if kind not in wanted:
                continue
            if case in listed:
                raise ValueError(f"{file}: {listed[case]} is the same of case {case}; keep one of them")
            listed[case] = file
    segmentations = dict(_by_folder(scans, segmentations)) | segmentations
    some = set().union(*scans)
    every = {name for name in some if all(name in listed for listed in scans)}
    complete = tuple(
        Case(name=name, pictures=tuple(listed[name] for listed in scans), segmentation=segmentations[name])
        for name in sorted(every & segmentations.keys())
    )
    if not complete:
        raise ValueError(_none_complete(folder, kinds, scans, every, seen))
    named = {segmentations[name] for name in some & segmentations.keys()}  # more than one name may lead to a file
    return Cases(
        complete=complete,
        without_segmentation=tuple(sorted(some - segmentations.keys())),
        without_modality=tuple(
            sorted(
                name
                for name, file in segmentations.items()
                if name not in every and (name in some or file not in named)
            )
        ),
    )


def _known(modalities: Sequence[str]) -> list[str]:
    """The modalities as `MODALITIES` has them, each once."""
    known: list[str] = []
    for given in modalities:
        name = next((name for name, kinds in MODALITIES.items() if given.lower() in kinds), None)
        if name is None:
            raise ValueError(f"--modality {given}: choose one of {', '.join(MODALITIES)}")
        if name in known:
            raise ValueError(f"--modality {','.join(modalities)}: has {name} twice; give each once")
        known.append(name)
    if not known:
        raise ValueError(f"--modality: names none; choose from {', '.join(MODALITIES)}")
    return known


def _by_folder(scans: Sequence[Mapping[str, Path]], segmentations: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    """Segmentations under another name, where a folder holds one case and one segmentation: BraTS 2020, case 355."""
    cases: dict[Path, set[str]] = {}
    for listed in scans:
        for name, file in listed.items():
            cases.setdefault(file.parent, set()).add(name)
    beside: dict[Path, list[Path]] = {}
    for file in segmentations.values():
        beside.setdefault(file.parent, []).append(file)
    for folder, names in cases.items():
        if len(names) == len(beside.get(folder, ())) == 1 and names.isdisjoint(segmentations):
            yield next(iter(names)), beside[folder][0]


def _none_complete(
    folder: Path,
    kinds: Sequence[Sequence[str]],
    scans: Sequence[Mapping[str, Path]],
    every: Collection[str],
    seen: Collection[str],
) -> str:
    for (old, new, *_), listed in zip(kinds, scans, strict=True):
        if not listed:
            hint = f"; there are {', '.join(sorted(seen))}" if seen else "; give the folder that holds the cases"
            return f"{folder}: holds no <case>_{old}.nii.gz (or <case>-{new}.nii.gz){hint}"
    if not every:
        return f"{folder}: no case has all of {', '.join(names[0] for names in kinds)}; name fewer in --modality"
    return f"{folder}: {len(every)} cases, none with its segmentation <case>_seg.nii.gz (or <case>-seg.nii.gz)"
