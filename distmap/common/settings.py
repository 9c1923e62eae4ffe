"""Settings as people say them: ``KEY=VALUE``, with dotted keys for those within sections."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

CLOSE = 0.5  # how alike a setting must be to what was said, 1 is the same


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key: ``{"map": {"kind": "auto"}}`` becomes ``{"map.kind": "auto"}``."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def nested(key: str, value: Any) -> dict[str, Any]:
    """A value under a dotted key: ``map.kind`` and ``auto`` become ``{"map": {"kind": "auto"}}``."""
    first, _, rest = key.partition(".")
    return {first: nested(rest, value) if rest else value}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values, those of ``over`` in place of those of ``base``; a section is not replaced as a whole."""
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        merged[key] = merge(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return merged


def split_pair(text: str) -> tuple[str, str]:
    """Key and value of ``KEY=VALUE``, without spaces around either; raises ValueError where there is no ``=``."""
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text}: give it as KEY=VALUE")
    return key.strip(), value.strip()


def unknown_setting(name: str, known: Collection[str], *, otherwise: str | None = None) -> str:
    """What to say of a setting that there is not: which was meant, where one is alike; else ``otherwise``, or all."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=CLOSE)
    hint = f"did you mean {close[0]!r}?" if close else otherwise or f"choose one of {', '.join(known)}"
    return f"unknown setting {name!r}; {hint}"
