"""The student learns what its targets say, by draws that depend on the seed alone."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distmap.common.progress import Silent
from distmap.config import Config, resolve
from distmap.data.folders import list_folders
from distmap.data.scaling import Scaling
from distmap.data.statistics import DatasetStats
from distmap.inference.student import StudentPredictor
from distmap.training.soft_targets import TargetStore
from distmap.training.student import new_student, train_student

CPU = torch.device("cpu")
SCALING = Scaling(low=(60.0,), high=(250.0,), dtype="uint8")
STATS = DatasetStats(scaling=SCALING, longer_side=32, longest_side=32)


def config(tiny: dict[str, Any], steps: int, student: dict[str, Any] | None = None, **top: Any) -> Config:
    own = {**tiny["student"], "steps": steps, "batch_size": 8, "backbone_rate": 1.0, **(student or {})}
    training = {**tiny["training"], "steps": steps}
    return resolve(overrides={**copy.deepcopy(tiny), "training": training, "student": own, **top})


def store(pictures: tuple[Path, Path], side: int = 32) -> TargetStore:
    """It is quite sure of the block of the pictures WITH."""
    listed = list_folders(*pictures, None)
    known = np.zeros((side, side), np.float32)
    known[12 * side // 32 : 20 * side // 32, 12 * side // 32 : 20 * side // 32] = 0.95
    return TargetStore(listed, [known if one.label else None for one in listed], SCALING, side, 16)


def trained(pictures: tuple[Path, Path], settings: Config, round_number: int = 1) -> StudentPredictor:
    student = new_student(settings, STATS, round_number)
    train_student(student, store(pictures), settings, CPU, round_number, lambda: 0.0, Silent())
    return student


def test_it_learns_the_targets(pictures: tuple[Path, Path], tiny: dict[str, Any]) -> None:
    student = trained(pictures, config(tiny, 120, {"decoder_widths": [16] * 5}))
    assert not student.training
    assert not any(parameter.requires_grad for parameter in student.parameters())
    known = store(pictures)
    planes = torch.from_numpy(np.stack([known[index] for index in range(len(known))]))
    with torch.inference_mode():
        found = student(planes[:, :1])[:, 0] > 0
    target = planes[:, 1] > 0.5
    assert found.shape == target.shape
    assert 2 * (found & target).sum() / (found.sum() + target.sum()) > 0.75


def test_draws_depend_on_seed_and_round_alone(pictures: tuple[Path, Path], tiny: dict[str, Any]) -> None:
    def weights(seed: int, round_number: int) -> torch.Tensor:
        head: torch.Tensor = (
            trained(pictures, config(tiny, 2, seed=seed), round_number).unet.segmentation_head[0].weight
        )
        return head

    first = weights(0, 1)
    torch.manual_seed(5)
    assert torch.equal(first, weights(0, 1))
    assert not torch.equal(first, weights(1, 1))
    assert not torch.equal(first, weights(0, 2))


def test_it_stops_when_time_is_up(pictures: tuple[Path, Path], tiny: dict[str, Any]) -> None:
    settings = config(tiny, 10_000)
    asked: list[float] = []

    def time_spent() -> float:
        asked.append(len(asked) / 3)
        return asked[-1]

    train_student(new_student(settings, STATS, 1), store(pictures), settings, CPU, 1, time_spent, Silent())
    assert asked == [0, 1 / 3, 2 / 3, 1]


@pytest.mark.parametrize(("of_method", "steps"), [(2, 2), (9, 3), (None, 3)])
def test_it_makes_no_more_steps_than_the_method(
    pictures: tuple[Path, Path], tiny: dict[str, Any], of_method: int | None, steps: int
) -> None:
    settings = config(tiny, 3)
    limited = dataclasses.replace(settings.training, steps=of_method, time_limit=100.0)
    settings = dataclasses.replace(settings, training=limited)
    asked: list[float] = []

    def time_spent() -> float:
        asked.append(0.0)
        return 0.0

    train_student(new_student(settings, STATS, 1), store(pictures), settings, CPU, 1, time_spent, Silent())
    assert len(asked) == steps


def test_it_sees_crops_and_their_targets(
    pictures: tuple[Path, Path], tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of pictures WITHOUT the target stays 0; of those WITH it lies where the picture is bright."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    from distmap.training import student as module

    made = module._changed

    def noted(*arguments: Any) -> Any:
        seen.append(made(*arguments))
        return seen[-1]

    monkeypatch.setattr(module, "_changed", noted)
    still = {"turn": 0.0, "zoom": 0.0, "shift": 0.0, "light": 0.0}
    settings = config(tiny, 2, {"crop": 32, "warp": still, "least_side": 64})
    stats = DatasetStats(scaling=SCALING, longer_side=64, longest_side=64)
    student = new_student(settings, stats, 1)
    assert student.side == 64
    train_student(student, store(pictures, 64), settings, CPU, 1, lambda: 0.0, Silent())
    for x_BCHW, target_BHW in seen:
        assert x_BCHW.shape == (8, 1, 32, 32)
        assert target_BHW.shape == (8, 32, 32)
        sure = target_BHW > 0.9
        assert sure.any()
        assert x_BCHW[:, 0][sure].mean() > 0.8  # the block is 250 of 60..250, other pixels are below 120
        assert x_BCHW[:, 0][target_BHW == 0].max() < 0.5


def test_the_encoder_learns_at_its_own_rate(pictures: tuple[Path, Path], tiny: dict[str, Any]) -> None:
    settings = config(tiny, 2, {"backbone_rate": 0.0, "weight_decay": 0.0})
    student = new_student(settings, STATS, 1)
    before = copy.deepcopy(student)
    train_student(student, store(pictures), settings, CPU, 1, lambda: 0.0, Silent())
    pairs = zip(student.named_parameters(), before.parameters(), strict=True)
    moved = {name for (name, value), other in pairs if not torch.equal(value, other)}
    assert moved
    assert not any(name.startswith("unet.encoder.") for name in moved)


def test_a_new_student_has_the_side_and_bands_of_the_pictures(tiny: dict[str, Any]) -> None:
    stats = DatasetStats(
        scaling=Scaling(low=(0.0,) * 3, high=(1.0,) * 3, dtype="uint8"), longer_side=40, longest_side=60
    )
    student = new_student(config(tiny, 1), stats, 1)
    assert (student.side, student.bands, student.kinds) == (64, 3, ("student",))
    with torch.inference_mode():
        assert student.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 1, 64, 64)
