"""Noticing, without labels, a training that goes wrong, and what is changed about it.

While it trains, the means of what each step reports are looked at now and then (`diagnose`); what can be mended is, by
changing a weight or a rate, and said in one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from distmap.methods.branched_gan.settings import InterventionSettings, LossSettings


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """What is wrong, in words, and by how much the factor ``changes`` is multiplied; it is tried ``tries`` times."""

    name: str
    line: str
    changes: str
    by: float
    tries: int


def diagnose(
    means: Mapping[str, float],
    settings: InterventionSettings,
    weights: LossSettings,
    learnt: float,
    *,
    separable: bool,
) -> list[Intervention]:
    """Interventions for what the means over recent steps of a training show.

    ``flips``: fraction of counterfactuals that the guides take for their new class; ``change``: mean absolute
    difference of a picture and its counterfactual; ``margin``: mean logit of real minus counterfactual pictures.
    ``learnt``: steps so far times the discriminator's learning rate. ``separable``: the classes can be told apart
    nearly always; where they cannot, there is little to be found, and with less R1 maps got worse.
    """
    found: list[Intervention] = []

    def intervene(name: str, seen: str, changes: str, by: float, tries: int = settings.tries) -> None:
        line = f"{name} ({seen}): {changes} times {by:.2g}"
        found.append(Intervention(name=name, line=line, changes=changes, by=by, tries=tries))

    flips, change, margin = means["flips"], means["change"], means["margin"]
    if weights.guidance and flips < settings.least_flips:
        intervene("weak flips", f"{flips:.0%} of the pictures change class", "guidance", settings.guidance_factor)
    if change > settings.largest_change:
        intervene("non-local change", f"mean {change:.2f} of the background", "locality", settings.locality_factor)
    if margin > settings.largest_margin:
        by = settings.discriminator_factor
        intervene("discriminator wins", f"margin {margin:.1f}", "discriminator_rate", by)
    patient = settings.patience <= learnt < 2 * settings.patience
    if separable and weights.r1 and patient and margin < settings.least_margin:
        intervene("discriminator underfits", f"margin {margin:.2f}", "r1", settings.r1_factor, tries=1)
    return found
