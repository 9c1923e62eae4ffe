"""The two folders: which pictures there are, and which of them are kept out of training."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distmap.common.picture_files import PictureError, PictureFile, find_pictures

WITHOUT, WITH = 0, 1


@dataclass(frozen=True, kw_only=True)
class LabelledPicture:
    """A picture file with its class (1 WITH, 0 WITHOUT) and its group."""

    file: PictureFile
    label: int
    group: str


@dataclass(frozen=True, kw_only=True)
class Split:
    """Pictures that train and pictures kept for validation; no group is on both sides."""

    train: tuple[LabelledPicture, ...]
    validation: tuple[LabelledPicture, ...]


def list_folders(with_folder: Path, without_folder: Path, group: str | None) -> list[LabelledPicture]:
    """Every picture of both folders.

    ``group`` is a regular expression searched in the file's stem; its first group (or the whole match) names the
    picture's group. Without it each picture is a group of its own.

    Raises
    ------
    PictureError
        A folder is missing or empty, both are the same or one lies in the other, links bring a file into both, or a
        name does not match ``group``.
    """
    for folder in (with_folder, without_folder):
        if not folder.is_dir():
            raise PictureError(f"{folder}: no such folder")
    first, second = with_folder.resolve(), without_folder.resolve()
    if first == second:
        raise PictureError(f"{with_folder}: given as both folders; give one folder WITH the thing and one WITHOUT it")
    if first in second.parents or second in first.parents:
        raise PictureError(f"{with_folder} and {without_folder}: one lies inside the other; give two separate folders")
    try:
        pattern = re.compile(group) if group else None
    except re.error as error:
        raise ValueError(f"--group {group!r}: not a regular expression ({error})") from error
    listed = []
    for folder, label in ((with_folder, WITH), (without_folder, WITHOUT)):
        for file in find_pictures([folder]):
            listed.append(LabelledPicture(file=file, label=label, group=_group_of(file, label, pattern)))
    _check_apart(listed)
    return listed


def _check_apart(listed: Iterable[LabelledPicture]) -> None:
    """Raise PictureError where links bring one file into both folders."""
    labels: dict[Path, LabelledPicture] = {}
    for picture in listed:
        other = labels.setdefault(picture.file.path.resolve(), picture)
        if other.label != picture.label:
            raise PictureError(f"{other.file.path} and {picture.file.path}: one file in both folders; remove a link")


def split_groups(pictures: Sequence[LabelledPicture], holdout: float, seed: int) -> Split:
    """Keep whole groups out until about ``holdout`` of each class is out, at least one picture of each.

    Raises
    ------
    PictureError
        The groups are too few to leave both classes on both sides.
    """
    totals = np.bincount([p.label for p in pictures], minlength=2)
    groups: dict[str, list[LabelledPicture]] = {}
    for picture in pictures:
        groups.setdefault(picture.group, []).append(picture)
    names = sorted(groups)
    np.random.default_rng([seed, 1]).shuffle(names)
    out: set[str] = set()
    kept = np.zeros(2, int)
    share = np.maximum(1, holdout * totals)
    # A group that is far too large is kept out only where no other holds the class.
    for enough, most in ((share, 2 * share), (np.ones(2), totals)):
        for name in names:
            counts = np.bincount([p.label for p in groups[name]], minlength=2)
            useful = (counts[kept < enough] > 0).any()
            fits = (kept + counts <= most).all() and (kept + counts < totals).all()
            if name not in out and useful and fits:
                out.add(name)
                kept += counts
    if (kept == 0).any():
        raise PictureError(
            f"{totals[WITH]} pictures WITH and {totals[WITHOUT]} WITHOUT in {len(groups)} group(s) are too few to keep "
            "some of both classes out for calibration; give more pictures or a finer --group"
        )
    return Split(
        train=tuple(p for p in pictures if p.group not in out), validation=tuple(p for p in pictures if p.group in out)
    )


def _group_of(file: PictureFile, label: int, pattern: re.Pattern[str] | None) -> str:
    if pattern is None:
        return f"{label}/{file.name}"
    match = pattern.search(file.path.stem)
    name: str | None = match and match.group(1 if pattern.groups else 0)
    if name is None:
        raise PictureError(f"{file.path}: the name does not match --group {pattern.pattern!r}; mend the expression")
    return name


def stratified_subsample(pictures: Iterable[LabelledPicture], count: int) -> list[LabelledPicture]:
    """At most ``count`` of each class, spread evenly over the list."""
    few: list[LabelledPicture] = []
    everything = list(pictures)
    for label in (WITH, WITHOUT):
        members = [picture for picture in everything if picture.label == label]
        chosen = np.unique(np.linspace(0, len(members) - 1, min(count, len(members))).round().astype(int))
        few += [members[index] for index in chosen]
    return few
