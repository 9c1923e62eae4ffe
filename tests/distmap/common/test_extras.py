"""Missing optional packages are named together with what installs them."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from distmap.common.extras import Extra, need


def test_what_is_there_is_passed_over() -> None:
    need("json", "numpy", extra="report")


def test_what_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(ValueError, match=r"^needs nibabel; install it with pip install 'distmap\[medical\]'$"):
        need("nibabel", extra="medical")


def test_several_are_named_together(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dask", "distributed"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r"^needs dask and distributed; install them with .*\[scenes\]'$"):
        need("dask", "json", "distributed", extra="scenes")


def test_the_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert set(get_args(Extra)) == set(project["optional-dependencies"]) - {"all", "docs", "dev"}
