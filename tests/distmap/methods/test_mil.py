"""The pooled classifier of locations: its step, its map by hand, and its state."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from distmap.common.progress import Silent
from distmap.data.batches import PictureStore, batches
from distmap.data.seeding import LOCALIZER, step_rng
from distmap.methods.base import Batch, FitContext, Frame
from distmap.methods.localizer_training import localizer_change
from distmap.methods.losses import classification
from distmap.methods.mil import ClassifierSettings, LocationMapSettings, Mil, MilSettings
from distmap.methods.schedules import OneCycle
from distmap.networks.localizer import Localizer

MakeFrame = Callable[..., Frame]
SMALL = ClassifierSettings(width=8, backbone="test_efficientnet", enlarge=1)
TINY = MilSettings(classifier=SMALL)


class Told(Silent):
    """Keeps what is said."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def say(self, line: str) -> None:
        self.lines.append(line)


def batch(step: int, bands: int = 1) -> Batch:
    rng = torch.Generator().manual_seed(step)
    return Batch(
        x_BCHW=torch.rand((4, bands, 32, 32), generator=rng) * 2 - 1, labels_B=torch.tensor([1, 1, 0, 0]), step=step
    )


def train(method: Mil, known: PictureStore, steps: int) -> None:
    method.prepare(FitContext(train=known, validation=known))
    drawn = batches(known, "mirror", 8, (0, 2), start=0)
    for step, (x, y) in zip(range(steps), drawn, strict=False):
        method.step(Batch(x_BCHW=torch.from_numpy(x), labels_B=torch.from_numpy(y), step=step), step / steps)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# --- the map -----------------------------------------------------------------------------------------------------


class Locations(Localizer):
    """Gives these logits of locations, whatever it sees."""

    def __init__(self, logits_HW: Tensor) -> None:
        torch.nn.Module.__init__(self)
        self.logits_HW = logits_HW

    def location_logits(self, x_BCHW: Tensor) -> Tensor:
        return self.logits_HW.expand(len(x_BCHW), -1, -1)


