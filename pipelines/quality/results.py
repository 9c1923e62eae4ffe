"""What one row gave with one seed: a JSON file, there whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distmap.common.files import read_json, write_json
from pipelines.quality.machine import Machine


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Wall time of the parts; that of ``fit`` in all, where it was stopped and went on."""

    fit: float
    extract: float
    evaluate: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """Figures of a row and a seed, and all that is needed to make them again."""

    row: str
    seed: int
    protocol: Mapping[str, Any]
    """Of the row that was run; see `pipelines.quality.rows.Row.protocol`."""
    budget_scale: float
    """1; anything else is a trial, whose figures mean nothing."""
    revision: str
    machine: Machine
    cores_used: float
    """Mean over ``fit``: CPU seconds over seconds; a busy machine gives less than there are threads."""
    steps: int
    seconds: Seconds
    resumed: bool
    """Whether ``fit`` was stopped and went on."""
    pictures: Mapping[str, Mapping[str, int]]
    """In the two folders, by split."""
    groups: Mapping[str, list[str]] | None
    """Groups of either split."""
    commands: tuple[str, ...]
    scores: Mapping[str, Any]
    config: Mapping[str, Any]
    """Every setting of ``fit``."""

    def write(self, path: Path) -> None:
        """Write the file in one move."""
        write_json(path, asdict(self), indent=1)


def read_result(path: Path) -> Result:
    """Read what `Result.write` wrote; raises ValueError that names the file where it is something else."""
    content = read_json(path)
    try:
        return Result(
            **{
                **content,
                "machine": Machine(**content["machine"]),
                "seconds": Seconds(**content["seconds"]),
                "commands": tuple(content["commands"]),
            }
        )
    except (TypeError, KeyError) as error:
        raise ValueError(f"{path}: not a result of this version ({error}); remove it") from None
