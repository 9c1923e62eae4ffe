"""Rows are run once, go on where they were stopped, and trials stay apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import distmap
from distmap.common.locks import locked
from distmap.common.progress import Silent
from pipelines.quality import runner
from pipelines.quality.results import Result, read_result
from pipelines.quality.rows import Row
from pipelines.quality.runner import Workspace, run_row

MakeRow = Callable[..., Row]


class Counted:
    """Counts the calls of ``fit``, and may be told to stop one after some steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[dict[str, Any]] = []
        self._fit = distmap.fit
        self.stop_at: str | None = None
        monkeypatch.setattr(distmap, "fit", self)

    def __call__(self, *folders: Path, **options: Any) -> Any:
        self.calls.append(options)
        if self.stop_at is not None:
            return self._fit(*folders, **{**options, "progress": Stopping(self.stop_at)})
        return self._fit(*folders, **options)


class Stopping(Silent):
    """Presses Ctrl-C when a stage begins."""

    def __init__(self, stage: str) -> None:
        self._stage = stage

    def update(self, stage: str, share: float, figures: Any) -> None:
        if stage == self._stage:
            raise KeyboardInterrupt


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path / "work", data=tmp_path / "data")


def run(row: Row, work: Workspace, seed: int = 0) -> Result:
    return run_row(row, seed, work, "abc1234", Silent())


