"""Lines on standard error where there is no terminal."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from distmap.common.progress import QUIET_SECONDS, Lines, Silent, format_figures, shown_progress, tracked


def test_a_line_at_the_start_of_a_stage_and_then_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    progress = Lines()
    progress.update("training", 0.0, {})
    progress.update("training", 0.1, {"fidelity": 0.5})
    now += QUIET_SECONDS
    progress.update("training", 0.25, {"fidelity": 0.123456})
    progress.update("judging", 0.0, {})
    progress.say("done")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "training ...",
        "training  25%, 90 s left  fidelity 0.1235",
        "judging ...",
        "done",
    ]


def test_lines_where_there_is_no_terminal() -> None:
    with shown_progress() as progress:
        assert isinstance(progress, Lines)


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with shown_progress() as progress:
        progress.update("training", 0.5, {"loss": 1.0})
        progress.say("a [red] line")
        progress.update("mapping", 1.0, {})
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "a [red] line" in captured.err


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    Silent().say("x")
    Silent().update("x", 0.5, {})
    assert capsys.readouterr() == ("", "")


def test_items_are_tracked() -> None:
    told: list[tuple[str, float]] = []

    class Told(Silent):
        def update(self, stage: str, share: float, figures: Mapping[str, float]) -> None:
            told.append((stage, share))

    assert list(tracked(iter("ab"), "mapping", Told(), total=2)) == ["a", "b"]
    assert told == [("mapping", 0.0), ("mapping", 0.5), ("mapping", 1.0)]


def test_figures() -> None:
    assert format_figures({"a": 1.0, "b": 123456.0, "c": 0.00001234}) == "a 1  b 1.235e+05  c 1.234e-05"
