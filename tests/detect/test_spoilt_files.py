"""Readers of formats whose files may say anything: what makes no sense is refused in a line that names the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detect.formats import dota, dota_submission, geojson

SIZES = {"p.png": (30, 40)}
NUMBERS = st.one_of(st.integers(-(10**12), 10**12), st.floats(), st.sampled_from(["nan", "1e999", "x", ""]))
WORDS = st.lists(st.one_of(NUMBERS.map(str), st.text("ab-\u00e4\t", max_size=4)), max_size=12).map(" ".join)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=12,
)


@contextmanager
def refused_by_name(name: str) -> Iterator[None]:
    """What the block does not take must be refused in words that name the file."""
    try:
        yield
    except ValueError as error:
        if name not in str(error):
            raise AssertionError(f"names no {name}: {error}") from error


@given(lines=st.lists(WORDS, max_size=4))
def test_lines_of_dota(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    folder = tmp_path_factory.mktemp("labels")
    (folder / "p.txt").write_text("\n".join(lines), encoding="utf-8")
    with refused_by_name("p.txt"):
        found = dota.read(folder, sizes=SIZES)
        assert sum(len(picture.instances) for picture in found) <= len(lines)


@given(lines=st.lists(WORDS.map("p ".__add__), max_size=4))
def test_lines_of_a_submission(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    folder = tmp_path_factory.mktemp("task")
    (folder / "Task1_car.txt").write_text("\n".join(lines), encoding="utf-8")
    with refused_by_name("Task1_car.txt"):
        found = dota_submission.read(folder, sizes=SIZES)
        assert [item.name for item in found.categories] == ["car"]


@given(geometry=JSON, properties=JSON, crs=JSON)
def test_features(tmp_path_factory: pytest.TempPathFactory, geometry: Any, properties: Any, crs: Any) -> None:
    path: Path = tmp_path_factory.mktemp("geo") / "a.geojson"
    ring = [[1, 1], [9, 1], [9, 9], [1, 1]]
    features = [
        {"type": "Feature", "geometry": geometry, "properties": {}},
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties},
    ]
    for items, member in (([features[0]], None), ([features[1]], None), ([features[1]], crs)):
        path.write_text(json.dumps({"type": "FeatureCollection", "crs": member, "features": items}), encoding="utf-8")
        with refused_by_name("a.geojson"):
            found = geojson.read(path, sizes=SIZES)
            assert [picture.name for picture in found][:1] == ["p.png"]
