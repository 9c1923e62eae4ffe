"""The pages: commands that exist, Python that runs, settings that are known, links that lead somewhere."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import click
import cv2
import numpy as np
import pytest
from annotated_types import Ge, Lt
from click.testing import CliRunner

import detect
import distmap.config

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SCRIPTS = ("distmap", "detect", "pipelines")
OTHERS = {"cd", "git", "make", "pip", "python", "source", "pre-commit"}
EXPERIMENTS = sorted((DOCS / "experiments").glob("*.md"))
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("CONTRIBUTING.md")),
    *sorted(path for path in DOCS.rglob("*.md") if path not in EXPERIMENTS),
]
FILES_NOT_SETTINGS = {"data.image", "data.yaml", "data.yml"}


def load_file(path: Path, name: str) -> ModuleType:
    """A module that is in no package."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


reference = load_file(DOCS / "hooks" / "reference.py", "docs_hooks_reference")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def command_lines(page: Path) -> list[str]:
    """Each command in the bash blocks of a page, lines that go on put together."""
    joined = "\n".join(blocks(page.read_text(), "bash")).replace("\\\n", " ")
    return [line for line in map(str.strip, joined.splitlines()) if line and not line.startswith("#")]


def inline_commands(page: Path) -> list[str]:
    """Each command in running text and tables."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(rf"`((?:{'|'.join(SCRIPTS)}) [a-z][^`]*)`", text)


def find_command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The click command that words call, and the words that it gets."""
    if words[:3] == ["python", "-m", "pipelines.quality"]:
        return importlib.import_module("pipelines.quality.__main__").main, words[3:]
    group = importlib.import_module(f"{words[0]}.cli").main
    assert isinstance(group, click.Group)
    assert words[1] in group.commands, f"{words[0]} has no command {words[1]}"
    return group.commands[words[1]], words[2:]


def check_settings(command: click.Command, given: list[str], script: str) -> None:
    """Settings of ``--set`` are known, and their values are allowed."""
    if (script, command.name) == ("distmap", "fit"):
        distmap.config.resolve(settings=given)
    elif script in ("detect", "pipelines"):
        known = {field.name for field in dataclasses.fields(detect.ExtractionConfig)}
        assert {setting.partition("=")[0] for setting in given} <= known


def every(find: Callable[[Path], list[str]]) -> list[Any]:
    """What is found in all pages, as parameters of a test."""
    found = [(name_of(page), line) for page in PAGES for line in dict.fromkeys(find(page))]
    return [pytest.param(line, id=f"{page}: {line[:60]}") for page, line in found]


class TestCommands:
    @pytest.mark.parametrize("line", every(command_lines))
    def test_line_can_be_typed(self, line: str) -> None:
        """Options, their values and the number of arguments fit; that files are there is not asked."""
        words = [word for word in shlex.split(line, comments=True) if not re.match(r"[A-Z_]+=", word)]
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
            return
        if words[0] not in SCRIPTS and words[:3] != ["python", "-m", "pipelines.quality"]:
            assert words[0].removeprefix(".venv/bin/") in OTHERS, line
            return
        command, words_after = find_command(words)
        context = click.Context(command)
        given, too_many, _ = command.make_parser(context).parse_args(args=words_after)
        assert not too_many, f"{too_many} is too much"
        for parameter in command.params:
            value = given.get(parameter.name or "")
            # A parser of click says "not given" by None or by a mark of its own.
            missing = value is None or value == () or type(value).__name__ == "Sentinel"
            assert not (missing and parameter.required), f"{parameter.name} must be given"
            if not missing and not isinstance(parameter.type, click.Path | click.File):
                parameter.type_cast_value(context, value)
            if not missing and "--set" in parameter.opts:
                check_settings(command, list(value or ()), words[0])

    @pytest.mark.parametrize("line", every(inline_commands))
    def test_command_in_the_text_exists(self, line: str) -> None:
        words = line.split()
        command, words_after = find_command(words)
        known = {spelling for parameter in command.params for spelling in parameter.opts} | {"--help"}
        assert {word for word in words_after if word.startswith("--")} <= known


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages call ``photos``, and a tiny run of them."""
    import torch

    torch.set_num_threads(1)
    where = tmp_path_factory.mktemp("pages")
    rng = np.random.default_rng(0)
    for name, count in (("with", 12), ("without", 12), ("new", 2), ("truth", 2)):
        (where / "photos" / name).mkdir(parents=True)
        for number in range(count):
            picture = rng.integers(60, 120, (32, 32, 3), dtype=np.uint8)
            picture[12:20, 12:20] = 120 if name == "without" else 250
            stem = f"{name}_{number:02}" if count > 2 else ("picture", "other")[number]
            written = (picture[..., 0] > 200) * np.uint8(255) if name == "truth" else picture
            assert cv2.imwrite(str(where / "photos" / name / f"{stem}.png"), written)
    tiny = load_file(ROOT / "tests" / "distmap" / "conftest.py", "tests_distmap_conftest").TINY
    photos = where / "photos"
    run = where / "runs" / "first"
    distmap.fit(photos / "with", photos / "without", run=run, overrides=tiny, device="cpu")
    distmap.export(run, out=where / "cars.onnx")
    extract = importlib.import_module("detect.cli").main
    arguments = ["extract", str(run), str(photos / "new"), "--out", str(where / "annotations.json")]
    result = CliRunner().invoke(extract, arguments)
    assert result.exit_code == 0, result.output
    return where


PYTHON = [pytest.param(page, id=name_of(page)) for page in PAGES if blocks(page.read_text(), "python")]


@pytest.mark.parametrize("page", PYTHON)
def test_python_runs(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page, one after the other."""
    monkeypatch.chdir(folder)
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    for block in blocks(page.read_text(), "python"):
        exec(compile(block, name_of(page), "exec", dont_inherit=True), module.__dict__)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_settings_in_the_text_are_known(page: Path) -> None:
    known = set(distmap.config.setting_keys())
    parts = "|".join({key.partition(".")[0] for key in known if "." in key})
    named = re.findall(rf"`((?:{parts})\.\w+)(?:=[^`]*)?`", page.read_text())
    assert set(named) - FILES_NOT_SETTINGS <= known


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"])
def test_links_from_the_top_exist(name: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / name).read_text()):
        assert (ROOT / target).exists(), target


