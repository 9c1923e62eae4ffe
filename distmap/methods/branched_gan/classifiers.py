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
from distmap.data.seeding import JUDGE, PICTURE_GUIDE, seeded_networks
from distmap.inference.refinement import edge_contrast, gaussian
from distmap.methods.base import Frame
from distmap.methods.branched_gan.settings import (
    BranchedGanSettings,
    JudgeSettings,
    LocalizerSettings,
    PictureGuideSettings,
)
from distmap.methods.classifier_training import (
    Change,
    classifier_auroc,
    new_optimiser,
    train_classifier,
)
from distmap.networks.classifiers import PictureClassifier
from distmap.networks.localizer import Localizer


def new_localizer(settings: LocalizerSettings, bands: int) -> Localizer | None:
    """An untrained localizer, or None where there is to be none."""
    return Localizer(settings, bands) if settings.enabled else None


def new_classifier(settings: PictureGuideSettings | JudgeSettings, frame: Frame) -> PictureClassifier:
    """An untrained picture guide or judge."""
    return PictureClassifier(frame.bands, frame.side, width=settings.width, max_width=settings.max_width)


def train_picture_guide(
    store: PictureStore, settings: BranchedGanSettings, frame: Frame, time_spent: Callable[[], float]
) -> PictureClassifier:
    """A picture guide trained for ``settings.picture_guide.steps`` steps, or until ``time_spent()`` is 1."""
    with seeded_networks(frame.seed, PICTURE_GUIDE):
        guide = new_classifier(settings.picture_guide, frame)
    guide = guide.to(frame.device).to(memory_format=torch.channels_last)
    train_classifier(
        guide,
        new_optimiser(guide, settings.picture_guide),
        settings.picture_guide,
        store,
        frame,
        stream=PICTURE_GUIDE,
        change=as_counterfactuals(settings),
        smoothing=settings.losses.label_smoothing,
        time_spent=time_spent,
    )
    return guide


def train_judge(
    store: PictureStore, settings: BranchedGanSettings, frame: Frame, time_spent: Callable[[], float]
) -> PictureClassifier:
    """A judge trained for ``settings.judge.steps`` steps, or until ``time_spent()`` is 1.

    It sees degraded pictures, too, or it would go by how finely a counterfactual is made, and not by what it shows.
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
        new_optimiser(judge, settings.judge),
        settings.judge,
        store,
        frame,
        stream=JUDGE,
        change=change,
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
    classifier: Localizer, validation: PictureStore, settings: LocalizerSettings, device: torch.device
) -> bool:
    """Whether a trained classifier tells validation pictures apart nearly always, and there are enough to say so."""
    counts = [sum(picture.label == label for picture in validation.pictures) for label in (WITH, WITHOUT)]
    if min(counts) < settings.separable_pictures:
        return False
    return classifier_auroc(classifier, validation, device) >= settings.separable_auroc


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
