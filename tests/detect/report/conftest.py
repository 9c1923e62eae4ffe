"""A run, pictures with their maps and masks, and a report of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from detect.rasters import write_map
from detect.report.writing import Report, write_report
from distmap.common.detection_settings import DetectionSettings, write_detection_settings
from distmap.common.object_size import ObjectSize

THRESHOLD = 0.20012345  # more digits than the page shows


@dataclass(frozen=True, kw_only=True)
class Map:
    name: str
    map_HW: NDArray[np.float32]
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Case:
    """``images``, ``maps`` and ``masks`` are folders; ``made`` is the report in ``page``."""

    run: Path
    images: Path
    maps: Path
    masks: Path
    page: Path
    made: Report


def write_run(run: Path, **more: Any) -> Path:
    """A run with all that a report reads."""
    write_detection_settings(
        run,
        DetectionSettings(
            threshold=THRESHOLD,
            false_alarm=0.01,
            rates=(0.1, 0.01, 0.001),
            thresholds=(0.02, 0.2, 1.0),
            pictures=12,
            object_size=ObjectSize(area=49, length=7, width=7, several=0.5),
            validation_scores={"psnr": 31.5, "auroc": 0.9},
            map_kind="weighted",
            **more,
        ),
    )
    (run / "config.yaml").write_text("method: branched-gan\npreset: quick\nimage_size: 64\nlosses:\n  blend: 1.0\n")
    (run / "dataset.json").write_text(
        json.dumps({side: {"with": ["a"], "without": ["b", "c"]} for side in ("train", "validation")})
    )
    lines = [{"step": step, "seconds": 1.0, "fidelity": 1 / step} for step in range(1, 20)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def blobs(rng: np.random.Generator, count: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A map of ``count`` round tops of different heights over a little noise, some of which touch; and their mask."""
    rows, columns = np.mgrid[:72, :96]
    map_HW = np.abs(rng.normal(0, 0.01, (72, 96)))
    mask_HW = np.zeros((72, 96), np.uint8)
    for _ in range(count):
        y, x, height = rng.uniform(6, 66), rng.uniform(6, 90), rng.uniform(0.1, 1.5)
        distance = np.hypot(rows - y, columns - x)
        map_HW = np.maximum(map_HW, height * np.exp(-0.5 * (distance / 2.5) ** 2))
        mask_HW[distance < 3.5] = 255
    return map_HW.astype(np.float32), mask_HW


NAMES = ("sub/one ä.png", "</script><img src=x onerror=alert(1)>.png", "empty.png", "four.png", "five.png", "six.png")


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(3)
    run = write_run(folder / "run", warnings=("the maps hardly tell <b>validation</b> pictures apart",))
    pictures: dict[str, Path] = {}
    maps: list[Map] = []
    for name, count in zip(NAMES, (5, 3, 0, 8, 2, 12), strict=True):
        # A slash would be a folder.
        safe = name if name.startswith("sub/") else name.replace("/", "∕")
        map_HW, mask_HW = blobs(rng, count)
        picture_HW = np.clip(60 + 90 * map_HW + rng.normal(0, 5, map_HW.shape), 0, 255).astype(np.uint8)
        for kind, pixels in (("images", picture_HW), ("masks", mask_HW)):
            path = folder / kind / safe
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        pictures[safe] = folder / "images" / safe
        maps.append(Map(name=safe, map_HW=map_HW))
        path = (folder / "maps" / safe).with_suffix(".tiff")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_map(path, map_HW)
    words = ["detect", "extract", "run", "images", "--out", "annotations.json"]
    page = folder / "out" / "report.html"
    made = write_report(run, maps, pictures, page, truth=folder / "masks", command=words)
    return Case(
        run=run,
        images=folder / "images",
        maps=folder / "maps",
        masks=folder / "masks",
        page=page,
        made=made,
    )


def page_data(page: Path) -> Mapping[str, Any]:
    """What the script of a page reads."""
    text = page.read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(
        text.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    )
    return content
