"""What the branched generator must do whatever its size."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from distmap.networks.generators import Encoder, Generator, Head, bilinear_kernels
from distmap.networks.settings import GeneratorSettings


def generator(branches: int = 3, stride: int = 2, depth: int = 2, bands: int = 1) -> Generator:
    torch.manual_seed(0)
    settings = GeneratorSettings(branches=branches, width=8, depth=depth, stride=2 if stride == 2 else 1)
    network = Generator(settings, bands)
    network(torch.rand(4, bands, 32, 32), torch.tensor([0, 1, 0, 1]))  # running statistics unlike the initial ones
    return network


@pytest.mark.parametrize("branches", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("bands", [1, 3, 5])
def test_branches_are_pictures(branches: int, stride: int, bands: int) -> None:
    network = generator(branches, stride, bands=bands)
    own, other = network(torch.rand(2, bands, 32, 32), torch.tensor([0, 1]))
    for made in (own, other):
        assert made.shape == (2, branches, bands, 32, 32)
        assert made.abs().max() <= 1
    assert not torch.equal(own, other)


def test_own_and_other_are_the_two_classes() -> None:
    network = generator().eval()
    x, y = torch.rand(3, 1, 32, 32), torch.tensor([0, 1, 1])
    own, other = network(x, y)
    features = network.encode(x)
    torch.testing.assert_close(own, network.decompose(features, y))
    torch.testing.assert_close(other, network.decompose(features, 1 - y))


def test_the_class_reaches_the_picture_through_the_style_alone() -> None:
    network = generator().eval()
    for layer in network.mapping.layers:
        for parameter in layer.parameters():
            parameter.data.zero_()  # both classes now have one style
    own, other = network(torch.rand(2, 1, 32, 32), torch.tensor([0, 1]))
    assert torch.equal(own, other)


def test_alone_or_among_others_a_picture_is_decomposed_the_same() -> None:
    network = generator().eval()
    x = torch.rand(5, 1, 32, 32)
    y = torch.zeros(5, dtype=torch.int64)
    together = network.decompose(network.encode(x), y)
    alone = network.decompose(network.encode(x[:1]), y[:1])
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=1e-5)


def test_far_pixels_have_no_say() -> None:
    network = generator(depth=1).eval()
    x = torch.rand(1, 1, 96, 96)
    changed = x.clone()
    changed[..., 72:, 72:] = -1.0
    y = torch.zeros(1, dtype=torch.int64)
    before, after = (network.decompose(network.encode(picture), y) for picture in (x, changed))
    torch.testing.assert_close(before[..., :40, :40], after[..., :40, :40], atol=1e-6, rtol=0)
    assert not torch.allclose(before[..., 80:, 80:], after[..., 80:, 80:], atol=1e-3)


def test_every_parameter_learns() -> None:
    network = generator()
    own, other = network(torch.rand(4, 1, 32, 32), torch.tensor([0, 1, 0, 1]))
    weights = torch.randn_like(own)
    ((own + 0.5 * other) * weights).sum().backward()
    unmoved = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias before batch normalisation is subtracted again.
    assert not [name for name in unmoved if not name.endswith("bias")]


def test_kernels_that_make_four_pixels_see_features_enlarged_bilinearly() -> None:
    torch.manual_seed(0)
    h, weight = torch.rand(4, 5, 8, 7), torch.rand(3, 5, 3, 3)
    enlarged = F.interpolate(h, scale_factor=2, mode="bilinear", align_corners=False)
    made = F.pixel_shuffle(F.conv2d(h, bilinear_kernels(weight), padding=1), 2)
    expected = F.conv2d(enlarged, weight, padding=1)
    torch.testing.assert_close(made[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2])


def test_the_head_begins_smooth_and_can_learn_each_of_four_pixels() -> None:
    torch.manual_seed(0)
    head = Head(4, 3, 2, 2)
    flat = torch.rand(4, 4, 1, 1).expand(4, 4, 6, 5)
    h, stem, style = torch.rand(4, 4, 6, 5), torch.rand(2, 3, 12, 10), torch.zeros(4, 1)  # two styles a picture
    beside = head.outer(torch.cat([stem, stem]))
    made = head(flat, stem, style) - beside
    torch.testing.assert_close(made, made[..., :1, :1].expand_as(made))  # the four are alike
    with torch.no_grad():
        head.inner.weight.zero_()
        head.inner.weight[3, 2, 1, 1] = 1  # of the first band, the lower right one
    made = head(h, stem, style) - beside
    torch.testing.assert_close(made[:, 0, 1::2, 1::2], h[:, 2])
    assert made[:, 0, ::2].abs().max() < 1e-6
    assert made[:, 0, :, ::2].abs().max() < 1e-6
    assert made[:, 1].abs().max() < 1e-6


def test_the_head_sees_features_of_full_size_as_they_are() -> None:
    head = Head(4, 3, 2, 1)
    h, stem = torch.rand(2, 4, 6, 5), torch.rand(2, 3, 6, 5)
    expected = F.conv2d(F.pad(h, (1, 1, 1, 1), mode="replicate"), head.inner.weight) + head.outer(stem)
    torch.testing.assert_close(head(h, stem, torch.zeros(2, 1)), expected)


def test_stem_and_head_make_no_rim_around_a_flat_picture() -> None:
    torch.manual_seed(0)
    stem = Encoder(2, [8, 16], 3, 2)(torch.rand(1, 2, 1, 1).expand(1, 2, 12, 10))[0]
    torch.testing.assert_close(stem, stem[..., 6:7, 5:6].expand_as(stem))
    made = Head(4, 3, 2, 2)(torch.rand(1, 4, 1, 1).expand(1, 4, 6, 5), stem, torch.zeros(1, 1))
    torch.testing.assert_close(made, made[..., 6:7, 5:6].expand_as(made))
