"""Tiles of many scenes on a Dask cluster: one of their own on this machine, or one that is there already.

All workers must see the scenes, the run and the output folder under the same names. A task is one tile, which writes
its own files (see `pipelines.scenes.job`), so what a lost worker had not kept is simply done again by another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pipelines.scenes.job import Job, do_tile
from pipelines.scenes.windows import Region

RETRIES = 3  # of a tile whose worker was lost
PATIENCE = "15s"  # with a scheduler that does not answer


@contextmanager
def dask_client(scheduler: str | None, workers: int) -> Iterator[Any]:
    """A client of the cluster at ``scheduler``, or of a local one with ``workers`` processes.

    Raises
    ------
    ValueError
        No scheduler answers there.
    """
    import dask
    from distributed import Client, LocalCluster

    with dask.config.set(
        {"distributed.scheduler.allowed-failures": RETRIES, "distributed.logging.distributed": "error"}
    ):
        if scheduler is not None:
            try:
                client = Client(scheduler, timeout=PATIENCE)  # type: ignore[no-untyped-call]
            except (OSError, ValueError) as error:
                raise ValueError(f"--scheduler {scheduler}: no Dask scheduler answers there ({error})") from None
            with client:
                yield client
            return
        cluster = LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0"
        )
        with cluster, Client(cluster) as client:  # type: ignore[no-untyped-call]
            yield client


def do_all(client: Any, work: Sequence[tuple[Job, Region]]) -> Iterator[tuple[Job, Region, Exception | None]]:
    """Do tiles of any jobs, in any order, and say of each how it ended: well, with ValueError or with OSError."""
    from distributed import KilledWorker, as_completed

    futures = {client.submit(_attempt, job, tile, pure=False): (job, tile) for job, tile in work}
    for future in as_completed(list(futures)):  # type: ignore[no-untyped-call]
        job, tile = futures.pop(future)
        try:
            told = future.result()
        except KilledWorker as error:
            raise OSError(
                f"{job.scene.path}: {RETRIES + 1} workers were lost over one tile (out of memory?)"
            ) from error
        future.release()
        yield job, tile, None if told is None else (ValueError if told[0] else OSError)(told[1])


def _attempt(job: Job, tile: Region) -> tuple[bool, str] | None:
    """None where all is well, else whether it is the input that is wrong, and how: GDAL's errors cannot be pickled."""
    try:
        do_tile(job, tile)
    except (ValueError, OSError) as error:
        return isinstance(error, ValueError), str(error)
    return None
