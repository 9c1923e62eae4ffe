"""The state of a training is saved whole and taken up again, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from distmap.config import resolve
from distmap.methods.base import Batch, Frame
from distmap.methods.branched_gan import BranchedGan
from distmap.methods.schedules import OneCycle
from distmap.training.checkpoint import TrainingState, read_state


def new_method(tiny: dict[str, Any], **generator: int) -> BranchedGan:
    frame = Frame(
        bands=1,
        side=32,
        seed=0,
        symmetry="none",
        precision="32",
        schedule=OneCycle(),
        device=torch.device("cpu"),
    )
    return BranchedGan(resolve(overrides={**tiny, "generator": tiny["generator"] | generator}).settings, frame)


def batch(step: int) -> Batch:
    x_BCHW = torch.rand((4, 1, 32, 32), generator=torch.Generator().manual_seed(step)) * 2 - 1
    return Batch(x_BCHW=x_BCHW, labels_B=torch.tensor([1, 1, 0, 0]), step=step)


@pytest.mark.parametrize("prepared", [False, True])
def test_a_state_comes_back_as_it_was_saved(tiny: dict[str, Any], tmp_path: Path, prepared: bool) -> None:
    state = TrainingState(method=new_method(tiny))
    for step in range(3):
        state.method.step(batch(step), 0.0)
    state.step, state.prepared = 3, prepared
    state.candidates[2] = state.method.weights()
    state.save(tmp_path / "latest.pt", 12.5)
    resumed = TrainingState(method=new_method(tiny))
    resumed.load(tmp_path / "latest.pt")
    assert (resumed.step, resumed.seconds, resumed.prepared) == (3, 12.5, prepared)
    assert list(resumed.candidates) == [2]
    kept, before = resumed.candidates[2], state.candidates[2]
    assert kept.keys() == before.keys()
    assert all(torch.equal(kept[name], before[name]) for name in before)
    for one in (state, resumed):
        one.method.step(batch(3), 0.0)
    first, second = (one.method.weights() for one in (state, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [path.name for path in tmp_path.iterdir()] == ["latest.pt"]  # no temporary file is left


def test_a_state_is_read_as_plain_values(tiny: dict[str, Any], tmp_path: Path) -> None:
    TrainingState(method=new_method(tiny), step=7).save(tmp_path / "latest.pt", 1.0)
    state = read_state(tmp_path / "latest.pt")
    assert (state["steps"], state["seconds"], state["prepared"], state["candidates"]) == (7, 1.0, False, {})
    assert state["method"].keys() >= {"generator", "discriminator", "average", "localizer"}


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04", b"PK\x03\x04broken"])
def test_a_damaged_state_is_refused(tiny: dict[str, Any], tmp_path: Path, content: bytes) -> None:
    (tmp_path / "latest.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"latest\.pt: damaged"):
        TrainingState(method=new_method(tiny)).load(tmp_path / "latest.pt")


def test_a_state_of_other_networks_is_refused(tiny: dict[str, Any], tmp_path: Path) -> None:
    TrainingState(method=new_method(tiny)).save(tmp_path / "latest.pt", 0.0)
    other = TrainingState(method=new_method(tiny, branches=2))
    with pytest.raises(ValueError, match=r"latest\.pt: .*not made with this config\.yaml"):
        other.load(tmp_path / "latest.pt")


@pytest.mark.parametrize(
    "content", [[1, 2], {}, {"method": 3}, {"steps": 1, "seconds": 2.0, "prepared": True, "candidates": 3}]
)
def test_a_file_that_holds_something_else_is_refused(tiny: dict[str, Any], tmp_path: Path, content: object) -> None:
    if isinstance(content, dict) and "prepared" in content:
        content = content | {"method": new_method(tiny).state_dict()}
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt: damaged"):
        TrainingState(method=new_method(tiny)).load(tmp_path / "other.pt")


def test_a_state_that_is_cut_short_is_refused(tiny: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "latest.pt"
    TrainingState(method=new_method(tiny)).save(path, 0.0)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"latest\.pt: damaged"):
        TrainingState(method=new_method(tiny)).load(path)
