"""Malformed files, made from valid ones: bytes cut, flipped and spliced; one value exchanged with a nasty one."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator
from typing import Any

HUGE = 10**400
NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, -0.0, 2**31 - 1, 2**31, 2**32, 2**63, 2**64, 10**30, HUGE, -HUGE,
    1e9, -1e9, 5e8, 1e30, 1e308, -1e308, 5e-324, float("nan"), float("inf"), -float("inf"),
    "", "0", "1", "12", "1e308", "nan", "x", "ä b", "\x00", "a" * 5000, "none",
    [], [[]], [None], [1], [1, 2], [[1, 2, 3]], [1] * 5000, {}, {"a": 1}, {"size": [8, 10], "counts": "zz"},
    {"size": [2**32, 2**32], "counts": [2**64]}, [[0, 0, 1e9, 0, 5, -1e9]], [[0, 0, 5e8, 1, 1, 30]],
    [[1e308, 0, -1e308, 5, 5, 5]], [5, 5, 1e308, 1e308], [[0, 0] * 20000],
)  # fmt: skip
"""What one value is exchanged with."""

WORDS = tuple(str(value) for value in NASTY if isinstance(value, int | float | str) and len(str(value)) < 500)
"""The same in files of plain text."""

SNIPPETS = (
    b"", b"\x00", b"\xff", b"\xee\x80", b"-", b"9" * 40, b"nan", b"[" * 3000, b"{", b'"', b"\n\n", b",", b"1e999",
    b"\xef\xbb\xbf",
)  # fmt: skip
"""What is put between bytes."""


NOTHING = (b"", b"\n", b"\xff", b"null", b"[]", b"{}", b"0", b"[" * 100_000, b'{"a":' * 100_000)
"""What stands in place of a file."""


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Bytes of a file, cut short, flipped, overwritten, spliced or doubled."""
    changed = bytearray(content)
    way = rng.choice(("cut", "flip", "splice", "double", "wipe", "nothing left", "tail"))
    place = rng.randrange(len(changed) + 1)
    if way == "cut":
        del changed[place:]
    elif way == "flip":
        for _ in range(rng.randint(1, 8)):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    elif way == "splice":
        changed[place : place + rng.choice((0, 0, 1, 4))] = rng.choice(SNIPPETS)
    elif way == "double":
        changed[place:place] = changed[: rng.randrange(len(changed) + 1)]
    elif way == "wipe":
        end = min(len(changed), place + rng.randint(1, 64))
        changed[place:end] = bytes(end - place)
    elif way == "nothing left":
        changed = bytearray(rng.choice(NOTHING))
    else:
        changed += rng.choice(SNIPPETS)
    return bytes(changed)


def exchanged(content: Any, rng: random.Random) -> Any:
    """A copy of nested lists and dictionaries with one value exchanged or taken out."""
    whole = {"": copy.deepcopy(content)}
    *parents, last = rng.choice(list(places(whole, ())))
    holder: Any = whole
    for key in parents:
        holder = holder[key]
    if isinstance(holder, dict) and last != "" and rng.random() < 0.15:
        del holder[last]
    elif rng.random() < 0.02:
        holder[last] = nested(rng.choice((100, 500, 800)), as_list=rng.random() < 0.5)
    else:
        holder[last] = copy.deepcopy(rng.choice(NASTY))
    return whole[""]


def nested(depth: int, *, as_list: bool) -> Any:
    """A list in a list in a list, or dictionaries."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if as_list else {"a": value}
    return value


def places(content: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Where something stands in nested lists and dictionaries."""
    if path:
        yield path
    if isinstance(content, dict | list):
        for key in content if isinstance(content, dict) else range(min(len(content), 12)):
            yield from places(content[key], (*path, key))


def json_bytes(content: bytes, rng: random.Random) -> bytes:
    """A JSON file with one value exchanged, or damaged."""
    if rng.random() < 0.3:
        return damaged(content, rng)
    return json.dumps(exchanged(json.loads(content), rng)).encode()


def json_lines(content: bytes, rng: random.Random) -> bytes:
    """A file with JSON on each line, the last one changed."""
    *before, last = content.splitlines() or [b"{}"]
    return b"\n".join([*before, json_bytes(last, rng)]) + b"\n" * (rng.random() < 0.8)


def text_bytes(content: bytes, rng: random.Random) -> bytes:
    """A text file with one word exchanged, taken out or doubled, or damaged."""
    parts = re.split(rb"(\s+)", content)
    words = [index for index, part in enumerate(parts) if part.strip()]
    if rng.random() < 0.3 or not words:
        return damaged(content, rng)
    index = rng.choice(words)
    parts[index] = rng.choice((rng.choice(WORDS).encode(), b"", parts[index] * 2))
    return b"".join(parts)


def yaml_bytes(content: bytes, rng: random.Random) -> bytes:
    """A YAML file with one value exchanged, damaged, or an alias bomb."""
    import yaml

    way = rng.random()
    if way < 0.3:
        return damaged(content, rng)
    if way < 0.4:
        return content + alias_bomb(rng.choice(("seed", "names", "data", "x")))
    return yaml.safe_dump(exchanged(yaml.safe_load(content), rng)).encode()


def alias_bomb(key: str) -> bytes:
    """A few lines of YAML that stand for ten to the power of ten words."""
    lines = [f"{key}:", "- &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"- &a{level + 1} [{', '.join([f'*a{level}'] * 10)}]" for level in range(9)]
    return ("\n".join(lines) + "\n").encode()
