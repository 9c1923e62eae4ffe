"""Scenes with DOTA ``labelTxt`` -> the two folders of patches; the test split also as whole scenes.

The folders differ in the category alone: its look-alikes are in neither, nor is what only half shows it. Labels of
objects say which patch goes where; they are written for the test split only.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detect.detections import Detections, Instance
from detect.evaluation import group_of
from detect.formats import dota as label_txt
from distmap.common.files import files_under, same_form
from distmap.common.picture_files import PICTURE_SUFFIXES
from distmap.common.progress import Progress, Silent
from pipelines.patch_rules import AMBIGUOUS, WITH, Corners, cut_objects, label_patches, moved, patch_corners
from pipelines.scenes.source import Pixels, Scene, Valid, open_scene
from pipelines.sets import (
    SPLITS,
    Counts,
    check_fraction,
    check_new,
    choose_test_groups,
    new_set,
    no_counts,
    write_picture,
)
from pipelines.shrunk_scenes import ShrunkReader, shrunk_size

LOOK_ALIKES = {
    "small-vehicle": ("large-vehicle",),
    "large-vehicle": ("small-vehicle",),
    "plane": ("helicopter",),
    "helicopter": ("plane",),
    "tennis-court": ("basketball-court",),
    "basketball-court": ("tennis-court",),
}
"""Categories that are left out of both folders by default."""
BLACK_FRACTION = 0.05  # a patch with more black (0 in all bands) is taken for the scene's border
SMALLEST_PATCH = 16


@dataclass(frozen=True, kw_only=True)
class PatchSettings:
    """Which patches are cut; see `dota`.

    Raises
    ------
    ValueError
        A number is out of its range.
    """

    category: str
    excluded: tuple[str, ...]
    patch: int
    scale: float
    stride: int
    inside: float
    without_per_with: float
    count: int | None
    group: str | None
    labels: tuple[Path, ...]

    def __post_init__(self) -> None:
        if self.patch < SMALLEST_PATCH:
            raise ValueError(f"--patch {self.patch}: must be {SMALLEST_PATCH} or more pixels")
        if not 0 < self.scale <= 1:
            raise ValueError(f"--scale {self.scale}: must be above 0 and up to 1")
        if self.stride < 1:
            raise ValueError(f"--stride {self.stride}: must be 1 or more pixels")
        if not 0 < self.inside <= 1:
            raise ValueError(f"--inside {self.inside}: must be above 0 and up to 1")
        if not self.without_per_with > 0:
            raise ValueError(f"--without-per-with {self.without_per_with}: must be above 0")
        if self.count is not None and self.count < 1:
            raise ValueError(f"--count {self.count}: must be 1 or more patches")


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledScene:
    """A scene and its objects, in pixels of the shrunk scene."""

    name: str
    group: str
    scene: Scene
    height: int
    width: int
    things: tuple[Instance, ...]
    excluded: tuple[Instance, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Patches of a scene that may be written: left and top (N x 2), and which are WITH."""

    corners_N2: Corners
    with_N: NDArray[np.bool_]

    def some(self, chosen: NDArray[np.generic]) -> Candidates:
        """Those chosen by index or mask."""
        return Candidates(corners_N2=self.corners_N2[chosen], with_N=self.with_N[chosen])


@dataclass(frozen=True, kw_only=True)
class ScenePatches:
    """What was written."""

    counts: Counts
    scenes: dict[str, int]
    """Scenes by split."""
    test_groups: tuple[str, ...]
    without_labels: int
    """Scenes passed over for want of a label file."""
    too_small: int
    """Scenes passed over because no patch fits."""


