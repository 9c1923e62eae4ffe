"""Errors as one line, exit statuses 0, 2 and 130."""

from __future__ import annotations

import signal

import click
import pytest
from click.testing import CliRunner

from distmap.common.commands import CommandGroup
from distmap.common.signals import ENDINGS


def group(error: BaseException | None = None) -> click.Group:
    @click.group(cls=CommandGroup)
    def main() -> None:
        """Say what this does."""

    @main.command()
    @click.option("--count", type=int)
    def go(count: int | None) -> None:
        if error is not None:
            raise error
        click.echo("done")

    return main


def test_success_is_0() -> None:
    result = CliRunner().invoke(group(), ["go"])
    assert (result.exit_code, result.stdout, result.stderr) == (0, "done\n", "")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a.png: broken,\n  remove it"), "error: a.png: broken, remove it\n"),
        (FileNotFoundError(2, "No such file or directory", "x y"), "error: x y: No such file or directory\n"),
        (OSError("disk is full"), "error: disk is full\n"),
        (EOFError("a.nii.gz: ends too early"), "error: a.nii.gz: ends too early\n"),
        (EOFError(), "error: a file ends too early; replace or remove it\n"),
    ],
)
def test_wrong_input_is_one_line_and_2(error: Exception, line: str) -> None:
    result = CliRunner().invoke(group(error), ["go"])
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", line)


@pytest.mark.parametrize("arguments", [["go", "--count", "many"], ["go", "--nothing"], ["nowhere"]])
def test_wrong_options_are_one_line_and_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(group(), arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_no_command_shows_the_help() -> None:
    result = CliRunner().invoke(group(), [])
    assert result.exit_code == 2
    assert "Say what this does." in result.stderr


def test_stopping_is_130() -> None:
    assert CliRunner().invoke(group(KeyboardInterrupt()), ["go"]).exit_code == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_stop_it_as_ctrl_c_does(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, *ENDINGS)]
    saved = []

    @click.group(cls=CommandGroup)
    def main() -> None:
        pass

    @main.command()
    def go() -> None:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            saved.append("first")
            try:
                signal.raise_signal(number)
            except KeyboardInterrupt:
                saved.append("second")
                raise

    assert CliRunner().invoke(main, ["go"]).exit_code == 130
    assert saved == ["first", "second"]
    assert [signal.getsignal(each) for each in (signal.SIGINT, *ENDINGS)] == before


def test_a_defect_keeps_its_traceback() -> None:
    result = CliRunner().invoke(group(TypeError("defect")), ["go"])
    assert isinstance(result.exception, TypeError)
