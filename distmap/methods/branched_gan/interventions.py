"""Noticing, without labels, a training that goes wrong, and what is done about it.

While it trains, the means of what each step reports are looked at every ``CHECK_EVERY`` steps (`diagnose`); what can be
mended is, by changing a weight or a rate, and said in one line. At the end the scores of the kept-out pictures tell
whether the maps are worth anything (`warnings`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from distmap.config import LossConfig

CHECK_EVERY = 100  # steps


FIRST_CHECK = 200  # steps; before, nothing has had time to form


TIMES = 3  # that most remedies are tried


FORTHRIGHT = 0.5  # share of repaintings that the guides must take for their new class


CONFINED = 0.35  # mean change, of a range of 2, beyond which more than the thing is repainted


BEATEN = 8.0  # margin of the discriminator from which on the generator learns nothing from it


PATIENCE = 0.4  # steps times learning rate, from which to twice which the discriminator must have learnt something


IDLE = 0.3  # margin of the discriminator below which the generator learns little from it


CLEAR = 0.995  # separation of kept-out pictures by the locator, from which the classes can be told apart nearly always


ENOUGH = 30  # kept-out pictures of each class; fewer may be told apart by chance


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """What is wrong, in words, and by how much the factor ``changes`` is multiplied."""

    name: str
    line: str
    changes: str
    by: float
    times: int = TIMES
    """That it is tried at most."""


def diagnose(means: Mapping[str, float], weights: LossConfig, learnt: float, *, clear: bool) -> list[Remedy]:
    """Remedies for what the means over recent steps of a training show.

    ``convinced``: share of repaintings that the guides take for their new class; ``change``: mean absolute difference
    of a picture and its repainting as the other class; ``margin``: mean logit of real minus repainted pictures.
    ``learnt``: steps so far times the discriminator's learning rate. ``clear``: the classes can be told apart nearly
    always; where they cannot, there is little to be found, and with less R1 maps got worse (see docs/choices.md).
    """
    found = []
    if weights.guidance and means["convinced"] < FORTHRIGHT:
        line = f"little is repainted ({means['convinced']:.0%} of the pictures change class): guidance doubled"
        found.append(Remedy(name="timid", line=line, changes="guidance", by=2.0))
    if means["change"] > CONFINED:
        line = f"the background is repainted (mean change {means['change']:.2f}): locality tripled"
        found.append(Remedy(name="sprawling", line=line, changes="locality", by=3.0))
    if means["margin"] > BEATEN:
        line = f"the discriminator wins (margin {means['margin']:.1f}): its rate is cut to a third"
        found.append(Remedy(name="beaten", line=line, changes="discriminator_rate", by=1 / 3))
    if clear and weights.r1 and PATIENCE <= learnt < 2 * PATIENCE and means["margin"] < IDLE:
        line = f"the discriminator learns little (margin {means['margin']:.2f}): R1 is cut to a tenth"
        found.append(Remedy(name="idle", line=line, changes="r1", by=0.1, times=1))
    return found
