"""What holds for the project as a whole: fast imports, a lock file that is complete."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("distmap", "detect", "pipelines")
SLOW = {
    "torch",
    "torchvision",
    "lightning_fabric",
    "numpy",
    "cv2",
    "scipy",
    "skimage",
    "sklearn",
    "pycocotools",
    "rasterio",
}


def read_project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def load_command(name: str) -> click.Group:
    """The click group behind a console script of pyproject.toml."""
    module, _, attribute = read_project()["project"]["scripts"][name].partition(":")
    group = getattr(importlib.import_module(module), attribute)
    assert isinstance(group, click.Group)
    return group


def imported_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter imports for ``code``."""
    command = [sys.executable, "-X", "importtime", "-c", code]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert finished.returncode == 0, finished.stderr
    modules = re.findall(r"^import time:.*\|\s*([\w.]+)\s*$", finished.stderr, re.MULTILINE)
    assert len(modules) > 20
    return {module.partition(".")[0] for module in modules}


class TestFastImports:
    def test_packages(self) -> None:
        assert not imported_by("import distmap, detect, pipelines") & SLOW

    @pytest.mark.parametrize("name", PACKAGES)
    def test_help(self, name: str) -> None:
        assert not imported_by(f"from {name}.cli import main; main(['--help'])") & SLOW

    @pytest.mark.parametrize("name", PACKAGES)
    def test_help_of_every_command(self, name: str) -> None:
        for command in load_command(name).commands:
            assert not imported_by(f"from {name}.cli import main; main(['{command}', '--help'])") & SLOW, command


@pytest.mark.parametrize("name", PACKAGES)
def test_public_names_stay_what_they_are(name: str) -> None:
    """A lazily exported call must not be hidden by a module of the same name once that is imported."""
    package = importlib.import_module(name)
    before = {public: getattr(package, public) for public in package.__all__}
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        importlib.import_module(module.name)
    for public in package.__all__:
        assert getattr(package, public) is before[public], public
    with pytest.raises(AttributeError, match="no_such_name"):
        package.no_such_name  # noqa: B018


class TestLock:
    def test_pins_every_dependency(self) -> None:
        lock = (ROOT / "requirements.lock").read_text()
        pinned = {name.lower() for name in re.findall(r"^([\w-]+)==\S+", lock, re.MULTILINE)}
        project = read_project()["project"]
        extras = project["optional-dependencies"]
        wanted = project["dependencies"] + extras["dev"]
        for requirement in wanted:  # grows by what extras of the project itself hold
            own = re.fullmatch(r"distmap\[(.*)\]", requirement)
            if own:
                wanted += [inner for extra in own[1].split(",") for inner in extras[extra.strip()]]
                continue
            name = re.split(r"[^\w-]", requirement)[0]
            assert name.lower() in pinned, f"{name} is not in requirements.lock: run `make lock`"

    def test_holds_pins_of_the_registry_alone(self) -> None:
        for line in (ROOT / "requirements.lock").read_text().splitlines():
            # No index, no path, no local build such as +cpu.
            assert re.fullmatch(r"#.*|[\w-]+==[\w.]+( ; .+)?", line), line


def test_citation_has_the_version_of_the_project() -> None:
    (version,) = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert version == read_project()["project"]["version"]
