"""Choosing where to compute, and how precisely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")


def pick_device(name: str) -> torch.device:
    """``auto`` (a GPU where there is one), ``cpu`` or ``cuda``; raises ValueError for others or a missing GPU."""
    import torch

    if name not in DEVICES:
        raise ValueError(f"--device {name}: choose one of {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: no GPU that torch can use was found; use --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def pick_precision(precision: str, device: torch.device) -> Literal["32-true", "bf16-mixed"]:
    """Fabric's name of the precision; ``auto`` takes bf16 only where the device computes it natively."""
    import torch

    if precision == "auto":
        if device.type == "cuda":
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        precision = "bf16" if native else "32"
    return "bf16-mixed" if precision == "bf16" else "32-true"


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """A context in which a network computes as precisely as ``precision`` says; for what Fabric does not set up."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=pick_precision(precision, device) == "bf16-mixed")
