"""Progress on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")

QUIET_SECONDS = 30.0


class Progress(Protocol):
    """Told of everything that happens; ``fraction`` in 0..1 of the present stage."""

    def say(self, line: str) -> None:
        """Show one line."""

    def update(self, stage: str, fraction: float, figures: Mapping[str, float]) -> None:
        """Show how far a stage is."""


class Silent:
    """Shows nothing; for use from Python."""

    def say(self, line: str) -> None:
        """Show one line."""

    def update(self, stage: str, fraction: float, figures: Mapping[str, float]) -> None:
        """Show how far a stage is."""


class Lines:
    """A line on standard error at a stage's start and then every half minute."""

    def __init__(self) -> None:
        self._stage = ""
        self._started = self._spoken = 0.0

    def say(self, line: str) -> None:
        """Show one line."""
        print(line, file=sys.stderr, flush=True)

    def update(self, stage: str, fraction: float, figures: Mapping[str, float]) -> None:
        """Show how far a stage is, unless a line was shown a moment ago."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._started, self._spoken = stage, now, now
            self.say(f"{stage} ...")
        elif now - self._spoken >= QUIET_SECONDS:
            self._spoken = now
            left = (now - self._started) * (1 - fraction) / fraction if fraction > 0 else 0.0
            self.say(f"{stage} {fraction:4.0%}, {left:.0f} s left  {format_figures(figures)}".rstrip())


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """A bar where standard error is a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        "{task.description}",
        BarColumn(),
        "{task.percentage:>3.0f}%",
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, int] = {}

        class Bar:
            def say(self, line: str) -> None:
                bar.console.print(line, markup=False, highlight=False)

            def update(self, stage: str, fraction: float, figures: Mapping[str, float]) -> None:
                if stage not in tasks:
                    tasks[stage] = bar.add_task(stage, total=1.0, figures="")
                bar.update(tasks[stage], completed=fraction, figures=format_figures(figures))  # type: ignore[arg-type]

        yield Bar()


def tracked(items: Iterable[T], stage: str, progress: Progress, *, total: int) -> Iterator[T]:
    """Items as they come; ``progress`` is told how many of ``total`` are done with."""
    progress.update(stage, 0.0, {})
    for count, item in enumerate(items, start=1):
        yield item
        progress.update(stage, count / total, {})


def format_figures(figures: Mapping[str, float]) -> str:
    """``name value`` pairs on one line."""
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
