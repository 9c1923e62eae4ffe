"""Choosing where to compute."""

from __future__ import annotations

import pytest
import torch

from distmap.networks.devices import autocast, pick_device, pick_precision


def test_cpu_is_always_there() -> None:
    assert pick_device("cpu").type == "cpu"


@pytest.mark.parametrize(("there", "expected"), [(True, "cuda"), (False, "cpu")])
def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch, there: bool, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert pick_device("auto").type == expected


def test_a_missing_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"--device cuda: .*--device cpu"):
        pick_device("cuda")


def test_unknown_device() -> None:
    with pytest.raises(ValueError, match="--device tpu: choose one of auto, cpu, cuda"):
        pick_device("tpu")


def test_precision() -> None:
    cpu = torch.device("cpu")
    assert pick_precision("32", cpu) == "32-true"
    assert pick_precision("bf16", cpu) == "bf16-mixed"
    assert pick_precision("auto", cpu) in {"32-true", "bf16-mixed"}


@pytest.mark.parametrize(("precision", "dtype"), [("32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_computes_as_precisely_as_asked(precision: str, dtype: torch.dtype) -> None:
    x = torch.rand(3, 3)
    with autocast(precision, torch.device("cpu")):
        assert (x @ x).dtype == dtype
    assert (x @ x).dtype == torch.float32
