"""The networks: a generator of branches that add up to a picture, its discriminator, the locator and classifiers of
whole pictures.

The generator is StarGAN v2's, changed as arXiv 2305.02899 says: styles come from the class identity alone through a
mapping network, n sub-generators paint n pictures that are summed, and U-net skips carry detail. One encoder serves all
sub-generators: it sees no style, so painting both classes costs one encoding.

Shape letters: B batch, N branches, C bands, H height, W width, S style size.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distmap.config import DiscriminatorConfig, GeneratorConfig, JudgeConfig, LocatorConfig, PictureGuideConfig

CLASSES = 2
FAINT = 0.1  # what the last layer of branch 1 is multiplied by at the start


def level_widths(width: int, max_width: int, depth: int) -> list[int]:
    """Channels from the finest level to the coarsest: doubled a level, up to ``max_width``."""
    return [min(width * 2**level, max_width) for level in range(depth + 1)]


class ResidualBlock(nn.Module):
    """Pre-activation residual block; halves the size where ``down``. Without ``norm`` it is the discriminator's.

    B x C_in x H x W -> B x C_out x H x W (or H/2 x W/2).
    """

    def __init__(self, bands_in: int, bands_out: int, *, down: bool, norm: bool) -> None:
        super().__init__()
        self.down = down
        self.norm1 = nn.BatchNorm2d(bands_in) if norm else nn.Identity()
        self.norm2 = nn.BatchNorm2d(bands_in) if norm else nn.Identity()
        self.conv1 = nn.Conv2d(bands_in, bands_in, 3, padding=1)
        self.conv2 = nn.Conv2d(bands_in, bands_out, 3, padding=1)
        self.shortcut = nn.Conv2d(bands_in, bands_out, 1, bias=False) if bands_in != bands_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.leaky_relu(self.norm1(x), 0.2))
        if self.down:
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        h = self.conv2(F.leaky_relu(self.norm2(h), 0.2))
        joined: Tensor = (self.shortcut(x) + h) * 2**-0.5
        return joined


class StyledNorm(nn.Module):
    """Batch normalisation whose gain and bias come from the style (AdaIN with running statistics in place of the
    picture's own: what a pixel becomes does not depend on the rest of the window).
    """

    def __init__(self, bands: int, style_size: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(bands, affine=False)
        self.affine = nn.Linear(style_size, 2 * bands)

    def forward(self, x: Tensor, style_BS: Tensor) -> Tensor:
        gain, bias = self.affine(style_BS)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(bias, for_each_style(self.norm(x), style_BS), 1 + gain)


def for_each_style(x: Tensor, style: Tensor) -> Tensor:
    """Pictures (B x ...) once more for every further B styles."""
    times = style.shape[0] // x.shape[0]  # not len(), which would fix the size of the batch in an exported graph
    return x if times == 1 else torch.cat([x] * times)


class StyledBlock(nn.Module):
    """One decoder level: upsample, join the encoder's skip, two styled convolutions with a shortcut.

    The first, which sees the most channels, is 1 x 1: so it need not wait until what comes from below is enlarged, and
    what comes from beside need not be laid next to it.
    """

    def __init__(self, bands_in: int, bands_skip: int, bands_out: int, style_size: int) -> None:
        super().__init__()
        self.norm_below = StyledNorm(bands_in, style_size)
        self.norm_beside = StyledNorm(bands_skip, style_size)
        self.norm = StyledNorm(bands_out, style_size)
        self.conv_below = nn.Conv2d(bands_in, bands_out, 1)
        self.conv_beside = nn.Conv2d(bands_skip, bands_out, 1, bias=False)
        self.conv = nn.Conv2d(bands_out, bands_out, 3, padding=1)
        self.shortcut_below = nn.Conv2d(bands_in, bands_out, 1, bias=False)
        self.shortcut_beside = nn.Conv2d(bands_skip, bands_out, 1, bias=False)

    def forward(self, below: Tensor, beside: Tensor, style_BS: Tensor) -> Tensor:
        h = self.conv_below(F.leaky_relu(self.norm_below(below, style_BS), 0.2))
        h, x = enlarged(h, beside), enlarged(self.shortcut_below(below), beside)
        h = h + self.conv_beside(F.leaky_relu(self.norm_beside(beside, style_BS), 0.2))
        x = x + for_each_style(self.shortcut_beside(beside), style_BS)
        h = self.conv(F.leaky_relu(self.norm(h, style_BS), 0.2))
        joined: Tensor = (x + h) * 2**-0.5
        return joined


def enlarged(x: Tensor, like: Tensor) -> Tensor:
    """Each pixel repeated, to the height and width of another picture."""
    return F.interpolate(x, size=like.shape[-2:], mode="nearest")


class MappingNetwork(nn.Module):
    """Class identity -> style: labels B (int64) -> B x S."""

    def __init__(self, style_size: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Embedding(CLASSES, width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, style_size)
        )

    def forward(self, labels_B: Tensor) -> Tensor:
        style: Tensor = self.layers(labels_B)
        return style


class Encoder(nn.Module):
    """Picture -> features, finest first. ``stride`` 2 works at half resolution inside; the first entry, at full
    resolution, serves the heads as their last skip."""

    def __init__(self, bands: int, widths: Sequence[int], stem_width: int, stride: int) -> None:
        super().__init__()
        # The heads see the stem as it is: a rim of zeros around it would be painted as a rim.
        self.stem = nn.Conv2d(bands, stem_width, 3, padding=1, padding_mode="replicate")
        self.enter = nn.Conv2d(
            stem_width, widths[0], 2 if stride == 2 else 3, stride=stride, padding=0 if stride == 2 else 1
        )
        self.blocks = nn.ModuleList(
            ResidualBlock(narrow, wide, down=True, norm=True) for narrow, wide in itertools.pairwise(widths)
        )
        self.bottleneck = ResidualBlock(widths[-1], widths[-1], down=False, norm=True)

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        stem = F.leaky_relu(self.stem(x_BCHW), 0.2)
        features = [stem, self.enter(stem)]
        for block in self.blocks:
            features.append(block(features[-1]))
        features[-1] = self.bottleneck(features[-1])
        return features


class Head(nn.Module):
    """The last convolution, 3 x 3, of a branch's features and, beside them, the encoder's at full resolution.

    Each feature of half the size (``stride`` 2) paints four pixels (Shi et al. 2016): all that is sharper than these
    features is painted here. The kernels begin as those that would enlarge the features bilinearly before, which is
    smooth, and learn from there.
    """

    def __init__(self, bands_in: int, bands_stem: int, bands_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.inner = nn.Conv2d(bands_in, bands_out * stride**2, 3, padding=1, padding_mode="replicate", bias=False)
        self.outer = nn.Conv2d(bands_stem, bands_out, 3, padding=1, padding_mode="replicate")
        if stride == 2:
            one = nn.Conv2d(bands_in, bands_out, 3).weight
            with torch.no_grad():
                self.inner.weight.copy_(bilinear_kernels(one))

    def forward(self, h: Tensor, stem: Tensor, style_BS: Tensor) -> Tensor:
        painted: Tensor = F.pixel_shuffle(self.inner(h), self.stride)
        return painted + for_each_style(self.outer(stem), style_BS)


def bilinear_kernels(weight: Tensor) -> Tensor:
    """Kernels O x I x 3 x 3 of a convolution of what is bilinearly enlarged to twice its size -> 4 O x I x 3 x 3, of
    one that gives the same of what is small, its four pixels as channels (``F.pixel_shuffle``)."""
    # For the upper and the lower half of a small pixel: what each row of the kernel takes, in quarters, of the small
    # pixels above, at and below it.
    quarters = [[[3, 1, 0], [1, 3, 0], [0, 3, 1]], [[1, 3, 0], [0, 3, 1], [0, 1, 3]]]
    seen = weight.new_tensor(quarters) / 4
    return torch.einsum("ocyx,pyi,qxj->opqcij", weight, seen, seen).flatten(0, 2)


class SubGenerator(nn.Module):
    """One branch: the encoder's features of B pictures, and a style for each or several for each (the first B, the next
    B, ...) -> as many pictures in [-1, 1]."""

    def __init__(self, config: GeneratorConfig, bands: int, widths: Sequence[int], stem_width: int) -> None:
        super().__init__()
        slimmed = [max(width // config.slim, 8) for width in widths]
        self.levels = nn.ModuleList()
        below = widths[-1]
        for level in reversed(range(len(widths) - 1)):
            self.levels.append(StyledBlock(below, widths[level], slimmed[level], config.style_size))
            below = slimmed[level]
        self.head_norm = StyledNorm(below, config.style_size)
        self.head = Head(below, stem_width, bands, config.stride)

    def forward(self, features: Sequence[Tensor], style_BS: Tensor) -> Tensor:
        stem, *skips, coarsest = features
        h = for_each_style(coarsest, style_BS)
        for block, skip in zip(self.levels, reversed(skips), strict=True):
            h = block(h, skip, style_BS)
        h = F.leaky_relu(self.head_norm(h, style_BS), 0.2)
        painted: Tensor = torch.tanh(self.head(h, stem, style_BS).float())
        return painted


class Generator(nn.Module):
    """Encoder, mapping network and N sub-generators; ``paint`` gives their pictures, whose sum is the repainting."""

    def __init__(self, config: GeneratorConfig, bands: int) -> None:
        super().__init__()
        widths = level_widths(config.width, config.max_width, config.depth)
        stem_width = max(config.width // 4, 8)
        self.mapping = MappingNetwork(config.style_size, config.mapping_width)
        self.encoder = Encoder(bands, widths, stem_width, config.stride)
        branches = [SubGenerator(config, bands, widths, stem_width) for _ in range(config.branches)]
        # Branch 1 starts faint, so that the others, not it, take up what the classes share.
        with torch.no_grad():
            for parameter in branches[0].head.parameters():
                parameter.mul_(FAINT)
        self.branches = nn.ModuleList(branches)

    def encode(self, x_BCHW: Tensor) -> list[Tensor]:
        """Features of a picture in [-1, 1]; they know no class, so they serve for both."""
        features: list[Tensor] = self.encoder(x_BCHW)
        return features

    def paint(self, features: Sequence[Tensor], labels_B: Tensor) -> Tensor:
        """Branches b_k(x, y), B x N x C x H x W in [-1, 1]; with 2 B labels, those of the B pictures twice."""
        style = self.mapping(labels_B)
        return torch.stack([branch(features, style) for branch in self.branches], dim=1)

    def forward(self, x_BCHW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Branches under each picture's own class and under the other one, both B x N x C x H x W.

        The two are painted in one pass, so that normalisation sees both classes' pictures together.
        """
        both = self.paint(self.encode(x_BCHW), torch.cat([labels_B, 1 - labels_B]))
        own, other = both.chunk(2)
        return own, other


