"""Large pictures: time against a bare OpenCV threshold and labelling, and memory against the map's.

With ``--benchmark-enable`` the times are measured; otherwise everything runs once.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from detect.detections import Detections
from detect.extraction import ExtractionConfig, find_objects
from detect.formats import coco
from detect.rasters import write_map, write_mask
from distmap.common.detection_settings import DetectionSettings, write_detection_settings
from distmap.common.object_size import ObjectSize

SIDE, ACROSS = 4096, 71
THRESHOLD = 0.5


def scene(side: int = SIDE, across: int = ACROSS) -> NDArray[np.float32]:
    """A map of `across` x `across` ellipses of random size, 5,041 on 4096 x 4096, on faint noise."""
    rng = np.random.default_rng(0)
    map_HW = rng.random((side, side), dtype=np.float32) * np.float32(0.1)
    pitch = side / across
    for row in range(across):
        for column in range(across):
            centre = (int((column + 0.5) * pitch), int((row + 0.5) * pitch))
            axes = (int(rng.integers(4, 20)), int(rng.integers(4, 20)))
            cv2.ellipse(map_HW, centre, axes, float(rng.integers(180)), 0, 360, float(rng.uniform(0.6, 1)), -1)
    return map_HW


def bare(map_HW: NDArray[np.float32]) -> int:
    """What OpenCV alone needs."""
    mask = cv2.threshold(map_HW, THRESHOLD, 1, cv2.THRESH_BINARY)[1].astype(np.uint8)
    return cv2.connectedComponentsWithStats(mask, connectivity=8)[0] - 1


@pytest.fixture(scope="module")
def large() -> NDArray[np.float32]:
    return scene()


def fastest(function: Callable[[], Any], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def test_objects_of_a_large_map(benchmark: Any, large: NDArray[np.float32]) -> None:
    config = ExtractionConfig(threshold=THRESHOLD)
    objects = benchmark(find_objects, large, config)
    assert len(objects) == bare(large) == ACROSS**2
    if not benchmark.disabled:
        ratio = fastest(lambda: find_objects(large, config), 5) / fastest(lambda: bare(large), 5)
        benchmark.extra_info["ratio to threshold and connectedComponentsWithStats"] = round(ratio, 2)
        print(f"find_objects takes {ratio:.2f} times as long as bare OpenCV")
        assert ratio < 3


def test_annotations_of_a_large_map(benchmark: Any, large: NDArray[np.float32]) -> None:
    objects = find_objects(large, ExtractionConfig(threshold=THRESHOLD))
    picture = Detections(name="large.png", height=SIDE, width=SIDE, instances=objects)
    content = benchmark(coco.document, [picture])
    assert len(content["annotations"]) == ACROSS**2


def test_saved_maps_of_100_pictures(benchmark: Any, tmp_path: Path) -> None:
    """The whole command, from saved maps of 224 x 224 with touching blocks to COCO JSON: below two seconds."""
    run, images, maps = (tmp_path / name for name in ("run", "images", "maps"))
    for folder in (run, images, maps):
        folder.mkdir()
    size = ObjectSize(area=300, length=24, width=13, objects=50)
    write_detection_settings(run, DetectionSettings(threshold=0.2, false_alarm=0.01, object_size=size))
    rng = np.random.default_rng(0)
    for number in range(100):
        map_HW = rng.random((224, 224), dtype=np.float32) * np.float32(0.1)
        for _ in range(5):
            x, y = rng.integers(0, 180, 2).tolist()
            map_HW[y : y + 12, x : x + 24] = 1
        write_map(maps / f"{number}.tiff", cv2.GaussianBlur(map_HW, (0, 0), 1))  # type: ignore[arg-type]
        write_mask(images / f"{number}.png", map_HW > 0.5)
    words = ["extract", str(run), str(images), "--from-maps", str(maps), "--out", str(tmp_path / "out.json")]
    command = [sys.executable, "-m", "detect.cli", *words]
    benchmark(subprocess.run, command, check=True, capture_output=True)
    assert len(coco.read(tmp_path / "out.json")) == 100
    if not benchmark.disabled:
        assert benchmark.stats.stats.median < 2


def test_memory_stays_within_four_maps() -> None:
    """In a process of its own, since the greatest memory of a process never falls."""
    code = f"""
import resource, sys
import numpy as np
from detect.extraction import ExtractionConfig, find_objects
find_objects(np.eye(64, dtype=np.float32), ExtractionConfig(threshold=0.5, smoothing=1))
map_HW = np.zeros(({SIDE}, {SIDE}), np.float32)
for y in range(0, {SIDE} - 40, 57):
    for x in range(0, {SIDE} - 40, 57):
        map_HW[y : y + 20, x : x + 30] = 1
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
objects = find_objects(map_HW, ExtractionConfig(threshold=0.5, low_threshold=0.4, smoothing=1))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(objects), (after - before) * 1024 / map_HW.nbytes)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert int(answer[0]) > 5000
    # Beside the map itself, which is the fourth.
    assert float(answer[1]) < 3
