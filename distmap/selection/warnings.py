"""What the scores of kept-out pictures say against the maps."""

from __future__ import annotations

from collections.abc import Mapping

CHANCE, LOW_FLIPS, LOW_PSNR, BACKGROUND, ALIKE = 0.6, 0.3, 20.0, 0.9, 0.3


def warnings(scores: Mapping[str, float], false_alarm: float) -> list[str]:
    """What the scores of the kept-out pictures say against the maps, a line each; none where all is well.

    ``separation``, ``flip_rate``, ``psnr``, ``background``, ``taken``: see ``DetectionSettings``.
    ``false_alarm``: the share of pixels of pictures WITHOUT that reach the threshold.
    """
    lines = []
    if scores["separation"] < CHANCE:
        lines.append(
            f"the maps hardly tell kept-out pictures apart (separation {scores['separation']:.2f}, 0.5 is chance): "
            "train longer, or give more pictures"
        )
    if scores.get("flip_rate", 1.0) < LOW_FLIPS:
        lines.append(
            f"only {scores['flip_rate']:.0%} of the kept-out pictures change class when they are repainted: "
            "train longer, or raise losses.guidance"
        )
    if scores["psnr"] < LOW_PSNR:
        lines.append(f"pictures are repainted badly ({scores['psnr']:.1f} dB): train longer")
    if scores["background"] > BACKGROUND:
        lines.append(
            f"pictures WITHOUT are changed as much as pictures WITH ({scores['background']:.0%}): "
            "train longer, or raise losses.locality"
        )
    if false_alarm > ALIKE * scores["taken"]:
        lines.append(
            f"{false_alarm:.2%} of the pixels of kept-out pictures WITHOUT reach the threshold, and "
            f"{scores['taken']:.2%} of those WITH: some pictures WITHOUT may hold the thing; look through that folder"
        )
    return lines
