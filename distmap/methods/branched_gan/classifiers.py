"""The classifiers of the branched GAN: the localizer, the picture guide and the judge.

The localizer is trained before the generator, guides it and says where a picture looks like WITH. The picture guide
does so as well where the classes are separable and edge contrast is not low: to the localizer all is WITHOUT that is
not WITH, a picture guide asks for what WITHOUT looks like, too. The judge is trained after the generator, sees other
batches and has another shape than either, so that it can say whether a counterfactual changed its class.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distmap.data.augment import augment, degrade, mix_bands
from distmap.data.batches import PictureStore
from distmap.data.folders import WITH, WITHOUT
from distmap.data.seeding import JUDGE, LOCALIZER, MEMBER_STRIDE, PICTURE_GUIDE, seeded_networks
from distmap.inference.refinement import edge_contrast, gaussian
from distmap.methods.base import Frame
from distmap.methods.branched_gan.settings import (
    BranchedGanSettings,
    JudgeSettings,
    LocalizerSettings,
    PictureGuideSettings,
)
from distmap.methods.classifier_training import (
    AdversarialPerturbation,
    Change,
    classifier_auroc,
    train_classifier,
)
from distmap.networks.classifiers import PictureClassifier
from distmap.networks.localizer import Localizer, LocationClassifier


def new_localizer(settings: LocalizerSettings, bands: int) -> Localizer:
    """An untrained localizer."""
    return Localizer(bands, members=settings.members, width=settings.width, sharpness=settings.sharpness)


def new_classifier(settings: PictureGuideSettings | JudgeSettings, frame: Frame) -> PictureClassifier:
    """An untrained picture guide or judge."""
    return PictureClassifier(frame.bands, frame.side, width=settings.width, max_width=settings.max_width)


def train_localizer(
    localizer: Localizer,
    store: PictureStore,
    validation: PictureStore,
    settings: BranchedGanSettings,
    frame: Frame,
    time_spent: Callable[[], float],
) -> None:
    """Train the members one after the other, for ``settings.localizer.steps`` steps each, or for its part of the time,
    or until one finds the classes `separable`; then let the one guide that does best in the `occlusion_test`, and those
    vote that hardly do worse.

    ``time_spent``: fraction of the time for all of them that is over, 0 where there is no limit.
    """
    trained: list[LocationClassifier] = []
    greatest = AdversarialPerturbation.of_pictures(settings.adversarial, store).greatest
    for number, member in enumerate(localizer.members):
        start, deadline = time_spent(), (number + 1) / len(localizer.members)

        def of_member(start: float = start, deadline: float = deadline) -> float:
            return (time_spent() - start) / (deadline - start) if start < deadline else 1.0

        train_classifier(
            member,
            settings.localizer,
            store,
            frame,
            stream=LOCALIZER + number * MEMBER_STRIDE,
            change=as_counterfactuals(settings),
            perturbation=AdversarialPerturbation(settings.adversarial, greatest),
            smoothing=settings.losses.label_smoothing,
            time_spent=of_member,
        )
        trained.append(member)
        if separable(member, validation, settings.localizer, frame.device):
            break
    localizer.eval()
    found = [occlusion_test(member, store, settings.localizer, frame.device) for member in trained]
    order = sorted(range(len(trained)), key=found.__getitem__)
    voting = sum(value <= min(found) + settings.localizer.occlusion_tie for value in found)
    localizer.rank([*order, *range(len(trained), len(localizer.members))], voting)


def train_picture_guide(
    store: PictureStore, settings: BranchedGanSettings, frame: Frame, time_spent: Callable[[], float]
) -> PictureClassifier:
    """A picture guide trained for ``settings.picture_guide.steps`` steps, or until ``time_spent()`` is 1."""
    with seeded_networks(frame.seed, PICTURE_GUIDE):
        guide = new_classifier(settings.picture_guide, frame)
    guide = guide.to(frame.device).to(memory_format=torch.channels_last)
    train_classifier(
        guide,
        settings.picture_guide,
        store,
        frame,
        stream=PICTURE_GUIDE,
        change=as_counterfactuals(settings),
        perturbation=AdversarialPerturbation.of_pictures(settings.adversarial, store),
        smoothing=settings.losses.label_smoothing,
        time_spent=time_spent,
    )
    return guide


def train_judge(
    store: PictureStore, settings: BranchedGanSettings, frame: Frame, time_spent: Callable[[], float]
) -> PictureClassifier:
    """A judge trained for ``settings.judge.steps`` steps, or until ``time_spent()`` is 1.

    It sees degraded pictures, too, or it would go by how finely a counterfactual is made, and not by what it shows. But
    its pictures are not perturbed as those of the guides are: such judges are kind to what is half changed.
    """
    with seeded_networks(frame.seed, JUDGE):
        judge = new_classifier(settings.judge, frame)
    judge = judge.to(frame.device).to(memory_format=torch.channels_last)
    seen = settings.discriminator

    def change(x_BCHW: Tensor, rng: torch.Generator) -> Tensor:
        augmented = augment(x_BCHW, seen.augment_shift, seen.augment_contrast, rng)
        return degrade(augmented, settings.judge.blur, settings.judge.noise, rng)

    train_classifier(
        judge,
        settings.judge,
        store,
        frame,
        stream=JUDGE,
        change=change,
        perturbation=AdversarialPerturbation.none(),
        smoothing=settings.losses.label_smoothing,
        time_spent=time_spent,
    )
    return judge


def as_counterfactuals(settings: BranchedGanSettings) -> Change:
    """What changes pictures as those are changed that the guides see while the generator is trained."""
    seen = settings.discriminator

    def change(x_BCHW: Tensor, rng: torch.Generator) -> Tensor:
        augmented = augment(x_BCHW, seen.augment_shift, seen.augment_contrast, rng)
        return mix_bands(augmented, settings.localizer.band_mixing, rng)

    return change


def separable(
    classifier: LocationClassifier, validation: PictureStore, settings: LocalizerSettings, device: torch.device
) -> bool:
    """Whether a trained classifier tells validation pictures apart nearly always, and there are enough to say so."""
    counts = [sum(picture.label == label for picture in validation.pictures) for label in (WITH, WITHOUT)]
    if min(counts) < settings.separable_pictures:
        return False
    return classifier_auroc(classifier, validation, device) >= settings.separable_auroc


def occlusion_test(
    classifier: LocationClassifier, store: PictureStore, settings: LocalizerSettings, device: torch.device
) -> float:
    """How far a trained classifier says of a location what it sees elsewhere, 0 to 1: the mean probability that it
    still gives the strongest location of a picture WITH when what lies around it is hidden.

    A location sees far beyond itself, and nothing in the classes of pictures says that it must point at what it sees:
    some trainings end with locations that lie all beside the thing.
    """
    with_ = [index for index, picture in enumerate(store.pictures) if picture.label == WITH]
    some = with_[:: max(1, len(with_) // settings.occluded_pictures)]
    left = []
    with torch.inference_mode():
        for index in some:
            x_CHW = torch.from_numpy(store[index]).to(device)
            logits_HW = classifier.location_logits(x_CHW[None])[0]
            row, column = divmod(int(logits_HW.argmax()), logits_HW.shape[1])
            stride = x_CHW.shape[1] / logits_HW.shape[0]
            down, across = (torch.arange(length, device=device) + 0.5 for length in x_CHW.shape[1:])
            apart_HW = torch.hypot(down[:, None] - (row + 0.5) * stride, across - (column + 0.5) * stride)
            mean_C11 = x_CHW.mean(dim=(1, 2), keepdim=True)
            occluded = torch.where(apart_HW <= settings.occluded_radius, mean_C11, x_CHW)
            left.append(float(torch.sigmoid(classifier.location_logits(occluded[None])[0, row, column])))
    return float(np.mean(left))


def low_edge_contrast(
    localizer: Localizer, store: PictureStore, settings: BranchedGanSettings, device: torch.device
) -> bool:
    """Whether pictures WITH vary little more than usually where a trained localizer points: the median over pictures of
    the `edge_contrast` of how far a pixel is from the picture's median grey, times the smoothed probability there."""
    test = settings.localizer
    found = []
    with torch.inference_mode():
        for index, picture in enumerate(store.pictures):
            if picture.label != WITH:
                continue
            x_BCHW = torch.from_numpy(store[index])[None].to(device)
            probability = torch.sigmoid(localizer.location_logits(x_BCHW))[:, None]
            probability = F.interpolate(probability, x_BCHW.shape[2:], mode="bilinear")
            grey_BHW = x_BCHW.mean(dim=1)
            there_BHW = gaussian(probability[:, 0], test.contrast_smoothing)
            differs_HW = ((grey_BHW - float(np.median(grey_BHW.cpu().numpy()))).abs() * there_BHW)[0]
            contrast = edge_contrast(differs_HW, grey_BHW[0], test.contrast_radius, saturation=settings.map.saturation)
            if contrast is not None:
                found.append(contrast)
    return bool(found) and float(np.median(found)) < test.contrast
