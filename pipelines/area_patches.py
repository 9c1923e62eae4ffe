"""Scenes and a layer of areas, where the thing is present or absent -> the two folders of patches.

GIS people label areas, not patches: a point is one patch around it; a polygon is as many patches side by side as lie
wholly inside it. A polygon that holds none is, where it says present, one patch around it, since it may outline
the thing itself; where it says absent it is passed over, since nobody said what is around it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from detect.formats.geo import is_geographic
from detect.formats.layers import layer_fields, read_layer, split_layer
from distmap.common.errors import naming
from distmap.common.nodata import fill_nearest
from pipelines.scenes.geotiffs import find_scenes
from pipelines.scenes.source import Pixels, Scene, SceneReader, open_scene
from pipelines.sets import Counts, check_new, new_set, no_counts

SMALLEST_PATCH = 16
PRESENT = frozenset({"1", "true", "yes", "y", "with", "present"})
SLACK = 1e-4  # of a pixel: areas in another reference system come over with rounding
ABSENT = frozenset({"0", "false", "no", "n", "without", "absent"})


@dataclass(frozen=True, kw_only=True)
class Area:
    """A feature of the layer: its number from 1, what it says, and its shape in the layer's reference system."""

    number: int
    present: bool
    shape: Any


ON_NO_SCENE, TOO_SMALL, BEYOND, NODATA = "on_no_scene", "too_small", "beyond_the_scene", "nodata"
REASONS = (ON_NO_SCENE, TOO_SMALL, BEYOND, NODATA)  # the further down, the nearer to a patch


@dataclass(frozen=True, kw_only=True)
class Patches:
    """Patches written, by split and class, as in ``counts["train"]["with"]``; and what gave none, by reason.

    Reasons: ``on_no_scene``; ``too_small``, an absent polygon that holds no patch; ``beyond_the_scene``, the patch
    would reach over the scene's edge; ``nodata``, too many of its pixels hold nothing.
    """

    counts: Counts
    dropped: dict[str, int] = field(default_factory=dict)
    """Patches that were not written."""
    without_patch: dict[str, int] = field(default_factory=dict)
    """Areas that gave no patch at all."""
    filled: int = 0
    """Patches with pixels that held nothing and have the value of the nearest one now."""

    @property
    def areas_without_patch(self) -> int:
        """How many areas gave none."""
        return sum(self.without_patch.values())


def areas(
    scenes: Iterable[str | Path],
    folder: str | Path,
    *,
    layer: str | Path,
    field: str = "present",
    patch: int = 64,
    test: float = 0.2,
    bands: Sequence[int] | None = None,
    max_nodata: float = 0.1,
    seed: int = 0,
    trust_vrt: bool = False,
) -> Patches:
    """Cut patches from scenes where a layer says that the thing is present or absent.

    ``folder`` gets ``{train,test}/{with,without}/<scene>_area<number>_<row>_<column>.tif``, GeoTIFFs in the scene's own
    numbers; row and column are those of the patch's first pixel. Areas are either in the training split or in the
    test split, and `distmap fit --group '_(area[0-9]+)_'` keeps them together again.

    Parameters
    ----------
    layer
        Points or polygons, in any reference system; GeoPackage, GeoJSON, or whatever GDAL reads. FILE:LAYER (or
        FILE|layername=LAYER) names one of several layers; without it the one that has ``field`` is taken.
    field
        What says present (1, true, yes, with, present) or absent (0, false, no, without, absent).
    patch
        Height and width of a patch in pixels of the scene.
    test
        Fraction of the areas that go into the test split.
    bands
        Numbers of the bands to keep, from 1; None: all but alpha.
    max_nodata
        Fraction of a patch's pixels that may hold nothing, 0 or more and below 1; they take the value of the nearest
        pixel in the patch that holds something.
    trust_vrt
        Whether VRTs may name files that are not below their own folders, and addresses.

    Raises
    ------
    ValueError
        A scene, the layer or an argument cannot be used, or a class gets no patch.
    FileExistsError
        ``folder`` is a file or holds something already.
    """
    folder = Path(folder)
    if patch < SMALLEST_PATCH:
        raise ValueError(f"--patch {patch}: must be {SMALLEST_PATCH} or more pixels")
    if not 0 <= test < 1:
        raise ValueError(f"--test {test}: must lie between 0 and 1")
    if not 0 <= max_nodata < 1:
        raise ValueError(f"--max-nodata {max_nodata}: must be 0 or more and below 1")
    check_new(folder)
    listed, crs = read_areas(*split_layer(Path(layer)), field)
    opened = {
        name: open_scene(path.absolute(), bands, None, trust_vrt=trust_vrt)
        for name, path in find_scenes(scenes).items()
    }
    for scene in opened.values():
        if scene.crs is None:
            raise ValueError(f"{scene.path}: has no reference system, so the areas cannot be found in it")
    counts = no_counts()
    splits = _assign(listed, test, seed)
    tally = _Tally()
    with new_set(folder) as unfinished:
        for name, scene in opened.items():
            corners = _corners(scene, listed, crs, patch, tally)
            for area in _write_scene(unfinished, name, scene, corners, splits, patch, max_nodata, tally):
                counts[splits[area.number]]["with" if area.present else "without"] += 1
        for label, present, word in (("with", True, "present"), ("without", False, "absent")):
            if counts["train"][label] == 0:
                why = tally.without_patch(area for area in listed if area.present == present)
                raise ValueError(
                    f"{layer}: no patch of {patch} pixels for training where {field} says {word}"
                    + "".join(f"; {line}" for line in describe(why, "areas", patch, max_nodata))
                )
    return Patches(
        counts=counts,
        dropped={reason: tally.dropped[reason] for reason in REASONS if tally.dropped[reason]},
        without_patch=tally.without_patch(listed),
        filled=tally.filled,
    )


