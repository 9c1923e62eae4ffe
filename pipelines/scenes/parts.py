"""Objects that reach over several tiles: each tile's parts with their labels along its border, and their joining.

No mask is larger than a tile. A part is an outline, an area, the highest value of its map and the sum of all; parts of
one object are joined by what their borders say; then, over the whole scene, touching objects are split and pieces of
torn ones joined. What comes out is what `detect.extraction.find_objects` would find in the whole map.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from detect.extraction import (
    ExtractionConfig,
    components,
    confidence,
    foreground,
    outlined,
    smoothed,
    strength,
)
from detect.masks import Mask, outlines, union
from detect.touching import WHOLE, find_pieces, fits, split_touching
from distmap.common.object_size import ObjectSize
from pipelines.scenes.source import Scene
from pipelines.scenes.windows import Floats, Region

Labels: TypeAlias = NDArray[np.int32]
Geometries: TypeAlias = NDArray[np.object_]
NO_PART = -1
NO_MAP = -1
LARGEST_SPLIT = 2048 * 2048  # pixels of the bounding box of an object that is split, joined or loses its halo
READ_AT_ONCE = 1024  # side of the blocks for whose objects the map is read together, pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """The parts of objects in one tile.

    ``geometry``: N multipolygons along pixel edges, in (column, row) of the scene. ``area``: N, pixels. ``peak`` and
    ``total``: N, the highest value and the sum of the smoothed map. ``top``, ``bottom``, ``left``, ``right``: the part
    at each pixel of the tile's border, -1 for none. ``valid``: pixels of the tile that hold something. ``checksum``:
    CRC-32 of the file of the tile's map, `NO_MAP` where it has none.
    """

    geometry: Geometries
    area: NDArray[np.int64]
    peak: Floats
    total: NDArray[np.float64]
    top: Labels
    bottom: Labels
    left: Labels
    right: Labels
    valid: int
    checksum: int = NO_MAP

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file."""
        import shapely

        packed = shapely.to_wkb(self.geometry)
        with path.open("wb") as file:
            np.savez(
                file,
                lengths=np.array([len(item) for item in packed], np.int64),
                bytes=np.frombuffer(b"".join(packed), np.uint8),
                **{name: getattr(self, name) for name in _ARRAYS},
                valid=self.valid,
                checksum=self.checksum,
            )

    @classmethod
    def load(cls, path: Path) -> Parts:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            The file is damaged.
        """
        import shapely
        from shapely.errors import ShapelyError

        try:
            with np.load(path) as file:
                content, ends = file["bytes"].tobytes(), np.cumsum(file["lengths"])
                packed = [content[end - length : end] for end, length in zip(ends, file["lengths"], strict=True)]
                return cls(
                    geometry=np.asarray(shapely.from_wkb(np.array(packed, object)), object).reshape(-1),
                    valid=int(file["valid"]),
                    checksum=int(file["checksum"]),
                    **{name: file[name] for name in _ARRAYS},
                )
        except (*_DAMAGED, ShapelyError) as error:
            raise ValueError(f"{path}: damaged ({error}); remove it") from None

    def belongs_to(self, tile: Region) -> bool:
        """Whether the arrays are those of a tile of this shape."""
        height, width = tile.shape
        borders = {"top": width, "bottom": width, "left": height, "right": height}
        count = len(self.geometry)
        return (
            all(getattr(self, name).shape == (count,) for name in ("area", "peak", "total"))
            and all(getattr(self, name).shape == (length,) for name, length in borders.items())
            and all(getattr(self, name).max(initial=NO_PART) < count for name in borders)
        )


_DAMAGED = (OSError, EOFError, ValueError, KeyError, TypeError, OverflowError, MemoryError, BadZipFile, zlib.error)
_ARRAYS = ("area", "peak", "total", "top", "bottom", "left", "right")


def margin(config: ExtractionConfig) -> int:
    """How far, in pixels, the mask at a pixel depends on the map around it."""
    # A hole of n pixels reaches at most n pixels beyond the tile that it begins in.
    return smoothing_margin(config) + 2 * int(config.close_radius) + 2 * int(config.open_radius) + config.max_hole


def smoothing_margin(config: ExtractionConfig) -> int:
    """How far, in pixels, the smoothed map at a pixel depends on the map around it."""
    return int(4 * config.smoothing + 0.5)


def find_parts(
    map_HW: Floats, valid_HW: NDArray[np.bool_], region: Region, tile: Region, config: ExtractionConfig
) -> Parts:
    """Parts of objects in a tile.

    Parameters
    ----------
    map_HW, valid_HW
        Of ``region``: the tile and `margin` pixels around it, less at the scene's border.
    """
    smooth_HW = smoothed(map_HW, config)
    high = threshold(config)
    found_HW = foreground(smooth_HW, high, config)
    inner = tile.within(region)
    smooth_HW, tile_valid_HW = smooth_HW[inner], valid_HW[inner]
    least = _least_piece(config)
    height, width = tile.shape
    top, bottom = np.full((2, width), NO_PART, np.int32)
    left, right = np.full((2, height), NO_PART, np.int32)
    kept: list[Mask] = []
    peaks: list[float] = []
    totals: list[float] = []
    for mask in components(found_HW[inner] & tile_valid_HW, config.connectivity):
        crop_HW = mask.crop_HW
        values = mask.window(smooth_HW)[crop_HW]
        peak = float(values.max())
        rows, columns = slice(mask.y, mask.y + crop_HW.shape[0]), slice(mask.x, mask.x + crop_HW.shape[1])
        on_border = rows.start == 0 or columns.start == 0 or rows.stop == height or columns.stop == width
        if not on_border and (peak < high or mask.area < least):
            continue
        if rows.start == 0:
            top[columns][crop_HW[0]] = len(kept)
        if rows.stop == height:
            bottom[columns][crop_HW[-1]] = len(kept)
        if columns.start == 0:
            left[rows][crop_HW[:, 0]] = len(kept)
        if columns.stop == width:
            right[rows][crop_HW[:, -1]] = len(kept)
        kept.append(mask)
        peaks.append(peak)
        totals.append(float(values.sum(dtype=np.float64)))
    return Parts(
        geometry=_geometries(kept, tile.left, tile.top),
        area=np.array([mask.area for mask in kept], np.int64),
        peak=np.array(peaks, np.float32),
        total=np.array(totals, np.float64),
        top=top,
        bottom=bottom,
        left=left,
        right=right,
        valid=int(np.count_nonzero(tile_valid_HW)),
    )


def _least_piece(config: ExtractionConfig) -> int:
    """Area from which on a component counts: where pieces are joined, small ones may be part of a larger object."""
    return config.min_area if config.object_size is None or config.join_gap == 0 else 0


def threshold(config: ExtractionConfig) -> float:
    """The threshold as a number; a rule that looks at one whole map cannot serve for a scene in tiles."""
    if isinstance(config.threshold, str):
        raise ValueError(f"threshold {config.threshold!r} needs a whole map at once; give a number for scenes")
    return float(config.threshold)


def _geometries(masks: Sequence[Mask], left: int, top: int) -> Geometries:
    import shapely

    geometries = np.empty(len(masks), object)
    corner = np.array([left, top], float)
    for index, polygons in enumerate(outlines(masks)):
        moved = [[ring + corner for ring in polygon] for polygon in polygons]
        geometries[index] = shapely.MultiPolygon([(polygon[0], polygon[1:]) for polygon in moved])
    return geometries


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneObjects:
    """The objects of a scene, the surest first: geometry as in `Parts`, area in pixels, score in 0..1.

    ``unsplit``: how many were too large to be split.
    """

    geometry: Geometries
    area: NDArray[np.int64]
    score: NDArray[np.float64]
    unsplit: int = 0

    def __len__(self) -> int:
        return len(self.geometry)


def join(
    grid: Sequence[Sequence[Callable[[], Parts]]],
    config: ExtractionConfig,
    scene: Scene,
    map_of: Callable[[Region], Floats],
) -> tuple[SceneObjects, int]:
    """Objects from the parts of all tiles.

    Parameters
    ----------
    grid
        What loads the parts of each tile, by row and column of tiles; each is called once.
    map_of
        What gives the map of a region, for objects that are split.

    Returns
    -------
    The objects, and how many pixels of the scene hold something.
    """
    geometry: list[Any] = []
    area: list[int] = []
    peak: list[float] = []
    total: list[float] = []
    pairs: list[NDArray[np.int64]] = []
    valid = 0
    bottom: NDArray[np.int64] | None = None
    for row in grid:
        tops, bottoms = [], []
        right: NDArray[np.int64] | None = None
        for load in row:
            parts = load()
            first = len(geometry)
            geometry += list(parts.geometry)
            area += parts.area.tolist()
            peak += parts.peak.tolist()
            total += parts.total.tolist()
            valid += parts.valid
            tops.append(_numbered(parts.top, first))
            bottoms.append(_numbered(parts.bottom, first))
            if right is not None:
                pairs += _touching(right, _numbered(parts.left, first), config.connectivity)
            right = _numbered(parts.right, first)
        # Whole rows of tiles are compared, so that corners where four tiles meet are seen too.
        if bottom is not None:
            pairs += _touching(bottom, np.concatenate(tops), config.connectivity)
        bottom = np.concatenate(bottoms)
    merged = _merge(geometry, np.array(area, np.int64), np.array(peak), np.array(total), pairs, config)
    unsplit = 0
    if config.object_size is not None and config.neck > 0:
        merged, unsplit = _split(merged, config.object_size, config, scene, map_of)
    if config.object_size is not None and config.join_gap > 0:
        merged = _pieces_joined(merged, config.object_size, config.join_gap)
    merged = _of_size(merged, config, scene)
    if config.halo > 0:
        merged = _outlined(merged, config, scene, map_of)
    return _in_order(merged, config, unsplit), valid


def _numbered(labels: Labels, first: int) -> NDArray[np.int64]:
    return np.where(labels == NO_PART, NO_PART, labels.astype(np.int64) + first)


def _touching(one: NDArray[np.int64], other: NDArray[np.int64], connectivity: int) -> Iterator[NDArray[np.int64]]:
    """Pairs of parts that touch across a seam, P x 2 each; ``one`` and ``other`` run along its two sides."""
    shifts = (0,) if connectivity == 4 else (-1, 0, 1)
    for shift in shifts:
        here, there = one[max(0, shift) : len(one) + min(0, shift)], other[max(0, -shift) : len(other) - max(0, shift)]
        both = (here != NO_PART) & (there != NO_PART)
        if both.any():
            yield np.unique(np.column_stack([here[both], there[both]]), axis=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Merged:
    """N objects in any order: as in `Parts`, but each is one, wherever it lies."""

    geometry: Geometries
    area: NDArray[np.int64]
    peak: NDArray[np.float64]
    total: NDArray[np.float64]

    def only(self, numbers: Sequence[int]) -> _Merged:
        """Some of the objects."""
        some = np.array(numbers, np.int64)
        return _Merged(geometry=self.geometry[some], area=self.area[some], peak=self.peak[some], total=self.total[some])

    def and_also(self, others: _Merged) -> _Merged:
        """These objects and others."""
        return _Merged(
            geometry=np.concatenate([self.geometry, others.geometry]),
            area=np.concatenate([self.area, others.area]),
            peak=np.concatenate([self.peak, others.peak]),
            total=np.concatenate([self.total, others.total]),
        )


def _merge(
    geometry: list[Any],
    area: NDArray[np.int64],
    peak: NDArray[np.float64],
    total: NDArray[np.float64],
    pairs: list[NDArray[np.int64]],
    config: ExtractionConfig,
) -> _Merged:
    """Objects that reach the threshold, without those that are too small whatever follows."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(geometry)
    ends = np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)
    links = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
    groups, owner = connected_components(links, directed=False) if count else (0, np.empty(0, np.int32))
    areas = np.bincount(owner, weights=area, minlength=groups).astype(np.int64)
    totals = np.bincount(owner, weights=total, minlength=groups).astype(np.float64)  # integers where there is none
    peaks = np.full(groups, -np.inf)
    np.maximum.at(peaks, owner, peak)
    members: list[list[int]] = [[] for _ in range(groups)]
    for index, group in enumerate(owner.tolist()):
        members[group].append(index)
    wanted = np.flatnonzero((peaks >= threshold(config)) & (areas >= _least_piece(config)))
    shapes = np.empty(len(wanted), object)
    for index, group in enumerate(wanted.tolist()):
        shapes[index] = _union([geometry[part] for part in members[group]])
    return _Merged(geometry=shapes, area=areas[wanted], peak=peaks[wanted], total=totals[wanted])


