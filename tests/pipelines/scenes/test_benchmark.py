"""Time and memory of a large scene through a map function that costs nothing, against bare rasterio.

`make bench` runs 10,000 x 8,000 pixels; DISTMAP_BENCH_SCENE=40000x30000 chooses another size. Otherwise a small scene
goes through once. Each side (ours as it is by default, ours with two workers, bare rasterio) runs in a process of its
own; memory is the highest sum over it and its workers, taken every 20 ms.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SIZE = os.environ.get("DISTMAP_BENCH_SCENE", "10000x8000")
SMALL = "900x700"
ROOT = Path(__file__).resolve().parents[3]
MEMORY_LIMIT_MB, TIME_LIMIT = 1536, 1.5
MEMORY_MB = 512
SIDE = 256

CODE = """
import json, sys, threading, time
from dataclasses import dataclass
from pathlib import Path
import numpy as np, psutil, rasterio, rasterio.shutil
from rasterio.windows import Window
from detect.extraction import ExtractionConfig
from distmap.inference.sliding_window import half_overlapping
from pipelines.scenes.geotiffs import OutputOptions, map_scenes
from pipelines.scenes.job import Job, TileMemory, tile_shape
from pipelines.scenes.outputs import COG_OPTIONS
from pipelines.scenes.source import open_scene
from pipelines.scenes.work import Resources

task, folder, memory_mb, side = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
path = folder / "scene.tif"


@dataclass(frozen=True)
class Trivial:
    side: int

    def __call__(self):
        return self

    def windows(self, height, width):
        return half_overlapping(self.side, self.side)

    def margin(self, windows):
        return 0

    def bytes_per_pixel(self, windows):
        return 8.0

    def maps(self, canvases):
        return [canvas.pixels_HWC[canvas.inner][..., 0] * np.float32(1 / 255) for canvas in canvases]


def generate(width, height):
    rng = np.random.default_rng(0)
    block = rng.integers(20, 120, (3, 512, 512), np.uint8)
    block = np.repeat(np.repeat(block[:, ::8, ::8], 8, axis=1), 8, axis=2)
    block[:, 200:230, 200:260] = 250
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=3, dtype="uint8", crs="EPSG:32633",
        transform=rasterio.Affine(0.1, 0, 500000, 0, -0.1, 5000000), tiled=True, blockxsize=512, blockysize=512,
        compress="deflate", zlevel=1, bigtiff="IF_SAFER",
    ) as file:
        for _, window in file.block_windows(1):
            block = np.roll(block, 37, axis=2)
            file.write(block[:, : window.height, : window.width], window=window)


def ours(workers=None):
    config = ExtractionConfig(threshold=0.9)
    done = map_scenes({"scene": open_scene(path, None, None)}, Trivial(side), config, out=folder / task, identity={},
                      options=OutputOptions(), resources=Resources(memory_mb=memory_mb, workers=workers))
    return done[0].objects


def two():
    return ours(workers=2)


def bare():
    mapper, scene = Trivial(side), open_scene(path, None, None)
    extraction = ExtractionConfig(threshold=0.9)
    job = Job(scene=scene, mapper=mapper, extraction=extraction, folder=folder,
              tile_HW=tile_shape(scene, TileMemory.of(scene, mapper, extraction), memory_mb))
    (folder / "bare").mkdir()
    with rasterio.open(path) as source:
        profile = dict(driver="GTiff", height=scene.height, width=scene.width, count=1, dtype="float32", crs=source.crs,
                       transform=source.transform, nodata=np.nan, tiled=True, blockxsize=512, blockysize=512,
                       compress="zstd", zstd_level=1, predictor=3, bigtiff="IF_SAFER")
        with rasterio.open(folder / "bare" / "temporary.tif", "w", **profile) as target:
            for row in job.grid():
                for tile in row:
                    around = tile.grown(side, scene)
                    height, width = around.shape
                    pixels = source.read(window=Window(around.left, around.top, width, height))
                    values = pixels[0].astype(np.float32) * np.float32(1 / 255)
                    rows, columns = tile.shape
                    target.write(values[tile.within(around)], 1, window=Window(tile.left, tile.top, columns, rows))
    with rasterio.Env(GDAL_CACHEMAX=128):
        temporary = folder / "bare" / "temporary.tif"
        rasterio.shutil.copy(temporary, folder / "bare" / "map.tif", driver="COG", **COG_OPTIONS)
    return 0


