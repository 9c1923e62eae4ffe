"""What is mutated: a tiny run that is fitted once, and a valid file of every format that the program itself wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detect.conversion import write_annotations
from detect.detections import Detections, Instance
from detect.formats import FORMATS
from detect.masks import Mask
from tests.distmap.conftest import TINY

SIDE = 32


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks gain nothing from more threads; and what asks for much memory is to fail, not to fill the machine.

    The second holds on Linux alone.
    """
    import resource

    import torch

    torch.set_num_threads(1)
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + 12 * 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def found() -> list[Detections]:
    """Two pictures with what formats can say: a block, a ring, a box, an oriented box."""
    ring = np.ones((7, 7), bool)
    ring[3, 3] = False
    instances = (
        Instance(mask=Mask(x=1, y=1, crop_HW=np.ones((4, 6), bool)), score=0.5, category="car"),
        Instance(mask=Mask(x=10, y=12, crop_HW=ring), score=0.25, category="bus", difficult=True),
        Instance(box=(20.0, 3.0, 6.0, 5.0), score=0.75, category="car"),
        Instance(corners_42=np.array([[20.0, 20], [28, 22], [26, 30], [18, 28]]), score=1.0, category="car"),
    )
    first = Detections(
        name="a.png",
        height=SIDE,
        width=SIDE,
        instances=instances,
        model={"residual": 0.5},
        group="g",
        confidence=0.75,
    )
    return [first, Detections(name="b.png", height=SIDE, width=SIDE, instances=instances[:1])]


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`pictures/`, `with/`, `without/`, `maps/`, `run/`, and annotations named by their format (do not change them)."""
    import distmap
    from detect.tuning import Tuning
    from distmap.inference.map_files import write_maps

    folder = tmp_path_factory.mktemp("originals")
    rng = np.random.default_rng(0)
    for name, count in (("pictures", 2), ("with", 8), ("without", 8)):
        (folder / name).mkdir()
        for index in range(count):
            picture = rng.integers(60, 120, (SIDE, SIDE), dtype=np.uint8)
            if name != "without":
                picture[12:20, 12:20] = 250
            assert cv2.imwrite(str(folder / name / f"{'ab'[index] if count == 2 else index}.png"), picture)
    overrides: dict[str, Any] = json.loads(json.dumps(TINY))
    model = distmap.fit(folder / "with", folder / "without", run=folder / "run", overrides=overrides, device="cpu")
    tuning = Tuning(
        settings=("neck=0.7", "open_radius=1.5", "score=peak"),
        score="ap50", tuned=0.5, label_free=0.4, held_out=None, pictures=2,
    )  # fmt: skip
    tuning.write(folder / "run")
    write_maps(model, [folder / "pictures"], folder / "maps")
    for kind in FORMATS:
        target = folder / {"coco": "coco.json", "gpkg": "gpkg.gpkg", "geojson": "geojson.geojson"}.get(kind, kind)
        write_annotations(target, found(), target_format=kind)
    return folder
