"""Names that settings had in earlier formats of runs; they are still taken where settings are said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distmap.common.settings import flatten, merge, nested

# What settings were called; None: it decides nothing any more.
EARLIER_NAMES: Mapping[str, str | None] = {
    **{
        f"locator.{name}": f"localizer.{name}"
        for name in ("width", "sharpness", "band_mixing", "steps", "batch_size", "learning_rate", "weight_decay")
    },
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
    "student.time_share": "student.time_fraction",
    **dict.fromkeys(
        (
            "map.close_radius", "map.open_radius", "map.split_distance",
            # One localizer on pretrained features took the place of several small ones, trained adversarially.
            "locator.members", "locator.robustness", "localizer.members", "localizer.occluded_radius",
            "localizer.occluded_pictures", "localizer.occlusion_tie", "classifier.augment_shift",
            "classifier.augment_contrast", "adversarial.strength", "adversarial.accuracy", "adversarial.memory",
            "adversarial.pace", "adversarial.least", "adversarial.spread_pictures",
            # Soft targets took the place of pseudo-labels and pasted pieces.
            "student.high_share", "student.low_share", "student.pasted", "student.encoder_weights",
            "student.encoder_depth", "student.width", "student.positive_ratio", "student.negative_fraction",
            "student.target_positive", "student.target_negative", "student.paste.fraction", "student.paste.decoys",
            "student.paste.least_side", "student.paste.greatest_side",
        )
    ),
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
