"""One change from the defaults at a time: what each choice is worth. A new one is a new line here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from distmap.config import resolve

DEFAULT = "default"

CHANGES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("1 branch", {"generator": {"branches": 1}}),
    ("2 branches", {"generator": {"branches": 2}}),
    ("3 branches", {"generator": {"branches": 3}}),
    ("5 branches", {"generator": {"branches": 5}}),
    # As many parameters as three branches have: 1.12 against 1.14 million.
    ("1 large branch", {"generator": {"branches": 1, "width": 38, "max_width": 144}}),
    ("no guidance", {"losses": {"guidance": 0.0}}),
    ("no sparsity", {"losses": {"sparsity": 0.0}}),
    ("sparsity rises", {"losses": {"sparsity_rise": 0.5}}),
    ("no blend", {"losses": {"blend": 0.0}}),
    ("no locality", {"losses": {"locality": 0.0}}),
    ("no student", {"student": {"rounds": 0}}),
    ("projected discriminator", {"discriminator": {"kind": "projected"}}),
    ("weights chosen of three", {"training": {"candidates": (0.5, 0.75)}}),
    ("no local normalisation", {"map": {"normalisation": 0.0}}),
    ("no shrinkage", {"map": {"shrinkage": 0.0}}),
    ("no halo suppression", {"map": {"halo_suppression": 0.0}}),
    ("edges not followed", {"map": {"edge_radius": 0.0}}),
    ("no interventions", {"interventions": {"enabled": False}}),
    ("no band mixing", {"localizer": {"band_mixing": 0.0}}),
    ("r1 0.1", {"losses": {"r1": 0.1}}),
    ("discriminator width 16", {"discriminator": {"width": 16}}),
    ("discriminator width 64", {"discriminator": {"width": 64}}),
    ("no augmentation", {"discriminator": {"augment_shift": 0.0, "augment_contrast": 0.0}}),
    ("half the rates", {"optimiser": {"learning_rate": 5e-4, "discriminator_rate": 5e-4, "mapping_rate": 5e-4}}),
    ("twice the rates", {"optimiser": {"learning_rate": 2e-3, "discriminator_rate": 2e-3, "mapping_rate": 2e-3}}),
    ("no average of weights", {"optimiser": {"ema_decay": 0.0}}),
    ("image size 96", {"image_size": 96}),
)


def changes() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The defaults, then each change that is one."""
    default = resolve()
    yield DEFAULT, {}
    for name, settings in CHANGES:
        if resolve(overrides=settings) != default:
            yield name, settings
