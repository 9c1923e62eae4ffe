"""Losses that several methods and the student share, one pure function each."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def classification(logits_B2: Tensor, labels_B: Tensor) -> Tensor:
    """Cross-entropy of a classifier's logits, with smoothed labels: beyond 95 % nothing is gained."""
    return F.cross_entropy(logits_B2.float(), labels_B, label_smoothing=0.1)


def pixel_cross_entropy(logits_BHW: Tensor, target_BHW: Tensor, weight_BHW: Tensor) -> Tensor:
    """Cross-entropy of pixels against labels that may be wrong, mean over the weight; 0 where there is no weight.

    Labels are smoothed: the target 1 counts as 0.92 and 0 as 0.02, for more of the pixels that a map takes are wrong
    than of those it leaves.
    """
    each = F.binary_cross_entropy_with_logits(logits_BHW.float(), 0.9 * target_BHW + 0.02, reduction="none")
    return (each * weight_BHW).sum() / weight_BHW.sum().clamp(min=1)
