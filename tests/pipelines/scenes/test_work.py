"""Who does the tiles: what is refused, the memory limits, and when workers are worth their start."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from detect.extraction import ExtractionConfig
from pipelines.scenes import work
from pipelines.scenes.job import TILES_IN_MEMORY, Job, TileMemory
from pipelines.scenes.work import MemoryLimit, Resources, plan, should_parallelise
from tests.pipelines.scenes.conftest import Brightness, WriteScene, scene_of

CONFIG = ExtractionConfig(threshold=0.6)


class Tiles:
    """A job that only says how many tiles remain."""

    def __init__(self, count: int) -> None:
        self.count = count

    def remaining(self) -> list[int]:
        return list(range(self.count))


def jobs(*counts: int) -> list[Job]:
    return [cast("Job", Tiles(count)) for count in counts]


@pytest.mark.parametrize(
    ("options", "named"),
    [({"workers": 0}, "--workers 0"), ({"workers": 2, "scheduler": "tcp://a:1"}, "--workers and --scheduler")],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Resources(**options)


def test_open_only_where_nothing_is_said() -> None:
    assert Resources().automatic
    assert not Resources(workers=1).automatic
    assert not Resources(scheduler="tcp://a:1").automatic


@pytest.mark.parametrize(
    ("options", "workers", "limits"),
    [
        ({"scheduler": "tcp://a:1"}, 1, [(1, 600)]),
        ({"workers": 1}, 1, [(TILES_IN_MEMORY, 600)]),
        ({"workers": 3}, 3, [(1, 200)]),
        ({}, 2, [(TILES_IN_MEMORY, 600), (1, 300)]),
    ],
)
def test_memory_is_shared_out(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], workers: int, limits: list[tuple[int, int]]
) -> None:
    """The cluster's workers have it each, those of this machine together; left open, tiles must suit both ways."""
    monkeypatch.setattr(work, "default_workers", lambda *_: 2)
    expected = tuple(MemoryLimit(tiles=tiles, memory_mb=memory_mb) for tiles, memory_mb in limits)
    assert plan([], Brightness(), CONFIG, Resources(memory_mb=600, **options)) == (workers, expected)


def test_default_workers_hold_the_largest_of_the_smallest_tiles(
    monkeypatch: pytest.MonkeyPatch, write_scene: WriteScene
) -> None:
    asked: list[tuple[int, int, int]] = []

    def note(memory_mb: int, least_mb: int, gpus: int) -> int:
        asked.append((memory_mb, least_mb, gpus))
        return 1

    monkeypatch.setattr(work, "default_workers", note)
    scenes = [
        scene_of(write_scene(f"{bands}.tif", np.zeros((8, 9, bands)), photometric="MINISBLACK")) for bands in (8, 1)
    ]
    mapper = Brightness()
    least = [TileMemory.of(scene, mapper, CONFIG, 1).least_mb() for scene in scenes]
    assert least[0] > least[1]
    plan(scenes, mapper, CONFIG, Resources(memory_mb=600, gpus=2))
    assert asked == [(600, least[0], 2)]


@pytest.mark.parametrize(
    ("counts", "workers", "stages", "expected"),
    [
        ((40,), 1, (9.0, 9.0, 9.0), False),  # one worker is this process
        ((1,), 4, (9.0, 9.0, 9.0), False),  # one tile
        ((40,), 4, (0.5, 3.0, 0.5), True),  # 3 s here, 1 s there, 78 s in all
        ((20, 20), 4, (0.5, 3.0, 0.5), True),
        ((40,), 2, (0.5, 3.0, 0.5), False),  # 3 s against 2: not faster by more than half
        ((6,), 4, (0.5, 3.0, 0.5), False),  # saves 10 s, not more
        ((7,), 4, (0.5, 3.0, 0.5), True),
        ((40,), 2, (2.0, 2.0, 2.0), False),  # reading and keeping cost workers as much as mapping
    ],
)
def test_workers_where_they_save_time(
    monkeypatch: pytest.MonkeyPatch,
    counts: tuple[int, ...],
    workers: int,
    stages: tuple[float, float, float],
    expected: bool,
) -> None:
    monkeypatch.setattr(work, "time_tile", lambda *_: stages)
    assert should_parallelise(jobs(*counts), workers) is expected


def test_the_first_tile_warms_up_unless_it_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([(0.1, 9.0, 0.1), (0.1, 0.2, 0.1)])
    monkeypatch.setattr(work, "time_tile", lambda *_: next(times))
    assert not should_parallelise(jobs(40), 4)
    assert next(times, None) is None
    times = iter([(0.1, 11.0, 0.1), (0.1, 0.2, 0.1)])
    assert should_parallelise(jobs(40), 4)
    assert next(times, None) is not None


def test_a_tile_that_fails_is_left_to_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> tuple[float, float, float]:
        raise ValueError("damaged")

    monkeypatch.setattr(work, "time_tile", fail)
    assert not should_parallelise(jobs(40), 4)