def _is_too_large(shape: Any) -> bool:
    left, top, right, bottom = shape.bounds
    return bool((right - left) * (bottom - top) > LARGEST_SPLIT)


def _split(
    merged: _Merged, size: ObjectSize, config: ExtractionConfig, scene: Scene, map_of: Callable[[Region], Floats]
) -> tuple[_Merged, int]:
    """Objects split where they touch, as `split_touching` does; and how many were too large for that.

    The map is read again for those alone that do not fit the typical object.
    """
    large = np.array([_is_too_large(shape) for shape in merged.geometry], bool)
    masks = {index: mask_of(shape) for index, shape in enumerate(merged.geometry) if not large[index]}
    masks = {index: mask for index, mask in masks.items() if not fits(mask, size)}
    gone: set[int] = set()
    made: list[tuple[Mask, Floats]] = []
    for index, smooth_HW in _values(masks, config, scene, map_of):
        mask = masks[index]
        parts = split_touching(mask, smooth_HW, size, neck=config.neck)
        if len(parts) > 1:
            gone.add(index)
            made += [(part, part.moved(-mask.x, -mask.y).window(smooth_HW)) for part in parts]
    whole = merged.only([index for index in range(len(merged.geometry)) if index not in gone])
    return whole.and_also(_measured(made)), int(large.sum())


