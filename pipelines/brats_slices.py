"""BraTS cases (NIfTI) -> the two folders of axial slices, and the true masks of the test split apart from them.

Slices are seen as radiologists see them: from the feet, anterior up, the patient's right on the left. They are numbered
from 0 at the lowest. A slice is WITH by its own segmentation, whole tumour (anything above 0); nothing else of the
segmentations reaches the training split.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.scores.ranking import Ranking
from distmap.common.extras import need
from distmap.common.files import files_under
from distmap.common.progress import Progress, Silent
from distmap.data.resizing import resize
from pipelines.sets import Counts, check_fraction, check_new, choose_test_groups, new_set, no_counts, write_picture

MODALITIES = {"flair": ("flair", "t2f"), "t1": ("t1", "t1n"), "t1ce": ("t1ce", "t1c", "t1gd"), "t2": ("t2", "t2w")}
"""Modalities and what the releases call them: up to 2021, then from 2023 on."""
SEGMENTATIONS = ("seg", "segm")  # one case of BraTS 2020 says Segm
PERCENTILES = (0.5, 99.5)  # of the brain: they become the darkest and the brightest grey
SAME_PLACE = 0.25  # of a voxel, at the corners of the volume; less is rounding in headers
SAME_SPACING = 0.01  # relative
SAME_GREY = 1e-4  # of the range of a scan; less is rounding where it was scaled
LEAST_LABEL = 0.5  # of a segmentation in floating-point numbers
NO_LABEL = 1e-3  # up to here a label is 0 with rounding
CORNERS_ALIKE = 5  # of eight, that make a background
ROUNDING = 1e-9  # of a level
LEVELS = 10  # bins of the level when its AUROC is measured

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


@dataclass(frozen=True, kw_only=True, eq=False)
class Volume:
    """A case as slices from the lowest up: grey 1..255 in the brain and 0 outside, and the whole tumour."""

    picture_ZHW: NDArray[np.uint8]
    tumour_ZHW: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Slice:
    """A slice that was chosen: its number, its level (0 the lowest of the case, 1 the highest), its label.

    ``part``: the hemisphere that it is of, ``left`` or ``right``; empty where slices are whole.
    """

    case: str
    number: int
    level: float
    tumour: bool
    part: str = ""

    @property
    def file_name(self) -> str:
        return "_".join(filter(None, (self.case, f"{self.number:03d}", self.part))) + ".png"


@dataclass(frozen=True, kw_only=True)
class SliceSettings:
    """Which slices are chosen; see `brats`.

    Raises
    ------
    ValueError
        A number is out of its range.
    """

    min_tumour: int
    min_brain: float
    level_margin: float
    hemispheres: bool
    trust_grid: bool = False

    def __post_init__(self) -> None:
        if self.min_tumour < 1:
            raise ValueError(f"--min-tumour {self.min_tumour}: must be 1 or more pixels")
        if not 0 < self.min_brain <= 1:
            raise ValueError(f"--min-brain {self.min_brain}: must be above 0 and up to 1")
        if not 0 <= self.level_margin <= 1:
            raise ValueError(f"--level-margin {self.level_margin}: must be from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Slices:
    """What was written."""

    counts: Counts
    cases: dict[str, tuple[str, ...]]
    """Cases by split."""
    passed_over: tuple[str, ...] = ()
    """Cases without segmentation or without the modality."""
    level_auroc: float | None = field(default=None)
    """AUROC of the level alone between the folders of the training split: 0.5 says nothing, 1 everything."""


def brats(
    source: str | Path,
    folder: str | Path,
    *,
    modality: str = "flair",
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
    ``test/masks/<case>_<slice>.png`` (0 or 255, the whole tumour) for every slice of the test split. Visits of one
    patient are in one split. Grey runs from the 0.5th to the 99.5th percentile of each volume's brain, which is all
    but the one value at the volume's corners; what lies between fills 255 steps, finer than the noise of the scanner.
    Pixels that are not square are made square, as large as their shorter side. Cases that lack the segmentation or the
    modality are passed over.

    Parameters
    ----------
    source
        Searched recursively for ``<case>_flair.nii.gz`` and ``<case>_seg.nii.gz``, or as from 2023 on
        ``<case>-t2f.nii.gz`` and ``<case>-seg.nii.gz``; ``.nii`` too.
    modality
        flair (t2f), t1 (t1n), t1ce (t1c, t1gd) or t2 (t2w).
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
        Where one file of a case says where it lies and the other does not (the identity for an affine, or no code),
        take the voxels of both for those of one grid; without it such a case is refused.
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
        trust_grid=trust_grid,
    )
    check_fraction("--test", test)
    check_new(folder)
    progress = progress or Silent()
    found = find_cases(source, modality)
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
    return [piece for piece in chosen if piece.tumour or _is_near(piece.level, levels, settings.level_margin)]


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
        _write(folder / split, pieces, parts, truth=split == "test")
        for piece in pieces:
            counts[split]["with" if piece.tumour else "without"] += 1
    return counts


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


def read_volume(case: Case, *, trust_grid: bool = False) -> Volume:
    """Read both files of a case, bring them to one orientation, scale the grey and make pixels square.

    Parameters
    ----------
    trust_grid
        See `brats`.

    Raises
    ------
    ValueError
        A file is damaged, is no volume or holds no brain, or the two do not lie on one grid.
    """
    scan, segmentation = _read(case.picture), _read(case.segmentation)
    if scan.shape == segmentation.shape and scan.placed != segmentation.placed and trust_grid:
        grid = scan.grid if scan.placed else segmentation.grid
        scan, segmentation = replace(scan, grid=grid), replace(segmentation, grid=grid)
    else:
        _check_one_grid(scan, segmentation)
    values_ZHW, axes = scan.seen()
    labels_ZHW, _ = segmentation.seen()
    brain_ZHW = _find_brain(case.picture, values_ZHW)
    tumour_ZHW = _find_tumour(case.segmentation, labels_ZHW)
    low, high = np.percentile(values_ZHW[brain_ZHW], PERCENTILES)
    scaled_ZHW = np.clip((values_ZHW - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1)
    grey_ZHW = np.where(brain_ZHW, 1 + 254 * scaled_ZHW, 0).astype(np.float32)
    size_HW = _square_size(values_ZHW.shape[1:], spacing_HW=np.linalg.norm(axes, axis=0)[[1, 0]])
    # Linear, so that the outline of the tumour lies where it did: half-way between its last pixel and the next.
    grey_ZHW = np.stack([resize(layer_HW, *size_HW) for layer_HW in grey_ZHW])
    tumour_ZHW = np.stack([resize(layer_HW, *size_HW) for layer_HW in tumour_ZHW.astype(np.float32)]) >= 0.5
    return Volume(picture_ZHW=np.rint(grey_ZHW).astype(np.uint8), tumour_ZHW=tumour_ZHW)


def _find_brain(path: Path, values_ZHW: NDArray[np.float32]) -> NDArray[np.bool_]:
    """All that is not background: the one value that most corners of the volume have."""
    corners = np.sort(values_ZHW[np.ix_(*([0, -1],) * 3)].ravel())
    zeros = np.count_nonzero(corners == 0)
    background = float(0 if 2 * zeros >= len(corners) else corners[len(corners) // 2])
    # What is stored as 0 is exact; another value may come from a scale, or from resampling.
    most = 0.0 if background == 0 else SAME_GREY * float(np.ptp(values_ZHW))
    if background != 0 and np.count_nonzero(np.abs(corners - background) <= most) < CORNERS_ALIKE:
        shown = ", ".join(f"{value:g}" for value in np.unique(corners))
        raise ValueError(
            f"{path}: its background is not one value, the corners are {shown}; strip the skull and set what is "
            "outside of the brain to 0, or leave the case out"
        )
    # As much rounding as the faces of the volume show.
    faces = np.concatenate([np.abs(np.take(values_ZHW, (0, -1), axis) - background).ravel() for axis in range(3)])
    rounding = min(most, 2 * float(faces[faces <= most].max(initial=0)))
    brain_ZHW: NDArray[np.bool_] = np.abs(values_ZHW - background) > rounding
    if not brain_ZHW.any():
        raise ValueError(f"{path}: holds nothing but {background:g}; leave the case out")
    return brain_ZHW


def _find_tumour(path: Path, labels_ZHW: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The whole tumour: all labels but 0, and what is near 0 in floating-point numbers is 0."""
    largest = float(labels_ZHW.max())
    if NO_LABEL < largest < LEAST_LABEL:
        raise ValueError(f"{path}: its largest label is {largest:g}, and labels are 1 and more; scale them back")
    return np.asarray(labels_ZHW > LEAST_LABEL)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stored:
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


