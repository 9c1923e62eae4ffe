"""Losses that several methods share, against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from distmap.methods import losses


def test_pixel_cross_entropy_by_hand() -> None:
    # Logit 0 is probability 1/2: log 2 for any target. Logit log 9 is 0.9: target 1 counts as 0.92.
    logits = torch.tensor([[[0.0, math.log(9)], [-math.log(9), 50.0]]], dtype=torch.float64)
    target = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    weight = torch.tensor([[[1.0, 1.0], [1.0, 0.0]]])
    with_ = -(0.92 * math.log(0.9) + 0.08 * math.log(0.1))
    without = -(0.02 * math.log(0.1) + 0.98 * math.log(0.9))
    found = losses.pixel_cross_entropy(logits, target, weight)
    assert found.item() == pytest.approx((math.log(2) + with_ + without) / 3, rel=1e-5)


def test_pixel_cross_entropy_of_nothing_is_zero() -> None:
    nothing = torch.zeros(1, 2, 2)
    assert losses.pixel_cross_entropy(nothing + 3, nothing, nothing).item() == 0


def test_pixel_cross_entropy_is_least_where_labels_are_smoothed_to() -> None:
    logits = torch.tensor([[[math.log(0.92 / 0.08), math.log(0.02 / 0.98)]]], requires_grad=True)
    losses.pixel_cross_entropy(logits, torch.tensor([[[1.0, 0.0]]]), torch.ones(1, 1, 2)).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-6


def test_classification_by_hand() -> None:
    # Probabilities 0.9 and 0.1; with smoothing 0.1 the right class counts as 0.95.
    logits, labels = torch.tensor([[0.0, math.log(9)], [math.log(9), 0.0]]), torch.tensor([1, 1])
    right, wrong = (-(part * math.log(0.9) + (1 - part) * math.log(0.1)) for part in (0.95, 0.05))
    assert losses.classification(logits, labels).item() == pytest.approx((right + wrong) / 2, rel=1e-5)
    plain = -(math.log(0.9) + math.log(0.1)) / 2
    assert losses.classification(logits, labels, 0.0).item() == pytest.approx(plain, rel=1e-5)


def test_what_labels_count_as_is_given() -> None:
    logits, target = torch.zeros(1, 1, 2) + math.log(9), torch.tensor([[[1.0, 0.0]]])
    sure = losses.pixel_cross_entropy(logits, target, torch.ones(1, 1, 2), of_positive=1.0, of_negative=0.0)
    assert sure.item() == pytest.approx(-(math.log(0.9) + math.log(0.1)) / 2, rel=1e-5)