class TestExperiments:
    def test_each_is_listed_once(self) -> None:
        index = (DOCS / "experiments" / "index.md").read_text()
        for page in EXPERIMENTS:
            if page.name != "index.md":
                assert index.count(f"]({page.name})") == 1, page.name

    @pytest.mark.parametrize("page", [page for page in EXPERIMENTS if page.name != "index.md"], ids=name_of)
    def test_question_date_and_answer(self, page: Path) -> None:
        title, empty, answer, *_ = page.read_text().splitlines()
        assert re.fullmatch(r"# .+\?", title)
        assert not empty
        assert re.match(r"20\d\d-\d\d-\d\d\. \*\*\w", answer)


def test_site_is_built_and_asks_nothing_of_others(tmp_path: Path) -> None:
    """Links lead somewhere, and no page loads a font, a style or a script from elsewhere."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    for page in tmp_path.rglob("*.html"):
        assert not re.search(r'(src="|<link [^>]*href=")(https?:)?//', page.read_text()), page
    written = (tmp_path / "reference" / "settings.html").read_text()
    assert all(f">{key}<" in written for key in distmap.config.setting_keys())


# --- pages made from the code ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    """What is inside."""

    share: Annotated[float, Ge(0), Lt(1)] = 0.5
    """Of all,
    or | of some."""
    way: Literal["one", "other"] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    needed: int
    """Has no default."""
    inner: Inner = dataclasses.field(default_factory=Inner)
    text: str = dataclasses.field(default="", metadata={"help": "From metadata."})
    size: Inner | None = None
    """No section, since it is None."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Derived(Outer):
    more: tuple[int, float] = (1, 2.0)


def test_settings_by_hand() -> None:
    outer, inner = reference.sections(Derived)
    assert [(item.key, item.default, item.values, item.text) for item in outer.settings] == [
        ("needed", "must be given", "whole number", "Has no default."),
        ("text", "–", "text", "From metadata."),
        ("size", "none", "Inner or none", "No section, since it is None."),
        ("more", "`(1, 2.0)`", "whole number, number", ""),
    ]
    assert (outer.key, outer.text) == ("", "")
    assert (inner.key, inner.text) == ("inner", "What is inside.")
    assert [(item.key, item.default, item.values, item.text) for item in inner.settings] == [
        ("inner.share", "`0.5`", "number at least 0, less than 1", "Of all, or \\| of some."),
        ("inner.way", "none", "`one`, `other` or none", ""),
    ]


def test_every_setting_has_a_line() -> None:
    """On the page of settings: those that all methods have and those of each."""
    page = (DOCS / "reference" / "settings.md").read_text()
    shown = reference.MARKER.findall(page)
    for method in distmap.list_methods():
        kinds: list[type[Any]] = [distmap.config.Common, method.Settings]
        keys = [item.key for kind in kinds for section in reference.sections(kind) for item in section.settings]
        assert sorted(keys) == sorted(distmap.config.setting_keys(method))
        for kind in kinds:
            assert ("settings", f"{kind.__module__}:{kind.__name__}") in shown


def test_presets_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distmap.config, "PRESETS", {"tiny": ("a test", {"image_size": 32, "data": {"batch_size": 4}})})
    lines = reference.presets("distmap.config:PRESETS").splitlines()
    assert lines[-1] == "| `tiny` | a test | `image_size=32`, `data.batch_size=4` |"


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_command_and_option_has_a_line(script: str) -> None:
    text = reference.commands(script)
    for name, command in importlib.import_module(f"{script}.cli").main.commands.items():
        assert f"### `{script} {name}`" in text
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.hidden or parameter.opts[0] in text


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_public_name_has_a_block(script: str) -> None:
    module = importlib.import_module(script)
    assert sorted(reference.api(script).split("\n\n")) == sorted(f"::: {script}.{name}" for name in module.__all__)


def test_only_comments_that_stand_alone_are_replaced() -> None:
    text = "as `<!-- api: detect -->` says\n"
    assert reference.expand(text) == text
    assert "::: detect.tune" in reference.expand("<!-- api: detect -->\n")