peak, ended = 0, threading.Event()


def watch():
    global peak
    while not ended.wait(0.02):
        total = 0
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                pass
        peak = max(peak, total)


watcher = threading.Thread(target=watch)
watcher.start()
start = time.perf_counter()
try:
    if task == "generate":
        count = generate(int(sys.argv[5]), int(sys.argv[6]))
    else:
        count = {"ours": ours, "two": two, "bare": bare}[task]()
finally:
    ended.set()
seconds = time.perf_counter() - start
watcher.join()
print(json.dumps({"seconds": seconds, "peak_mb": peak / 2**20, "objects": count}))
"""


def do(task: str, folder: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-c", CODE, task, str(folder), str(MEMORY_MB), str(SIDE), *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert answer.returncode == 0, answer.stderr
    figures: dict[str, Any] = json.loads(answer.stdout)
    return figures


@pytest.mark.timeout(7200)
def test_large_scene(benchmark: Any, tmp_path: Path) -> None:
    width, height = (SMALL if benchmark.disabled else SIZE).split("x")
    do("generate", tmp_path, width, height)
    bare, two = do("bare", tmp_path), do("two", tmp_path)
    ours = benchmark.pedantic(do, args=("ours", tmp_path), rounds=1, iterations=1)
    assert ours["objects"] == two["objects"] > 0
    assert max(ours["peak_mb"], two["peak_mb"]) < MEMORY_LIMIT_MB
    if not benchmark.disabled:
        print()
        for name, figures in (("ours", ours), ("ours, two workers", two)):
            seconds, ratio = figures["seconds"], figures["seconds"] / bare["seconds"]
            benchmark.extra_info[name] = {"ratio": round(ratio, 2), "peak MB": round(figures["peak_mb"])}
            print(f"{width} x {height}, {name}: {seconds:.1f} s, {ratio:.2f} times the {bare['seconds']:.1f} s "
                  f"of bare rasterio; peak {figures['peak_mb']:.0f} MB (bare {bare['peak_mb']:.0f} MB)")  # fmt: skip
        assert ours["seconds"] < TIME_LIMIT * bare["seconds"]


@pytest.mark.timeout(1200)
def test_network_takes_most_of_the_time(
    benchmark: Any, tmp_path: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the wall time of a scene; the network is a tiny one, so with a real run its fraction is larger still."""
    from distmap.inference.sliding_window import Network

    side = "150" if benchmark.disabled else "2500"
    do("generate", tmp_path, side, side)
    spent: list[float] = []
    see = Network.see

    def timed(network: Network, windows: Any, side: int) -> Any:
        start = time.perf_counter()
        seen = see(network, windows, side)
        spent.append(time.perf_counter() - start)
        return seen

    monkeypatch.setattr(Network, "see", timed)
    import pipelines

    start = time.perf_counter()
    benchmark.pedantic(
        pipelines.geotiff, args=(tiny_run, [tmp_path / "scene.tif"]),
        kwargs={"out": tmp_path / "out", "device": "cpu", "workers": 1}, rounds=1, iterations=1,
    )  # fmt: skip
    fraction = sum(spent) / (time.perf_counter() - start)
    assert spent
    if not benchmark.disabled:
        benchmark.extra_info["fraction of the network"] = round(fraction, 3)
        print(f"\nthe network takes {fraction:.0%} of the wall time")
        assert fraction > 0.85
