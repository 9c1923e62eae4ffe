"""Objects that reach over several tiles: each tile's parts with their labels along its border, and their joining.

No mask is larger than a tile. A part is an outline, an area and the highest value of its map; parts of one object are
joined by what their borders say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from detect.extraction import ExtractionConfig, close_gaps, components, open_thin, score, smooth
from detect.masks import Mask, outlines
from pipelines.scenes.windows import Floats, Region

Labels: TypeAlias = NDArray[np.int32]
Geometries: TypeAlias = NDArray[np.object_]
NO_PART = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """The parts of objects in one tile.

    ``geometry``: N multipolygons along pixel edges, in (column, row) of the scene. ``area``: N, pixels. ``peak``: N,
    the highest value of the smoothed map. ``top``, ``bottom``, ``left``, ``right``: the part at each pixel of the
    tile's border, -1 for none. ``valid``: pixels of the tile that hold something.
    """

    geometry: Geometries
    area: NDArray[np.int64]
    peak: Floats
    top: Labels
    bottom: Labels
    left: Labels
    right: Labels
    valid: int

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file."""
        import shapely

        packed = shapely.to_wkb(self.geometry)
        with path.open("wb") as file:
            np.savez(
                file,
                lengths=np.array([len(item) for item in packed], np.int64),
                bytes=np.frombuffer(b"".join(packed), np.uint8),
                **{name: getattr(self, name) for name in ("area", "peak", "top", "bottom", "left", "right", "valid")},
            )

    @classmethod
    def load(cls, path: Path) -> Parts:
        """Read what `save` wrote."""
        import shapely

        with np.load(path) as file:
            content, ends = file["bytes"].tobytes(), np.cumsum(file["lengths"])
            packed = [content[end - length : end] for end, length in zip(ends, file["lengths"], strict=True)]
            return cls(
                geometry=np.asarray(shapely.from_wkb(np.array(packed, object)), object).reshape(-1),
                area=file["area"],
                peak=file["peak"],
                top=file["top"],
                bottom=file["bottom"],
                left=file["left"],
                right=file["right"],
                valid=int(file["valid"]),
            )


def reach(config: ExtractionConfig) -> int:
    """How far, in pixels, the mask at a pixel depends on the map around it."""
    return int(4 * config.smoothing + 0.5) + 2 * int(config.close_radius) + 2 * int(config.open_radius)


def find_parts(
    map_HW: Floats, valid_HW: NDArray[np.bool_], region: Region, tile: Region, config: ExtractionConfig
) -> Parts:
    """Parts of objects in a tile.

    Parameters
    ----------
    map_HW, valid_HW
        Of ``region``: the tile and `reach` pixels around it, less at the scene's border.
    """
    smooth_HW = smooth(map_HW, config.smoothing)
    high = threshold(config)
    found_HW = smooth_HW >= (high if config.low_threshold is None else config.low_threshold)
    if config.close_radius or config.open_radius:
        found_HW = open_thin(close_gaps(found_HW, config.close_radius), config.open_radius)
    inner = tile.within(region)
    smooth_HW, tile_valid_HW = smooth_HW[inner], valid_HW[inner]
    height, width = tile.shape
    top, bottom = np.full((2, width), NO_PART, np.int32)
    left, right = np.full((2, height), NO_PART, np.int32)
    kept: list[Mask] = []
    peaks: list[float] = []
    for mask in components(found_HW[inner] & tile_valid_HW, config.connectivity):
        peak, crop_HW = float(mask.window(smooth_HW)[mask.crop_HW].max()), mask.crop_HW
        rows, columns = slice(mask.y, mask.y + crop_HW.shape[0]), slice(mask.x, mask.x + crop_HW.shape[1])
        on_border = rows.start == 0 or columns.start == 0 or rows.stop == height or columns.stop == width
        if not on_border and (peak < high or mask.area < config.min_area):
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
    return Parts(
        geometry=_geometries(kept, tile),
        area=np.array([mask.area for mask in kept], np.int64),
        peak=np.array(peaks, np.float32),
        top=top,
        bottom=bottom,
        left=left,
        right=right,
        valid=int(np.count_nonzero(tile_valid_HW)),
    )


def threshold(config: ExtractionConfig) -> float:
    """The threshold as a number; a rule that looks at one whole map cannot serve for a scene in tiles."""
    if isinstance(config.threshold, str):
        raise ValueError(f"threshold {config.threshold!r} needs a whole map at once; give a number for scenes")
    return float(config.threshold)


def _geometries(masks: Sequence[Mask], tile: Region) -> Geometries:
    import shapely

    geometries = np.empty(len(masks), object)
    corner = np.array([tile.left, tile.top], float)
    for index, polygons in enumerate(outlines(masks)):
        moved = [[ring + corner for ring in polygon] for polygon in polygons]
        geometries[index] = shapely.MultiPolygon([(polygon[0], polygon[1:]) for polygon in moved])
    return geometries


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneObjects:
    """The objects of a scene, the surest first: geometry as in `Parts`, area in pixels, score in 0..1."""

    geometry: Geometries
    area: NDArray[np.int64]
    score: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.geometry)


def join(grid: Sequence[Sequence[Callable[[], Parts]]], config: ExtractionConfig) -> tuple[SceneObjects, int]:
    """Objects from the parts of all tiles.

    Parameters
    ----------
    grid
        What loads the parts of each tile, by row and column of tiles; each is called once.

    Returns
    -------
    The objects, and how many pixels of the scene hold something.
    """
    geometry: list[Any] = []
    area: list[int] = []
    peak: list[float] = []
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
    return _merge(geometry, np.array(area, np.int64), np.array(peak, np.float64), pairs, config), valid


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


def _merge(
    geometry: list[Any],
    area: NDArray[np.int64],
    peak: NDArray[np.float64],
    pairs: list[NDArray[np.int64]],
    config: ExtractionConfig,
) -> SceneObjects:
    import shapely
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(geometry)
    ends = np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)
    links = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
    groups, owner = connected_components(links, directed=False) if count else (0, np.empty(0, np.int32))
    areas = np.bincount(owner, weights=area, minlength=groups).astype(np.int64)
    peaks = np.full(groups, -np.inf)
    np.maximum.at(peaks, owner, peak)
    high = threshold(config)
    wanted = (peaks >= high) & (areas >= config.min_area)
    if config.max_area is not None:
        wanted &= areas <= config.max_area
    members: list[list[int]] = [[] for _ in range(groups)]
    for index, group in enumerate(owner.tolist()):
        members[group].append(index)
    chosen = np.flatnonzero(wanted)
    # The order must not depend on the tiles: by score, then by place.
    shapes = np.empty(len(chosen), object)
    for index, group in enumerate(chosen.tolist()):
        shapes[index] = _union([geometry[part] for part in members[group]])
    shapes = np.asarray(shapely.normalize(shapes), object)  # where a ring starts must not depend on the tiles either
    scores = np.array([score(np.array([peaks[group]]), high) for group in chosen.tolist()], float)
    order = sorted(range(len(chosen)), key=lambda index: (-scores[index], *_place(shapes[index])))
    return SceneObjects(geometry=shapes[order], area=areas[chosen][order], score=scores[order])


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
