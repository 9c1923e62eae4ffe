"""Memory is estimated before it is asked for: Linux promises more than there is, and ends the process later."""

from __future__ import annotations

from pathlib import Path

GB = 10**9
KEPT_FREE = 0.9  # of what is available, that one thing may take


def available_memory() -> int | None:
    """Bytes that this process may still take, by the machine and by its control group; None where neither says."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        pass
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / f"memory.{name}").read_text(encoding="ascii").strip() for name in ("max", "current"))
        found += [int(limit) - int(used)] if limit.isdigit() else []
    except OSError:
        pass
    return min(found, default=None)


def check_memory(needed: float, what: str) -> None:
    """Refuse what would take more memory than there is.

    Parameters
    ----------
    needed
        Bytes.
    what
        Takes them; begins the message.

    Raises
    ------
    ValueError
        There is not as much.
    """
    if needed < 64 * 2**20:  # not worth a look
        return
    available = available_memory()
    if available is not None and needed > KEPT_FREE * available:
        free = max(0, available) / GB
        raise ValueError(f"{what} would take {needed / GB:,.1f} GB of memory, and {free:,.1f} GB are free")