def _check_one_grid(scan: _Stored, segmentation: _Stored) -> None:
    """Raise ValueError unless every voxel of one lies where a voxel of the other does, however they are stored."""
    where = f"{segmentation.path}: does not lie on the grid of {scan.path.name}"
    (values, one), (labels, other) = scan.canonical(), segmentation.canonical()
    if values.shape == labels.shape and scan.placed == segmentation.placed and _same_place(one, other, values.shape):
        return
    differences = ", ".join(_differences(segmentation, scan)) or "the orders of their axes differ"
    if scan.placed != segmentation.placed:
        lost = segmentation if scan.placed else scan
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


def _differences(one: _Stored, other: _Stored) -> Iterator[str]:
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


def _read(path: Path) -> _Stored:
    """A volume as it is stored, with the values that its scale (scl_slope, scl_inter) makes of the numbers."""
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
    if not np.isfinite(values).all():
        raise ValueError(f"{path}: holds values that are not finite; leave the case out")
    if not np.isfinite(grid).all() or np.linalg.matrix_rank(grid[:3, :3]) < 3:
        raise ValueError(f"{path}: its affine gives the voxels no volume; leave the case out")
    return _Stored(path=path, values_XYZ=values, grid=grid, codes=codes)


def _square_size(shape: Sequence[int], spacing_HW: NDArray[np.float64]) -> tuple[int, int]:
    """Height and width once pixels are square; as they are where they are square already."""
    side = spacing_HW.min()
    if spacing_HW.max() <= side * (1 + SAME_SPACING):
        return shape[0], shape[1]
    height, width = (
        max(1, round(float(count * length / side))) for count, length in zip(shape, spacing_HW, strict=True)
    )
    return height, width


