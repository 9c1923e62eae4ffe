"""BraTS cases (NIfTI) -> the two folders of axial slices, and the true masks of the test split apart from them.

Slices are seen as radiologists see them: from the feet, anterior up, the patient's right on the left. They are numbered
from 0 at the lowest. A slice is WITH by its own segmentation, whole tumour (anything above 0); nothing else of the
segmentations reaches the training split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from distmap.common.progress import Progress, Silent
from distmap.data.scaling import MOST_BANDS
from pipelines.scans.cases import Case, find_cases
from pipelines.scans.slices import Slice, choose_slices, is_near, level_auroc, slice_picture
from pipelines.scans.volumes import Volume, halved, read_volume
from pipelines.sets import (
    Counts,
    check_fraction,
    check_new,
    choose_test_groups,
    new_set,
    no_counts,
    picture_suffix,
    write_picture,
)


@dataclass(frozen=True, kw_only=True)
class SliceSettings:
    """Which slices are chosen, and how many around them are bands; see `brats`.

    Raises
    ------
    ValueError
        A number is out of its range.
    """

    min_tumour: int
    min_brain: float
    level_margin: float
    hemispheres: bool
    neighbours: int = 0
    trust_grid: bool = False

    def __post_init__(self) -> None:
        if self.min_tumour < 1:
            raise ValueError(f"--min-tumour {self.min_tumour}: must be 1 or more pixels")
        if not 0 < self.min_brain <= 1:
            raise ValueError(f"--min-brain {self.min_brain}: must be above 0 and up to 1")
        if not 0 <= self.level_margin <= 1:
            raise ValueError(f"--level-margin {self.level_margin}: must be from 0 to 1")
        if self.neighbours < 0:
            raise ValueError(f"--neighbours {self.neighbours}: must be 0 or more slices")


@dataclass(frozen=True, kw_only=True)
class Slices:
    """What was written."""

    counts: Counts
    cases: dict[str, tuple[str, ...]]
    """Cases by split."""
    passed_over: tuple[str, ...] = ()
    """Cases without segmentation or without one of the modalities."""
    level_auroc: float | None = field(default=None)
    """AUROC of the level alone between the folders of the training split: 0.5 says nothing, 1 everything."""


def brats(
    source: str | Path,
    folder: str | Path,
    *,
    modality: str | Sequence[str] = "flair",
    neighbours: int = 0,
    min_tumour: int = 100,
    min_brain: float = 0.25,
    level_margin: float = 0.2,
    hemispheres: bool = False,
    trust_grid: bool = False,
    test: float = 0.2,
    test_cases: Sequence[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> Slices:
    """Write axial slices of BraTS cases as the two folders.

    ``folder`` gets ``{train,test}/{with,without}/<case>_<slice>.png`` (uint8 grey, 0 outside the brain) and
    ``test/masks/<case>_<slice>.png`` (0 or 255, the whole tumour) for every slice of the test split. Pictures of three
    bands are PNG in colours, red the first; those of two, four or more are TIFF, ``.tif``. Visits of one patient are in
    one split. Grey runs from the 0.5th to the 99.5th percentile of each volume's brain, which is all
    but the one value at the volume's corners; what lies between fills 255 steps, finer than the noise of the scanner.
    Pixels that are not square are made square, as large as their shorter side. Cases that lack the segmentation or a
    modality are passed over.

    Parameters
    ----------
    source
        Searched recursively for ``<case>_flair.nii.gz`` and ``<case>_seg.nii.gz``, or as from 2023 on
        ``<case>-t2f.nii.gz`` and ``<case>-seg.nii.gz``; ``.nii`` too.
    modality
        flair (t2f), t1 (t1n), t1ce (t1c, t1gd) or t2 (t2w). Several become bands in this order; each is scaled by
        itself, and all must lie on one grid. The brain is where any of them has some.
    neighbours
        Slices below and as many above that become bands as well, >= 0; see `slice_picture`. Labels and masks are those
        of the slice itself.
    min_tumour
        Pixels of tumour that make a slice one WITH, >= 1. Slices with fewer, but some, are in neither folder.
    min_brain
        Least area of the brain in a slice as a fraction of the greatest in its case, above 0 and up to 1.
    level_margin
        Slices WITHOUT are kept where the level of some training slice WITH is no further away, as a fraction of the
        way from the lowest to the highest slice of a case, 0..1. Elsewhere anatomy alone would separate the folders.
    hemispheres
        Write both hemispheres of each slice, ``<case>_<slice>_{left,right}.png``, in place of the whole, each with its
        own label; see `halved`. The areas that ``min_tumour`` and ``min_brain`` speak of are a hemisphere's then.
    trust_grid
        Where some files of a case say where they lie and others do not (the identity for an affine, or no code), take
        the voxels of all for those of one grid; without it such a case is refused.
    test, test_cases
        Fraction of the patients for the test split, at least one; or the cases themselves.

    Raises
    ------
    ValueError
        A file or an argument cannot be used, there are too few cases, or a class of the training split gets no slice.
    FileExistsError
        ``folder`` is a file or holds something already.
    """
    source, folder = Path(source), Path(folder)
    settings = SliceSettings(
        min_tumour=min_tumour,
        min_brain=min_brain,
        level_margin=level_margin,
        hemispheres=hemispheres,
        neighbours=neighbours,
        trust_grid=trust_grid,
    )
    check_fraction("--test", test)
    check_new(folder)
    progress = progress or Silent()
    modalities = [modality] if isinstance(modality, str) else modality
    found = find_cases(source, modalities)
    bands = len(modalities) * (2 * neighbours + 1)
    if bands > MOST_BANDS:
        raise ValueError(f"--neighbours {neighbours}: makes {bands} bands, more than {MOST_BANDS}; give fewer")
    patients = {case.name: case.patient for case in found.complete}
    for_test = choose_test_groups(
        patients.values(),
        fraction=test,
        named=[patients.get(name, name) for name in test_cases],
        seed=seed,
        what="patients",
        option="--test-cases",
    )
    splits = {name: "test" if patient in for_test else "train" for name, patient in patients.items()}
    chosen = _choose(found.complete, splits, settings, progress)
    train = [piece for piece in chosen if splits[piece.case] == "train"]
    for label, tumour, option in (("with", True, "--min-tumour"), ("without", False, "--level-margin or --test-cases")):
        if not any(piece.tumour == tumour for piece in train):
            raise ValueError(f"{source}: no slice for the training split's folder {label}/; try another {option}")
    with new_set(folder) as unfinished:
        counts = _write_set(unfinished, found.complete, splits, chosen, settings, progress)
    return Slices(
        counts=counts,
        cases={split: tuple(name for name, side in splits.items() if side == split) for split in counts},
        passed_over=(*found.without_segmentation, *found.without_modality),
        level_auroc=level_auroc(train),
    )


def _choose(
    cases: Sequence[Case], splits: Mapping[str, str], settings: SliceSettings, progress: Progress
) -> list[Slice]:
    """The slices that are written: WITHOUT only near the levels of training slices WITH."""
    chosen: list[Slice] = []
    for index, case in enumerate(cases):
        progress.update("looking at cases", index / len(cases), {})
        for part, volume in _parts(case, settings).items():
            slices = choose_slices(case.name, volume, min_tumour=settings.min_tumour, min_brain=settings.min_brain)
            chosen += [replace(piece, part=part) for piece in slices]
    levels = [piece.level for piece in chosen if piece.tumour and splits[piece.case] == "train"]
    return [piece for piece in chosen if piece.tumour or is_near(piece.level, levels, settings.level_margin)]


def _parts(case: Case, settings: SliceSettings) -> dict[str, Volume]:
    volume = read_volume(case, trust_grid=settings.trust_grid)
    return halved(volume) if settings.hemispheres else {"": volume}


def _write_set(
    folder: Path,
    cases: Sequence[Case],
    splits: Mapping[str, str],
    chosen: Sequence[Slice],
    settings: SliceSettings,
    progress: Progress,
) -> Counts:
    """Write the slices, and the masks of the test split; gives the numbers of slices."""
    counts = no_counts()
    for index, case in enumerate(cases):
        progress.update("writing slices", index / len(cases), {})
        pieces = [piece for piece in chosen if piece.case == case.name]
        split = splits[case.name]
        parts = _parts(case, settings)
        _write(folder / split, pieces, parts, settings.neighbours, truth=split == "test")
        for piece in pieces:
            counts[split]["with" if piece.tumour else "without"] += 1
    return counts


def _write(split: Path, pieces: Sequence[Slice], parts: Mapping[str, Volume], neighbours: int, *, truth: bool) -> None:
    for piece in pieces:
        volume = parts[piece.part]
        folder = split / ("with" if piece.tumour else "without")
        picture_HWC = slice_picture(volume, piece.number, neighbours)
        write_picture(folder / f"{piece.stem}{picture_suffix(picture_HWC.shape[-1])}", picture_HWC)
        if truth:
            mask_HW = volume.tumour_ZHW[piece.number].astype(np.uint8) * 255
            write_picture(split / "masks" / f"{piece.stem}.png", mask_HW)
