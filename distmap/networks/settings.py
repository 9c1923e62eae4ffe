"""Shapes of the networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from distmap.common.kinds import Channels, Fraction, Positive

Stride = Annotated[int, Ge(1), Le(2)]


@dataclass(frozen=True, kw_only=True)
class GeneratorSettings:
    """Shape of the branched generator."""

    branches: Annotated[int, Ge(1), Le(64)] = 3
    """Sub-generators n; their outputs add up to the picture."""
    width: Channels = 32
    """Channels at the finest level; doubled a level."""
    max_width: Channels = 128
    """Channels at most."""
    depth: Annotated[int, Ge(1), Le(10)] = 3
    """Halvings of the size between the finest and the coarsest level."""
    stride: Stride = 2
    """2 works at half resolution inside: four times cheaper."""
    slim: Channels = 2
    """A sub-generator's channels are the encoder's divided by this."""
    style_size: Channels = 32
    """Numbers in a style."""
    mapping_width: Channels = 64
    """Channels of the network that makes a style of a class."""
    branch1_gain: Positive = 0.1
    """What the last layer of branch 1 is multiplied by at the start, so that the others take up what classes share."""


@dataclass(frozen=True, kw_only=True)
class DiscriminatorSettings:
    """Shape of the discriminator, and how it is kept from learning small folders by heart."""

    kind: Literal["stargan", "projected"] = "stargan"
    """stargan: StarGAN v2's, which learns all it knows; projected: small heads on pretrained features that stay as they
    are (Sauer et al. 2021), without R1."""
    width: Channels = 32
    """Channels at the finest level; doubled a level. Where it is projected, those of its heads."""
    max_width: Channels = 128
    """Channels at most."""
    stride: Stride = 2
    """2 works at half resolution inside. StarGAN v2's alone has it;"""
    backbone: str = "tf_efficientnet_lite0"
    """the projected one alone has a network of timm whose features it looks at, those of ImageNet or random ones where
    they cannot be had,"""
    enlarge: Annotated[int, Ge(1), Le(8)] = 2
    """and sees pictures this much larger."""
    augment_shift: Fraction = 0.125
    """Largest shift, as a fraction of the side, of what the discriminator sees (differentiable augmentation)."""
    augment_contrast: Fraction = 0.2
    """Largest relative change of contrast and brightness of what the discriminator sees."""


@dataclass(frozen=True, kw_only=True)
class LocalizerShape:
    """Shape of the classifier of locations."""

    backbone: str = "tf_efficientnet_lite0"
    """Network of timm whose features it looks at; those of ImageNet, or random ones where they cannot be had."""
    enlarge: Annotated[int, Ge(1), Le(8)] = 2
    """It sees pictures this much larger."""
    width: Channels = 64
    """Channels that the features are brought to."""
    sharpness: Positive = 1.0
    """Of the log-mean-exp over locations: towards 0 their mean counts, towards infinity the strongest alone."""
