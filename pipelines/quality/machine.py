"""What the figures were made on: a slow or busy machine makes fewer steps in the same time."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The state of the machine when a fit began."""

    cores: int
    """That this process may use."""
    threads: int
    """Of torch; ``OMP_NUM_THREADS`` sets them."""
    load: float
    """Processes that ran or waited, mean over the last minute."""
    device: str
    """cpu, or the GPU's name."""


def look() -> Machine:
    """The machine as it is now."""
    import torch

    from distmap.networks.devices import pick_device

    device = pick_device("auto")
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        threads=torch.get_num_threads(),
        load=round(os.getloadavg()[0], 2),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    )


def code_revision() -> str:
    """The commit of this code, with ``-dirty`` where files differ from it; ``unknown`` without git."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"
