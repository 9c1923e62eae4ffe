"""Settings of the branched GAN for the presets that it knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Equations 2 to 9 and StarGAN v2's losses, and nothing that this project adds to them.
PAPER_LOSSES: Mapping[str, Any] = {
    "losses": {"guidance": 0.0, "locality": 0.0, "r1_every": 1},
    "localizer": {"enabled": False},
    "interventions": {"enabled": False},
    "student": {"rounds": 0},
    "discriminator": {"augment_shift": 0.0, "augment_contrast": 0.0},
    "map": {
        "kind": "branch1",
        "smoothing": 0.0,
        "halo_suppression": 0.0,
        "edge_radius": 0.0,
        "normalisation": 0.0,
        "shrinkage": 0.0,
    },
}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "balanced": {
        "generator": {"width": 64, "max_width": 256, "depth": 4},
        "discriminator": {"width": 64, "max_width": 256},
        "optimiser": {"learning_rate": 5e-4, "discriminator_rate": 5e-4, "ema_decay": 0.999},
    },
    "paper": {
        **PAPER_LOSSES,
        "generator": {
            "branches": 5,
            "width": 64,
            "max_width": 512,
            "depth": 4,
            "stride": 1,
            "slim": 1,
            "style_size": 64,
            "mapping_width": 512,
            "branch1_gain": 1.0,
        },
        "discriminator": {**PAPER_LOSSES["discriminator"], "width": 64, "max_width": 512, "stride": 1},
        "optimiser": {
            "learning_rate": 1e-4,
            "discriminator_rate": 1e-4,
            "mapping_rate": 1e-6,
            "beta1": 0.0,
            "ema_decay": 0.999,
            "cooldown": 0.0,
        },
    },
    "paper-quick": PAPER_LOSSES,
}
