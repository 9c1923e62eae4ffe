"""The student learns what its labels say, by draws that depend on the seed alone."""

from __future__ import annotations

import copy
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
from distmap.inference.student import StudentPredictor, student_side
from distmap.settings import StudentSettings
from distmap.training.pseudo_labels import PseudoLabelledStore
from distmap.training.student import new_student, train_student

CPU = torch.device("cpu")
SCALING = Scaling(low=(60.0,), high=(250.0,), dtype="uint8")
STATS = DatasetStats(scaling=SCALING, longer_side=32, longest_side=32)
SMALL = {"encoder_depth": 3, "width": 16}


def config(tiny: dict[str, Any], steps: int, **top: Any) -> Config:
    student = {**SMALL, "steps": steps, "batch_size": 8, "learning_rate": 2e-3}
    return resolve(overrides={**copy.deepcopy(tiny), "student": student, **top})


def store(pictures: tuple[Path, Path]) -> PseudoLabelledStore:
    """The block of the pictures WITH is known."""
    listed = list_folders(*pictures, None)
    labels = [np.zeros((32, 32), np.uint8) for _ in listed]
    for picture, label in zip(listed, labels, strict=True):
        label[12:20, 12:20] = picture.label
    return PseudoLabelledStore(listed, labels, SCALING, 32, 16)


def trained(pictures: tuple[Path, Path], settings: Config, round_number: int = 1) -> StudentPredictor:
    student = new_student(settings, STATS, round_number)
    train_student(student, store(pictures), settings, CPU, round_number, lambda: 0.0, Silent())
    return student


def test_it_learns_the_labels(pictures: tuple[Path, Path], tiny: dict[str, Any]) -> None:
    student = trained(pictures, config(tiny, 60))
    assert not student.training
    assert not any(parameter.requires_grad for parameter in student.parameters())
    known = store(pictures)
    planes = torch.from_numpy(np.stack([known[index] for index in range(len(known))]))
    with torch.inference_mode():
        found = student(planes[:, :1])[:, 0] > 0
    target = planes[:, 1] > 0
    assert found.shape == target.shape
    assert 2 * (found & target).sum() / (found.sum() + target.sum()) > 0.9


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


@pytest.mark.parametrize(
    ("longer", "depth", "max_side", "side"),
    [(128, 4, 128, 128), (100, 4, 128, 112), (97, 3, 128, 104), (1000, 4, 128, 128), (5, 5, 128, 32)],
)
def test_side_is_the_pictures_own_up_to_the_limit(longer: int, depth: int, max_side: int, side: int) -> None:
    stats = DatasetStats(scaling=SCALING, longer_side=longer, longest_side=2 * longer)
    assert student_side(stats, StudentSettings(encoder_depth=depth, max_side=max_side)) == side


def test_bands_and_sizes() -> None:
    student = StudentPredictor(StudentSettings(encoder_depth=3, width=4), 5, side=32).eval()
    with torch.inference_mode():
        assert student(torch.zeros(2, 5, 16, 24)).shape == (2, 1, 16, 24)


def test_its_map_is_the_probability() -> None:
    student = StudentPredictor(StudentSettings(encoder_depth=3, width=4), 1, side=32)
    raw_BKHW = torch.tensor([[[[0.0, 2.0]]]])
    torch.testing.assert_close(student.coarse_map(raw_BKHW), torch.tensor([[[0.5, 1 / (1 + np.exp(-2.0))]]]).float())


def test_a_new_student_has_the_side_and_bands_of_the_pictures(tiny: dict[str, Any]) -> None:
    stats = DatasetStats(
        scaling=Scaling(low=(0.0,) * 3, high=(1.0,) * 3, dtype="uint8"), longer_side=40, longest_side=60
    )
    student = new_student(config(tiny, 1), stats, 1)
    assert (student.side, student.multiple, student.kinds) == (40, 8, ("student",))
    with torch.inference_mode():
        assert student.eval()(torch.zeros(1, 3, 40, 40)).shape == (1, 1, 40, 40)


def test_an_unknown_encoder_is_named() -> None:
    with pytest.raises(ValueError, match=r"student.encoder='resnet19'"):
        StudentPredictor(StudentSettings(encoder="resnet19"), 1, side=32)


def test_nothing_is_downloaded_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    import segmentation_models_pytorch.encoders as encoders

    asked: list[str] = []

    def download(repository: str, **_: Any) -> str:
        asked.append(repository)
        raise ConnectionError("no network")

    monkeypatch.setattr(encoders, "hf_hub_download", download)
    wanted = StudentSettings(encoder_weights="imagenet")
    StudentPredictor(wanted, 3, side=32)  # as a run is loaded
    StudentPredictor(StudentSettings(), 3, side=32, fetch=True)
    assert asked == []
    with pytest.raises(ValueError, match=r"student.encoder_weights=imagenet: could not be fetched"):
        StudentPredictor(wanted, 3, side=32, fetch=True)
    assert asked == ["smp-hub/resnet18.imagenet"]
