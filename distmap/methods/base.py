"""What a method is: the seam between a way of learning the distinction and everything around it.

A method is a class in a file or folder of its own under ``distmap/methods``, with its settings beside it, made known by
``distmap.methods.registry.register``. The loop, folders, validation, thresholds, saving, scenes and graphs know methods
and predictors only by what stands here and in ``distmap.inference.predictor``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from distmap.common.progress import Progress, Silent
from distmap.data.settings import Symmetry
from distmap.inference.predictor import Predictor

if TYPE_CHECKING:
    from distmap.data.batches import PictureStore
    from distmap.methods.schedules import OneCycle

SettingsT = TypeVar("SettingsT")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What a method's networks have to fit, and what is given to all methods.

    ``side``: of the square windows that networks see, in pixels. ``precision``: ``auto``, ``32`` or ``bf16``.
    """

    bands: int
    side: int
    seed: int
    symmetry: Symmetry
    precision: str
    schedule: OneCycle
    device: torch.device


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Class-balanced pictures B x C x S x S in [-1, 1], their labels B (1 WITH, 0 WITHOUT), and the batch's number."""

    x_BCHW: Tensor
    labels_B: Tensor
    step: int


def no_limit() -> float:
    """A clock that never runs: nothing of the time is over."""
    return 0.0


@dataclass(frozen=True, kw_only=True)
class FitContext:
    """The pictures and the time that a method has before its first step and after its last.

    ``clock(fraction)``: gives a function that tells what part is over, 0 to 1 and more, of this fraction of the
    method's time, beginning now; it stays 0 where there is no time limit.
    """

    train: PictureStore
    validation: PictureStore
    clock: Callable[[float], Callable[[], float]] = lambda _fraction: no_limit
    progress: Progress = field(default_factory=Silent)


class Method(ABC, Generic[SettingsT]):
    """A way of learning the distinction, in training.

    What a method is called, where it comes from and what it needs are class attributes. ``trains``: whether it makes
    steps; one that does not does all in ``prepare``. ``defaults``: settings of all methods that suit this one better.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    family: ClassVar[str]
    summary: ClassVar[str]
    needs: ClassVar[str] = "pictures WITH and WITHOUT"
    trains: ClassVar[bool] = True
    Settings: ClassVar[type[Any]]
    defaults: ClassVar[Mapping[str, Any]] = {}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Settings of its own for each preset that it knows."""

    def __init__(self, settings: SettingsT, frame: Frame) -> None:
        self.settings = settings
        self.frame = frame

    @classmethod
    def check_settings(cls, settings: SettingsT, image_size: int) -> None:
        """Raise ValueError, ``setting KEY=VALUE: ...``, where settings do not go together."""
        return

    @classmethod
    @abstractmethod
    def new_predictor(cls, settings: SettingsT, frame: Frame) -> Predictor:
        """A predictor as ``predictor`` gives it, with weights that are to be loaded."""

    def prepare(self, context: FitContext) -> None:
        """What comes before the first step: a localizer, a feature bank; may be all there is."""

    def step(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """One update of every network; ``progress`` in 0..1 sets rates and weights. Gives losses, detached."""
        raise NotImplementedError(f"{self.name} makes no steps")

    def review(self) -> list[str]:
        """Look at the steps so far, change what goes wrong, and say so, a line each; asked for now and then."""
        return []

    def slow_down(self, factor: float) -> None:
        """Multiply all learning rates from now on: a loss was not a number."""

    def weights(self) -> dict[str, Tensor]:
        """A copy of what training changes in the predictor, which ``predictor`` takes."""
        return {}

    def finish(self, context: FitContext) -> None:
        """What comes after the last step, such as a classifier that judges."""

    @abstractmethod
    def predictor(self, weights: Mapping[str, Tensor] | None = None) -> Predictor:
        """What maps, as trained so far, or with earlier ``weights``; it does not change when training goes on."""

    def state_dict(self) -> dict[str, Any]:
        """What going on needs: tensors and plain values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave; raises what torch does where it does not fit."""
