"""What a method need not bring itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from distmap.common.progress import Silent
from distmap.data.batches import PictureStore
from distmap.inference.predictor import Predictor
from distmap.methods.base import Batch, FitContext, Frame, Method


class Least(Method[int]):
    """Only what every method must have."""

    name = "least"

    @classmethod
    def new_predictor(cls, settings: int, frame: Frame) -> Predictor:
        return Predictor(settings)

    def predictor(self, weights: Mapping[str, Tensor] | None = None) -> Predictor:
        return self.new_predictor(self.settings, self.frame)


def test_a_method_needs_no_more_than_a_predictor(known: PictureStore, make_frame: Callable[..., Frame]) -> None:
    frame = make_frame()
    method = Least(8, frame)
    context = FitContext(train=known, validation=known)
    assert (method.settings, method.frame, method.predictor().side) == (8, frame, 8)
    method.prepare(context)
    method.finish(context)
    method.slow_down(0.5)
    method.load_state_dict(method.state_dict())
    Least.check_settings(8, 32)
    assert (method.state_dict(), method.weights(), method.review()) == ({}, {}, [])
    batch = Batch(x_BCHW=torch.zeros(2, 1, 32, 32), labels_B=torch.tensor([1, 0]), step=0)
    with pytest.raises(NotImplementedError, match="least makes no steps"):
        method.step(batch, 0.0)


def test_without_a_time_limit_nothing_of_the_time_is_ever_over(known: PictureStore) -> None:
    context = FitContext(train=known, validation=known)
    clock = context.clock(0.2)
    assert [clock(), clock()] == [0, 0]
    assert isinstance(context.progress, Silent)