def dota(
    source: str | Path,
    folder: str | Path,
    *,
    category: str,
    patch: int = 64,
    scale: float = 1.0,
    stride: int | None = None,
    inside: float = 0.7,
    exclude: Sequence[str] | None = None,
    without_per_with: float = 1.0,
    count: int | None = None,
    group: str | None = None,
    test: float = 0.2,
    test_groups: Sequence[str] = (),
    labels: Sequence[str | Path] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> ScenePatches:
    """Cut scenes into patches WITH an object of a category and patches WITHOUT.

    ``folder`` gets ``{train,test}/{with,without}/<scene>__<x>_<y>.png``, x and y those of the patch's left upper
    corner in the shrunk scene; for the test split also ``labelTxt/<same>.txt``, and the whole shrunk scenes
    ``scenes/<scene>.png`` with ``scenes_labelTxt/<scene>.txt``. Labels name the category alone, in pixels of the
    picture beside them. Patches with anything without data, or with more than 5 % black, are left out, and so are
    those that `pipelines.patch_rules.label_patches` calls ambiguous.

    Parameters
    ----------
    source
        Searched recursively for pictures (those in folders called ``images`` where there is one) and for label files
        of the same stem. Scenes without labels are passed over.
    category
        As the label files call it, such as small-vehicle.
    patch
        Side of a patch in pixels of the shrunk scene, 16 or more.
    scale
        Sides of the shrunk scene over those of the scene, above 0 and up to 1; pixels are averages over area.
    stride
        Pixels from one patch to the next; None: half of ``patch``.
    inside
        Fraction of an object's area that makes it mostly inside a patch, above 0 and up to 1.
    exclude
        Categories that neither folder may show; None: `LOOK_ALIKES`.
    without_per_with
        At most so many patches WITHOUT for each WITH, above 0. They are taken from scenes in the measure in which
        these gave patches WITH, then from the others.
    count
        At most so many patches in each folder of the training split, and a fifth as many of the test split; None: all.
    group
        Regular expression searched in a scene's stem; scenes whose first group agrees are in one split. None: each
        scene on its own.
    test, test_groups
        Fraction of the groups for the test split, at least one; or the groups themselves.
    labels
        Folders of the label files where ``source`` holds several kinds of them.

    Raises
    ------
    ValueError
        A file or an argument cannot be used, there are too few groups, or a class of the training split gets no patch.
    FileExistsError
        ``folder`` is a file or holds something already.
    """
    source, folder = Path(source), Path(folder)
    settings = PatchSettings(
        category=category,
        excluded=LOOK_ALIKES.get(category, ()) if exclude is None else tuple(exclude),
        patch=patch,
        scale=scale,
        stride=max(1, patch // 2) if stride is None else stride,
        inside=inside,
        without_per_with=without_per_with,
        count=count,
        group=group,
        labels=tuple(map(Path, labels)),
    )
    check_fraction("--test", test)
    check_new(folder)
    progress = progress or Silent()
    scenes, unlabelled = find_scenes(source, settings.labels)
    bands = _common_bands(list(scenes.values()))
    labelled = _labelled(source, scenes, settings)
    usable = [item for item in labelled if min(item.height, item.width) >= patch]
    if not usable:
        raise ValueError(f"--patch {patch}: all {len(labelled)} scenes of {source} are smaller at --scale {scale}")
    for_test = choose_test_groups(
        (item.group for item in usable),
        fraction=test,
        named=test_groups,
        seed=seed,
        what="groups",
        option="--test-groups",
    )
    splits = {split: [item for item in usable if (item.group in for_test) == (split == "test")] for split in SPLITS}
    chosen = _choose_patches(splits, settings, bands, seed, progress)
    _check_classes(source, chosen["train"], splits["train"], settings)
    with new_set(folder) as unfinished:
        counts = _write_set(unfinished, splits, chosen, settings, bands, progress)
    return ScenePatches(
        counts=counts,
        scenes={split: len(items) for split, items in splits.items()},
        test_groups=tuple(sorted(for_test)),
        without_labels=unlabelled,
        too_small=len(labelled) - len(usable),
    )


def _choose_patches(
    splits: Mapping[str, Sequence[LabelledScene]],
    settings: PatchSettings,
    bands: int,
    seed: int,
    progress: Progress,
) -> dict[str, list[Candidates]]:
    """The patches of each scene that are written, by split."""
    looked, total = 0, sum(map(len, splits.values()))
    chosen: dict[str, list[Candidates]] = {}
    for index, (split, items) in enumerate(splits.items()):
        found = []
        for item in items:
            progress.update("looking at scenes", looked / total, {})
            found.append(_candidates(item, settings, bands))
            looked += 1
        count = settings.count
        most = count if count is None or split == "train" else max(1, count // 5)
        rng = np.random.default_rng([seed, index])
        chosen[split] = choose(found, without_per_with=settings.without_per_with, most=most, rng=rng)
    return chosen


def _write_set(
    folder: Path,
    splits: Mapping[str, Sequence[LabelledScene]],
    chosen: Mapping[str, Sequence[Candidates]],
    settings: PatchSettings,
    bands: int,
    progress: Progress,
) -> Counts:
    """Write patches, and for the test split their labels, the scenes and theirs; gives the numbers of patches."""
    counts = no_counts()
    written, total = 0, sum(map(len, splits.values()))
    for split, items in splits.items():
        truth: list[Detections] = []
        for item, patches in zip(items, chosen[split], strict=True):
            progress.update("writing patches", written / total, {})
            with ShrunkReader(item.scene, settings.scale, bands) as reader:
                _write_patches(folder / split, item, reader, patches, settings.patch)
                if split == "test":
                    reader.write_png(folder / split / "scenes" / f"{item.name}.png")
                    truth += _patch_truth(item, patches, settings)
            counts[split]["with"] += int(patches.with_N.sum())
            counts[split]["without"] += int((~patches.with_N).sum())
            written += 1
        if split == "test":
            label_txt.write(folder / split / "labelTxt", truth)
            label_txt.write(folder / split / "scenes_labelTxt", map(_scene_truth, items))
    return counts


def find_scenes(source: Path, labels: Sequence[Path]) -> tuple[dict[str, Scene], int]:
    """Scenes that have a label file, by stem, and how many have none.

    Raises
    ------
    ValueError
        No scene has labels, two files have one stem, or a file is no scene.
    """
    pictures = files_under(source, PICTURE_SUFFIXES)
    in_images = [path for path in pictures if "images" in map(str.lower, path.relative_to(source).parts[:-1])]
    found = _by_stem(in_images or pictures, "rename one")
    if not found:
        raise ValueError(f"{source}: holds no picture; give the folder above images/ and labelTxt/")
    files = [file for place in labels or [source] for file in files_under(place, {".txt"})]
    texts = _by_stem((file for file in files if same_form(file.stem) in found), "say with --labels which folder to use")
    if not texts:
        example = next(iter(found))
        raise ValueError(f"{source}: {len(found)} pictures, none with its label file, such as {example}.txt")
    return {stem: open_scene(found[stem], None, None) for stem in sorted(texts)}, len(found) - len(texts)


def _by_stem(files: Iterable[Path], hint: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in files:
        stem = same_form(file.stem)
        if stem in found:
            raise ValueError(f"{file}: {found[stem]} has the same name; {hint}")
        found[stem] = file
    return found


def _common_bands(scenes: Sequence[Scene]) -> int:
    """1 where all scenes are grey, else 3; what a PNG cannot hold is an error."""
    first = scenes[0]
    for scene in scenes:
        if len(scene.bands) not in (1, 3):
            raise ValueError(f"{scene.path}: has {len(scene.bands)} bands; keep one or three of them")
        if scene.dtype not in ("uint8", "uint16"):
            raise ValueError(f"{scene.path}: has {scene.dtype} values; convert it to 8 or 16 bit")
        if scene.dtype != first.dtype:
            raise ValueError(f"{scene.path}: is {scene.dtype} where {first.path} is {first.dtype}; convert one")
    return max(len(scene.bands) for scene in scenes)


def _labelled(source: Path, scenes: Mapping[str, Scene], settings: PatchSettings) -> list[LabelledScene]:
    """The scenes with their objects."""
    sizes = {f"{stem}.png": (scene.height, scene.width) for stem, scene in scenes.items()}
    found = [item for place in settings.labels or [source] for item in label_txt.read(place, sizes=sizes, partial=True)]
    seen = Counter(item.category for picture in found for item in picture.instances)
    if settings.category not in seen:
        known = ", ".join(sorted(seen)) or "none"
        raise ValueError(f"--category {settings.category}: is not in the labels of {source}; these have {known}")
    listed = []
    for picture in found:
        stem = picture.name.removesuffix(".png")
        height, width = shrunk_size(scenes[stem], settings.scale)
        factors = np.array([width / picture.width, height / picture.height])
        listed.append(
            LabelledScene(
                name=stem,
                group=stem if settings.group is None else group_of(picture.name, settings.group),
                scene=scenes[stem],
                height=height,
                width=width,
                things=_scaled(picture, {settings.category}, factors),
                excluded=_scaled(picture, set(settings.excluded) - {settings.category}, factors),
            )
        )
    return listed


def _scaled(picture: Detections, categories: Set[str], factors: NDArray[np.float64]) -> tuple[Instance, ...]:
    return tuple(
        dataclasses.replace(item, corners_42=item.obb * factors)
        for item in picture.instances
        if item.category in categories
    )


def _candidates(item: LabelledScene, settings: PatchSettings, bands: int) -> Candidates:
    """Patches of a scene that are WITH or WITHOUT and hold something throughout."""
    patch = settings.patch
    corners_N2 = patch_corners(item.height, item.width, patch, settings.stride)
    labels_N = label_patches(corners_N2, patch, item.things, item.excluded, settings.inside)
    decided = Candidates(corners_N2=corners_N2, with_N=labels_N == WITH).some(labels_N != AMBIGUOUS)
    with ShrunkReader(item.scene, settings.scale, bands) as reader:
        filled = [_is_filled(pixels, valid) for _, pixels, valid in _cut(reader, decided.corners_N2, patch)]
    return decided.some(np.array(filled, bool))


def _is_filled(pixels_HWC: Pixels, valid_HW: Valid) -> bool:
    black_HW = ~pixels_HWC.any(axis=-1)
    return bool(valid_HW.all() and black_HW.mean() <= BLACK_FRACTION)


def _cut(reader: ShrunkReader, corners_N2: Corners, patch: int) -> Iterator[tuple[int, Pixels, Valid]]:
    """Patches with their index, read row by row: corners come in the order of their tops."""
    top_read = -1
    for index, (left, top) in enumerate(corners_N2.tolist()):
        if top != top_read:
            (pixels, valid), top_read = reader.rows(top, patch), top
        yield index, pixels[:, left : left + patch], valid[:, left : left + patch]


def choose(
    found: Sequence[Candidates], *, without_per_with: float, most: int | None, rng: np.random.Generator
) -> list[Candidates]:
    """Which candidates of each scene are written, in their order.

    Of those WITH all, or ``most`` of them at random. Of those WITHOUT ``without_per_with`` times as many at the most:
    first, from each scene, as many times as many as it has WITH; then, while there are too few, from all scenes.
    """
    scene_N = np.repeat(np.arange(len(found)), [len(item.with_N) for item in found])
    with_N = np.concatenate([item.with_N for item in found]) if found else np.empty(0, bool)
    order_N = rng.permutation(len(with_N))
    kept_with = order_N[with_N[order_N]][:most]
    per_scene = np.bincount(scene_N[kept_with], minlength=len(found)) * without_per_with
    without = order_N[~with_N[order_N]]
    # Each one's place among those of its scene, in random order.
    by_scene = np.argsort(scene_N[without], kind="stable")
    sizes = np.bincount(scene_N[without], minlength=len(found))
    place = np.empty(len(without), int)
    place[by_scene] = np.concatenate([np.arange(size) for size in sizes]) if len(found) else 0
    spare = place >= per_scene[scene_N[without]]
    wanted = round(len(kept_with) * without_per_with)
    kept_without = without[np.argsort(spare, kind="stable")][: wanted if most is None else min(wanted, most)]
    kept_N = np.zeros(len(with_N), bool)
    kept_N[kept_with] = kept_N[kept_without] = True
    return [item.some(kept_N[scene_N == index]) for index, item in enumerate(found)]


def _check_classes(
    source: Path, chosen: Sequence[Candidates], scenes: Sequence[LabelledScene], settings: PatchSettings
) -> None:
    patch, category = settings.patch, settings.category
    with_N = np.concatenate([item.with_N for item in chosen])
    if not with_N.any():
        sides = [max(item.bbox[2:]) for scene in scenes for item in scene.things]
        size = f"they are {np.median(sides):.0f} pixels long" if sides else "the training split has none"
        raise ValueError(
            f"{source}: no patch of {patch} pixels for training holds a {category} of its own ({size}); "
            "try another --patch, --scale or --exclude"
        )
    if with_N.all():
        raise ValueError(
            f"{source}: no patch of {patch} pixels for training is free of {category}; try a smaller --patch"
        )


def _write_patches(folder: Path, item: LabelledScene, reader: ShrunkReader, patches: Candidates, patch: int) -> None:
    for index, pixels, _ in _cut(reader, patches.corners_N2, patch):
        label = "with" if patches.with_N[index] else "without"
        picture = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
        write_picture(folder / label / f"{_patch_name(item, patches.corners_N2[index])}.png", picture)


def _patch_name(item: LabelledScene, corner_2: Corners) -> str:
    return f"{item.name}__{corner_2[0]}_{corner_2[1]}"


def _patch_truth(item: LabelledScene, patches: Candidates, settings: PatchSettings) -> Iterator[Detections]:
    patch = settings.patch
    for corner_2 in patches.corners_N2:
        objects = cut_objects(item.things, int(corner_2[0]), int(corner_2[1]), patch, settings.inside)
        name = f"{_patch_name(item, corner_2)}.png"
        yield Detections(name=name, height=patch, width=patch, instances=tuple(objects))


def _scene_truth(item: LabelledScene) -> Detections:
    objects = tuple(moved(thing, thing.obb, difficult=thing.difficult) for thing in item.things)
    return Detections(name=f"{item.name}.png", height=item.height, width=item.width, instances=objects)