def _parts(case: Case, settings: SliceSettings) -> dict[str, Volume]:
    volume = read_volume(case, trust_grid=settings.trust_grid)
    return halved(volume) if settings.hemispheres else {"": volume}


def halved(volume: Volume) -> dict[str, Volume]:
    """The patient's right hemisphere, and the left one mirrored, so that both are seen as the right one is.

    Every case of BraTS has a tumour, so slices without lie at other levels than slices with, and what the folders
    differ in is anatomy. The other hemisphere lies at the same level. The cut is the middle of the box around the
    brain; what lies outside of the box is cut off as well.
    """
    brain_ZHW = volume.picture_ZHW > 0
    rows, columns = (np.flatnonzero(brain_ZHW.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    top, bottom, first, last = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    width = (last - first + 1) // 2

    def side(values_ZHW: NDArray[Any], part: str) -> NDArray[Any]:
        box_ZHW = values_ZHW[:, top:bottom, first:last]
        return box_ZHW[..., :width] if part == "right" else box_ZHW[..., ::-1][..., :width]

    return {
        part: Volume(picture_ZHW=side(volume.picture_ZHW, part), tumour_ZHW=side(volume.tumour_ZHW, part))
        for part in ("right", "left")
    }


def choose_slices(case: str, volume: Volume, *, min_tumour: int, min_brain: float) -> list[Slice]:
    """Slices with enough brain that hold enough tumour, or none at all."""
    brain_Z = np.count_nonzero(volume.picture_ZHW, axis=(1, 2))
    tumour_Z = np.count_nonzero(volume.tumour_ZHW, axis=(1, 2))
    enough = np.flatnonzero(brain_Z >= min_brain * brain_Z.max())
    lowest, highest = enough[0], enough[-1]
    return [
        Slice(
            case=case,
            number=int(number),
            level=float((number - lowest) / max(1, highest - lowest)),
            tumour=bool(tumour_Z[number]),
        )
        for number in enough
        if tumour_Z[number] == 0 or tumour_Z[number] >= min_tumour
    ]


def _is_near(level: float, levels: Sequence[float], margin: float) -> bool:
    return any(abs(level - other) <= margin + ROUNDING for other in levels)


def level_auroc(slices: Sequence[Slice]) -> float | None:
    """AUROC of the level alone, in tenths, between slices WITH and slices WITHOUT; None unless there are both.

    Each tenth counts by its fraction of slices WITH, so a class that has the middle to itself is seen as well.
    """
    levels = np.array([min(int(piece.level * LEVELS), LEVELS - 1) for piece in slices], int)
    tumour = np.array([piece.tumour for piece in slices], bool)
    total_L = np.bincount(levels, minlength=LEVELS)
    fraction_L = np.bincount(levels, weights=tumour, minlength=LEVELS) / np.maximum(total_L, 1)
    return Ranking(fraction_L[levels[tumour]], fraction_L[levels[~tumour]]).auroc()


def _write(split: Path, pieces: Sequence[Slice], parts: Mapping[str, Volume], *, truth: bool) -> None:
    for piece in pieces:
        volume = parts[piece.part]
        folder = split / ("with" if piece.tumour else "without")
        write_picture(folder / piece.file_name, volume.picture_ZHW[piece.number])
        if truth:
            mask_HW = volume.tumour_ZHW[piece.number].astype(np.uint8) * 255
            write_picture(split / "masks" / piece.file_name, mask_HW)
