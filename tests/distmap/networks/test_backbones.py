"""Pretrained features: the right weights in the right places, for any number of bands, and a word where none are."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

import pytest
import timm
import torch

from distmap.networks.backbones import (
    BUNDLED,
    WEIGHTS_PACKAGE,
    Backbone,
    BackboneError,
    load_imagenet_weights,
    normalisation,
)

TINY = "test_efficientnet"
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in 0..1


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """What a package in place of the bundled one holds: random weights in timm's order, by names of its own."""
    torch.manual_seed(1)
    values = {name: torch.randn_like(value.float()) for name, value in timm.create_model(BUNDLED).state_dict().items()}
    models = tmp_path / "site" / WEIGHTS_PACKAGE / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").touch()
    torch.save({f"layer{number}": value for number, value in enumerate(values.values())}, models / "lite0.pth")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, WEIGHTS_PACKAGE, raising=False)
    importlib.invalidate_caches()
    return values


@pytest.mark.parametrize("bands", [1, 3, 5])
def test_features_of_each_stride(bands: int) -> None:
    backbone = Backbone(TINY, bands, (4, 16)).eval()
    features = backbone(torch.rand(2, bands, 48, 32) * 2 - 1)
    assert [tuple(one.shape) for one in features] == [(2, 24, 12, 8), (2, 48, 3, 2)]
    assert backbone.channels == [24, 48]


def test_pictures_are_normalised_as_those_of_the_networks_training() -> None:
    """Numbers in [-1, 1] become (n - mean) / spread, n in 0..1."""
    mean, spread = normalisation(TINY, 3)
    x_BCHW = torch.rand(1, 3, 4, 4) * 2 - 1
    expected = ((x_BCHW + 1) / 2 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(SPREAD)[:, None, None]
    torch.testing.assert_close((x_BCHW - mean) / spread, expected)
    mean, spread = normalisation(TINY, 5)
    assert mean.shape == spread.shape == (1, 5, 1, 1)
    grey = (torch.tensor(0.3) - mean) / spread
    torch.testing.assert_close(grey, torch.full((1, 5, 1, 1), (0.65 - sum(MEAN) / 3) / (sum(SPREAD) / 3)))
    # The backbone shows its network just that.
    seen: list[torch.Tensor] = []
    backbone = Backbone(TINY, 3, (4,)).eval()
    backbone.features.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    backbone(x_BCHW.repeat(1, 1, 8, 8))
    torch.testing.assert_close(seen[0][..., :4, :4], expected)


def test_a_network_of_no_known_training_sees_numbers_as_they_are() -> None:
    mean, spread = normalisation("resnet18d_of_nobody", 3)
    assert (mean.flatten().tolist(), spread.flatten().tolist()) == ([0.0] * 3, [1.0] * 3)


def test_unknown_networks_and_strides_are_named() -> None:
    with pytest.raises(BackboneError, match="'efficientnet_zero': timm has no such network with features"):
        Backbone("efficientnet_zero", 3)
    with pytest.raises(BackboneError, match="'test_convnext' has no features of stride 2, only 4, 8, 16, 32"):
        Backbone("test_convnext", 3, (2, 4))


@pytest.mark.parametrize("bands", [1, 3, 5])
def test_bundled_weights_come_in_their_places(bands: int, weights: dict[str, torch.Tensor]) -> None:
    backbone = Backbone(BUNDLED, bands)
    assert backbone.load_imagenet_weights() == ""
    stem, *others = backbone.features.state_dict().items()
    assert len(others) > 100
    for name, value in others:
        torch.testing.assert_close(value, weights[name].to(value.dtype))
    # Bands that are not three: one is the sum over them, more repeat them, and what comes out stays as large.
    known = weights["conv_stem.weight"]
    expected = {1: known.sum(1, keepdim=True), 3: known, 5: known.repeat(1, 2, 1, 1)[:, :5] * 3 / 5}[bands]
    torch.testing.assert_close(stem[1], expected)


def test_a_file_of_other_weights_is_refused(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    torch.save({"layer0": torch.zeros(3)}, tmp_path / "site" / WEIGHTS_PACKAGE / "models" / "lite0.pth")
    with pytest.raises(ValueError, match=rf"lite0\.pth: does not hold the weights of {BUNDLED}; install"):
        Backbone(BUNDLED, 3).load_imagenet_weights()


@pytest.mark.skipif(importlib.util.find_spec(WEIGHTS_PACKAGE) is None, reason="without the package of weights")
def test_the_installed_package_holds_what_the_network_was_trained_to() -> None:
    """Statistics of trained batch normalisation are far from those of a new network, and features tell of edges."""
    backbone = Backbone(BUNDLED, 3).eval()
    assert backbone.load_imagenet_weights() == ""
    state = backbone.features.state_dict()
    assert all(bool(value.isfinite().all()) for value in state.values())
    variances = [value for name, value in state.items() if name.endswith("running_var")]
    assert len(variances) > 20
    assert all(bool((value >= 0).all()) and not torch.equal(value, torch.ones_like(value)) for value in variances)
    assert not any(torch.equal(value, torch.zeros_like(value)) for name, value in state.items() if "running_m" in name)
    flat, edge = torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)
    edge[..., 32:] = 1
    with torch.inference_mode():
        differences = [(a - b).abs().mean(dim=(0, 1, 2)) for a, b in zip(backbone(edge), backbone(flat), strict=True)]
    assert all(float(difference[: len(difference) // 4].max()) < float(difference.max()) for difference in differences)


def test_without_weights_one_line_says_so_and_random_ones_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = Backbone(TINY, 1)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    line = backbone.load_imagenet_weights()  # tests are offline
    assert line.startswith(f"{TINY}: no ImageNet weights (")
    assert "random" in line
    assert "\n" not in line
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    # The bundled ones are missed only where their package is not installed.
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert load_imagenet_weights(Backbone(BUNDLED, 1).features, BUNDLED, 1, (1, 2, 3)).startswith(f"{BUNDLED}: no")