def test_the_map_is_the_probability_of_each_location_enlarged_and_smoothed(
    make_frame: MakeFrame, rng: np.random.Generator
) -> None:
    settings = MilSettings(classifier=TINY.classifier, map=LocationMapSettings(smoothing=1.5))
    predictor = Mil(settings, make_frame()).predictor()
    logits_HW = torch.from_numpy(rng.normal(size=(8, 8)).astype(np.float32))
    predictor.classifier = Locations(logits_HW)
    x_BCHW = torch.zeros(2, 1, 32, 32)
    raw = predictor(x_BCHW)
    assert raw.shape == (2, predictor.raw_channels(1), 32, 32)
    # Bilinear: beyond the centres of the outermost locations their logit goes on; halfway lies the mean.
    torch.testing.assert_close(raw[0, 0, 0, 0], logits_HW[0, 0])
    torch.testing.assert_close(raw[0, 0, 1, 3], logits_HW[0, 0] * 0.625 + logits_HW[0, 1] * 0.375)
    probability = 1 / (1 + np.exp(-raw[0, 0].numpy()))
    expected = gaussian_filter(probability, 1.5, mode="nearest")
    np.testing.assert_allclose(predictor.coarse_map(raw)[0].numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(predictor.to_map(raw, x_BCHW)[1].numpy(), expected, rtol=1e-5)


def test_without_smoothing_it_is_the_probability(make_frame: MakeFrame) -> None:
    settings = MilSettings(classifier=TINY.classifier, map=LocationMapSettings(smoothing=0.0))
    predictor = Mil.new_predictor(settings, make_frame())
    raw = torch.tensor([[[[0.0, np.log(3.0)], [-np.log(3.0), 0.0]]]], dtype=torch.float32)
    torch.testing.assert_close(predictor.coarse_map(raw), torch.tensor([[[0.5, 0.75], [0.25, 0.5]]]))
    assert predictor.coarse_margin() == 0


# --- training ----------------------------------------------------------------------------------------------------


def test_it_learns_where_the_thing_is(known: PictureStore, make_frame: MakeFrame) -> None:
    method = Mil(TINY, make_frame())
    train(method, known, 60)
    predictor = method.predictor()
    x_BCHW = torch.from_numpy(np.stack([known[index] for index in range(len(known))]))
    with torch.inference_mode():
        maps_BHW = predictor.to_map(predictor(x_BCHW), x_BCHW)
    labels = torch.tensor([picture.label for picture in known.pictures])
    assert maps_BHW[labels == 1].amax(dim=(1, 2)).min() > maps_BHW[labels == 0].amax(dim=(1, 2)).max()
    row, column = divmod(int(maps_BHW[labels == 1].mean(dim=0).argmax()), 32)  # the block covers 12..19
    assert 8 <= row < 24
    assert 8 <= column < 24


def test_a_step_is_one_of_adamw_on_the_smoothed_cross_entropy_of_changed_pictures(make_frame: MakeFrame) -> None:
    changed = replace(SMALL, learning_rate=0.01, backbone_rate=0.5, weight_decay=0.2, label_smoothing=0.3)
    settings = MilSettings(classifier=changed)
    method = Mil(settings, make_frame(bands=3))
    network = copy.deepcopy(method._network)
    loss = method.step(batch(5, bands=3), 0.4)["classification"]
    x_BCHW = localizer_change(changed, "mirror")(batch(5, bands=3).x_BCHW, step_rng(0, LOCALIZER, 5))
    x_BCHW = x_BCHW.contiguous(memory_format=torch.channels_last)
    rate = 0.01 * OneCycle()(0.4)
    optimiser = torch.optim.AdamW(network.parameter_groups(rate, 0.5), weight_decay=0.2)
    expected = classification(network(x_BCHW), batch(5).labels_B, 0.3)
    expected.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    assert not loss.requires_grad
    torch.testing.assert_close(loss, expected.detach())
    for name, value in network.state_dict().items():
        torch.testing.assert_close(method.weights()[name], value, atol=1e-6, rtol=1e-4)


def test_it_begins_with_pretrained_features_or_says_that_there_are_none(
    known: PictureStore, make_frame: MakeFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    context = FitContext(train=known, validation=known, progress=Told(said))
    Mil(TINY, make_frame()).prepare(context)
    assert len(said) == 1
    assert said[0].startswith("warning: test_efficientnet: no ImageNet weights")
    monkeypatch.setattr("distmap.networks.backbones.Backbone.load_imagenet_weights", lambda _: "")
    Mil(TINY, make_frame()).prepare(context)
    assert len(said) == 1


def test_same_seed_same_weights(make_frame: MakeFrame) -> None:
    results = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(noise)  # torch's own state must not matter
        method = Mil(TINY, make_frame(seed=seed))
        method.step(batch(0), 0.0)
        results.append(method.weights())
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_a_slower_method_makes_smaller_steps(make_frame: MakeFrame) -> None:
    method = Mil(TINY, make_frame())
    method.slow_down(0.5)
    method.slow_down(0.5)
    method.step(batch(0), 0.2)
    rates = [group["lr"] for group in method._optimiser.param_groups]
    assert rates == pytest.approx([0.25 * 2e-3 * OneCycle()(0.2), 0.25 * 0.25 * 2e-3 * OneCycle()(0.2)])


def test_a_loaded_state_goes_on_as_if_nothing_had_happened(known: PictureStore, make_frame: MakeFrame) -> None:
    whole = Mil(TINY, make_frame())
    whole.prepare(FitContext(train=known, validation=known))
    for number in range(2):
        whole.step(batch(number), number / 5)
    whole.slow_down(0.5)
    state = copy.deepcopy(whole.state_dict())
    resumed = Mil(TINY, make_frame(seed=1))
    resumed.load_state_dict(state)
    resumed.frame = whole.frame  # draws are of the seed; the weights were of another
    for number in range(2, 5):
        for method in (whole, resumed):
            method.step(batch(number), number / 5)
    assert same(whole.weights(), resumed.weights())


def test_the_predictor_does_not_change_when_training_goes_on(make_frame: MakeFrame) -> None:
    method = Mil(TINY, make_frame())
    method.step(batch(0), 0.2)
    earlier, predictor = method.weights(), method.predictor()
    assert not predictor.classifier.training
    before = predictor(batch(9).x_BCHW)
    method.step(batch(1), 0.2)
    assert torch.equal(predictor(batch(9).x_BCHW), before)
    assert not torch.equal(method.predictor()(batch(9).x_BCHW), before)
    assert torch.equal(method.predictor(earlier)(batch(9).x_BCHW), before)
    again = Mil.new_predictor(TINY, make_frame()).eval()
    again.load_state_dict(predictor.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(again(batch(9).x_BCHW), before)
