"""Only changes that change something are run."""

from __future__ import annotations

import pytest

from distmap.config import resolve
from pipelines.quality import ablations


def test_the_defaults_come_first() -> None:
    name, settings = next(ablations.changes())
    assert name == ablations.DEFAULT
    assert resolve(overrides=settings) == resolve()


def test_what_is_the_default_already_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    branches = resolve().settings.generator.branches
    listed = (
        ("the default", {"generator": {"branches": branches}}),
        ("one more", {"generator": {"branches": branches + 1}}),
    )
    monkeypatch.setattr(ablations, "CHANGES", listed)
    assert [name for name, _ in ablations.changes()] == [ablations.DEFAULT, "one more"]


def test_every_change_is_of_settings_that_there_are() -> None:
    for name, settings in ablations.CHANGES:
        assert resolve(overrides=settings).method == "branched-gan", name


def test_one_large_branch_has_as_many_parameters_as_the_default() -> None:
    from distmap.networks.generators import Generator

    large = resolve(overrides=dict(ablations.CHANGES)["1 large branch"]).settings.generator
    counts = [
        sum(parameter.numel() for parameter in Generator(config, 1).parameters())
        for config in (large, resolve().settings.generator)
    ]
    assert large.branches == 1
    assert counts[0] == pytest.approx(counts[1], rel=0.03)
