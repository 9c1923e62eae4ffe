"""One scene as tiles: each is read, mapped and kept as files of its own, so that a stopped run goes on where it was.

A tile is done once its ``.npz`` stands under its name; the ``.tif`` beside it was moved there before. Doing a tile
again writes the same files again, so it does not matter how often, or by whom, it is done.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from detect.extraction import ExtractionConfig
from detect.files import whole_file
from pipelines.scenes.parts import Parts, SceneObjects, find_parts, join, reach
from pipelines.scenes.source import Scene, SceneReader
from pipelines.scenes.windows import Canvas, Floats, Region, WindowMapper, map_canvas, read_canvas

MapperSource: TypeAlias = Callable[[], WindowMapper]
"""What gives a process its mapper; it must survive pickling."""

SETTINGS = "settings.json"
ALIGNMENT = 512  # blocks of the files written, and a multiple of the blocks of most files read
LARGEST_TILE = 2048  # larger ones save little, and a stopped run loses the tile it was at
TILES_IN_MEMORY = 3  # one is read, one mapped, one written


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

    def begin(self, identity: dict[str, Any]) -> None:
        """Make the folder; what an earlier run left there stays if it had the same ``identity``, else it goes."""
        whole = json.dumps(identity | {"tile": self.tile_HW}, sort_keys=True, default=str)
        settings = self.folder / SETTINGS
        if not settings.is_file() or settings.read_text() != whole:
            self.clear()
            self.folder.mkdir(parents=True)
            with whole_file(settings) as temporary:
                temporary.write_text(whole)

    def clear(self) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def objects(self) -> tuple[SceneObjects, int]:
        """The objects of the whole scene once all tiles are done, and how many pixels hold something."""
        grid = [[partial(Parts.load, self.parts_file(tile)) for tile in row] for row in self.grid()]
        return join(grid, self.extraction)


def tile_shape(scene: Scene, mapper: WindowMapper, memory_mb: int) -> tuple[int, int]:
    """Height and width of tiles that keep the working memory within about ``memory_mb``, however large the scene.

    Files stored in lines have low tiles, so that lines that were decoded for one tile serve its neighbours too.

    Raises
    ------
    ValueError
        So little memory holds no tile.
    """
    raw = len(scene.bands) * np.dtype(scene.dtype).itemsize + 1
    # While it is mapped a tile has its channels, their weighted copy, the map and its smoothed and masked versions.
    pixel = TILES_IN_MEMORY * (raw + 8) + 8 * mapper.channels + 24
    room = memory_mb * 2**20 / pixel
    side = min(int(room**0.5) - 2 * mapper.side, LARGEST_TILE)
    if side < min(ALIGNMENT, max(scene.height, scene.width)):
        least = int((ALIGNMENT + 2 * mapper.side) ** 2 * pixel / 2**20) + 1
        raise ValueError(f"--memory {memory_mb}: too little for a tile of {scene.name}; give at least {least} (MB)")
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


def read_tile(job: Job, reader: SceneReader, tile: Region, mapper: WindowMapper) -> Canvas:
    """Read what the tile's map and mask depend on."""
    region = tile.grown(mapper.reach + reach(job.extraction), job.scene)
    return read_canvas(reader, region, mapper.side)


def map_tile(canvas: Canvas, tile: Region, mapper: WindowMapper) -> MappedTile:
    """Run the network."""
    map_HW, valid_HW = map_canvas(canvas, mapper)
    return MappedTile(tile=tile, region=canvas.region, map_HW=map_HW, valid_HW=valid_HW)


def keep_tile(job: Job, mapped: MappedTile) -> None:
    """Find the tile's parts and write its two files."""
    parts = find_parts(mapped.map_HW, mapped.valid_HW, mapped.region, mapped.tile, job.extraction)
    inner = mapped.tile.within(mapped.region)
    if parts.valid:
        with whole_file(job.map_file(mapped.tile)) as temporary:
            _write_map(temporary, np.where(mapped.valid_HW[inner], mapped.map_HW[inner], np.float32(np.nan)))
    with whole_file(job.parts_file(mapped.tile)) as temporary:
        parts.save(temporary)


def _write_map(path: Path, map_HW: Floats) -> None:
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
        path.write_bytes(memory.getbuffer())


def do_tile(job: Job, tile: Region) -> None:
    """Read, map and keep one tile."""
    mapper = job.mapper()
    with SceneReader(job.scene) as reader:
        canvas = read_tile(job, reader, tile, mapper)
    keep_tile(job, map_tile(canvas, tile, mapper))


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
