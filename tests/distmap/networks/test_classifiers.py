"""The classifier of whole pictures."""

from __future__ import annotations

import pytest
import torch

from distmap.networks.blocks import CLASSES
from distmap.networks.classifiers import PictureClassifier


@pytest.mark.parametrize("image_size", [16, 32, 100])
def test_picture_classifier_gives_one_logit_a_class(image_size: int) -> None:
    network = PictureClassifier(2, image_size, width=8, max_width=16)
    assert network(torch.rand(2, 2, image_size, image_size)).shape == (2, CLASSES)
