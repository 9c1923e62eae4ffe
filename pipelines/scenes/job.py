"""One scene as tiles: each is read, mapped and kept as files of its own, so that a stopped run goes on where it was.

A tile is done once its ``.npz`` stands under its name; the ``.tif`` beside it was moved there before. Doing a tile
again writes the same files again, so it does not matter how often, or by whom, it is done.
"""

from __future__ import annotations

import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from detect.extraction import ExtractionConfig
from distmap.common.files import read_json, replacing, write_json
from pipelines.scenes.parts import NO_MAP, Parts, SceneObjects, find_parts, join, margin
from pipelines.scenes.source import Scene, SceneReader, quiet_open
from pipelines.scenes.windows import Floats, Region, SceneCanvas, WindowMapper, map_canvas, read_canvas

MapperSource: TypeAlias = Callable[[], WindowMapper]
"""What gives a process its mapper; it must survive pickling."""

SETTINGS = "settings.json"
ALIGNMENT = 512  # blocks of the files written, and a multiple of the blocks of most files read
LARGEST_TILE = 2048  # larger ones save little, and a stopped run loses the tile it was at
TILES_IN_MEMORY = 3  # of `do_tiles`: one is read, one mapped, one written
GIVEN_UP = "given-up"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A scene, what maps it, what makes objects of the map, and the folder that keeps what is done."""

    scene: Scene
    mapper: MapperSource
    extraction: ExtractionConfig
    folder: Path
    tile_HW: tuple[int, int]

    def grid(self) -> list[list[Region]]:
        """The tiles, row by row; they cover the scene and do not overlap."""
        height, width = self.tile_HW
        return [
            [
                Region(
                    top=top,
                    left=left,
                    bottom=min(top + height, self.scene.height),
                    right=min(left + width, self.scene.width),
                )
                for left in range(0, self.scene.width, width)
            ]
            for top in range(0, self.scene.height, height)
        ]

    def map_file(self, tile: Region) -> Path:
        """The tile's part of the map."""
        return self.folder / f"{tile.top}_{tile.left}.tif"

    def parts_file(self, tile: Region) -> Path:
        """The tile's parts of objects; there once the tile is done."""
        return self.folder / f"{tile.top}_{tile.left}.npz"

    def remaining(self) -> list[Region]:
        """Tiles that are not done."""
        return [tile for row in self.grid() for tile in row if not self.parts_file(tile).exists()]

    def start(self, identity: str) -> bool:
        """Make the folder; what an earlier run left there stays if ``identity`` and tiles are the same, else it goes.

        Returns
        -------
        Whether tiles that were done went.
        """
        settings = {"identity": identity, "tile": list(self.tile_HW)}
        if _settings(self.folder) == settings:
            (self.folder / GIVEN_UP).unlink(missing_ok=True)
            return False
        lost = any(self.folder.glob("*.npz"))
        self.clear()
        self.folder.mkdir(parents=True)
        write_json(self.folder / SETTINGS, settings)
        return lost

    def drop_damaged(self) -> int:
        """Remove what is left of tiles whose files are damaged, so that they are done again; and say how many."""
        damaged = [
            tile for row in self.grid() for tile in row if self.parts_file(tile).exists() and not self._is_whole(tile)
        ]
        for file in (file for tile in damaged for file in (self.parts_file(tile), self.map_file(tile))):
            if file.is_dir():
                shutil.rmtree(file)
            file.unlink(missing_ok=True)
        return len(damaged)

    def _is_whole(self, tile: Region) -> bool:
        """Whether both files of a tile are as `keep_tile` wrote them."""
        try:
            parts = Parts.load(self.parts_file(tile))
            return parts.belongs_to(tile) and _checksum(self.map_file(tile)) == parts.checksum
        except (OSError, ValueError):
            return False

    def give_up(self) -> None:
        """Tell whoever does tiles of this scene that they are of no use any more."""
        (self.folder / GIVEN_UP).touch()

    def is_given_up(self) -> bool:
        """Whether `give_up` was called, by any process, since the work began."""
        return (self.folder / GIVEN_UP).exists()

    def clear(self) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def objects(self) -> tuple[SceneObjects, int]:
        """The objects of the whole scene once all tiles are done, and how many pixels hold something."""
        grid = [[partial(Parts.load, self.parts_file(tile)) for tile in row] for row in self.grid()]
        return join(grid, self.extraction, self.scene, self.map_of)

    def map_of(self, region: Region) -> Floats:
        """The map of a region from the tiles that are done, 0 where nothing is held."""
        from rasterio.windows import Window

        map_HW = np.zeros(region.shape, np.float32)
        for tile in (tile for row in self.grid() for tile in row):
            shared = tile.shared(region)
            if shared is None or not self.map_file(tile).exists():
                continue
            height, width = shared.shape
            with quiet_open(self.map_file(tile)) as file:
                values = file.read(1, window=Window(shared.left - tile.left, shared.top - tile.top, width, height))
            map_HW[shared.within(region)] = np.nan_to_num(values)
        return map_HW


