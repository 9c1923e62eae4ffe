"""``python -m pipelines.quality``: run the rows, pass over what is finished, write the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distmap.common.commands import CommandGroup

if TYPE_CHECKING:
    from distmap.common.progress import Progress
    from pipelines.quality.rows import Row
    from pipelines.quality.runner import Workspace


@click.group(cls=CommandGroup, invoke_without_command=True, subcommand_metavar="")
@click.option("--rows", "patterns", metavar="A,B,...", default="", help="These alone; * stands for anything.")
@click.option("--seeds", metavar="N,N,...", default="", help="Instead of each row's own.")
@click.option("--list", "listing", is_flag=True, help="Show the rows and what is finished.")
@click.option("--prepare", "preparing", is_flag=True, help="Write the pictures alone.")
@click.option("--report", "reporting", is_flag=True, help="Write the page alone, of what is finished.")
@click.option(
    "--budget-scale",
    type=click.FloatRange(min=0, min_open=True, max=1),
    default=1.0,
    help="Try it in this fraction of the time; such figures are kept apart and never get into the page.",
)
@click.option(
    "--data",
    metavar="DIR",
    envvar="DISTMAP_DATA",
    type=click.Path(path_type=Path),
    default=Path("../shared/data"),
    help="The real pictures.  [default: $DISTMAP_DATA, else ../shared/data]",
)
@click.option(
    "--work",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=Path("build/quality"),
    help="Pictures, runs, results.  [default: build/quality]",
)
@click.option(
    "--page",
    metavar="FILE",
    type=click.Path(path_type=Path),
    default=Path("docs/results.md"),
    help="The page to write into.  [default: docs/results.md]",
)
def main(
    patterns: str,
    seeds: str,
    listing: bool,
    preparing: bool,
    reporting: bool,
    budget_scale: float,
    data: Path,
    work: Path,
    page: Path,
) -> None:
    """Measure quality, row by row: prepare the pictures, fit, extract, score, write the page.

    Finished rows and seeds are passed over; to run one again, remove its file in DIR/results of --work. A row that was
    stopped goes on where it was.
    """
    if listing + preparing + reporting > 1:
        raise ValueError("--list, --prepare and --report: give one of them")
    from pipelines.quality.picture_sets import check_data
    from pipelines.quality.rows import chosen, every_row
    from pipelines.quality.runner import Workspace, prepare_row

    rows = every_row()
    place = Workspace(root=work, data=data, budget_scale=budget_scale)
    jobs = [(row, seed) for row in chosen(rows, _words(patterns)) for seed in _numbers(seeds) or row.seeds]
    if listing:
        for row, seed in jobs:
            state = "finished" if place.finished(row, seed) else "to run"
            click.echo(f"{row.name:36} seed {seed}  {row.length:>10}  {state}")
        return
    if not reporting:
        from distmap.common.progress import shown_progress

        check_data((row.pictures.source for row, _ in jobs), data)
        with shown_progress() as progress:
            if preparing:
                for row, seed in jobs:
                    prepare_row(row, seed, place, progress)
                return
            try:
                _run(jobs, place, progress)
            finally:
                # A row that fails must not take those before it from the page.
                _write(rows, place, page)
        return
    _write(rows, place, page)


def _run(jobs: Sequence[tuple[Row, int]], place: Workspace, progress: Progress) -> None:
    from pipelines.quality.runner import load_code, run_row

    revision = load_code()
    for number, (row, seed) in enumerate(jobs, start=1):
        progress.say(f"{row.name}, seed {seed} ({number} of {len(jobs)})")
        result = run_row(row, seed, place, revision, progress)
        figures = {score.name: result.scores.get(score.name) for score in row.scores}
        shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items() if isinstance(value, float))
        progress.say(f"{row.name}, seed {seed}: {result.steps} steps, {shown}")


def _write(rows: Sequence[Row], place: Workspace, page: Path) -> None:
    from distmap.common.files import write_text
    from pipelines.quality.page import read_results, render, write_page
    from pipelines.quality.runner import FULL

    results, others = read_results(place.results, rows, budget_scale=place.budget_scale)
    if others:
        click.echo(f"{place.results}: {others} results left out, their rows are other ones now", err=True)
    if not results:
        return
    text = render(results, rows, budget_scale=place.budget_scale)
    if place.budget_scale == FULL:
        write_page(page, text)
        click.echo(f"{page}: {len(results)} results", err=True)
    else:
        write_text(place.home / "page.md", text)
        click.echo(f"{place.home / 'page.md'}: {len(results)} results of a trial", err=True)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(word) for word in _words(text)]
    except ValueError:
        numbers = [-1]
    if any(number < 0 for number in numbers):
        raise ValueError(f"--seeds {text}: give numbers from 0 with commas between them, such as 0,1,2")
    return numbers


if __name__ == "__main__":
    main(prog_name="python -m pipelines.quality")
