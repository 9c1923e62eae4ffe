"""The page from hand-made results: medians, ranges, floors; trials are refused; prose is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.quality.page import BEGIN, END, read_results, render, write_page
from pipelines.quality.results import Result, Seconds
from pipelines.quality.rows import Row, Score, every_row

MakeRow = Callable[..., Row]
MakeResult = Callable[..., Result]


def cells(text: str, first: str) -> list[list[str]]:
    """Lines of tables that begin with a cell."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines if line[0].strip() == first]


class TestFloors:
    def test_median_range_floor_and_aim_by_hand(self, make_row: MakeRow, make_result: MakeResult) -> None:
        row = make_row(
            seeds=(0, 1, 2),
            scores=(
                Score(name="dice", floor=0.6, aim=0.79),
                Score(name="dice_lost", floor=0.05, aim=0.02),
                Score(name="psnr"),
            ),
        )
        figures = [(0.7, 0.03, 40.0), (0.5, 0.09, 38.0), (0.6, 0.04, 41.25)]
        results = [
            make_result(seed=seed, scores=dict(zip(("dice", "dice_lost", "psnr"), values, strict=True)))
            for seed, values in enumerate(figures)
        ]
        text = render(results, [row])
        assert cells(text, "`tiny`") == [
            ["`tiny`", "dice, label-free threshold", "0.600", "0.500 to 0.700", "3 of 3", "0.6, met", "0.79, missed"],
            [
                "`tiny`",
                "dice lost to the label-free threshold",
                "0.040",
                "0.030 to 0.090",
                "3 of 3",
                "0.05, met",
                "0.02, missed",
            ],
        ]
        assert cells(text, "psnr, dB") == [["psnr, dB", "40.0", "38.0", "41.2", "40.0", "38.0 to 41.2"]]
        assert "Not run yet" not in text

    def test_even_numbers_of_seeds(self, make_row: MakeRow, make_result: MakeResult) -> None:
        row = make_row(seeds=(0, 1, 2), scores=(Score(name="dice", floor=0.6),))
        text = render([make_result(seed=seed, scores={"dice": 0.5 + 0.2 * seed}) for seed in (0, 1)], [row])
        assert cells(text, "`tiny`")[0][2:] == ["0.600", "0.500 to 0.700", "2 of 3", "0.6, met", "–"]
        assert "Not run yet: `tiny` (seed 2)." in text

    def test_a_score_that_is_not_defined(self, make_row: MakeRow, make_result: MakeResult) -> None:
        row = make_row(scores=(Score(name="ap50", floor=0.5, aim=0.7),))
        text = render([make_result(scores={"ap50": None})], [row])
        assert cells(text, "`tiny`")[0][2:] == ["–", "–", "0 of 1", "0.5, not known", "0.7, not known"]


def test_a_row_says_how_it_came_about(make_row: MakeRow, make_result: MakeResult) -> None:
    result = make_result(
        resumed=True,
        scores={"branch1_pixel_ap": 0.4},
        groups={"train": ["a", "b", "c"], "test": ["d"]},
        commands=("one command", "another"),
    )
    text = render([result], [make_row()])
    assert "Machine: cpu, 2 cores, 1 torch thread." in text
    assert cells(text, "pixel_ap of branch 1 alone") == [["pixel_ap of branch 1 alone", "0.400"]]
    assert cells(text, "pixel_ap of the localizer alone") == [["pixel_ap of the localizer alone", "–"]]
    assert "1 minutes on 6 pictures WITH and 7 WITHOUT of 3 groups" in text
    assert "1 group set aside (`d`): 3 pictures WITH and 4 WITHOUT." in text
    assert "```bash\none command\nanother\n```" in text
    assert cells(text, "steps") == [["steps", "300"]]
    assert cells(text, "fit, s") == [["fit, s", "60 (resumed)"]]
    assert cells(text, "cores used, load") == [["cores used, load", "0.90, 1.5"]]
    assert cells(text, "code") == [["code", "abc1234"]]


def test_a_fit_that_took_longer_than_it_was_given(make_row: MakeRow, make_result: MakeResult) -> None:
    row = make_row(minutes=1, seeds=(0, 1, 2))
    results = [
        make_result(seed=0, seconds=Seconds(fit=61, extract=1, evaluate=1)),
        make_result(seed=1, seconds=Seconds(fit=62, extract=1, evaluate=1)),
        make_result(seed=2, seconds=Seconds(fit=90, extract=1, evaluate=1), resumed=True),
    ]
    assert cells(render(results, [row]), "fit, s")[0][1:4] == [
        "61",
        "62 (over the time)",
        "90 (resumed, over the time)",
    ]


def test_scenes_are_counted(make_row: MakeRow, make_result: MakeResult) -> None:
    result = make_result(groups={"train": ["a"], "test": ["b", "c"]}, scores={"pictures": 7})
    text = render([result], [make_row(images=("test/scenes",))])
    assert "scored on 2 groups set aside (`b`, `c`): 7 scenes, whole." in text


