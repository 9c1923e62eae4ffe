"""The locator's members, the picture guide and the judge: classifiers, WITHOUT against WITH, trained on real pictures.

The locator is trained before the generator, guides it and says where a picture looks like WITH. The picture guide does
so as well where the classes are clear and things stand out from texture: to the locator all is WITHOUT that is not
WITH, a picture guide asks for what WITHOUT looks like, too. The judge is trained after the generator, sees other
batches and has another shape than either, so that it can say whether repainting a picture changed its class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from distmap.data.augment import augment, mix_bands, roughen
from distmap.data.batches import PictureStore, batches
from distmap.data.folders import WITH, WITHOUT
from distmap.data.seeding import seeded_networks, step_generator
from distmap.methods.branched_gan.maps import edge_prominence
from distmap.methods.losses import classification
from distmap.methods.schedules import one_cycle
from distmap.networks.classifiers import PictureClassifier
from distmap.networks.devices import autocast
from distmap.networks.localizer import Locator, PlaceClassifier
from distmap.selection.choice import separation

if TYPE_CHECKING:
    from distmap.config import Config, JudgeConfig, LocatorConfig, PictureGuideConfig

JUDGE_STREAM, LOCATOR_STREAM, GUIDE_STREAM = 5, 6, 7
MEMBER_STRIDE = 1000  # between the streams of the locator's members, past all others
NEARLY_ALWAYS = 0.95  # right about so many pictures, a classifier is tried harder
PACE = 0.03  # by how much harder or easier from step to step
LEAST_CHANGE = 0.01  # of the greatest
SPREAD_OF = 200  # pictures
HIDDEN = 7  # pixels of the network around a place that are hidden to see whether a classifier looks there
HIDDEN_IN = 64  # pictures WITH
PLACE_SMOOTHING, EDGE_RADIUS = 3.0, 2  # pixels of the network
STANDS_OUT = 3.0  # prominence, with these lengths, from which a thing stands out; `effect` has 1.5, others 5 and more
ASTRAY = 0.3  # members that go by elsewhere so much more than the best of them have no vote


def train_locator(
    locator: Locator,
    store: PictureStore,
    config: Config,
    device: torch.device,
    time_spent: Callable[[], float],
    suffices: Callable[[PlaceClassifier], bool],
) -> None:
    """Train the members of the locator on the training pictures, one after the other, for ``config.locator.steps``
    steps each, or for its part of the time, or until one ``suffices``; then let the one guide that least
    `goes_by_elsewhere`, and those vote that hardly do so more.

    ``time_spent``: share of the time for all of them that is over, 0 where there is no limit.
    """
    greatest = config.locator.robustness * _spread(store)
    trained: list[PlaceClassifier] = []
    for number, member in enumerate(locator.members):
        begun, due = time_spent(), (number + 1) / len(locator.members)

        def of_member(begun: float = begun, due: float = due) -> float:
            return (time_spent() - begun) / (due - begun) if begun < due else 1.0

        stream = LOCATOR_STREAM + number * MEMBER_STRIDE
        _train(member, config.locator, stream, _as_repainted(config), store, config, device, of_member, Trial(greatest))
        trained.append(member)
        if suffices(member):
            break
    locator.eval()
    elsewhere = [goes_by_elsewhere(member, store, device) for member in trained]
    order = sorted(range(len(trained)), key=elsewhere.__getitem__)
    voting = sum(share <= min(elsewhere) + ASTRAY for share in elsewhere)
    locator.rank([*order, *range(len(trained), len(locator.members))], voting)


def train_picture_guide(
    store: PictureStore, config: Config, bands: int, device: torch.device, time_spent: Callable[[], float]
) -> PictureClassifier:
    """A picture guide trained on the training pictures for ``config.picture_guide.steps`` steps, or until
    ``time_spent()`` is 1."""
    guide = _new(config.picture_guide, GUIDE_STREAM, config, bands, device)
    trial = Trial(config.locator.robustness * _spread(store))
    _train(guide, config.picture_guide, GUIDE_STREAM, _as_repainted(config), store, config, device, time_spent, trial)
    return guide


def train_judge(
    store: PictureStore, config: Config, bands: int, device: torch.device, time_spent: Callable[[], float]
) -> PictureClassifier:
    """A judge trained on the training pictures for ``config.judge.steps`` steps, or until ``time_spent()`` is 1.

    It sees rough pictures, too, or it would go by how finely a repainting is painted, and not by what it shows. But it
    is not tried with changes as those that guide are: such judges are kind to what is half repainted.
    """
    settings = config.judge
    judge = _new(settings, JUDGE_STREAM, config, bands, device)

    def change(x_BCHW: Tensor, draws: torch.Generator) -> Tensor:
        return roughen(augment(x_BCHW, config.discriminator, draws), settings.blur, settings.noise, draws)

    _train(judge, settings, JUDGE_STREAM, change, store, config, device, time_spent, Trial(0.0))
    return judge


def told_apart(classifier: PlaceClassifier, store: PictureStore, device: torch.device) -> float:
    """How well a trained classifier tells the pictures of a store apart: area under the ROC curve, 0.5 is chance."""
    logits: dict[int, list[float]] = {WITH: [], WITHOUT: []}
    with torch.inference_mode():
        for index, picture in enumerate(store.pictures):
            x_BCHW = torch.from_numpy(store[index])[None].to(device)
            logits[picture.label].append(float(classifier(x_BCHW)[0, WITH]))
    return separation(logits[WITH], logits[WITHOUT])


def goes_by_elsewhere(classifier: PlaceClassifier, store: PictureStore, device: torch.device) -> float:
    """How far a trained classifier says of a place what it sees elsewhere, 0 to 1: the mean probability that it still
    gives the strongest place of a picture WITH when what lies within 7 pixels of it is hidden.

    A place sees far beyond itself, and nothing in the classes of pictures says that it must point at what it sees: some
    trainings end with places that lie all beside the thing.
    """
    with_ = [index for index, picture in enumerate(store.pictures) if picture.label == WITH]
    some = with_[:: max(1, len(with_) // HIDDEN_IN)]
    left = []
    with torch.inference_mode():
        for index in some:
            x_CHW = torch.from_numpy(store[index]).to(device)
            places_HW = classifier.places(x_CHW[None])[0]
            row, column = divmod(int(places_HW.argmax()), places_HW.shape[1])
            stride = x_CHW.shape[1] / places_HW.shape[0]
            down, across = (torch.arange(length, device=device) + 0.5 for length in x_CHW.shape[1:])
            apart_HW = torch.hypot(down[:, None] - (row + 0.5) * stride, across - (column + 0.5) * stride)
            hidden = torch.where(apart_HW <= HIDDEN, x_CHW.mean(dim=(1, 2), keepdim=True), x_CHW)
            left.append(float(torch.sigmoid(classifier.places(hidden[None])[0, row, column])))
    return float(np.mean(left))


def drowns(locator: Locator, store: PictureStore, device: torch.device) -> bool:
    """Whether the thing drowns in texture, by a trained locator: where it points, pictures WITH vary little more than
    they do usually (`edge_prominence`, median over pictures, of how far a pixel is from the picture's
    median grey, times the smoothed probability of its place; below 3)."""
    found = []
    with torch.inference_mode():
        for index, picture in enumerate(store.pictures):
            if picture.label != WITH:
                continue
            x_BCHW = torch.from_numpy(store[index])[None].to(device)
            places = F.interpolate(torch.sigmoid(locator.places(x_BCHW))[:, None], x_BCHW.shape[2:], mode="bilinear")
            grey_HW = x_BCHW.mean(dim=1)[0].cpu().numpy()
            place_HW = gaussian_filter(places[0, 0].cpu().numpy(), PLACE_SMOOTHING, mode="nearest")
            prominence = edge_prominence(np.abs(grey_HW - np.median(grey_HW)) * place_HW, grey_HW, EDGE_RADIUS)
            if prominence is not None:
                found.append(prominence)
    return bool(found) and float(np.median(found)) < STANDS_OUT


class Trial:
    """How hard a classifier is tried in its training: pictures are changed the way that misleads it most (Goodfellow
    et al. 2015, with the L2 norm), as far as it is right nearly always all the same.

    What convinces a classifier that withstands such changes looks like the class to people, too (Santurkar et al.
    2019); any other is convinced by faint stripes, and a generator that it guides paints them. Where the classes are
    hard to tell apart nothing is changed, since it would cost the classifier what little it can see.

    ``greatest``: L2 norm of the greatest change of a picture. ``size``: that of the present one.
    """

    def __init__(self, greatest: float) -> None:
        self.greatest = greatest
        self.size = 0.0
        self._right = 0.5  # running share of pictures that it is right about

    def harden(self, network: nn.Module, x_BCHW: Tensor, y: Tensor, precision: str) -> Tensor:
        """The pictures, changed by ``size`` each."""
        if not self.size:
            return x_BCHW
        x_BCHW = x_BCHW.contiguous(memory_format=torch.channels_last).requires_grad_(True)
        with autocast(precision, x_BCHW.device):
            loss = classification(network(x_BCHW), y)
        (gradient,) = torch.autograd.grad(loss, x_BCHW)
        length = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]
        harder: Tensor = (x_BCHW + self.size * gradient / length).detach()
        return harder

    def adapt(self, logits_B2: Tensor, y: Tensor) -> None:
        """Be harder if it is right nearly always, else easier."""
        self._right += 0.1 * (float((logits_B2.argmax(dim=1) == y).float().mean()) - self._right)
        least = LEAST_CHANGE * self.greatest
        if self._right > NEARLY_ALWAYS:
            self.size = min(self.greatest, max(least, self.size * (1 + PACE)))
        else:
            self.size = self.size * (1 - PACE) if self.size > least else 0.0


def _new(
    settings: JudgeConfig | PictureGuideConfig, stream: int, config: Config, bands: int, device: torch.device
) -> PictureClassifier:
    with seeded_networks(config.seed, stream):
        network = PictureClassifier(settings, bands, config.image_size)
    return network.to(device).to(memory_format=torch.channels_last)


def _as_repainted(config: Config) -> Callable[[Tensor, torch.Generator], Tensor]:
    """What changes pictures as those are changed that the guides see while the generator is trained."""

    def change(x_BCHW: Tensor, draws: torch.Generator) -> Tensor:
        return mix_bands(augment(x_BCHW, config.discriminator, draws), config.locator.band_mixing, draws)

    return change


def _spread(store: PictureStore) -> float:
    """The L2 norm of the pixels' standard deviation over (some of the) pictures."""
    count = len(store)
    some = np.stack([store[index] for index in range(0, count, max(1, count // SPREAD_OF))])
    return float(np.linalg.norm(some.std(axis=0)))


def _train(
    network: nn.Module,
    settings: JudgeConfig | LocatorConfig | PictureGuideConfig,
    stream: int,
    change: Callable[[Tensor, torch.Generator], Tensor],
    store: PictureStore,
    config: Config,
    device: torch.device,
    time_spent: Callable[[], float],
    trial: Trial,
) -> None:
    """Train a classifier on pictures as ``change`` and then ``trial`` alter them, and leave it ready for use.

    The learning rate falls with the steps or the time, whichever is over first. All draws depend on (seed, stream,
    step) alone.
    """
    network.requires_grad_(True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    pictures = batches(store, config.data.symmetry, settings.batch_size, (config.seed, stream), start=0)
    network.train()
    for step, (x, y) in zip(range(settings.steps), pictures, strict=False):
        share = max(step / settings.steps, time_spent())
        if share >= 1:
            break
        optimiser.param_groups[0]["lr"] = settings.learning_rate * one_cycle(share)
        x_BCHW = change(torch.from_numpy(x).to(device), step_generator(config.seed, stream, step))
        labels = torch.from_numpy(y).to(device)
        x_BCHW = trial.harden(network, x_BCHW, labels, config.training.precision)
        with autocast(config.training.precision, device):
            logits = network(x_BCHW.contiguous(memory_format=torch.channels_last))
        loss = classification(logits, labels)
        trial.adapt(logits, labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    network.eval().requires_grad_(False)
