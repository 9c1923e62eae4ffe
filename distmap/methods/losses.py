"""Losses that several methods and the student share, one pure function each."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def classification(logits_B2: Tensor, labels_B: Tensor, smoothing: float = 0.1) -> Tensor:
    """Cross-entropy of a classifier's logits, with smoothed labels: at 0.1 nothing is gained beyond 95 %."""
    return F.cross_entropy(logits_B2.float(), labels_B, label_smoothing=smoothing)


def soft_cross_entropy(logits_BHW: Tensor, target_BHW: Tensor) -> Tensor:
    """Cross-entropy of pixels against how sure it is, 0..1, that each shows the thing; mean over all pixels."""
    return F.binary_cross_entropy_with_logits(logits_BHW.float(), target_BHW)


def soft_dice_loss(logits_BHW: Tensor, target_BHW: Tensor) -> Tensor:
    """1 - (2 Σ p t + 1) / (Σ p² + Σ t² + 1) of each picture, the mean over them; p is the probability, t the target.

    The form with squares (Milletari et al. 2016, V-Net), which soft targets reach 0 at. 0 without pictures.
    """
    if not len(logits_BHW):
        return logits_BHW.new_zeros(())
    p, t = logits_BHW.float().sigmoid().flatten(1), target_BHW.flatten(1)
    overlap = (2 * (p * t).sum(dim=1) + 1) / (p.square().sum(dim=1) + t.square().sum(dim=1) + 1)
    return (1 - overlap).mean()
