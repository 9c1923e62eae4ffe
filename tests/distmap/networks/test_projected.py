"""The projected discriminator: what is fixed, what is trained, and what reaches the picture."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F

from distmap.networks.backbones import BackboneError
from distmap.networks.blocks import CLASSES
from distmap.networks.projected import ProjectedDiscriminator, RandomMixing
from distmap.networks.settings import DiscriminatorSettings


def made(bands: int = 3, image_size: int = 32, seed: int = 0, **settings: Any) -> ProjectedDiscriminator:
    """Of random weights, which stand in for ImageNet's."""
    torch.manual_seed(seed)
    usual: dict[str, Any] = {"kind": "projected", "backbone": "test_efficientnet", "width": 8, "max_width": 16}
    return ProjectedDiscriminator(DiscriminatorSettings(**(usual | settings)), bands, image_size)


def pictures(count: int = 2, bands: int = 3, side: int = 32) -> torch.Tensor:
    return torch.rand((count, bands, side, side), generator=torch.Generator().manual_seed(1)) * 2 - 1


# --- shapes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image_size", "enlarge", "scales"), [(16, 1, 1), (16, 2, 2), (32, 2, 3), (36, 2, 3), (64, 2, 4), (100, 1, 3)]
)
def test_one_logit_a_class_from_as_many_scales_as_the_picture_has_room_for(
    image_size: int, enlarge: int, scales: int
) -> None:
    network = made(image_size=image_size, enlarge=enlarge)
    x = pictures(side=image_size)
    logits = network(x)
    assert logits.shape == (2, CLASSES)
    assert logits.dtype == torch.float32
    assert len(network.heads) == scales
    network.eval()  # so that the norms of the weights are not estimated anew by each call
    torch.testing.assert_close(network(x)[:1], network(x[:1]), atol=1e-5, rtol=1e-5)  # no normalisation over the batch


@pytest.mark.parametrize("bands", [1, 3, 5])
def test_any_number_of_bands(bands: int) -> None:
    assert made(bands)(pictures(bands=bands)).shape == (2, CLASSES)


def test_all_heads_end_at_the_coarsest_size() -> None:
    network = made(image_size=64)
    mixed = network.mixing(network.backbone(F.interpolate(pictures(side=64), scale_factor=2)))
    assert [scale.shape[-1] for scale in mixed] == [32, 16, 8, 4]
    assert [head(scale).shape for head, scale in zip(network.heads, mixed, strict=True)] == [(2, CLASSES, 4, 4)] * 4


def test_a_logit_is_the_mean_over_locations_and_scales() -> None:
    network = made().eval()
    x = pictures()
    mixed = network.mixing(network.backbone(F.interpolate(x, scale_factor=2, mode="bilinear")))
    means = [head(scale).mean(dim=(2, 3)) for head, scale in zip(network.heads, mixed, strict=True)]
    torch.testing.assert_close(network(x), sum(means) / 3)


def test_a_backbone_that_timm_has_not_is_refused() -> None:
    with pytest.raises(BackboneError, match="no_such_network"):
        made(backbone="no_such_network")


# --- what is fixed and what is trained ---------------------------------------------------------------------------


def test_features_stay_bit_by_bit_as_they_are() -> None:
    network = made()
    fixed = ("backbone.", "mixing.")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.Adam([parameter for parameter in network.parameters() if parameter.requires_grad], lr=0.1)
    network.train()
    for _ in range(2):
        optimiser.zero_grad()
        F.softplus(network(pictures(4))).mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    after = network.state_dict()
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved == {name for name in after if not name.startswith(fixed)}
    assert all(parameter.grad is None for name, parameter in network.named_parameters() if name.startswith(fixed))


def test_normalisation_of_the_backbone_never_follows_the_batch() -> None:
    network = made()
    for module in (network, network.train(), network.eval(), network.train()):
        assert not any(part.training for part in module.backbone.modules())
    assert network.heads.training


def test_gradients_reach_every_part_of_the_picture() -> None:
    x = pictures().requires_grad_(True)
    made()(x)[:, 0].sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert (x.grad.abs().amax(dim=1) > 0).float().mean() > 0.9


def test_heads_differ_by_class() -> None:
    network = made()
    logits = network(pictures())
    assert (logits[:, 0] - logits[:, 1]).abs().min() > 1e-4
    logits[:, 1].sum().backward()
    last = cast("Any", network.heads[0])[
        -1
    ].parametrizations.weight.original  # the gradient of the other class's is nothing
    assert last.grad is not None
    assert (last.grad[1] != 0).any()
    # What normalises both is the largest singular value, which they share.
    assert last.grad[0].abs().max() < last.grad[1].abs().max()


def test_convolutions_of_heads_have_a_spectral_norm_of_one() -> None:
    network = made()
    convolutions = [layer for layer in network.heads.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert len(convolutions) == 2 * 3 + (2 + 1)  # a last and a class one each, and those that halve
    for _ in range(30):
        network(pictures())  # each call in training estimates the norm further
    for layer in convolutions:
        assert float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) == pytest.approx(1, rel=0.05)


# --- mixing ------------------------------------------------------------------------------------------------------


def test_mixing_by_hand() -> None:
    torch.manual_seed(0)
    mixing = RandomMixing([2, 3])
    fine, coarse = torch.rand(1, 2, 8, 8), torch.rand(1, 3, 4, 4)
    mixed_fine, mixed_coarse = mixing([fine, coarse])
    over_channels, over_scales = (
        cast("list[torch.nn.Conv2d]", list(some)) for some in (mixing.over_channels, mixing.over_scales)
    )
    weights = [layer.weight[:, :, 0, 0] for layer in over_channels]
    expected = torch.einsum("oi,bihw->bohw", weights[1], coarse)
    torch.testing.assert_close(mixed_coarse, expected)
    down = F.conv2d(expected, over_scales[0].weight, padding=1)
    down = F.interpolate(down, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(mixed_fine, torch.einsum("oi,bihw->bohw", weights[0], fine) + down)


def test_mixing_keeps_the_variance_of_each_scale_before_scales_are_added() -> None:
    torch.manual_seed(0)
    mixing = RandomMixing([256, 256])
    coarse = torch.randn(2, 256, 16, 16)
    mixed = mixing([torch.zeros(2, 256, 32, 32), coarse])
    assert float(mixed[1].detach().std()) == pytest.approx(1, rel=0.1)
    inner = mixing.over_scales[0](mixed[1])[..., 1:-1, 1:-1]
    assert float(inner.detach().std()) == pytest.approx(1, rel=0.1)


def test_mixing_is_fixed_by_the_seed() -> None:
    one, again, other = (made(seed=seed).mixing.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_what_the_coarsest_scale_shows_reaches_the_finest() -> None:
    torch.manual_seed(0)
    mixing = RandomMixing([2, 3, 4])
    features = [torch.rand(1, 2, 8, 8), torch.rand(1, 3, 4, 4), torch.rand(1, 4, 2, 2)]
    other = [*features[:2], features[2] + 1]
    assert all((one != changed).any() for one, changed in zip(mixing(features), mixing(other), strict=True))