def _settings(folder: Path) -> Any:
    """What `Job.start` wrote; None where there is nothing, or nothing whole."""
    try:
        return read_json(folder / SETTINGS)
    except (FileNotFoundError, ValueError):
        return None


def started_tile(folder: Path, identity: str) -> tuple[int, int] | None:
    """Height and width of the tiles that an earlier run with the same ``identity`` has left in a job's folder."""
    settings = _settings(folder)
    if not isinstance(settings, dict) or settings.get("identity") != identity:
        return None
    match settings.get("tile"):
        case [int(height), int(width)] if height > 0 and width > 0:
            return height, width
    return None


def _checksum(path: Path) -> int:
    """CRC-32 of a file; `NO_MAP` where there is none."""
    try:
        return zlib.crc32(path.read_bytes())
    except FileNotFoundError:
        return NO_MAP


@dataclass(frozen=True, kw_only=True)
class TileMemory:
    """What a tile of a scene takes: ``pixel`` bytes for each of its pixels, and ``margin`` more pixels on each side."""

    pixel: int
    margin: int

    @classmethod
    def of(
        cls, scene: Scene, mapper: WindowMapper, extraction: ExtractionConfig, at_once: int = TILES_IN_MEMORY
    ) -> TileMemory:
        """With ``at_once`` tiles in memory, of which one is mapped."""
        raw = len(scene.bands) * np.dtype(scene.dtype).itemsize + 1
        windows = mapper.windows(scene.height, scene.width)
        # Beside what mapping takes a tile has its map, and that smoothed and masked.
        return cls(
            pixel=at_once * (raw + 8) + int(mapper.bytes_per_pixel(windows)) + 24,
            margin=windows.side + mapper.margin(windows) + margin(extraction),
        )

    def least_mb(self) -> int:
        """What the smallest tile needs."""
        return int((ALIGNMENT + 2 * self.margin) ** 2 * self.pixel / 2**20) + 1

    def side(self, memory_mb: int) -> int:
        """Side of the largest tile that ``memory_mb`` hold."""
        return min(int((memory_mb * 2**20 / self.pixel) ** 0.5) - 2 * self.margin, LARGEST_TILE)


