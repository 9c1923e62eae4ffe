"""What the scores of validation pictures say against the maps."""

from __future__ import annotations

from collections.abc import Mapping

CHANCE, LOW_FLIPS, LOW_PSNR, BACKGROUND, ALIKE = 0.6, 0.3, 20.0, 0.9, 0.3


def warnings(scores: Mapping[str, float], false_alarm: float) -> list[str]:
    """What the scores of validation pictures say against the maps, a line each; none where all is well.

    ``auroc``, ``flip_rate``, ``psnr``, ``background``, ``taken``: see ``DetectionSettings.validation_scores``; those
    that a method does not have are passed over. ``false_alarm``: the fraction of pixels of pictures WITHOUT that reach
    the threshold.
    """
    lines = []
    if scores["auroc"] < CHANCE:
        lines.append(
            f"the maps hardly tell validation pictures apart (AUROC {scores['auroc']:.2f}, 0.5 is chance): "
            "train longer, or give more pictures"
        )
    if scores.get("flip_rate", 1.0) < LOW_FLIPS:
        lines.append(
            f"only {scores['flip_rate']:.0%} of the validation pictures change class in their counterfactual: "
            "train longer, or raise losses.guidance"
        )
    if scores.get("psnr", LOW_PSNR) < LOW_PSNR:
        lines.append(f"pictures are reconstructed badly ({scores['psnr']:.1f} dB): train longer")
    if scores["background"] > BACKGROUND:
        lines.append(
            f"pictures WITHOUT are changed as much as pictures WITH ({scores['background']:.0%}): "
            "train longer, or raise losses.locality"
        )
    if false_alarm > ALIKE * scores["taken"]:
        lines.append(
            f"{false_alarm:.2%} of the pixels of validation pictures WITHOUT reach the threshold, and "
            f"{scores['taken']:.2%} of those WITH: some pictures WITHOUT may hold the thing; look through that folder"
        )
    return lines
