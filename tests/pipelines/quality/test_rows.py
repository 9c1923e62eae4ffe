"""The rows as they stand: nobody is on two sides, settings are settings, commands are commands."""

from __future__ import annotations

import csv
import importlib
import shlex
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import click
import pytest

from distmap.config import resolve
from pipelines.quality.__main__ import main as quality
from pipelines.quality.picture_sets import SLICE_GROUP, Cases, Scenes, Slices
from pipelines.quality.rows import CATS_TEST, LGG_DEVELOPMENT, LGG_TEST, Row, chosen, every_row
from pipelines.quality.scores import KINDS
from pipelines.quality.splits import SplitGroups
from pipelines.scans.cases import find_cases

ROWS = every_row()
REAL = [row for row in ROWS if isinstance(row.pictures, Slices | Scenes | Cases)]
SOURCES = {"cats_00", "simd_0752", "dota_P0003", "kit_munich_a", "minsk_square"}
PLACES = sorted(SOURCES | {f"cats_{number:02}" for number in range(10)})
GROUPS = {
    "lgg": [f"TCGA_{number:02}" for number in range(75)],
    "aerial": PLACES,
    "planes": [f"airbus_{number}" for number in range(24)],
    "brats": [f"case_{number}" for number in range(4)],
}


def split_of(row: Row, groups: dict[str, list[str]]) -> SplitGroups:
    assert isinstance(row.pictures, Slices | Scenes | Cases)
    return row.pictures.split.apply(groups[row.pictures.source])


def by_name(name: str) -> Row:
    (row,) = chosen(ROWS, [name])
    return row


def test_names_are_file_names_and_unique() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert all(Path(name).name == name and " " not in name for name in names)


def test_the_rows_that_were_asked_for() -> None:
    seeds = {row.name: row.seeds for row in ROWS if row.part == "targets"}
    generated, real = {"presence", "shape", "effect"}, {"lgg", "cats", "aerial-other", "planes", "brats"}
    rows_of_blocks = {"rows-64", "rows-96", "rows-160"}
    assert set(seeds) == generated | rows_of_blocks | real | {"cats-full", "brats-hemispheres"}
    assert seeds["lgg"] == seeds["cats"] == seeds["cats-full"] == (0, 1, 2)


def test_rows_of_blocks_differ_in_the_pictures_alone() -> None:
    sizes = [by_name(f"rows-{side}") for side in (64, 96, 160)]
    assert [row.pictures.name(0) for row in sizes] == ["rows-64-0", "rows-96-0", "rows-160-0"]
    assert "--image-size 96" in by_name("rows-96").commands(0)[0]


def test_folders_of_few_pictures() -> None:
    assert {row.name for row in ROWS if row.part == "folders"} == {"lgg-25", "lgg-50", "lgg-100", "lgg-200"}


def test_set_aside_counts() -> None:
    assert len(split_of(by_name("lgg"), GROUPS).test) == LGG_TEST == 25
    assert len(split_of(by_name("ablation-lgg-default"), GROUPS).test) == LGG_DEVELOPMENT == 12
    assert len(split_of(by_name("planes"), GROUPS).test) == 6
    assert len(split_of(by_name("brats"), GROUPS).test) == 1
    assert split_of(by_name("brats-hemispheres"), GROUPS) == split_of(by_name("brats"), GROUPS)
    assert split_of(by_name("cats"), GROUPS).test == CATS_TEST
    assert len(split_of(by_name("cats"), GROUPS).train) == 7


@pytest.mark.parametrize("row", REAL, ids=lambda row: row.name)
def test_splits_share_no_group(row: Row) -> None:
    found = split_of(row, GROUPS)
    assert found.train
    assert found.test
    assert not set(found.train) & set(found.test)


@pytest.mark.parametrize("row", [row for row in REAL if row.part == "ablations"], ids=lambda row: row.name)
def test_choices_are_made_without_those_set_aside(row: Row) -> None:
    for target in ("lgg", "cats", "aerial-other"):
        aside = by_name(target)
        if aside.pictures.source == row.pictures.source:
            found = split_of(row, GROUPS)
            assert not {*found.train, *found.test} & set(split_of(aside, GROUPS).test)


def test_small_folders_are_scored_as_lgg() -> None:
    for row in ROWS:
        if row.part == "folders":
            assert split_of(row, GROUPS) == split_of(by_name("lgg"), GROUPS)


def test_other_sources_do_not_train() -> None:
    found = split_of(by_name("aerial-other"), GROUPS)
    assert {name.partition("_")[0] for name in found.train} == {"cats", "simd"}
    assert {name.partition("_")[0] for name in found.test} == {"dota", "kit", "minsk"}


