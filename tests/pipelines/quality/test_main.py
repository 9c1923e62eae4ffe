"""``python -m pipelines.quality``: what it lists, refuses, prepares, runs and writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipelines.quality import rows, runner
from pipelines.quality.__main__ import main
from pipelines.quality.page import BEGIN, END
from pipelines.quality.results import Result as RowResult
from pipelines.quality.rows import Row, every_row
from pipelines.quality.runner import Workspace


class Folder:
    """A work folder and a page in a temporary folder, and the command on them."""

    def __init__(self, place: Path, data: Path) -> None:
        self.work, self.page, self.data = place / "work", place / "results.md", data
        self.page.write_text(f"Prose\n{BEGIN}\n{END}\n", encoding="utf-8")

    def invoke(self, *arguments: object) -> Result:
        places = ["--work", self.work, "--page", self.page, "--data", self.data]
        return CliRunner().invoke(main, [str(word) for word in (*arguments, *places)])


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path, tmp_path / "data")


@pytest.fixture
def two_rows(make_row: Callable[..., Row], monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """The only rows there are: ``tiny`` with two seeds and ``other``."""
    some = [make_row(seeds=(0, 1)), make_row(name="other")]
    monkeypatch.setattr(rows, "every_row", lambda: tuple(some))
    return some


@pytest.fixture
def runs(make_result: Callable[..., RowResult], monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What is run; nothing is fitted, every row gives the same figures."""
    done: list[tuple[str, int]] = []

    def run_row(row: Row, seed: int, work: Workspace, revision: str, progress: object) -> RowResult:
        finished = work.finished(row, seed)
        if finished is not None:
            return finished
        if row.name == "other" and (work.root / "stop").exists():
            raise KeyboardInterrupt
        done.append((row.name, seed))
        result = make_result(row=row.name, seed=seed, revision=revision, budget_scale=work.budget_scale)
        result.write(work.result(row, seed))
        return result

    monkeypatch.setattr(runner, "run_row", run_row)
    return done


def test_list(folder: Folder, two_rows: list[Row], make_result: Callable[..., RowResult]) -> None:
    make_result(seed=1).write(folder.work / "results" / "tiny-1.json")
    result = folder.invoke("--list")
    assert result.exit_code == 0
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["tiny", "seed", "0", "1", "minutes", "to", "run"],
        ["tiny", "seed", "1", "1", "minutes", "finished"],
        ["other", "seed", "0", "1", "minutes", "to", "run"],
    ]


def test_list_shows_every_row(folder: Folder) -> None:
    lines = folder.invoke("--list").stdout.splitlines()
    assert len(lines) == sum(len(row.seeds) for row in every_row())


def test_runs_what_is_not_finished_and_writes_the_page(
    folder: Folder, two_rows: list[Row], runs: list[tuple[str, int]]
) -> None:
    assert folder.invoke("--rows", "tiny", "--seeds", "1").exit_code == 0
    assert runs == [("tiny", 1)]
    page = folder.page.read_text(encoding="utf-8")
    assert page.startswith(f"Prose\n{BEGIN}\n")
    assert "Not run yet: `tiny` (seed 0), `other` (seed 0)." in page
    assert folder.invoke().exit_code == 0
    assert runs == [("tiny", 1), ("tiny", 0), ("other", 0)]
    assert "Not run yet" not in folder.page.read_text(encoding="utf-8")


def test_what_is_done_is_shown_when_it_is_stopped(
    folder: Folder, two_rows: list[Row], runs: list[tuple[str, int]]
) -> None:
    folder.work.mkdir()
    (folder.work / "stop").touch()
    assert folder.invoke().exit_code == 130
    assert runs == [("tiny", 0), ("tiny", 1)]
    assert "Not run yet: `other` (seed 0)." in folder.page.read_text(encoding="utf-8")


def test_trials_leave_the_page_alone(folder: Folder, two_rows: list[Row], runs: list[tuple[str, int]]) -> None:
    before = folder.page.read_text(encoding="utf-8")
    assert folder.invoke("--budget-scale", 0.05).exit_code == 0
    assert folder.page.read_text(encoding="utf-8") == before
    assert "A trial" in (folder.work / "trial-0.05" / "page.md").read_text(encoding="utf-8")
    assert not (folder.work / "results").exists()


def test_a_trial_among_the_results_stops_the_page(
    folder: Folder, two_rows: list[Row], make_result: Callable[..., RowResult]
) -> None:
    before = folder.page.read_text(encoding="utf-8")
    make_result(budget_scale=0.05).write(folder.work / "results" / "tiny-0.json")
    result = folder.invoke("--report")
    assert result.exit_code == 2
    assert "tiny-0.json: made in 0.05 of the time" in result.stderr
    assert folder.page.read_text(encoding="utf-8") == before


def test_report_runs_nothing(
    folder: Folder, two_rows: list[Row], runs: list[tuple[str, int]], make_result: Callable[..., RowResult]
) -> None:
    make_result().write(folder.work / "results" / "tiny-0.json")
    assert folder.invoke("--report").exit_code == 0
    assert runs == []
    assert "0.500" in folder.page.read_text(encoding="utf-8")


def test_prepare_writes_pictures_alone(folder: Folder, two_rows: list[Row]) -> None:
    assert folder.invoke("--prepare", "--rows", "tiny", "--seeds", "4").exit_code == 0
    assert (folder.work / "data" / "shape-32-4" / "train" / "with").is_dir()
    assert not (folder.work / "runs").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--rows", "nothing"), "--rows nothing: is no row"),
        (("--seeds", "0,x"), "--seeds 0,x: give numbers"),
        (("--seeds", "-1"), "--seeds -1: give numbers"),
        (("--budget-scale", "0"), "--budget-scale"),
        (("--budget-scale", "2"), "--budget-scale"),
        (("--list", "--report"), "give one of them"),
        (("--rows", "lgg"), "holds no lgg; set it to the folder with the real pictures"),
    ],
)
def test_wrong_option(folder: Folder, options: tuple[str, ...], named: str) -> None:
    result = folder.invoke(*options)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert named in result.stderr
    assert not folder.work.exists()
