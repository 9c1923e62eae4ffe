"""The ``pipelines`` command: exit statuses and one-line errors."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click
import pytest
from click.testing import CliRunner, Result

from pipelines.cli import main
from pipelines.synthetic_sets import Split


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_writes_a_set(tmp_path: Path) -> None:
    result = invoke("synthetic", tmp_path / "set", "--split", "shape", "--count", 2, "--image-size", 32, "--seed", 5)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert len(list((tmp_path / "set" / "train" / "with").iterdir())) == 2


def test_offers_every_split() -> None:
    (split,) = (option for option in main.commands["synthetic"].params if option.name == "split")
    assert isinstance(split.type, click.Choice)
    assert tuple(split.type.choices) == get_args(Split)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--split", "holes"), "--split"),
        ((), "--split"),
        (("--split", "shape", "--count", "0"), "count"),
        (("--split", "shape", "--count", "many"), "--count"),
        (("--split", "shape", "--image-size", "8"), "image size"),
        (("--split", "shape", "--seed", "-1"), "seed"),
        (("--split", "shape", "--colour", "red"), "--colour"),
    ],
)
def test_wrong_option(tmp_path: Path, options: tuple[str, ...], named: str) -> None:
    result = invoke("synthetic", tmp_path / "set", *options)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert named in result.stderr
    assert not list(tmp_path.iterdir())


def test_existing_folder(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    result = invoke("synthetic", tmp_path, "--split", "shape")
    assert result.exit_code == 2
    assert (
        result.stderr == f"error: {tmp_path} exists already and is not an empty folder: choose another or remove it\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_parent_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = invoke("synthetic", tmp_path / "file" / "set", "--split", "shape")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert str(tmp_path / "file") in result.stderr
