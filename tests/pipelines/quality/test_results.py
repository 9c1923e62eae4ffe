"""A result comes back as it was written; what is none is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.quality.results import Result, read_result

MakeResult = Callable[..., Result]


def test_round_trip(make_result: MakeResult, tmp_path: Path) -> None:
    result = make_result(seed=4, scores={"dice": 0.5, "pixel_ap": None})
    result.write(tmp_path / "new" / "a.json")
    assert read_result(tmp_path / "new" / "a.json") == result
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.json"]


def test_no_nan_is_written(make_result: MakeResult, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        make_result(scores={"dice": float("nan")}).write(tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["{", "{}", '{"row": "a"}', "[]"])
def test_another_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=r"a\.json: not a"):
        read_result(tmp_path / "a.json")