class Discriminator(nn.Module):
    """StarGAN v2's: residual blocks without normalisation and one real-or-fake head a class.

    B x C x H x W -> B x 2 logits.
    """

    def __init__(self, config: DiscriminatorConfig, bands: int, image_size: int) -> None:
        super().__init__()
        depth = max(1, (image_size // config.stride // 4).bit_length() - 1)
        widths = level_widths(config.width, config.max_width, depth)
        self.enter = nn.Conv2d(
            bands, widths[0], 2 + config.stride if config.stride == 2 else 3, stride=config.stride, padding=1
        )
        self.blocks = nn.Sequential(
            *(ResidualBlock(narrow, wide, down=True, norm=False) for narrow, wide in itertools.pairwise(widths))
        )
        self.last = nn.Conv2d(widths[-1], widths[-1], 3, padding=1)
        self.heads = nn.Linear(widths[-1] * 2, CLASSES)
        # As in StarGAN v2 (He et al. 2015): without normalisation, a picture would hardly show in the logits at first.
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, a=0.2)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h = self.blocks(self.enter(x_BCHW))
        h = F.leaky_relu(self.last(F.leaky_relu(h, 0.2)), 0.2)
        pooled = torch.cat([h.mean(dim=(2, 3)), h.amax(dim=(2, 3))], dim=1)
        logits: Tensor = self.heads(pooled).float()
        return logits


class PictureClassifier(nn.Module):
    """A small classifier of whole pictures, WITHOUT against WITH: B x C x H x W -> B x 2 logits."""

    def __init__(self, config: JudgeConfig | PictureGuideConfig, bands: int, image_size: int) -> None:
        super().__init__()
        depth = max(1, (image_size // 8).bit_length() - 1)
        widths = level_widths(config.width, config.max_width, depth)
        self.enter = nn.Conv2d(bands, widths[0], 4, stride=2, padding=1)
        self.blocks = nn.Sequential(
            *(ResidualBlock(narrow, wide, down=True, norm=True) for narrow, wide in itertools.pairwise(widths))
        )
        self.heads = nn.Linear(2 * widths[-1], CLASSES)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h = F.leaky_relu(self.blocks(self.enter(x_BCHW)), 0.2)
        logits: Tensor = self.heads(torch.cat([h.mean(dim=(2, 3)), h.amax(dim=(2, 3))], dim=1))
        return logits


class PlaceClassifier(nn.Module):
    """A classifier, WITHOUT against WITH, that looks at each place by itself: B x C x H x W -> B x 2 logits.

    Every place gets a logit from what lies within about 25 pixels, and the picture's logit is their log-mean-exp
    (Pinheiro & Collobert 2015, eq. 6); ``sharpness`` 0 would be their mean, infinity the greatest. From the classes of
    pictures alone the places learn which of them make a picture one WITH.
    """

    def __init__(self, config: LocatorConfig, bands: int) -> None:
        super().__init__()
        width, wide = config.width, 2 * config.width
        self.sharpness = config.sharpness
        self.enter = nn.Conv2d(bands, width, 4, stride=2, padding=1)
        self.blocks = nn.Sequential(
            ResidualBlock(width, wide, down=True, norm=True),
            ResidualBlock(wide, wide, down=False, norm=True),
            ResidualBlock(wide, wide, down=False, norm=True),
            nn.BatchNorm2d(wide),
        )
        self.head = nn.Conv2d(wide, 1, 1)

    def places(self, x_BCHW: Tensor) -> Tensor:
        """The logit of WITH at each place, B x H/4 x W/4."""
        logits: Tensor = self.head(F.leaky_relu(self.blocks(self.enter(x_BCHW)), 0.2))
        return logits[:, 0].float()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        places = self.sharpness * self.places(x_BCHW).flatten(1)
        pooled = (torch.logsumexp(places, dim=1) - math.log(places.shape[1])) / self.sharpness
        return torch.stack([torch.zeros_like(pooled), pooled], dim=1)


class Locator(nn.Module):
    """Several place classifiers that were trained apart, the first of which guides.

    One alone may have learnt to look at something that only comes with the thing; which it is depends on chance. So the
    mean of those that vote says where; but what that guided was painted worse, so one of them is the guide.
    """

    votes: Tensor  # of each member, 1 or 0

    def __init__(self, config: LocatorConfig, bands: int) -> None:
        super().__init__()
        members = nn.ModuleList(PlaceClassifier(config, bands) for _ in range(config.members))
        self.members = cast("Sequence[PlaceClassifier]", members)
        self.register_buffer("votes", torch.ones(config.members))

    def rank(self, order: Sequence[int], voting: int) -> None:
        """Put the members in this order, and let the first ``voting`` of them vote."""
        self.members = cast("Sequence[PlaceClassifier]", nn.ModuleList(self.members[index] for index in order))
        self.votes[:voting], self.votes[voting:] = 1, 0

    def places(self, x_BCHW: Tensor) -> Tensor:
        """The mean logit of WITH at each place, B x H/4 x W/4."""
        logits = torch.stack([member.places(x_BCHW) for member in self.members], dim=-1)
        return (logits * self.votes).sum(dim=-1) / self.votes.sum()

    @property
    def guide(self) -> PlaceClassifier:
        """The member that the generator has to convince."""
        return self.members[0]
