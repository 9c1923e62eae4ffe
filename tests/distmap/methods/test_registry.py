"""Which methods there are, and how one is made known."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import distmap.methods
from distmap.inference.predictor import Predictor
from distmap.methods import registry
from distmap.methods.base import Frame, Method
from distmap.methods.registry import find_method, list_methods, register


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten again."""
    list_methods()
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))


def new_method(called: str) -> type[Method[Any]]:
    class Another(Method[None]):
        name = called
        paper = family = summary = "none"
        Settings = type(None)

        @classmethod
        def new_predictor(cls, settings: None, frame: Frame) -> Predictor:
            raise NotImplementedError

        def predictor(self, weights: Any = None) -> Predictor:
            raise NotImplementedError

    return Another


def test_the_default_method_comes_first_and_the_others_by_name() -> None:
    names = [method.name for method in list_methods()]
    assert names[0] == registry.DEFAULT == "branched-gan"
    assert names[1:] == sorted(names[1:])
    assert set(names) >= {"branched-gan", "mil", "mean-difference"}


def test_a_registered_method_is_found() -> None:
    another = register(new_method("another"))
    assert find_method("another") is another
    assert [method.name for method in list_methods()][:2] == ["branched-gan", "another"]


def test_a_second_class_of_one_name_is_refused() -> None:
    first = new_method("mil")
    with pytest.raises(ValueError, match=r"method 'mil': distmap\.methods\.mil has a method of this name already"):
        register(first)
    assert find_method("mil").__module__ == "distmap.methods.mil"


def test_the_same_class_may_be_registered_again() -> None:
    """As where its module is loaded anew."""
    register(new_method("another"))
    again = new_method("another")
    assert register(again) is again
    assert find_method("another") is again


def test_an_unknown_method_names_the_known_ones() -> None:
    names = ", ".join(method.name for method in list_methods())
    with pytest.raises(ValueError, match=f"--method gan: unknown method; choose one of {names}$"):
        find_method("gan")


def test_every_method_says_what_it_is() -> None:
    for method in list_methods():
        for text in (method.name, method.paper, method.family, method.summary, method.needs):
            assert text
            assert "\n" not in text
        assert method.Settings() == method.Settings()


def test_nothing_outside_a_method_s_own_files_imports_it() -> None:
    """A new method is one file or folder, and no other change."""
    package = Path(distmap.methods.__path__[0]).parent
    known = {method.__module__.split(".")[2] for method in list_methods()}
    for path in package.rglob("*.py"):
        inside = path.relative_to(package / "methods").parts[0] if path.is_relative_to(package / "methods") else ""
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("distmap.methods."):
                imported = str(node.module).split(".")[2]
                assert imported not in known or inside.removesuffix(".py") == imported, path