@pytest.fixture(scope="module")
def finished(make_row: MakeRow, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Where the row of `make_row` is finished with seed 3 (do not change it)."""
    folder = tmp_path_factory.mktemp("finished")
    done = Workspace(root=folder / "work", data=folder / "data")
    run(make_row(), done, seed=3)
    return done


def test_a_row_gives_one_file_with_all_that_is_needed(make_row: MakeRow, finished: Workspace) -> None:
    row = make_row()
    assert [path.name for path in finished.results.iterdir()] == ["tiny-3.json"]
    result = read_result(finished.result(row, 3))
    assert (result.row, result.seed, result.steps, result.revision) == ("tiny", 3, 3, "abc1234")
    assert result.budget_scale == 1
    assert result.pictures == {"train": {"with": 6, "without": 6}, "test": {"with": 50, "without": 50}}
    assert 0 <= result.scores["pixel_ap"] <= 1
    assert result.scores["dice_lost"] == result.scores["dice_oracle"] - result.scores["dice"]
    for source in ("branch1", "localizer"):
        assert 0 <= result.scores[f"{source}_pixel_ap"] <= 1
    assert result.config["seed"] == 3
    assert result.seconds.fit > 0
    assert not result.resumed
    assert result.commands == row.commands(3)


def test_figures_are_those_of_the_files(make_row: MakeRow, finished: Workspace) -> None:
    """As the commands give them."""
    import detect
    from pipelines.quality.scores import on_shape

    row = make_row()
    place, test = finished.run(row, 3), finished.pictures(row, 3) / "test"
    scores = detect.evaluate(place / "annotations.json", test / "masks", maps=place / "maps").to_dict()
    kept = read_result(finished.result(row, 3)).scores
    assert scores["pixel_ap"] is not None
    assert {name: kept[name] for name in scores} == json.loads(json.dumps(scores))
    assert kept["on_shape"] == on_shape(place / "maps", test / "shapes")


def test_a_finished_row_is_not_run_again(make_row: MakeRow, finished: Workspace, fits: Counted) -> None:
    row = make_row()
    before = read_result(finished.result(row, 3))
    assert run(row, finished, seed=3) == before
    assert fits.calls == []


def test_a_row_that_is_another_one_now_is_run_again(make_row: MakeRow, work: Workspace, fits: Counted) -> None:
    run(make_row(), work)
    longer = make_row(minutes=2)
    assert work.finished(longer, 0) is None
    assert run(longer, work).protocol["minutes"] == 2
    assert len(fits.calls) == 2
    assert not fits.calls[1]["resume"]


def test_a_result_cut_short_is_made_again_without_a_new_fit(
    make_row: MakeRow, work: Workspace, fits: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make_row()
    with monkeypatch.context() as patch:
        patch.setattr(runner, "every_score", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            run(row, work)
    assert not work.results.exists()
    assert run(row, work).steps == 3
    assert len(fits.calls) == 1


def test_a_fit_that_was_stopped_goes_on(make_row: MakeRow, work: Workspace, fits: Counted) -> None:
    row = make_row()
    fits.stop_at = "training the judge"
    with pytest.raises(KeyboardInterrupt):
        run(row, work)
    assert not work.results.exists()
    fits.stop_at = None
    result = run(row, work)
    assert [call["resume"] for call in fits.calls] == [False, True]
    assert result.resumed
    assert result.steps == 3
    assert result.seconds.fit > 0


def test_a_stopped_fit_of_other_settings_is_not_gone_on_with(make_row: MakeRow, work: Workspace, fits: Counted) -> None:
    fits.stop_at = "training the judge"
    with pytest.raises(KeyboardInterrupt):
        run(make_row(), work)
    fits.stop_at = None
    row = make_row()
    other = replace(row, settings={**row.settings, "losses": {"r1": 0.5}})
    assert run(other, work).config["losses"]["r1"] == 0.5
    assert [call["resume"] for call in fits.calls] == [False, False]


def test_a_fit_left_by_an_earlier_version_is_another_one(make_row: MakeRow, work: Workspace, fits: Counted) -> None:
    """Its settings had other names, and its run cannot be gone on with."""
    row = make_row()
    fits.stop_at = "training the judge"
    with pytest.raises(KeyboardInterrupt):
        run(row, work)
    fits.stop_at = None
    (place,) = (work.home / "runs").glob("tiny-0*")
    (path,) = (path for path in place.glob("*.json") if "config" in json.loads(path.read_text()))
    asked = json.loads(path.read_text())
    for settings in (asked["config"], asked["protocol"]["settings"]):
        settings["locator"] = settings.pop("localizer")
    path.write_text(json.dumps(asked))
    config = place / "run" / "config.yaml"
    config.write_text(config.read_text().removeprefix("format: 3\n"))
    assert run(row, work).config["localizer"]["steps"] == 2
    assert [call["resume"] for call in fits.calls] == [False, False]


def test_trials_stay_apart_and_say_so(make_row: MakeRow, work: Workspace, fits: Counted) -> None:
    row = make_row()
    trial = replace(work, budget_scale=0.5)
    result = run(row, trial)
    assert result.budget_scale == 0.5
    assert fits.calls[0]["overrides"]["training"]["time_limit"] == 30
    assert not work.results.exists()
    assert work.finished(row, 0) is None
    assert trial.finished(row, 0) == result
    assert trial.pictures(row, 0) == work.pictures(row, 0)


def test_two_processes_keep_out_of_each_other(make_row: MakeRow, work: Workspace) -> None:
    row = make_row()
    with (
        locked(work.run(row, 0)),
        ThreadPoolExecutor() as another,
        pytest.raises(ValueError, match=r"--rows tiny, seed 0: .* another command is writing there"),
    ):
        another.submit(run, row, work).result()


def test_whole_scenes_are_scored_against_their_boxes(make_row: MakeRow, scenes: Path, tmp_path: Path) -> None:
    from pipelines.quality.picture_sets import PLACE_GROUP, Scenes
    from pipelines.quality.splits import Named

    pictures = Scenes(
        label="cars",
        folder="aerial",
        split=Named(train=("town_",), test=("port_",)),
        category="small-vehicle",
        scale=1.0,
        patch=32,
    )
    row = make_row(
        pictures=pictures,
        group=PLACE_GROUP,
        images=("test/scenes",),
        truth="test/scenes_labelTxt",
        category="small-vehicle",
    )
    result = run(row, Workspace(root=tmp_path / "work", data=scenes))
    assert result.scores["pictures"] == 4
    assert result.scores["objects_true"] == 4
    assert (result.scores["truth"], result.scores["pixel_truth"]) == ("dota", "boxes")
    assert result.groups == {"train": ["town_0", "town_1", "town_2"], "test": ["port_3", "port_4"]}
