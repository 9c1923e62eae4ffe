"""Names that settings had before runs had a format; they are still taken where settings are said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distmap.common.settings import flatten, merge, nested

# What settings were called before runs had a format; None: it decides nothing any more.
EARLIER_NAMES: Mapping[str, str | None] = {
    **{
        f"locator.{name}": f"localizer.{name}"
        for name in (
            "members", "width", "sharpness", "band_mixing", "steps", "batch_size", "learning_rate", "weight_decay",
        )
    },
    "locator.robustness": "adversarial.strength",
    **{
        f"training.{name}": f"optimiser.{name}"
        for name in (
            "learning_rate", "discriminator_rate", "mapping_rate", "beta1", "beta2", "ema_decay", "cooldown",
        )
    },
    "losses.locality_where_clear": "losses.locality_if_separable",
    "map.place_smoothing": "map.localizer_smoothing",
    "map.halo": "map.halo_suppression",
    "map.evenness": "map.normalisation",
    "map.even_radius": "map.normalisation_radius",
    "map.close_radius": None,
    "map.open_radius": None,
    "map.split_distance": None,
    "student.high_share": "student.positive_ratio",
    "student.low_share": "student.negative_fraction",
    "student.pasted": "student.paste.fraction",
    "student.time_share": "student.time_fraction",
}  # fmt: skip
EARLIER_KINDS: Mapping[str, str] = {"placed": "weighted", "plain": "unweighted"}


def with_names_of_today(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings, those of earlier versions with their names and values of today; flat keys are taken, too."""
    renamed: dict[str, Any] = {}
    for key, value in flatten(settings).items():
        name = EARLIER_NAMES.get(key, key)
        if name is None:
            continue
        if name == "map.kind" and isinstance(value, str):
            value = EARLIER_KINDS.get(value, value)
        renamed = merge(renamed, nested(name, value))
    return renamed
