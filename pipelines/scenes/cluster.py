"""Tiles of many scenes on a Dask cluster: one of their own on this machine, or one that is there already.

All workers must see the scenes, the run and the output folder under the same names. A task is one tile, which writes
its own files (see `pipelines.scenes.job`), so what a lost worker had not kept is simply done again by another.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

from distmap.common.extras import need
from pipelines.scenes.job import Job, do_tile
from pipelines.scenes.windows import Region

PACKAGES = ("dask", "distributed")
RETRIES = 3  # of a tile whose worker was lost
PATIENCE = "15s"  # with a scheduler that does not answer
WORKER_MB = 256  # of --memory for each worker at least, or their tiles are small and read much twice
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
NO_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"  # workers are ended by this process
QUIET = {"distributed.scheduler.allowed-failures": RETRIES, "distributed.logging.distributed": "error"}


def default_workers(memory_mb: int, least_mb: int, gpus: int = 0) -> int:
    """How many processes suit this machine: one for each GPU, or else for each core that may be used.

    There are no more than ``memory_mb`` and half the machine's memory hold: each gets 256 of the former for its tiles,
    or ``least_mb`` if that is more, and takes of the latter what this process does, with the same libraries and the
    same network.
    """
    need(*PACKAGES, extra="scenes")
    from dask.system import cpu_count
    from distributed.system import MEMORY_LIMIT

    own_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return max(1, min(gpus or cpu_count(), memory_mb // max(WORKER_MB, least_mb), int(MEMORY_LIMIT / 2**21 / own_mb)))


@contextmanager
def connected(scheduler: str) -> Iterator[Any]:
    """A client of the cluster at ``scheduler``.

    Raises
    ------
    ValueError
        No scheduler answers there.
    """
    need(*PACKAGES, extra="scenes")
    import dask
    from distributed import Client

    with dask.config.set(QUIET):
        try:
            client = Client(scheduler, timeout=PATIENCE)  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            raise ValueError(f"--scheduler {scheduler}: no Dask scheduler answers there ({error})") from None
        with client:
            yield client


@contextmanager
def local_client(workers: int, gpus: int = 0) -> Iterator[Any]:
    """A client of a cluster of ``workers`` processes on this machine, which ends with it.

    The cores are shared out among the workers, unless ``OMP_NUM_THREADS`` and its like say something else; of several
    GPUs each worker sees one.
    """
    need(*PACKAGES, extra="scenes")
    import dask
    from dask.system import cpu_count
    from distributed import Client, Nanny, Scheduler, SpecCluster

    place = {"host": "127.0.0.1", "protocol": "tcp://", "dashboard": False, "dashboard_address": "127.0.0.1:0"}
    # Memory is bounded by the size of the tiles; Dask's own limit would halt workers for good.
    common = place | {"nthreads": 1, "memory_limit": 0, "preload": [NO_CTRL_C], "silence_logs": "CRITICAL"}
    spec = {
        number: {"cls": Nanny, "options": common | {"env": _sees(number % gpus) if gpus > 1 else {}}}
        for number in range(workers)
    }
    threads = {f"distributed.nanny.pre-spawn-environ.{name}": max(1, cpu_count() // workers) for name in THREADS}
    with (
        dask.config.set(QUIET | threads),
        _kept(os.environ, THREADS),  # Dask puts the numbers of threads there
        _no_main_module(),
        SpecCluster(  # type: ignore[no-untyped-call]
            workers=spec,
            scheduler={"cls": Scheduler, "options": place | {"port": 0}},
            silence_logs="CRITICAL",
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        yield client


def _sees(gpu: int) -> dict[str, str]:
    """What makes the GPU of this number the only one in a process."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return {"CUDA_VISIBLE_DEVICES": seen.split(",")[gpu] if seen else str(gpu)}


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Start processes that do not run the user's script again: it may call us outside ``if __name__ == "__main__"``.

    What the script defines is sent to them with the tasks.
    """
    main = vars(sys.modules["__main__"])
    with _kept(main, ("__spec__", "__file__")):
        main.update(__spec__=None, __file__=None)
        yield


@contextmanager
def _kept(table: MutableMapping[str, Any], names: Sequence[str]) -> Iterator[None]:
    """Give a table the entries of these names back at the end."""
    before = {name: table[name] for name in names if name in table}
    try:
        yield
    finally:
        for name in names:
            table.pop(name, None)
        table.update(before)


def do_all(client: Any, work: Sequence[tuple[Job, Region]]) -> Iterator[tuple[Job, Region, Exception | None]]:
    """Do tiles of any jobs, in any order, and say of each how it ended: well, with ValueError or with OSError.

    Once a tile of a scene ends with ValueError the others that have not begun are passed over.
    """
    from distributed import KilledWorker, as_completed

    futures = {client.submit(_attempt, job, tile, pure=False): (job, tile) for job, tile in work}
    for future in as_completed(list(futures)):  # type: ignore[no-untyped-call]
        job, tile = futures.pop(future)
        try:
            failure = future.result()
        except KilledWorker as error:
            raise OSError(
                f"{job.scene.path}: {RETRIES + 1} workers were lost over one tile (out of memory?)"
            ) from error
        future.release()
        yield job, tile, None if failure is None else (ValueError if failure[0] else OSError)(failure[1])


def _attempt(job: Job, tile: Region) -> tuple[bool, str] | None:
    """None where all is well, else whether it is the input that is wrong, and how: GDAL's errors cannot be pickled."""
    if job.is_given_up():
        return None
    try:
        do_tile(job, tile)
    except (ValueError, OSError) as error:
        if isinstance(error, ValueError):
            job.give_up()
        return isinstance(error, ValueError), str(error)
    return None
