"""A localizer learns from the classes of pictures alone where the thing is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from distmap.data.augment import mix_bands
from distmap.data.batches import PictureStore
from distmap.data.seeding import LOCALIZER, seeded_networks
from distmap.data.warping import colour_jitter, random_affines, warp
from distmap.methods import localizer_training
from distmap.methods.base import Frame
from distmap.methods.classifier_training import classifier_auroc
from distmap.methods.localizer_training import (
    LocalizerTraining,
    LocalizerWarp,
    localizer_change,
    localizer_optimiser,
    train_localizer,
)
from distmap.networks.localizer import Localizer
from distmap.networks.settings import LocalizerShape

MakeFrame = Callable[..., Frame]
SHAPE = LocalizerShape(backbone="test_efficientnet", width=16)


def localizer(seed: int = 0) -> Localizer:
    with seeded_networks(seed, LOCALIZER):
        return Localizer(SHAPE, 1)


def no_time() -> float:
    return 0.0


def test_a_short_training_locates_the_thing(known: PictureStore, make_frame: MakeFrame) -> None:
    """A white block at rows and columns 12 to 19."""
    network = localizer()
    settings = LocalizerTraining(steps=80, batch_size=8, backbone_rate=1.0)
    train_localizer(network, settings, known, make_frame(), no_time)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert classifier_auroc(network, known, torch.device("cpu")) == 1
    with_ = [known[index] for index, picture in enumerate(known.pictures) if picture.label]
    with torch.inference_mode():
        logits = network.location_logits(torch.from_numpy(np.stack(with_))).mean(dim=0)  # 16 x 16: enlarged twice
    row, column = divmod(int(logits.argmax()), 16)
    assert {row, column} <= set(range(5, 11))


def test_draws_depend_on_the_seed_alone(known: PictureStore, make_frame: MakeFrame) -> None:
    def weights(seed: int) -> torch.Tensor:
        network = localizer()
        train_localizer(network, LocalizerTraining(steps=2, batch_size=4), known, make_frame(seed=seed), no_time)
        return network.head.weight

    first = weights(0)
    torch.manual_seed(5)
    assert torch.equal(first, weights(0))
    assert not torch.equal(first, weights(1))


def test_it_stops_when_time_is_up(known: PictureStore, make_frame: MakeFrame) -> None:
    spent = iter([0.0, 0.4, 1.0])
    train_localizer(localizer(), LocalizerTraining(steps=10_000), known, make_frame(), lambda: next(spent))
    assert not list(spent)


def test_the_backbone_has_its_own_rate() -> None:
    settings = LocalizerTraining(learning_rate=0.1, backbone_rate=0.5, weight_decay=0.2)
    optimiser = localizer_optimiser(localizer(), settings)
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.1, 0.05])
    assert {group["weight_decay"] for group in optimiser.param_groups} == {0.2}


@pytest.mark.parametrize("symmetry", ["mirror", "all"])
def test_pictures_are_warped_relit_and_their_bands_mixed(symmetry: str) -> None:
    settings = LocalizerTraining(band_mixing=0.4, warp=LocalizerWarp(light=0.3))
    x_BCHW = torch.rand(3, 3, 16, 16) * 2 - 1
    rng = torch.Generator().manual_seed(3)
    affines = random_affines(3, settings.warp, any_angle=symmetry == "all", rng=rng)
    expected = mix_bands(colour_jitter(warp(x_BCHW, affines, beyond="reflection"), 0.3, rng), 0.4, rng)
    found = localizer_change(settings, symmetry)(x_BCHW, torch.Generator().manual_seed(3))
    torch.testing.assert_close(found, expected)


def test_settings_reach_the_training(
    known: PictureStore, make_frame: MakeFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr(localizer_training, "train_classifier", lambda *_, **options: given.update(options))
    settings = LocalizerTraining(label_smoothing=0.3)
    train_localizer(localizer(), settings, known, make_frame(), no_time)
    assert (given["smoothing"], given["stream"]) == (0.3, LOCALIZER)
