"""The state of a training, which resuming needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from distmap.common.errors import is_out_of_memory
from distmap.common.files import replacing
from distmap.methods.base import Method

STATE = "state/latest.pt"


@dataclass(kw_only=True)
class TrainingState:
    """How far a training is. ``seconds``: spent so far; ``candidates``: earlier weights to choose from, by step."""

    method: Method[Any]
    step: int = 0
    seconds: float = 0.0
    prepared: bool = False
    candidates: dict[int, dict[str, Tensor]] = field(default_factory=dict)

    def save(self, path: Path, seconds: float) -> None:
        """Write everything that going on needs, in one move."""
        state = {
            "steps": self.step,
            "seconds": seconds,
            "prepared": self.prepared,
            "candidates": self.candidates,
            "method": self.method.state_dict(),
        }
        with replacing(path) as temporary, temporary.open("wb") as file:
            sink = _Sink(file)
            torch.save(state, cast("BinaryIO", sink))
            if sink.error is not None:
                raise sink.error

    def load(self, path: Path) -> None:
        """Take up a saved state; raises ValueError where it does not fit."""
        try:
            state = read_state(path, self.method.frame.device)
            self.method.load_state_dict(state["method"])
            self.candidates = dict(state["candidates"])
            self.prepared = bool(state["prepared"])
            self.step, self.seconds = int(state["steps"]), float(state["seconds"])
        except Exception as error:  # a damaged state may be anything to torch
            if is_out_of_memory(error):
                raise
            raise ValueError(
                f"{path}: damaged, or not made with this config.yaml; start again with --overwrite"
            ) from error


class _Sink:
    """A file to write to that keeps what stopped it, such as a full disk; torch would make a RuntimeError of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: BaseException | None = None

    def write(self, content: bytes) -> int:
        """Write, unless that failed before."""
        if self.error is None:
            try:
                self._file.write(content)
            except BaseException as error:  # Ctrl-C, too
                self.error = error
        return len(content)

    def flush(self) -> None:
        """Nothing: closing the file does that."""


def read_state(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """What ``TrainingState.save`` wrote, as plain values and tensors."""
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state
