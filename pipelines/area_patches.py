"""Scenes and a layer of areas, where the thing is present or absent -> the two folders of patches.

GIS people label areas, not patches: a point is one patch around it; a polygon is as many patches side by side as lie
wholly inside it. A polygon that holds none is, where it says present, one patch around it, since it may outline
the thing itself; where it says absent it is passed over, since nobody said what is around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distmap.common.extras import need
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


@dataclass(frozen=True, kw_only=True)
class Patches:
    """Patches written, by split and class, as in ``counts["train"]["with"]``; and how many areas gave none."""

    counts: Counts
    areas_without_patch: int


def areas(
    scenes: Iterable[str | Path],
    folder: str | Path,
    *,
    layer: str | Path,
    field: str = "present",
    patch: int = 64,
    test: float = 0.2,
    bands: Sequence[int] | None = None,
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
        Points or polygons, in any reference system; GeoPackage, GeoJSON, or whatever GDAL reads.
    field
        What says present (1, true, yes, with, present) or absent (0, false, no, without, absent).
    patch
        Height and width of a patch in pixels of the scene.
    test
        Fraction of the areas that go into the test split.
    bands
        Numbers of the bands to keep, from 1; None: all but alpha.
    trust_vrt
        Whether VRTs may name files that are not below their own folders, and addresses.

    Raises
    ------
    ValueError
        A scene, the layer or an argument cannot be used, or a class gets no patch.
    FileExistsError
        ``folder`` is a file or holds something already.
    """
    folder, layer = Path(folder), Path(layer)
    if patch < SMALLEST_PATCH:
        raise ValueError(f"--patch {patch}: must be {SMALLEST_PATCH} or more pixels")
    if not 0 <= test < 1:
        raise ValueError(f"--test {test}: must lie between 0 and 1")
    check_new(folder)
    listed, crs = read_areas(layer, field)
    opened = {
        name: open_scene(path.absolute(), bands, None, trust_vrt=trust_vrt)
        for name, path in find_scenes(scenes).items()
    }
    for scene in opened.values():
        if scene.crs is None:
            raise ValueError(f"{scene.path}: has no reference system, so the areas cannot be found in it")
    counts = no_counts()
    splits = _assign(listed, test, seed)
    used: set[int] = set()
    with new_set(folder) as unfinished:
        for name, scene in opened.items():
            for area in _write_scene(unfinished, name, scene, _corners(scene, listed, crs, patch), splits, patch):
                counts[splits[area.number]]["with" if area.present else "without"] += 1
                used.add(area.number)
        for label, word in (("with", "present"), ("without", "absent")):
            if counts["train"][label] == 0:
                raise ValueError(
                    f"{layer}: no patch of {patch} pixels for training where {field} says {word}; "
                    "do the areas lie on the scenes, and are they large enough?"
                )
    return Patches(counts=counts, areas_without_patch=len(listed) - len(used))


def _write_scene(
    folder: Path,
    name: str,
    scene: Scene,
    corners: Iterable[tuple[Area, int, int]],
    splits: Mapping[int, str],
    patch: int,
) -> Iterator[Area]:
    """Write the patches of a scene that hold something everywhere, and give the area of each."""
    with SceneReader(scene) as reader:
        for area, top, left in corners:
            pixels, valid = reader.read(top, left, patch, patch)
            if not valid.all():
                continue
            label = "with" if area.present else "without"
            stem = f"{name.replace('/', '_')}_area{area.number}_{top}_{left}"
            _write(folder / splits[area.number] / label / f"{stem}.tif", pixels, scene, top, left)
            yield area


def read_areas(layer: Path, field: str) -> tuple[list[Area], str]:
    """Areas of a layer and its reference system.

    Raises
    ------
    ValueError
        Not a layer, or without reference system, or without the field; or a feature that is neither point nor polygon,
        or says neither present nor absent.
    """
    need("pyogrio", extra="scenes")
    import pyogrio  # type: ignore[import-untyped]
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError  # type: ignore[import-untyped]

    try:
        meta, _, geometry, columns = pyogrio.raw.read(layer)
    except (DataSourceError, DataLayerError) as error:
        raise ValueError(f"{layer}: not a readable layer ({error})") from None
    if meta["crs"] is None:
        raise ValueError(f"{layer}: has no reference system; assign one")
    fields = list(meta["fields"])
    if field not in fields:
        raise ValueError(f"{layer}: has no field {field!r} but {', '.join(fields) or 'none'}; choose one with --field")
    found = []
    for number, (shape, value) in enumerate(
        zip(shapely.from_wkb(geometry), columns[fields.index(field)], strict=True), start=1
    ):
        said = str(value).strip().lower().removesuffix(".0")
        if said not in PRESENT | ABSENT:
            raise ValueError(f"{layer}: feature {number} says {field} {value!r}; write 1 (present) or 0 (absent)")
        if shape is None or shape.is_empty or shape.geom_type.removeprefix("Multi") not in ("Point", "Polygon"):
            raise ValueError(f"{layer}: feature {number} is neither point nor polygon")
        found.append(Area(number=number, present=said in PRESENT, shape=shape))
    if not found:
        raise ValueError(f"{layer}: holds no area")
    return found, str(meta["crs"])


def _assign(listed: Sequence[Area], test: float, seed: int) -> dict[int, str]:
    """Which split each area goes to; of each class the same fraction."""
    splits = {area.number: "train" for area in listed}
    rng = np.random.default_rng(seed)
    for present in (True, False):
        numbers = [area.number for area in listed if area.present == present]
        rng.shuffle(numbers)
        splits |= dict.fromkeys(numbers[: round(test * len(numbers))], "test")
    return splits


def _corners(scene: Scene, listed: Iterable[Area], crs: str, patch: int) -> Iterator[tuple[Area, int, int]]:
    """Where patches wholly within the scene start: area, row, column."""
    for area in listed:
        for top, left in _area_corners(scene, area, crs, patch):
            if 0 <= top <= scene.height - patch and 0 <= left <= scene.width - patch:
                yield area, top, left


def _area_corners(scene: Scene, area: Area, crs: str, patch: int) -> Iterator[tuple[int, int]]:
    import shapely
    from rasterio.warp import transform

    def to_pixels(points_N2: Any) -> Any:
        x, y = transform(crs, scene.crs, points_N2[:, 0], points_N2[:, 1])
        return scene.to_pixels(np.column_stack([x, y]))

    def around(point: Any) -> tuple[int, int]:
        return round(point.y - patch / 2), round(point.x - patch / 2)

    pixels = shapely.transform(shapely.force_2d(area.shape), to_pixels)
    if not shapely.intersects(pixels, shapely.box(0, 0, scene.width, scene.height)):
        return
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