def test_ablations_and_small_folders_are_one_line_each(make_row: MakeRow, make_result: MakeResult) -> None:
    scores = (Score(name="pixel_ap"),)
    shared, branches = {"data": {"symmetry": "all"}}, {"generator": {"branches": 5}}
    rows = [
        make_row(name="small", part="folders", scores=scores),
        make_row(name="plain", part="ablations", change="default", scores=scores, settings=shared, seeds=(0, 1, 2)),
        make_row(name="other", part="ablations", change="5 branches", scores=scores, settings={**shared, **branches}),
        make_row(name="third", part="ablations", change="no r1", scores=scores),
    ]
    results = [make_result(row=row.name, scores={"pixel_ap": 0.25}) for row in rows[:3]]
    results += [make_result(row="plain", seed=seed, scores={"pixel_ap": 0.1 + seed / 10}) for seed in (1, 2)]
    text = render(results, rows)
    assert cells(text, "`small`") == [["`small`", "6", "0.250", "300", "0", "abc1234"]]
    assert cells(text, "default") == [["default", "", "0.250 (0.200 to 0.300)", "60", "0, 1, 2", "abc1234"]]
    assert cells(text, "5 branches") == [["5 branches", "`generator.branches=5`", "0.250", "60", "0", "abc1234"]]
    assert "Not run yet: 1 ablation." in text


class TestReadResults:
    def test_in_the_order_of_rows_and_seeds(self, make_row: MakeRow, make_result: MakeResult, tmp_path: Path) -> None:
        rows = [make_row(name="zebra"), make_row(name="apple")]
        for name, seed in (("apple", 0), ("zebra", 10), ("zebra", 9)):
            make_result(row=name, seed=seed).write(tmp_path / f"{name}-{seed}.json")
        results, others = read_results(tmp_path, rows)
        assert [(result.row, result.seed) for result in results] == [("zebra", 9), ("zebra", 10), ("apple", 0)]
        assert others == 0

    def test_rows_that_are_other_ones_now_are_left_out(
        self, make_row: MakeRow, make_result: MakeResult, tmp_path: Path
    ) -> None:
        make_result(seed=1).write(tmp_path / "tiny-1.json")
        make_result(row="gone").write(tmp_path / "gone-0.json")
        make_result(protocol={**make_row().protocol(), "minutes": 2}).write(tmp_path / "tiny-0.json")
        earlier = json.loads(json.dumps(make_row().protocol()).replace('"localizer"', '"locator"'))
        assert earlier != make_row().protocol()
        make_result(seed=2, protocol=earlier).write(tmp_path / "tiny-2.json")  # settings had other names
        results, others = read_results(tmp_path, [make_row()])
        assert [result.seed for result in results] == [1]
        assert others == 3

    def test_trials_are_refused(self, make_row: MakeRow, make_result: MakeResult, tmp_path: Path) -> None:
        make_result().write(tmp_path / "tiny-0.json")
        make_result(seed=1, budget_scale=0.05).write(tmp_path / "tiny-1.json")
        with pytest.raises(ValueError, match=r"tiny-1\.json: made in 0\.05 of the time"):
            read_results(tmp_path, [make_row()])
        with pytest.raises(ValueError, match=r"tiny-0\.json: made in 1 of the time"):
            read_results(tmp_path, [make_row()], budget_scale=0.05)


def test_a_trial_says_so(make_row: MakeRow, make_result: MakeResult) -> None:
    assert "A trial with 0.05 of the time" in render([make_result()], [make_row()], budget_scale=0.05)
    assert "trial" not in render([make_result()], [make_row()])


class TestWritePage:
    def test_prose_is_kept_and_the_rest_replaced(self, tmp_path: Path) -> None:
        page = tmp_path / "results.md"
        page.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nAfter: σ\n", encoding="utf-8")
        for _ in range(2):
            write_page(page, "new\n")
            assert page.read_text(encoding="utf-8") == f"# Before\n\n{BEGIN}\n\nnew\n\n{END}\n\nAfter: σ\n"

    @pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
    def test_a_page_without_its_place_is_left_alone(self, tmp_path: Path, text: str) -> None:
        page = tmp_path / "results.md"
        page.write_text(text)
        with pytest.raises(ValueError, match=r"results\.md: must hold the lines"):
            write_page(page, "new")
        assert page.read_text() == text

    def test_no_page(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"results\.md: not there"):
            write_page(tmp_path / "results.md", "new")


def test_the_project_s_page_has_its_place(root: Path) -> None:
    text = (root / "docs" / "results.md").read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert text.index(BEGIN) < text.index(END)


def test_every_row_can_be_shown(make_result: MakeResult) -> None:
    rows = every_row()
    results = [
        make_result(
            row=row.name,
            seed=seed,
            groups={"train": ["a"], "test": ["b"]},
            commands=row.commands(seed),
            scores={"pictures": 5, "dice": 0.5},
        )
        for row in rows
        for seed in row.seeds
    ]
    text = render(results, rows)
    assert "Not run yet" not in text
    for line in text.splitlines():
        assert not re.search(r"\bNone\b|\bnan\b", line), line
