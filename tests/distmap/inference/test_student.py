"""The student as a predictor: any size, the side that it sees, and weights that are never fetched unasked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from distmap.data.scaling import Scaling
from distmap.data.statistics import DatasetStats
from distmap.inference.predictor import Predictor
from distmap.inference.student import DEPTH, MULTIPLE, StudentPredictor, student_side
from distmap.networks.backbones import BackboneError
from distmap.settings import StudentSettings

SMALL = StudentSettings(encoder="test_efficientnet", decoder_widths=(8, 8, 8, 8, 8))


def student(bands: int = 1, precision: str = "32") -> StudentPredictor:
    torch.manual_seed(0)
    return StudentPredictor(SMALL, bands, side=32, precision=precision).eval()


@pytest.mark.parametrize("bands", [1, 3, 5])
@pytest.mark.parametrize("size", [(32, 32), (64, 96), (160, 32)])
def test_bands_and_sizes(bands: int, size: tuple[int, int]) -> None:
    assert MULTIPLE == 2**DEPTH == 32
    with torch.inference_mode():
        logits = student(bands)(torch.rand(2, bands, *size) * 2 - 1)
    assert logits.shape == (2, 1, *size)
    assert logits.dtype == torch.float32


def test_a_pixel_has_the_same_map_in_a_larger_picture() -> None:
    """Far from the border; so windows may be as large as one likes."""
    network, x_BCHW = student(), torch.rand(1, 1, 32, 512) * 2 - 1
    with torch.inference_mode():
        whole, part = network(x_BCHW), network(x_BCHW[..., :384])
    torch.testing.assert_close(part[..., :96], whole[..., :96], atol=1e-4, rtol=1e-3)


def test_its_map_is_the_probability() -> None:
    raw_BKHW = torch.tensor([[[[0.0, 2.0]]]])
    expected = torch.tensor([[[0.5, 1 / (1 + np.exp(-2.0))]]]).float()
    torch.testing.assert_close(student().coarse_map(raw_BKHW), expected)
    assert student().margin(2.0) == Predictor(32).margin(2.0)


def test_pictures_are_normalised_as_those_of_the_encoders_training() -> None:
    seen: list[torch.Tensor] = []
    network = student(3)
    network.unet.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x_BCHW = torch.zeros(1, 3, 32, 32)
    network(x_BCHW)
    imagenet = zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)
    expected = [(0.5 - mean) / spread for mean, spread in imagenet]
    torch.testing.assert_close(seen[0][0, :, 0, 0], torch.tensor(expected))
    assert not any(name in ("mean", "spread") for name in network.state_dict())


def test_precision_is_that_of_the_run() -> None:
    x_BCHW = torch.rand(1, 1, 32, 32) * 2 - 1
    with torch.inference_mode():
        exact, rough = (student(precision=precision)(x_BCHW) for precision in ("32", "bf16"))
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, atol=0.1, rtol=0.1)
    assert not torch.equal(rough, exact)


@pytest.mark.parametrize(
    ("longer", "least", "most", "side"),
    [
        (100, 128, 256, 128),  # small ones are enlarged
        (200, 128, 256, 224),  # to a multiple of 32
        (256, 128, 256, 256),
        (1000, 128, 256, 256),
        (10, 32, 256, 32),
        (90, 32, 80, 96),
    ],
)
def test_side_is_the_pictures_own_within_limits(longer: int, least: int, most: int, side: int) -> None:
    scaling = Scaling(low=(0.0,), high=(1.0,), dtype="uint8")
    stats = DatasetStats(scaling=scaling, longer_side=longer, longest_side=2 * longer)
    assert student_side(stats, StudentSettings(least_side=least, max_side=most)) == side


def test_a_student_needs_an_encoder_of_five_halvings() -> None:
    for encoder in ("resnet19", "test_vit"):
        with pytest.raises(BackboneError, match=rf"setting student\.encoder='{encoder}': cannot be the encoder"):
            StudentPredictor(StudentSettings(encoder=encoder), 1, side=32, precision="32")


def test_weights_come_when_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def load(_features: Any, name: str, bands: int, indices: Any) -> str:
        asked.append((name, bands))
        return "none to be had"

    monkeypatch.setattr("distmap.inference.student.load_imagenet_weights", load)
    made = student(3)
    assert asked == []
    assert made.load_imagenet_weights() == "none to be had"
    assert asked == [("test_efficientnet", 3)]


def test_imagenet_weights_fit_the_unets_encoder() -> None:
    """Names and shapes of the encoder are those of timm's features, for any number of bands."""
    import timm

    for bands in (1, 3, 5):
        features = timm.create_model("test_efficientnet", features_only=True, in_chans=bands, out_indices=range(DEPTH))
        encoder = student(bands).unet.encoder.model
        assert {name: value.shape for name, value in encoder.state_dict().items()} == {
            name: value.shape for name, value in features.state_dict().items()
        }


def test_the_encoder_learns_at_its_own_rate_and_nothing_is_left_out() -> None:
    network = student()
    new, old = network.parameter_groups(0.1, 0.5)
    assert (new["lr"], old["lr"]) == (0.1, 0.05)
    assert set(old["params"]) == set(network.unet.encoder.parameters())  # type: ignore[call-overload]
    assert set(new["params"]) | set(old["params"]) == set(network.parameters())  # type: ignore[call-overload]
