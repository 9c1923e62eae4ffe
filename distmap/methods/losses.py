"""Losses that several methods and the student share, one pure function each."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def classification(logits_B2: Tensor, labels_B: Tensor, smoothing: float = 0.1) -> Tensor:
    """Cross-entropy of a classifier's logits, with smoothed labels: at 0.1 nothing is gained beyond 95 %."""
    return F.cross_entropy(logits_B2.float(), labels_B, label_smoothing=smoothing)


def pixel_cross_entropy(
    logits_BHW: Tensor, target_BHW: Tensor, weight_BHW: Tensor, *, of_positive: float = 0.92, of_negative: float = 0.02
) -> Tensor:
    """Cross-entropy of pixels against labels that may be wrong, mean over the weight; 0 where there is no weight.

    Labels are smoothed: the target 1 counts as ``of_positive`` and 0 as ``of_negative``, for more of the pixels that a
    map takes are wrong than of those it leaves.
    """
    smoothed = (of_positive - of_negative) * target_BHW + of_negative
    each = F.binary_cross_entropy_with_logits(logits_BHW.float(), smoothed, reduction="none")
    return (each * weight_BHW).sum() / weight_BHW.sum().clamp(min=1)
