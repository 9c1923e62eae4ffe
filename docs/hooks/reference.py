"""Pages of reference made from the code: comments in a page are replaced by what they ask for.

``<!-- settings: distmap.config:Config -->``
    every setting of a dataclass and of the dataclasses in it, with its default, its values and its docstring
``<!-- presets: distmap.config:PRESETS -->``
    what each preset changes
``<!-- commands: distmap -->``
    the commands of a console script and their options
``<!-- api: distmap -->``
    the public names of a package, rendered by mkdocstrings
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import click

MARKER = re.compile(r"^<!-- (settings|presets|commands|api): ([\w.:]+) -->$", re.MULTILINE)
NOTHING = "–"
BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One line of a table of settings."""

    key: str
    default: str
    values: str
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """The settings of one dataclass."""

    key: str
    """Dotted, empty for the outermost one."""
    text: str
    settings: tuple[Setting, ...]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the comments of a page; MkDocs calls this."""
    return expand(markdown)


def expand(markdown: str) -> str:
    """A page with its comments replaced."""
    makers = {"settings": settings, "presets": presets, "commands": commands, "api": api}
    return MARKER.sub(lambda match: makers[match[1]](match[2]), markdown)


# --- settings ----------------------------------------------------------------------------------------------------


def settings(path: str) -> str:
    """A heading and a table for each section of the settings at ``module:dataclass``."""
    blocks = []
    for section in sections(load(path)):
        if section.key:
            blocks.append(f"### `{section.key}`")
        blocks.append(section.text)
        if section.settings:
            rows = [[f"`{item.key}`", item.default, item.values, item.text] for item in section.settings]
            blocks.append(table(["setting", "default", "values", "meaning"], rows))
    return "\n\n".join(block for block in blocks if block)


def sections(kind: type, key: str = "") -> Iterator[Section]:
    """A dataclass and those in it, outermost first."""
    hints = get_type_hints(kind, include_extras=True)
    texts = field_texts(kind)
    own, inner = [], []
    for field in dataclasses.fields(kind):
        name = f"{key}.{field.name}" if key else field.name
        nested = nested_dataclasses(field, hints[field.name])
        if nested:
            inner += [(name, item) for item in nested]
        else:
            text = str(field.metadata.get("help", "")) or texts.get(field.name, "")
            own.append(Setting(key=name, default=default(field), values=values(hints[field.name]), text=one_line(text)))
    yield Section(key=key, text=one_line(class_text(kind)), settings=tuple(own))
    for name, item in inner:
        yield from sections(item, name)


def nested_dataclasses(field: dataclasses.Field[Any], hint: Any) -> list[type]:
    """The dataclasses that a field holds: one by its default, else those of its type that are whole sections."""
    value = default_value(field)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [type(value)]
    if value is None:
        return []  # an optional value, such as a size, is a setting and no section
    return [kind for kind in alternatives(hint) if isinstance(kind, type) and dataclasses.is_dataclass(kind)]


def default_value(field: dataclasses.Field[Any]) -> Any:
    """The default of a field; MISSING where it has none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def default(field: dataclasses.Field[Any]) -> str:
    """The default as it is written on the command line."""
    value = default_value(field)
    if value is dataclasses.MISSING:
        return "must be given"
    if value is None:
        return "none"
    return f"`{value}`" if value != "" else NOTHING


def alternatives(hint: Any) -> list[Any]:
    """The kinds that a type allows, without None and without what is only said of them."""
    if get_origin(hint) is Annotated:
        return alternatives(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return [kind for part in get_args(hint) for kind in alternatives(part)]
    return [] if hint is NoneType else [hint]


def values(hint: Any) -> str:
    """The values that a type allows, in words."""
    if get_origin(hint) is Annotated:
        kind, *metadata = get_args(hint)
        limits = [
            f"{word} {getattr(item, name):g}"
            for item in metadata
            for name, word in BOUNDS.items()
            if getattr(item, name, None) is not None and getattr(item, name) != float("inf")
        ]
        return " ".join([values(kind), ", ".join(limits)]).strip()
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(values(part) for part in get_args(hint))
    if get_origin(hint) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(hint))
    if get_origin(hint) is tuple:
        return ", ".join(values(part) for part in get_args(hint))
    names = {int: "whole number", float: "number", str: "text", bool: "true or false", NoneType: "none"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def class_text(kind: type) -> str:
    """What a dataclass says of itself; nothing where it only repeats its signature."""
    text = inspect.cleandoc(kind.__doc__ or "")
    return "" if text.startswith(f"{kind.__name__}(") else text.partition("\n\n")[0]


def field_texts(kind: type) -> dict[str, str]:
    """The strings that follow the fields of a dataclass and of those it is made from."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in zip(definition.body, definition.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            ):
                texts[field.target.id] = inspect.cleandoc(text.value.value)
    return texts


def presets(path: str) -> str:
    """A table of the presets at ``module:mapping``, whose values are the settings that they change, or a line on what
    for and these settings."""
    rows = []
    for name, preset in load(path).items():
        text, changes = preset if isinstance(preset, tuple) else (NOTHING, preset)
        changed = ", ".join(f"`{key}={value}`" for key, value in flat(changes))
        rows.append([f"`{name}`", one_line(text), changed or NOTHING])
    return table(["preset", "for", "changes"], rows)


def flat(nested: Mapping[str, Any], key: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as dotted keys and values."""
    for name, value in nested.items():
        where = f"{key}.{name}" if key else name
        if isinstance(value, Mapping):
            yield from flat(value, where)
        else:
            yield where, value


# --- commands and the public interface ---------------------------------------------------------------------------


def commands(script: str) -> str:
    """The commands of ``SCRIPT.cli:main`` with their arguments and options."""
    group = load(f"{script}.cli:main")
    blocks = []
    for name, command in sorted(group.commands.items()):
        context = click.Context(command, info_name=f"{script} {name}")
        usage = " ".join([f"{script} {name}", *command.collect_usage_pieces(context)])
        help_text = inspect.cleandoc(command.help or "").replace("\b\n", "")
        records = [param.get_help_record(context) for param in command.params if isinstance(param, click.Option)]
        rows = [[f"`{record[0]}`", one_line(record[1])] for record in records if record]
        blocks += [f"### `{script} {name}`", f"```text\n{usage}\n```", help_text]
        blocks += [table(["option", "meaning"], rows)] if rows else []
    return "\n\n".join(blocks)


def api(package: str) -> str:
    """A block of mkdocstrings for each public name of a package."""
    module = importlib.import_module(package)
    names = sorted(module.__all__, key=lambda name: (name[:1].isupper(), name.lower()))
    return "\n\n".join(f"::: {package}.{name}" for name in names)


# --- shared ------------------------------------------------------------------------------------------------------


def load(path: str) -> Any:
    """What ``module:name`` stands for."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def one_line(text: str) -> str:
    """Text for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("``", "`")


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