def _outlined(merged: _Merged, config: ExtractionConfig, scene: Scene, map_of: Callable[[Region], Floats]) -> _Merged:
    """Objects without their halos, as `outlined` gives them; those too large to be split stay as they are."""
    masks = {index: mask_of(shape) for index, shape in enumerate(merged.geometry) if not _is_too_large(shape)}
    made = [
        (part, part.moved(-masks[index].x, -masks[index].y).window(smooth_HW))
        for index, smooth_HW in _values(masks, config, scene, map_of)
        for part in outlined(masks[index], smooth_HW, config)
    ]
    return merged.only([index for index in range(len(merged.geometry)) if index not in masks]).and_also(_measured(made))


def _values(
    masks: Mapping[int, Mask], config: ExtractionConfig, scene: Scene, map_of: Callable[[Region], Floats]
) -> Iterator[tuple[int, Floats]]:
    """Each mask's number and the smoothed map at its crop. The map is read once for masks that begin in one block."""
    blocks: dict[tuple[int, int], list[int]] = {}
    for index, mask in masks.items():
        blocks.setdefault((mask.y // READ_AT_ONCE, mask.x // READ_AT_ONCE), []).append(index)
    for members in blocks.values():
        places = {index: _region(masks[index]) for index in members}
        region = Region(
            top=min(place.top for place in places.values()),
            left=min(place.left for place in places.values()),
            bottom=max(place.bottom for place in places.values()),
            right=max(place.right for place in places.values()),
        )
        around = region.grown(smoothing_margin(config), scene)
        smooth_HW = smoothed(map_of(around), config)
        for index, place in places.items():
            yield index, smooth_HW[place.within(around)]


def _region(mask: Mask) -> Region:
    height, width = mask.crop_HW.shape
    return Region(top=mask.y, left=mask.x, bottom=mask.y + height, right=mask.x + width)


def _measured(objects: Sequence[tuple[Mask, Floats]]) -> _Merged:
    """Objects of masks, each given with the smoothed map at its crop."""
    values = [smooth_HW[mask.crop_HW] for mask, smooth_HW in objects]
    return _Merged(
        geometry=_geometries([mask for mask, _ in objects], 0, 0),
        area=np.array([some.size for some in values], np.int64),
        peak=np.array([some.max() for some in values], np.float64),
        total=np.array([some.sum(dtype=np.float64) for some in values], np.float64),
    )


def _pieces_joined(merged: _Merged, size: ObjectSize, gap: float) -> _Merged:
    """Pieces of one object joined, as `join_pieces` does."""
    pieces = {
        index: mask_of(shape)
        for index, shape in enumerate(merged.geometry)
        if merged.area[index] < WHOLE * size.area and not _is_too_large(shape)
    }
    numbers = list(pieces)
    groups = [
        [numbers[piece] for piece in group]
        for group in find_pieces(list(pieces.values()), size, gap=gap)
        if len(group) > 1
    ]
    gone = {index for group in groups for index in group}
    made = _Merged(
        geometry=_geometries([union([pieces[index] for index in group]) for group in groups], 0, 0),
        area=np.array([merged.area[group].sum() for group in groups], np.int64),
        peak=np.array([merged.peak[group].max() for group in groups], np.float64),
        total=np.array([merged.total[group].sum() for group in groups], np.float64),
    )
    return merged.only([index for index in range(len(merged.geometry)) if index not in gone]).and_also(made)


def _of_size(merged: _Merged, config: ExtractionConfig, scene: Scene) -> _Merged:
    """The objects that are large and small enough, and within the scene where only such are wanted."""
    import shapely

    wanted = merged.area >= config.min_area
    if config.max_area is not None:
        wanted &= merged.area <= config.max_area
    if config.drop_border:
        left, top, right, bottom = shapely.bounds(merged.geometry).reshape(-1, 4).T
        wanted &= (left > 0) & (top > 0) & (right < scene.width) & (bottom < scene.height)
    return merged.only(np.flatnonzero(wanted).tolist())


def _in_order(merged: _Merged, config: ExtractionConfig, unsplit: int) -> SceneObjects:
    """The objects with their scores, in an order that does not depend on the tiles."""
    import shapely

    # Where a ring starts must not depend on the tiles either.
    shapes = np.asarray(shapely.normalize(merged.geometry), object)
    known = zip(merged.peak.tolist(), merged.total.tolist(), merged.area.tolist(), strict=True)
    scores = np.array(
        [confidence(strength(*values, config.score, config.object_size), threshold(config)) for values in known], float
    )
    order = sorted(range(len(shapes)), key=lambda index: (-scores[index], *_place(shapes[index])))
    return SceneObjects(geometry=shapes[order], area=merged.area[order], score=scores[order], unsplit=unsplit)


def mask_of(shape: Any) -> Mask:
    """The pixels of an outline along pixel edges."""
    left, top, right, bottom = (int(edge) for edge in shape.bounds)
    return Mask(x=left, y=top, crop_HW=pixels_of(shape, left, top, right, bottom))


def pixels_of(shape: Any, left: int, top: int, right: int, bottom: int) -> NDArray[np.bool_]:
    """Which pixels of a rectangle an outline along pixel edges has."""
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    place = Affine.translation(left, top)
    return np.asarray(rasterize([shape], out_shape=(bottom - top, right - left), transform=place, dtype="uint8") > 0)


def _place(shape: Any) -> tuple[float, float]:
    left, top, _, _ = shape.bounds
    return float(top), float(left)


def _union(shapes: Sequence[Any]) -> Any:
    """One multipolygon; exact, since all corners are whole numbers. Corners that seams have left are taken out."""
    import shapely

    if len(shapes) == 1:
        return shapes[0]
    whole = shapely.union_all(shapes, grid_size=1)
    polygons = [
        (_without_flat_corners(polygon.exterior), [_without_flat_corners(ring) for ring in polygon.interiors])
        for polygon in shapely.get_parts(whole)
    ]
    return shapely.MultiPolygon(polygons)


def _without_flat_corners(ring: Any) -> NDArray[np.float64]:
    import shapely

    corners = shapely.get_coordinates(ring)[:-1]
    before, after = corners - np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0) - corners
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    kept: NDArray[np.float64] = corners[turns]
    return kept
