"""What is said of the machine."""

from __future__ import annotations

import re

import pytest

from pipelines.quality import machine


def test_look() -> None:
    seen = machine.look()
    assert seen.cores >= 1
    assert seen.threads == 1
    assert seen.load >= 0
    assert seen.device


def test_revision_is_a_commit_or_unknown() -> None:
    assert re.fullmatch(r"[\w.-]*[0-9a-f]{7,}(-dirty)?|unknown", machine.code_revision())


def test_revision_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert machine.code_revision() == "unknown"