@pytest.mark.real
def test_real_groups_share_nothing_either(data: Path) -> None:
    groups: dict[str, list[str]] = {
        "lgg": sorted({file.stem.rpartition("_")[0] for file in (data / "lgg" / "with").iterdir()}),
        "brats": [case.name for case in find_cases(data / "brats", ["flair"]).complete],
    }
    for folder in ("aerial", "planes"):
        with (data / folder / "index.csv").open(encoding="utf-8", newline="") as lines:
            groups[folder] = [row["group"] for row in csv.DictReader(lines)]
    found = {row.name: split_of(row, groups) for row in REAL}
    for first, second in combinations(("lgg", "ablation-lgg-default"), 2):
        assert not set(found[first].test) & {*found[second].train, *found[second].test}
    assert not set(found["cats"].test) & {*found["ablation-cats-default"].train, *found["ablation-cats-default"].test}
    assert len(found["lgg"].train) == 50


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
class TestEveryRow:
    def test_settings_are_settings(self, row: Row) -> None:
        config = resolve(overrides=row.overrides(seed=5, budget_scale=0.5))
        assert config.seed == 5
        if row.minutes is None:
            assert row.steps is not None
            assert (config.training.steps, config.training.time_limit) == (row.steps / 2, None)
        else:
            assert (config.training.steps, config.training.time_limit) == (None, 30 * row.minutes)
        assert config.data.group == row.group

    def test_scores_are_known(self, row: Row) -> None:
        assert {score.name for score in row.scores} <= set(KINDS)

    def test_commands_and_their_options_exist(self, row: Row) -> None:
        for line in row.commands(seed=1):
            words = shlex.split(line)
            if words[0] == "python":
                assert words[:3] == ["python", "-m", "pipelines.quality"]
                command: click.Command = quality
            else:
                group = importlib.import_module(f"{words[0]}.cli").main
                command = group.commands[words[1]]
            known = {spelling for parameter in command.params for spelling in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= known, line

    def test_commands_give_the_settings_that_are_used(self, row: Row) -> None:
        words = shlex.split(row.commands(seed=1)[1])
        settings = [words[index + 1] for index, word in enumerate(words) if word == "--set"]
        asked = {words[index]: words[index + 1] for index in range(4, len(words) - 1, 2)}
        if "--steps" in asked:
            training: dict[str, Any] = {"steps": int(asked["--steps"]), "time_limit": None}
        else:
            training = {"time_limit": 60.0 * float(asked["--time-limit"].removesuffix("m"))}
        duration = {"training": training}
        group = {"data": {"group": asked["--group"]}} if "--group" in asked else {}
        shown = resolve(settings=settings, overrides={"seed": int(asked["--seed"]), **duration, **group})
        assert shown == resolve(overrides=row.overrides(seed=1, budget_scale=1))


def test_an_ablation_is_one_change() -> None:
    """From the defaults on the same pictures."""
    for name in ("lgg", "cats"):
        default = by_name(f"ablation-{name}-default")
        changed = chosen(ROWS, [f"ablation-{name}-*"])
        assert len(changed) > 10
        for row in changed:
            assert row.pictures == default.pictures
            assert set(default.assignments()) <= set(row.assignments())
            if row is not default:
                assert resolve(overrides=row.overrides(0, 1)) != resolve(overrides=default.overrides(0, 1))


def test_overhead_pictures_may_be_turned() -> None:
    for row in REAL:
        symmetry = resolve(overrides=row.overrides(0, 1)).data.symmetry
        assert symmetry == ("all" if isinstance(row.pictures, Scenes) else "mirror")


def test_settings_of_a_section_are_merged(make_row: Callable[..., Row]) -> None:
    row = make_row(group=SLICE_GROUP, minutes=2, settings={"data": {"holdout": 0.3}, "training": {"steps": 9}})
    assert row.overrides(seed=4, budget_scale=0.5) == {
        "seed": 4,
        "data": {"group": SLICE_GROUP, "holdout": 0.3},
        "training": {"time_limit": 60.0, "steps": 9},
    }


def test_protocol_tells_rows_apart_by_what_decides_figures(make_row: Callable[..., Row]) -> None:
    row = make_row()
    assert row.protocol() == make_row(title="Other words", seeds=(0, 1), scores=()).protocol()
    assert row.protocol() != make_row(minutes=2).protocol()
    assert row.protocol() != make_row(minutes=None, steps=60).protocol()
    assert row.protocol() != make_row(settings={}).protocol()


def test_a_row_lasts_minutes_or_steps(make_row: Callable[..., Row]) -> None:
    assert make_row(minutes=2.5).length == "2.5 minutes"
    assert make_row(minutes=None, steps=60).length == "60 steps"
    for minutes, steps in ((None, None), (2, 60)):
        with pytest.raises(ValueError, match=f"minutes={minutes}, steps={steps}"):
            make_row(minutes=minutes, steps=steps)


class TestChosen:
    def test_by_name_and_pattern(self) -> None:
        assert [row.name for row in chosen(ROWS, ["cats", "lgg"])] == ["lgg", "cats"]
        assert [row.name for row in chosen(ROWS, ["lgg-?00"])] == ["lgg-100", "lgg-200"]
        assert chosen(ROWS, []) == list(ROWS)

    def test_unknown(self) -> None:
        with pytest.raises(ValueError, match="--rows cat: is no row"):
            chosen(ROWS, ["lgg", "cat"])
