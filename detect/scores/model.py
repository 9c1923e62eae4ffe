"""Scores of the model that made the maps, from what it says of every picture (`images[].model` in COCO JSON).

Keys of a picture: `psnr_with`, `psnr_without` (PSNR in dB of the reconstruction as each class against the picture, data
range 2), `residual` (mean abs(sum of branches - picture)), `flips_to_with`, `flips_to_without` (1 where a judge trained
apart takes the counterfactual for that class), `score` (of the picture). A model's own `confidence` stands beside them,
as `images[].confidence`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def psnr(models: Sequence[Mapping[str, float]], positive: Sequence[bool]) -> float | None:
    """Mean PSNR of the same-class reconstruction in dB: as WITH for pictures with truth, as WITHOUT for the others."""
    return _mean(models, positive, "psnr_with", "psnr_without")


def flip_rate(models: Sequence[Mapping[str, float]], positive: Sequence[bool]) -> float | None:
    """Fraction of pictures whose counterfactual is taken for that class."""
    return _mean(models, positive, "flips_to_without", "flips_to_with")


def residual(models: Sequence[Mapping[str, float]]) -> float | None:
    """Mean abs(sum of branches - picture)."""
    return _mean(models, [True] * len(models), "residual", "residual")


def _mean(models: Sequence[Mapping[str, float]], positive: Sequence[bool], true: str, false: str) -> float | None:
    keys = [true if truth else false for truth in positive]
    values = [model[key] for model, key in zip(models, keys, strict=True) if key in model]
    return sum(values) / len(values) if values else None
