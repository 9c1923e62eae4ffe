"""A classifier of locations: how it pools them, what it sees them on, which parameters are the backbone's."""

from __future__ import annotations

import math
from typing import cast

import pytest
import torch

from distmap.networks.backbones import Features
from distmap.networks.localizer import Localizer, pooled_logits
from distmap.networks.settings import LocalizerShape

TINY = "test_efficientnet"


def localizer(bands: int = 2, **shape: float) -> Localizer:
    return Localizer(LocalizerShape(**{"backbone": TINY, "width": 8, "enlarge": 1, **shape}), bands).eval()  # type: ignore[arg-type]


def test_the_log_mean_exp_by_hand() -> None:
    logits = torch.tensor([[[0.0, math.log(3.0)]], [[-1.0, -1.0]]])
    torch.testing.assert_close(pooled_logits(logits, 1.0), torch.tensor([[0.0, math.log(2.0)], [0.0, -1.0]]))
    squares = pooled_logits(logits, 2.0)[0, 1]  # the mean of 1 and 9
    assert float(squares) == pytest.approx(math.log(5.0) / 2)
    assert float(pooled_logits(logits, 1e-4)[0, 1]) == pytest.approx(math.log(3.0) / 2, abs=1e-3)
    assert float(pooled_logits(logits, 1e3)[0, 1]) == pytest.approx(math.log(3.0), abs=1e-2)
    assert bool(pooled_logits(torch.full((1, 2, 2), 1e4), 1.0).isfinite().all())


@pytest.mark.parametrize("sharpness", [0.5, 4.0])
def test_its_verdict_is_pooled_over_its_locations(sharpness: float) -> None:
    network = localizer(sharpness=sharpness)
    x_BCHW = torch.rand(3, 2, 32, 48)
    logits = network.location_logits(x_BCHW)
    expected = (sharpness * logits).exp().mean(dim=(1, 2)).log() / sharpness
    torch.testing.assert_close(network(x_BCHW), torch.stack([torch.zeros(3), expected], dim=1))


@pytest.mark.parametrize(("enlarge", "shape"), [(1, (8, 12)), (2, (16, 24)), (3, (24, 36))])
def test_there_is_a_location_for_four_pixels_of_what_it_sees(enlarge: int, shape: tuple[int, int]) -> None:
    network = localizer(enlarge=enlarge)
    x_BCHW = torch.rand(3, 2, 32, 48)
    logits = network.location_logits(x_BCHW)
    assert logits.shape == (3, *shape)
    assert logits.dtype == torch.float32
    if enlarge > 1:
        larger = torch.nn.functional.interpolate(x_BCHW, scale_factor=enlarge, mode="bilinear")
        network.enlarge = 1
        torch.testing.assert_close(network.location_logits(larger), logits)


@pytest.mark.parametrize("size", [(32, 32), (16, 64), (40, 24)])
def test_any_size_and_number_of_bands(size: tuple[int, int]) -> None:
    for bands in (1, 3, 5):
        logits = localizer(bands).location_logits(torch.rand(1, bands, *size))
        assert logits.shape == (1, size[0] // 4, size[1] // 4)


def test_it_looks_at_any_features() -> None:
    class Halved(Features):
        """The picture at strides 4, 8 and 16."""

        channels = (2, 2, 2)

        def forward(self, x_BCHW: torch.Tensor) -> list[torch.Tensor]:
            return [torch.nn.functional.avg_pool2d(x_BCHW, stride) for stride in (4, 8, 16)]

    network = Localizer(LocalizerShape(backbone="none of timm", width=8, enlarge=1), 2, Halved()).eval()
    assert network.location_logits(torch.rand(3, 2, 32, 48)).shape == (3, 8, 12)
    assert network.backbone.load_imagenet_weights() == ""


def test_every_stride_counts() -> None:
    network, x_BCHW = localizer(), torch.rand(1, 2, 32, 32)
    whole = network.location_logits(x_BCHW)
    assert len(network.lateral) == 3
    for lateral in cast("list[torch.nn.Conv2d]", list(network.lateral)):
        kept = lateral.weight.detach().clone()
        with torch.no_grad():
            lateral.weight.zero_()
            assert not torch.allclose(network.location_logits(x_BCHW), whole)
            lateral.weight.copy_(kept)
    torch.testing.assert_close(network.location_logits(x_BCHW), whole)


def test_the_backbone_learns_at_its_own_rate_and_nothing_is_left_out() -> None:
    network = localizer()
    new, old = network.parameter_groups(0.1, 0.25)
    assert (new["lr"], old["lr"]) == (0.1, pytest.approx(0.025))
    assert set(old["params"]) == set(network.backbone.parameters())  # type: ignore[call-overload]
    assert set(new["params"]) | set(old["params"]) == set(network.parameters())  # type: ignore[call-overload]
    assert not set(new["params"]) & set(old["params"])  # type: ignore[call-overload]
