"""What the files of a run say of its training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detect.report.run_facts import MOST_POINTS, read_run_facts


def test_a_folder_without_these_files(tmp_path: Path) -> None:
    facts = read_run_facts(tmp_path)
    assert (facts.name, facts.settings, facts.pictures, facts.curves) == (tmp_path.name, {}, {}, ())


def test_settings_and_pictures(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("method: mil\nlosses:\n  blend: 1.5\n  gate: null\n")
    (tmp_path / "dataset.json").write_text(
        json.dumps({"train": {"with": ["a", "b"], "without": []}, "validation": {"with": [], "without": ["c"]}})
    )
    facts = read_run_facts(tmp_path)
    assert facts.settings == {"method": "mil", "losses.blend": 1.5, "losses.gate": None}
    assert facts.pictures == {"train": {"with": 2, "without": 0}, "validation": {"with": 0, "without": 1}}


def test_curves_are_thinned_by_means(tmp_path: Path) -> None:
    count = 4 * MOST_POINTS
    lines = [
        {"step": step, "seconds": 9.0, "loss": step % 2, "text": "x", "bad": float("nan")} for step in range(count)
    ]
    lines[-1]["late"] = 2.5
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 9')
    curves = {curve.name: curve for curve in read_run_facts(tmp_path).curves}
    assert set(curves) == {"loss", "late"}
    assert len(curves["loss"].steps) == MOST_POINTS
    assert curves["loss"].steps[:2] == [1.5, 5.5]
    assert set(curves["loss"].values) == {0.5}
    assert (curves["late"].steps, curves["late"].values) == ([count - 1], [2.5])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.yaml", "- 1\n", r"config\.yaml: holds list"),
        ("dataset.json", '{"train": 3}', r"dataset\.json: does not list"),
        ("metrics.jsonl", "{\n", r"metrics\.jsonl: line 1: not a JSON"),
        ("metrics.jsonl", '{"step": 1}\n{"loss": 1}\n', r"metrics\.jsonl: line 2: is no object with a step"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_run_facts(tmp_path)
