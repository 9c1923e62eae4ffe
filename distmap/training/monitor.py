"""What is written about a training while it runs: figures and sample sheets; and how it is stopped."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from distmap.common.checked_files import parse_json
from distmap.common.files import write_text
from distmap.common.pictures import read_filled_picture
from distmap.common.signals import handled
from distmap.data.folders import LabelledPicture
from distmap.inference.image_grid import sample_row, write_grid
from distmap.inference.model import DistinctionModel

METRICS, SAMPLES = "metrics.jsonl", "samples"


class Recorder:
    """``metrics.jsonl`` and TensorBoard events; what was logged after the step that it starts from is dropped."""

    def __init__(self, run: Path, step: int) -> None:
        self._run = run
        self._start(step)

    def _start(self, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        path = self._run / METRICS
        if path.is_file():
            kept = [
                line
                for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
                if _logged_step(line) <= step
            ]
            write_text(path, "".join(line + "\n" for line in kept))
        self._lines = path.open("a", encoding="utf-8")
        self._events = SummaryWriter(str(self._run), purge_step=step + 1 if step else None)

    def go_back(self, step: int) -> None:
        """Drop what was logged after this step."""
        self.close()
        self._start(step)

    def record(self, step: int, seconds: float, figures: Mapping[str, float]) -> None:
        """Write one line and the same to TensorBoard."""
        self._lines.write(json.dumps({"step": step, "seconds": round(seconds, 2), **figures}) + "\n")
        self._lines.flush()
        for name, value in figures.items():
            self._events.add_scalar(name, value, step)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        # On a full disk closing fails, too; what failed first says more.
        with suppress(*() if kind is None else (OSError,)):
            self.close()

    def close(self) -> None:
        """Close both."""
        try:
            self._lines.close()
        finally:
            self._events.close()


def _logged_step(line: str) -> float:
    try:
        return float(parse_json(line.encode("utf-8"), METRICS)["step"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return float("inf")  # a line cut short by a crash


def write_sample(run: Path, model: DistinctionModel, shown: Sequence[LabelledPicture], step: int) -> None:
    """Write ``samples/STEP.png``: a row for each picture, with what the predictor shows of it and its map."""
    rows = [
        sample_row(model, read_filled_picture(picture.file.path), picture.label, picture.file.name) for picture in shown
    ]
    write_grid(run / SAMPLES / f"{step:07d}.png", rows)


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """Ctrl-C, SIGTERM and SIGHUP set the event, so that a step ends before work is saved; a second stops at once."""
    stopping = threading.Event()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()

    with handled(handle):
        yield stopping