def tile_shape(scene: Scene, memory: TileMemory, memory_mb: int) -> tuple[int, int]:
    """Height and width of tiles that keep the working memory within about ``memory_mb``, however large the scene.

    Files stored in lines have low tiles, so that lines that were decoded for one tile serve its neighbours too.

    Raises
    ------
    ValueError
        So little memory holds no tile.
    """
    side = memory.side(memory_mb)
    if side < min(ALIGNMENT, max(scene.height, scene.width)):
        raise ValueError(
            f"--memory: {memory_mb} MB for each process are too little for a tile of {scene.name}; "
            f"give at least {memory.least_mb()} for each"
        )
    side = max(1, side // ALIGNMENT) * ALIGNMENT
    height = side
    if scene.block_HW[1] == scene.width > side:
        lines = memory_mb * 2**20 // 8 // (scene.width * scene.band_count * np.dtype(scene.dtype).itemsize)
        height = min(side, max(ALIGNMENT, lines // ALIGNMENT * ALIGNMENT))
    return height, side


@dataclass(frozen=True, kw_only=True)
class MappedTile:
    """A tile's map and what `find_parts` needs around it."""

    tile: Region
    region: Region
    map_HW: Floats
    valid_HW: Any


def read_tile(job: Job, reader: SceneReader, tile: Region, mapper: WindowMapper) -> SceneCanvas:
    """Read what the tile's map and mask depend on."""
    windows = mapper.windows(job.scene.height, job.scene.width)
    region = tile.grown(mapper.margin(windows) + margin(job.extraction), job.scene)
    return read_canvas(reader, region, windows)


def map_tile(canvas: SceneCanvas, tile: Region, mapper: WindowMapper) -> MappedTile:
    """Run the network."""
    map_HW, valid_HW = map_canvas(canvas, mapper)
    return MappedTile(tile=tile, region=canvas.region, map_HW=map_HW, valid_HW=valid_HW)


def keep_tile(job: Job, mapped: MappedTile) -> None:
    """Find the tile's parts and write its two files."""
    parts = find_parts(mapped.map_HW, mapped.valid_HW, mapped.region, mapped.tile, job.extraction)
    inner = mapped.tile.within(mapped.region)
    if parts.valid:
        with replacing(job.map_file(mapped.tile)) as temporary:
            checksum = _write_map(temporary, np.where(mapped.valid_HW[inner], mapped.map_HW[inner], np.float32(np.nan)))
        parts = replace(parts, checksum=checksum)
    with replacing(job.parts_file(mapped.tile)) as temporary:
        parts.save(temporary)


def _write_map(path: Path, map_HW: Floats) -> int:
    """Write a tile's map, and give the file's checksum."""
    # Encoded in memory: Python's own writing says so when the disk is full, GDAL's does not always.
    from rasterio.io import MemoryFile
    from rasterio.transform import Affine

    height, width = map_HW.shape
    options = {"compress": "zstd", "zstd_level": 1, "predictor": 3, "tiled": True, "blockxsize": 512, "blockysize": 512}
    options |= {"height": height, "width": width, "count": 1, "dtype": "float32", "nodata": np.nan}
    with MemoryFile() as memory:
        # Any transform but the identity will do: rasterio warns of files that have none.
        with memory.open(driver="GTiff", transform=Affine.scale(2), **options) as target:
            target.write(map_HW, 1)
        content = memory.getbuffer()
        path.write_bytes(content)
        return zlib.crc32(content)


def do_tile(job: Job, tile: Region) -> None:
    """Read, map and keep one tile."""
    mapper = job.mapper()
    with SceneReader(job.scene) as reader:
        canvas = read_tile(job, reader, tile, mapper)
    keep_tile(job, map_tile(canvas, tile, mapper))


def time_tile(job: Job, tile: Region) -> tuple[float, float, float]:
    """Do one tile, and say how many seconds it took to read, to map and to keep."""
    mapper = job.mapper()
    times = [time.perf_counter()]
    with SceneReader(job.scene) as reader:
        canvas = read_tile(job, reader, tile, mapper)
    times.append(time.perf_counter())
    mapped = map_tile(canvas, tile, mapper)
    times.append(time.perf_counter())
    keep_tile(job, mapped)
    times.append(time.perf_counter())
    return times[1] - times[0], times[2] - times[1], times[3] - times[2]


def do_tiles(job: Job, tiles: Sequence[Region]) -> Iterator[Region]:
    """Do tiles in order, giving each back when it is kept: the next is read and the last kept while one is mapped."""
    mapper = job.mapper()
    with (
        SceneReader(job.scene) as reader,
        ThreadPoolExecutor(max_workers=1) as reading,
        ThreadPoolExecutor(max_workers=1) as writing,
    ):
        upcoming = [reading.submit(read_tile, job, reader, tile, mapper) for tile in tiles[:1]]
        kept: list[tuple[Region, Future[None]]] = []
        for index, tile in enumerate(tiles):
            canvas = upcoming.pop().result()
            upcoming += [
                reading.submit(read_tile, job, reader, next_one, mapper) for next_one in tiles[index + 1 :][:1]
            ]
            mapped = map_tile(canvas, tile, mapper)
            del canvas
            for done, future in kept:
                future.result()
                yield done
            kept = [(tile, writing.submit(keep_tile, job, mapped))]
            del mapped
        for done, future in kept:
            future.result()
            yield done
