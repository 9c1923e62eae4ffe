"""What is written while a training runs, and how Ctrl-C ends it."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import cv2
import pytest

import distmap
from distmap.data.folders import list_folders, stratified_subsample
from distmap.inference.image_grid import GAP, LEAST_WIDTH, LINE
from distmap.training.monitor import Recorder, stop_on_interrupt, write_sample


def lines(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_figures_go_to_a_line_each_and_to_tensorboard(tmp_path: Path) -> None:
    with Recorder(tmp_path, 0) as recorder:
        recorder.record(10, 1.234, {"fidelity": 0.5})
        assert lines(tmp_path) == [{"step": 10, "seconds": 1.23, "fidelity": 0.5}]  # at once, not at the end
        recorder.record(20, 2.0, {"fidelity": 0.25})
    assert [line["step"] for line in lines(tmp_path)] == [10, 20]
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1


def test_what_was_logged_after_the_step_is_dropped(tmp_path: Path) -> None:
    content = (
        '{"step": 10, "seconds": 1}\n{"step": 20, "seconds": 2}\n{"step": 30, "seconds": 3}\n{"no": 1}\n{"step": 1'
    )
    (tmp_path / "metrics.jsonl").write_text(content)
    with Recorder(tmp_path, 20) as recorder:
        assert [line["step"] for line in lines(tmp_path)] == [10, 20]
        recorder.go_back(10)
        recorder.record(20, 5.0, {})
    assert lines(tmp_path) == [{"step": 10, "seconds": 1}, {"step": 20, "seconds": 5.0}]


def test_a_sample_sheet_has_a_row_for_each_picture(fitted: Path, pictures: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    shown = stratified_subsample(list_folders(*pictures, None), 1)
    write_sample(tmp_path, distmap.load(fitted, device="cpu"), shown, 70)
    sheet = cv2.imread(str(tmp_path / "samples" / "0000070.png"))
    assert sheet is not None
    row, column = LINE + 2 * 32 + GAP, LEAST_WIDTH + GAP
    assert sheet.shape == (2 * row, 6 * column, 3)  # picture, 3 branches, counterfactual, map
    for top in (0, row):
        for left in range(0, 6 * column, column):
            assert (sheet[top : top + LINE, left : left + LEAST_WIDTH] < 128).any()  # a caption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_stops_at_once(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_on_interrupt() as stopping:
        os.kill(os.getpid(), number)
        assert stopping.wait(5)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_other_threads_leave_ctrl_c_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def work() -> None:
        with stop_on_interrupt() as stopping:
            seen.append((signal.getsignal(signal.SIGINT) is before, stopping.is_set()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(True, False)]
