"""What holds for the project as a whole: fast imports, a README that works, a lock file that is complete."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
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


def blocks(language: str) -> Iterator[str]:
    """The README's code blocks of a language."""
    yield from re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def command_lines() -> list[str]:
    """Every command that the README shows: in blocks, and in the table of commands."""
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    lines += re.findall(r"^\| `(.*?)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    return [line for line in lines if line.partition(" ")[0] in {*PACKAGES, "make"}]


class TestReadme:
    def test_shows_commands(self) -> None:
        assert {line.partition(" ")[0] for line in command_lines()} == {*PACKAGES, "make"}

    @pytest.mark.parametrize("line", command_lines())
    def test_command_and_its_options_exist(self, line: str) -> None:
        name, *words = shlex.split(line, comments=True)
        if name == "make":
            assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
            return
        command = load_command(name).commands[words[0]]
        known = {spelling for parameter in command.params for spelling in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known
        required = {
            parameter.opts[0] for parameter in command.params if parameter.required and parameter.opts[0][0] == "-"
        }
        assert required <= set(words), "an option that must be given is missing"

    def test_python(self) -> None:
        for block in blocks("python"):
            compile(block, "README.md", "exec")
            for package, attribute in re.findall(rf"\b({'|'.join(PACKAGES)})\.(\w+)\(", block):
                assert callable(getattr(importlib.import_module(package), attribute))

    def test_links_exist(self) -> None:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text()):
            assert (ROOT / target).exists(), target


class TestLock:
    def test_pins_every_dependency(self) -> None:
        lock = (ROOT / "requirements.lock").read_text()
        pinned = {name.lower() for name in re.findall(r"^([\w-]+)==\S+", lock, re.MULTILINE)}
        project = read_project()["project"]
        for requirement in project["dependencies"] + project["optional-dependencies"]["dev"]:
            name = re.split(r"[^\w-]", requirement)[0]
            assert name.lower() in pinned, f"{name} is not in requirements.lock: run `make lock`"

    def test_holds_pins_of_the_registry_alone(self) -> None:
        for line in (ROOT / "requirements.lock").read_text().splitlines():
            # No index, no path, no local build such as +cpu.
            assert re.fullmatch(r"#.*|[\w-]+==[\w.]+( ; .+)?", line), line
