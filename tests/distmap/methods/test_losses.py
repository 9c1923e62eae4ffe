"""Losses that several methods share, against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from distmap.methods import losses


def test_soft_cross_entropy_by_hand() -> None:
    # Logit 0 is probability 1/2: log 2 for any target. Logit log 9 is 0.9.
    logits = torch.tensor([[[0.0, math.log(9)], [-math.log(9), 50.0]]], dtype=torch.float64)
    target = torch.tensor([[[0.3, 0.8], [0.0, 1.0]]])
    sure = -(0.8 * math.log(0.9) + 0.2 * math.log(0.1))
    found = losses.soft_cross_entropy(logits, target)
    assert found.item() == pytest.approx((math.log(2) + sure - math.log(0.9) + 0) / 4, rel=1e-5)


def test_soft_cross_entropy_is_least_at_the_target() -> None:
    target = torch.tensor([[[0.02, 0.4, 0.92]]])
    logits = torch.logit(target).requires_grad_(True)
    losses.soft_cross_entropy(logits, target).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-6


def test_soft_dice_loss_by_hand() -> None:
    # p = 1/2, 0.9 and t = 1, 0: 2 * 0.5 + 1 over 0.25 + 0.81 + 1 + 1; then p = 0.1 and nothing: 1 over 2 * 0.01 + 1.
    logits = torch.tensor([[[0.0, math.log(9)]], [[-math.log(9), -math.log(9)]]])
    target = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]])
    each = (1 - 2 / 3.06, 1 - 1 / 1.02)
    assert losses.soft_dice_loss(logits, target).item() == pytest.approx(sum(each) / 2, rel=1e-5)
    assert losses.soft_dice_loss(logits[:1], target[:1]).item() == pytest.approx(each[0], rel=1e-5)


def test_soft_dice_loss_is_0_where_probabilities_are_the_targets() -> None:
    for target in (torch.tensor([[[0.0, 1.0], [1.0, 1.0]]]), torch.zeros(1, 2, 2), torch.ones(2, 2, 2)):
        logits = 200 * target - 100
        assert losses.soft_dice_loss(logits, target).item() == pytest.approx(0, abs=1e-6)
        assert losses.soft_dice_loss(-logits, target).item() > 0.6
    soft = torch.tensor([[[0.02, 0.4, 0.92]]])  # the form with squares is 0 there as well
    assert losses.soft_dice_loss(torch.logit(soft), soft).item() == pytest.approx(0, abs=1e-6)


def test_soft_dice_loss_of_no_picture_is_0() -> None:
    nothing = torch.zeros(0, 4, 4)
    assert losses.soft_dice_loss(nothing, nothing).item() == 0


def test_classification_by_hand() -> None:
    # Probabilities 0.9 and 0.1; with smoothing 0.1 the right class counts as 0.95.
    logits, labels = torch.tensor([[0.0, math.log(9)], [math.log(9), 0.0]]), torch.tensor([1, 1])
    right, wrong = (-(part * math.log(0.9) + (1 - part) * math.log(0.1)) for part in (0.95, 0.05))
    assert losses.classification(logits, labels).item() == pytest.approx((right + wrong) / 2, rel=1e-5)
    plain = -(math.log(0.9) + math.log(0.1)) / 2
    assert losses.classification(logits, labels, 0.0).item() == pytest.approx(plain, rel=1e-5)
