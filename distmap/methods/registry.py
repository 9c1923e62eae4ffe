"""Which methods there are. A new one is one file or folder beside this one, whose class is registered."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any, TypeVar

from distmap.methods.base import Method

MethodT = TypeVar("MethodT", bound=type[Method[Any]])
DEFAULT = "branched-gan"
_METHODS: dict[str, type[Method[Any]]] = {}


def register(method: MethodT) -> MethodT:
    """Make a method known by its name; a class decorator. Raises ValueError where another one has the name."""
    known = _METHODS.setdefault(method.name, method)
    if known.__qualname__ != method.__qualname__ or known.__module__ != method.__module__:
        raise ValueError(f"method {method.name!r}: {known.__module__} has a method of this name already")
    _METHODS[method.name] = method
    return method


def list_methods() -> list[type[Method[Any]]]:
    """Every method, by name; the default one comes first."""
    import distmap.methods

    _import_all(tuple(distmap.methods.__path__))
    return [_METHODS[name] for name in sorted(_METHODS, key=lambda name: (name != DEFAULT, name))]


def find_method(name: str) -> type[Method[Any]]:
    """The method of this name; raises ValueError where there is none."""
    known = {method.name: method for method in list_methods()}
    if name not in known:
        raise ValueError(f"--method {name}: unknown method; choose one of {', '.join(known)}")
    return known[name]


@cache
def _import_all(path: tuple[str, ...]) -> None:
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"distmap.methods.{module.name}")
