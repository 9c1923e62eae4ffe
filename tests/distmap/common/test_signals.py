"""SIGTERM and SIGHUP do as Ctrl-C does, unless someone else has use for them."""

from __future__ import annotations

import signal
import threading

import pytest

from distmap.common.signals import ENDINGS, handled

SIGNALS = (signal.SIGINT, *ENDINGS)


@pytest.mark.parametrize("number", SIGNALS)
def test_they_interrupt_until_the_block_ends(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with pytest.raises(KeyboardInterrupt), handled():
        signal.raise_signal(number)
    assert [signal.getsignal(each) for each in SIGNALS] == before


@pytest.mark.parametrize("number", ENDINGS)
def test_within_a_command_a_handler_of_ours_takes_over(number: signal.Signals) -> None:
    seen: list[int] = []
    with handled():
        with handled(lambda received, _frame: seen.append(received)):
            signal.raise_signal(number)
        assert seen == [number]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


def test_what_is_ignored_stays_ignored_and_what_is_handled_stays_handled() -> None:
    seen: list[int] = []
    before = [
        signal.signal(signal.SIGHUP, signal.SIG_IGN),
        signal.signal(signal.SIGTERM, lambda number, _frame: seen.append(number)),
    ]
    try:
        with handled():
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before[0])
        signal.signal(signal.SIGTERM, before[1])
    assert seen == [signal.SIGTERM]


def test_other_threads_leave_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[bool] = []

    def work() -> None:
        with handled():
            seen.append(signal.getsignal(signal.SIGTERM) is before)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [True]
