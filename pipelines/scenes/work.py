"""Who does the tiles of scenes: this process, processes of this machine, or a cluster that is there."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from detect.extraction import ExtractionConfig
from distmap.common.progress import Progress
from pipelines.scenes.cluster import connected, default_workers, do_all, local_client
from pipelines.scenes.job import TILES_IN_MEMORY, Job, MapperSource, TileMemory, do_tiles, time_tile
from pipelines.scenes.source import Scene
from pipelines.scenes.windows import Region

MEMORY_MB = 1024
# A cluster costs something (its start; blocks of the scene read by several workers), so it has to save this much.
LEAST_SPEEDUP, LEAST_SECONDS_SAVED = 1.5, 10.0


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the tiles at work may take.

    Raises
    ------
    ValueError
        Less than one worker, or workers beside a cluster that has its own.
    """

    memory_mb: int = MEMORY_MB
    """In all processes on this machine together, or in each worker of a cluster that is there."""
    workers: int | None = None
    """Processes on this machine; one is this process. None: as many as suit it, where they are faster."""
    scheduler: str | None = None
    """Address of a cluster that is there."""
    gpus: int = 0
    """How many the mapper can use."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"--workers {self.workers}: must be 1 or more")
        if self.workers is not None and self.scheduler is not None:
            raise ValueError("--workers and --scheduler: give one of them, the cluster there has its own workers")

    @property
    def automatic(self) -> bool:
        """Whether it is left open who does the tiles."""
        return self.workers is None and self.scheduler is None

    def client(self) -> AbstractContextManager[Any]:
        """A client of the cluster that is there; None where there is none."""
        return nullcontext() if self.scheduler is None else connected(self.scheduler)


@dataclass(frozen=True, kw_only=True)
class MemoryLimit:
    """So many tiles at once must find room in so much memory."""

    tiles: int
    memory_mb: int


def plan(
    scenes: Iterable[Scene], mapper: MapperSource, config: ExtractionConfig, resources: Resources
) -> tuple[int, tuple[MemoryLimit, ...]]:
    """How many processes of this machine do the tiles, and the memory limits that these keep."""
    memory_mb, workers = resources.memory_mb, resources.workers
    here = MemoryLimit(tiles=TILES_IN_MEMORY, memory_mb=memory_mb)
    if resources.scheduler is not None:
        return 1, (MemoryLimit(tiles=1, memory_mb=memory_mb),)
    if workers is not None:
        return workers, (here if workers == 1 else MemoryLimit(tiles=1, memory_mb=memory_mb // workers),)
    least_mb = max((TileMemory.of(scene, mapper(), config, 1).least_mb() for scene in scenes), default=0)
    workers = default_workers(memory_mb, least_mb, resources.gpus)
    # Either may do them, as `should_parallelise` says.
    return workers, (here, MemoryLimit(tiles=1, memory_mb=memory_mb // workers))


def should_parallelise(jobs: Iterable[Job], workers: int) -> bool:
    """Whether a cluster of so many workers would be faster than this process.

    One or two tiles are done in this process to see what takes how long; the first has to warm up. This process reads,
    maps and keeps at one time, so the longest of these counts; workers do one after the other, each for itself.
    """
    left = [(job, tile) for job in jobs for tile in job.remaining()]
    if workers == 1 or len(left) < 2:
        return False
    stages: tuple[float, ...] = (math.inf,) * 3
    for job, tile in left[:2]:
        try:
            stages = tuple(map(min, stages, time_tile(job, tile)))
        except ValueError:  # it will come up again
            return False
        if max(stages) > LEAST_SECONDS_SAVED:  # warming up is little beside it
            break
    here, there = max(stages), sum(stages) / workers
    return here > LEAST_SPEEDUP * there and (here - there) * (len(left) - 1) > LEAST_SECONDS_SAVED


def do_jobs(
    jobs: Mapping[str, Job], client: Any, workers: int, gpus: int, progress: Progress
) -> Generator[tuple[str, Job, Exception | None], None, None]:
    """Do all tiles; gives (name, job, what went wrong) once a scene's are done or cannot be.

    ``client``: of a cluster that is there; None: ``workers`` processes of this machine.
    """
    remaining = {name: job.remaining() for name, job in jobs.items()}
    total = sum(map(len, remaining.values()))
    if client is None and min(workers, total) <= 1:
        yield from _do_here(jobs, remaining, progress)
        return
    for name in [name for name, tiles in remaining.items() if not tiles]:
        yield name, jobs[name], None
    with local_client(min(workers, total), gpus) if client is None else nullcontext(client) as client:
        yield from _do_on(client, jobs, remaining, progress)


def _do_here(
    jobs: Mapping[str, Job], remaining: Mapping[str, Sequence[Region]], progress: Progress
) -> Generator[tuple[str, Job, Exception | None], None, None]:
    """In this process, scene after scene."""
    total, done = sum(map(len, remaining.values())), 0
    for name, job in jobs.items():
        failure: Exception | None = None
        try:
            for _ in do_tiles(job, remaining[name]):
                done += 1
                progress.update("tiles", done / total, {"of": total})
        except ValueError as error:
            failure = error
        yield name, job, failure


def _do_on(
    client: Any, jobs: Mapping[str, Job], remaining: Mapping[str, Sequence[Region]], progress: Progress
) -> Generator[tuple[str, Job, Exception | None], None, None]:
    """On a cluster, in any order."""
    names = {job.folder: name for name, job in jobs.items()}
    left = {name: len(tiles) for name, tiles in remaining.items()}
    failed: dict[str, Exception] = {}
    work = [(jobs[name], tile) for name, tiles in remaining.items() for tile in tiles]
    for done, (job, _, problem) in enumerate(do_all(client, work), start=1):
        name = names[job.folder]
        left[name] -= 1
        progress.update("tiles", done / len(work), {"of": len(work)})
        if problem is not None and not isinstance(problem, ValueError):
            raise problem
        if problem is not None:
            failed.setdefault(name, problem)
        # Only now, since until the last tile ends others may still write into the folder.
        if left[name] == 0:
            yield name, job, failed.get(name)