class _Tally:
    """What became of areas and patches."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.filled = 0
        self._used: set[int] = set()
        self._furthest: dict[int, int] = {}

    def came_to(self, area: Area, reason: str) -> None:
        """An area gave no patch on a scene, at least not yet."""
        self._furthest[area.number] = max(self._furthest.get(area.number, 0), REASONS.index(reason))

    def drop(self, area: Area, reason: str) -> None:
        """A patch of an area is not written."""
        self.dropped[reason] += 1
        self.came_to(area, reason)

    def use(self, area: Area) -> None:
        """A patch of an area is written."""
        self._used.add(area.number)

    def without_patch(self, listed: Iterable[Area]) -> dict[str, int]:
        """How many areas gave no patch, by the reason that came nearest to one."""
        found = Counter(REASONS[self._furthest.get(area.number, 0)] for area in listed if area.number not in self._used)
        return {reason: found[reason] for reason in REASONS if found[reason]}


def describe(counts: Mapping[str, int], what: str, patch: int, max_nodata: float) -> Iterator[str]:
    """Counts by reason as lines: "2 areas: on no scene"."""
    words = {
        ON_NO_SCENE: "on no scene",
        TOO_SMALL: f"too small to hold a patch of {patch} pixels",
        BEYOND: "reach over the edge of their scene",
        NODATA: f"more than {max_nodata:.0%} of the pixels hold nothing (--max-nodata)",
    }
    for reason, count in counts.items():
        yield f"{count} {what}: {words[reason]}"


def _write_scene(
    folder: Path,
    name: str,
    scene: Scene,
    corners: Iterable[tuple[Area, int, int]],
    splits: Mapping[int, str],
    patch: int,
    max_nodata: float,
    tally: _Tally,
) -> Iterator[Area]:
    """Write the patches of a scene whose pixels hold something, but for a few, and give the area of each."""
    with SceneReader(scene) as reader:
        for area, top, left in corners:
            pixels, valid = reader.read(top, left, patch, patch)
            empty = np.count_nonzero(~valid)
            if empty > max_nodata * valid.size:
                tally.drop(area, NODATA)
                continue
            if empty:
                pixels = fill_nearest(pixels, valid)
                tally.filled += 1
            label = "with" if area.present else "without"
            stem = f"{name.replace('/', '_')}_area{area.number}_{top}_{left}"
            _write(folder / splits[area.number] / label / f"{stem}.tif", pixels, scene, top, left)
            tally.use(area)
            yield area


def read_areas(file: Path, name: str | None, field: str) -> tuple[list[Area], str]:
    """Areas of a layer and its reference system.

    Parameters
    ----------
    name
        Of the layer; None: the one that has the field.

    Raises
    ------
    ValueError
        Not a layer, or without reference system, or without the field; several layers have it; or a feature is neither
        point nor polygon, or says neither present nor absent.
    """

    def having_it(names: Sequence[str]) -> Sequence[str]:
        having = [layer for layer in names if field in layer_fields(file, layer)]
        if not having:
            raise ValueError(
                f"{file}: none of its layers {', '.join(names)} has a field {field!r}; choose another with --field"
            )
        return having

    layer = read_layer(file, name, choose=having_it)
    if layer.crs is None:
        raise ValueError(f"{file}: has no reference system; assign one")
    if field not in layer.fields:
        listed = ", ".join(layer.fields) or "none"
        raise ValueError(f"{file}: has no field {field!r} but {listed}; choose one with --field")
    found = []
    for number, (shape, value) in enumerate(zip(layer.geometry, layer.fields[field], strict=True), start=1):
        said = str(value).strip().lower().removesuffix(".0")
        if said not in PRESENT | ABSENT:
            raise ValueError(f"{file}: feature {number} says {field} {value!r}; write 1 (present) or 0 (absent)")
        if shape is None or shape.is_empty or shape.geom_type.removeprefix("Multi") not in ("Point", "Polygon"):
            raise ValueError(f"{file}: feature {number} is neither point nor polygon")
        found.append(Area(number=number, present=said in PRESENT, shape=shape))
    if not found:
        raise ValueError(f"{file}: holds no area")
    return found, layer.crs


def _assign(listed: Sequence[Area], test: float, seed: int) -> dict[int, str]:
    """Which split each area goes to; of each class the same fraction."""
    splits = {area.number: "train" for area in listed}
    rng = np.random.default_rng(seed)
    for present in (True, False):
        numbers = [area.number for area in listed if area.present == present]
        rng.shuffle(numbers)
        splits |= dict.fromkeys(numbers[: round(test * len(numbers))], "test")
    return splits


def _corners(
    scene: Scene, listed: Iterable[Area], crs: str, patch: int, tally: _Tally
) -> Iterator[tuple[Area, int, int]]:
    """Where patches wholly within the scene start: area, row, column."""
    for area in listed:
        pixels = _in_pixels(scene, area, crs)
        if pixels is None:
            continue
        tally.came_to(area, TOO_SMALL)
        for top, left in _area_corners(scene, area, pixels, patch):
            if 0 <= top <= scene.height - patch and 0 <= left <= scene.width - patch:
                yield area, top, left
            else:
                tally.drop(area, BEYOND)


def _in_pixels(scene: Scene, area: Area, crs: str) -> Any:
    """An area in pixels of a scene; None where it does not lie on it."""
    import shapely
    from rasterio.warp import transform

    def to_pixels(points_N2: Any) -> Any:
        x, y = transform(crs, scene.crs, points_N2[:, 0], points_N2[:, 1])
        points_N2 = np.column_stack([x, y])
        if is_geographic(str(scene.crs)):
            # On the scene's side of the antimeridian.
            middle = scene.to_world(np.array([[scene.width / 2, scene.height / 2]]))[0, 0]
            points_N2[:, 0] += 360 * np.round((middle - points_N2[:, 0].mean()) / 360)
        return scene.to_pixels(points_N2)

    with naming(f"{scene.path}: feature {area.number} of the layer"):
        pixels = shapely.transform(shapely.force_2d(area.shape), to_pixels)
    return pixels if shapely.intersects(pixels, shapely.box(0, 0, scene.width, scene.height)) else None


def _area_corners(scene: Scene, area: Area, pixels: Any, patch: int) -> Iterator[tuple[int, int]]:
    import shapely

    def around(point: Any) -> tuple[int, int]:
        return round(point.y - patch / 2), round(point.x - patch / 2)

    for part in shapely.get_parts(pixels):
        if part.geom_type == "Point":
            yield around(part)
            continue
        left, top, right, bottom = part.bounds
        lefts = np.arange(max(0, np.ceil(left - SLACK)), min(scene.width, right + SLACK) - patch + SLACK, patch)
        tops = np.arange(max(0, np.ceil(top - SLACK)), min(scene.height, bottom + SLACK) - patch + SLACK, patch)
        x, y = (axis.ravel() for axis in np.meshgrid(lefts, tops))
        shapely.prepare(part)
        inside = shapely.covers(part, shapely.box(x + SLACK, y + SLACK, x + patch - SLACK, y + patch - SLACK))
        yield from ((int(row), int(column)) for row, column in zip(y[inside], x[inside], strict=True))
        if area.present and not inside.any():
            yield around(shapely.centroid(part))


def _write(path: Path, pixels_HWC: Pixels, scene: Scene, top: int, left: int) -> None:
    import rasterio
    from rasterio.transform import Affine

    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = pixels_HWC.shape
    place = Affine(*scene.transform) @ Affine.translation(left, top)
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=count, dtype=pixels_HWC.dtype,
        crs=scene.crs, transform=place, compress="deflate",
    ) as target:  # fmt: skip
        target.write(np.moveaxis(pixels_HWC, -1, 0))
