"""StarGAN v2's discriminator, and which kind is made."""

from __future__ import annotations

import pytest
import torch

from distmap.networks.blocks import CLASSES
from distmap.networks.discriminators import Discriminator, new_discriminator
from distmap.networks.projected import ProjectedDiscriminator
from distmap.networks.settings import DiscriminatorSettings


@pytest.mark.parametrize("image_size", [16, 24, 32, 100])
@pytest.mark.parametrize("stride", [1, 2])
def test_discriminator_gives_one_logit_a_class(image_size: int, stride: int) -> None:
    settings = DiscriminatorSettings(width=8, max_width=16, stride=2 if stride == 2 else 1)
    network = Discriminator(settings, 3, image_size)
    x = torch.rand(2, 3, image_size, image_size)
    logits = network(x)
    assert logits.shape == (2, CLASSES)
    torch.testing.assert_close(network(x[:1]), logits[:1], atol=1e-5, rtol=1e-5)  # no normalisation over the batch


def test_the_kind_is_a_setting() -> None:
    assert isinstance(new_discriminator(DiscriminatorSettings(width=8), 1, 16), Discriminator)
    projected = DiscriminatorSettings(kind="projected", backbone="test_efficientnet", width=8)
    assert isinstance(new_discriminator(projected, 1, 16), ProjectedDiscriminator)
