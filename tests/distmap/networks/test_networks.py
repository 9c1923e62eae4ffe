"""What the networks must do whatever their sizes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from distmap.config import DiscriminatorConfig, GeneratorConfig, JudgeConfig, LocatorConfig
from distmap.networks.blocks import CLASSES, StyledBlock, StyledNorm, level_widths
from distmap.networks.classifiers import PictureClassifier
from distmap.networks.discriminators import Discriminator
from distmap.networks.generators import Encoder, Generator, Head, bilinear_kernels
from distmap.networks.localizer import Locator, PlaceClassifier


def generator(branches: int = 3, stride: int = 2, depth: int = 2, bands: int = 1) -> Generator:
    torch.manual_seed(0)
    config = GeneratorConfig(branches=branches, width=8, depth=depth, stride=2 if stride == 2 else 1)
    network = Generator(config, bands)
    network(torch.rand(4, bands, 32, 32), torch.tensor([0, 1, 0, 1]))  # running statistics unlike the initial ones
    return network


def test_level_widths() -> None:
    assert level_widths(32, 100, 3) == [32, 64, 100, 100]


@pytest.mark.parametrize("branches", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("bands", [1, 3, 5])
def test_branches_are_pictures(branches: int, stride: int, bands: int) -> None:
    network = generator(branches, stride, bands=bands)
    own, other = network(torch.rand(2, bands, 32, 32), torch.tensor([0, 1]))
    for painted in (own, other):
        assert painted.shape == (2, branches, bands, 32, 32)
        assert painted.abs().max() <= 1
    assert not torch.equal(own, other)


def test_own_and_other_are_the_two_classes() -> None:
    network = generator().eval()
    x, y = torch.rand(3, 1, 32, 32), torch.tensor([0, 1, 1])
    own, other = network(x, y)
    features = network.encode(x)
    torch.testing.assert_close(own, network.paint(features, y))
    torch.testing.assert_close(other, network.paint(features, 1 - y))


def test_the_class_reaches_the_picture_through_the_style_alone() -> None:
    network = generator().eval()
    for layer in network.mapping.layers:
        for parameter in layer.parameters():
            parameter.data.zero_()  # both classes now have one style
    own, other = network(torch.rand(2, 1, 32, 32), torch.tensor([0, 1]))
    assert torch.equal(own, other)


def test_alone_or_among_others_a_picture_is_painted_the_same() -> None:
    network = generator().eval()
    x = torch.rand(5, 1, 32, 32)
    y = torch.zeros(5, dtype=torch.int64)
    together = network.paint(network.encode(x), y)
    alone = network.paint(network.encode(x[:1]), y[:1])
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=1e-5)


def test_far_pixels_have_no_say() -> None:
    network = generator(depth=1).eval()
    x = torch.rand(1, 1, 96, 96)
    changed = x.clone()
    changed[..., 72:, 72:] = -1.0
    y = torch.zeros(1, dtype=torch.int64)
    before, after = (network.paint(network.encode(picture), y) for picture in (x, changed))
    torch.testing.assert_close(before[..., :40, :40], after[..., :40, :40], atol=1e-6, rtol=0)
    assert not torch.allclose(before[..., 80:, 80:], after[..., 80:, 80:], atol=1e-3)


def test_every_parameter_learns() -> None:
    network = generator()
    own, other = network(torch.rand(4, 1, 32, 32), torch.tensor([0, 1, 0, 1]))
    weights = torch.randn_like(own)
    ((own + 0.5 * other) * weights).sum().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias before batch normalisation is subtracted again.
    assert not [name for name in idle if not name.endswith("bias")]


def test_styled_norm_by_hand() -> None:
    norm = StyledNorm(1, 2).eval()
    norm.norm.running_mean, norm.norm.running_var = torch.tensor([3.0]), torch.tensor([4.0])
    with torch.no_grad():
        norm.affine.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        norm.affine.bias.zero_()
    # (7 - 3) / 2 = 2; gain 1 + 0.5, bias -1
    assert norm(torch.full((1, 1, 1, 1), 7.0), torch.tensor([[0.5, -1.0]])).item() == pytest.approx(2.0, abs=1e-4)


def test_a_decoder_level_sees_what_is_below_enlarged_and_laid_next_to_what_is_beside() -> None:
    torch.manual_seed(0)
    block = StyledBlock(4, 3, 5, 2).eval()
    below, beside, style = torch.rand(4, 4, 3, 2), torch.rand(2, 3, 6, 4), torch.rand(4, 2)  # two styles a picture
    twice = torch.cat([beside, beside])
    large = below.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    normed = torch.cat([block.norm_below(large, style), block.norm_beside(twice, style)], dim=1)
    weight = torch.cat([block.conv_below.weight, block.conv_beside.weight], dim=1)
    h = F.conv2d(F.leaky_relu(normed, 0.2), weight, block.conv_below.bias)
    h = block.conv(F.leaky_relu(block.norm(h, style), 0.2))
    straight = torch.cat([block.shortcut_below.weight, block.shortcut_beside.weight], dim=1)
    expected = (F.conv2d(torch.cat([large, twice], dim=1), straight) + h) * 2**-0.5
    torch.testing.assert_close(block(below, beside, style), expected)


def test_kernels_that_paint_four_pixels_see_features_enlarged_bilinearly() -> None:
    torch.manual_seed(0)
    h, weight = torch.rand(4, 5, 8, 7), torch.rand(3, 5, 3, 3)
    enlarged = F.interpolate(h, scale_factor=2, mode="bilinear", align_corners=False)
    painted = F.pixel_shuffle(F.conv2d(h, bilinear_kernels(weight), padding=1), 2)
    expected = F.conv2d(enlarged, weight, padding=1)
    torch.testing.assert_close(painted[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2])


def test_the_head_begins_smooth_and_can_learn_to_paint_each_of_four_pixels() -> None:
    torch.manual_seed(0)
    head = Head(4, 3, 2, 2)
    flat = torch.rand(4, 4, 1, 1).expand(4, 4, 6, 5)
    h, stem, style = torch.rand(4, 4, 6, 5), torch.rand(2, 3, 12, 10), torch.zeros(4, 1)  # two styles a picture
    beside = head.outer(torch.cat([stem, stem]))
    painted = head(flat, stem, style) - beside
    torch.testing.assert_close(painted, painted[..., :1, :1].expand_as(painted))  # the four are alike
    with torch.no_grad():
        head.inner.weight.zero_()
        head.inner.weight[3, 2, 1, 1] = 1  # of the first band, the lower right one
    painted = head(h, stem, style) - beside
    torch.testing.assert_close(painted[:, 0, 1::2, 1::2], h[:, 2])
    assert painted[:, 0, ::2].abs().max() < 1e-6
    assert painted[:, 0, :, ::2].abs().max() < 1e-6
    assert painted[:, 1].abs().max() < 1e-6


def test_the_head_sees_features_of_full_size_as_they_are() -> None:
    head = Head(4, 3, 2, 1)
    h, stem = torch.rand(2, 4, 6, 5), torch.rand(2, 3, 6, 5)
    expected = F.conv2d(F.pad(h, (1, 1, 1, 1), mode="replicate"), head.inner.weight) + head.outer(stem)
    torch.testing.assert_close(head(h, stem, torch.zeros(2, 1)), expected)


def test_stem_and_head_paint_no_rim_around_a_flat_picture() -> None:
    torch.manual_seed(0)
    stem = Encoder(2, [8, 16], 3, 2)(torch.rand(1, 2, 1, 1).expand(1, 2, 12, 10))[0]
    torch.testing.assert_close(stem, stem[..., 6:7, 5:6].expand_as(stem))
    painted = Head(4, 3, 2, 2)(torch.rand(1, 4, 1, 1).expand(1, 4, 6, 5), stem, torch.zeros(1, 1))
    torch.testing.assert_close(painted, painted[..., 6:7, 5:6].expand_as(painted))


@pytest.mark.parametrize("image_size", [16, 24, 32, 100])
@pytest.mark.parametrize("stride", [1, 2])
def test_discriminator_gives_one_logit_a_class(image_size: int, stride: int) -> None:
    config = DiscriminatorConfig(width=8, max_width=16, stride=2 if stride == 2 else 1)
    network = Discriminator(config, 3, image_size)
    x = torch.rand(2, 3, image_size, image_size)
    logits = network(x)
    assert logits.shape == (2, CLASSES)
    torch.testing.assert_close(network(x[:1]), logits[:1], atol=1e-5, rtol=1e-5)  # no normalisation over the batch


@pytest.mark.parametrize("image_size", [16, 32, 100])
def test_judge_gives_one_logit_a_class(image_size: int) -> None:
    network = PictureClassifier(JudgeConfig(width=8, max_width=16), 2, image_size)
    assert network(torch.rand(2, 2, image_size, image_size)).shape == (2, CLASSES)


@pytest.mark.parametrize("sharpness", [0.5, 4.0])
def test_a_place_classifier_pools_its_places(sharpness: float) -> None:
    network = PlaceClassifier(LocatorConfig(width=8, sharpness=sharpness), 2).eval()
    x = torch.rand(3, 2, 32, 48)
    places = network.places(x)
    assert places.shape == (3, 8, 12)
    expected = (sharpness * places).exp().mean(dim=(1, 2)).log() / sharpness
    torch.testing.assert_close(network(x), torch.stack([torch.zeros(3), expected], dim=1))


def test_the_places_of_the_locator_are_the_mean_of_its_members() -> None:
    network = Locator(LocatorConfig(width=8, members=2), 2).eval()
    x = torch.rand(3, 2, 32, 48)
    first, second = network.members
    assert not torch.allclose(first.places(x), second.places(x))
    torch.testing.assert_close(network.places(x), (first.places(x) + second.places(x)) / 2)


def test_the_first_in_rank_guides_and_those_without_a_vote_say_nothing() -> None:
    config = LocatorConfig(width=8, members=3)
    network = Locator(config, 2).eval()
    x = torch.rand(3, 2, 32, 48)
    a, _, c = network.members
    network.rank([2, 0, 1], 2)
    assert network.guide is c
    torch.testing.assert_close(network.places(x), (c.places(x) + a.places(x)) / 2)
    again = Locator(config, 2).eval()
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again.places(x), network.places(x))


def test_a_place_of_the_locator_sees_only_what_is_near() -> None:
    network = Locator(LocatorConfig(width=8), 1).eval()
    x = torch.rand(1, 1, 96, 96)
    changed = x.clone()
    changed[..., 60:] = 0
    difference = (network.places(x) - network.places(changed))[0].abs().amax(dim=0)
    assert (difference[:8] == 0).all()
    assert difference[15] > 0
