"""The loop: step after step until the steps are done or the time is up, with figures, samples and states on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from distmap.common.picture_files import PictureError
from distmap.common.pictures import Array
from distmap.common.progress import Progress
from distmap.config import Config
from distmap.data.batches import PictureStore, batches
from distmap.data.folders import LabelledPicture
from distmap.data.seeding import BATCHES
from distmap.inference.model import DistinctionModel
from distmap.methods.base import Batch
from distmap.training.budget import Budget
from distmap.training.checkpoint import STATE, TrainingState
from distmap.training.monitor import Recorder, stop_on_interrupt, write_sample


def train(
    run: Path,
    state: TrainingState,
    store: PictureStore,
    shown: Sequence[LabelledPicture],
    snapshot: Callable[[], DistinctionModel],
    config: Config,
    budget: Budget,
    progress: Progress,
) -> None:
    """Train a method from its state on.

    ``shown``: pictures of the sample sheets, by ``snapshot()``. Raises KeyboardInterrupt where the user stops it, with
    the work so far saved, and ValueError where the training breaks down again and again.
    """
    settings, method = config.training, state.method
    saved = sampled = time.monotonic()
    stream = _batches_from(state.step, store, config)
    breakdowns = 0
    with (
        stop_on_interrupt() as stopping,
        Recorder(run, state.step) as recorder,
        _saved_if_a_picture_fails(run, state, budget),
    ):
        state.save(run / STATE, budget.seconds)
        while True:
            done = budget.progress(state.step)
            if done >= 1 or stopping.is_set():
                break
            x, labels = next(stream)
            batch = Batch(x_BCHW=torch.from_numpy(x), labels_B=torch.from_numpy(labels), step=state.step)
            terms = method.step(batch, done)
            state.step += 1
            if not all(torch.isfinite(value) for value in terms.values()):
                breakdowns += 1
                _recover(run, state, breakdowns, config, budget, progress)
                recorder.go_back(state.step)
                stream = _batches_from(state.step, store, config)
                continue
            if state.step % settings.log_every == 0 or state.step == settings.steps:
                figures = {name: float(value) for name, value in terms.items()}
                recorder.record(state.step, budget.seconds, figures)
                progress.update("training", done, {"step": state.step} | figures)
            if state.step % settings.review_every == 0:
                for line in method.review():
                    progress.say(line)
            if sum(done >= fraction for fraction in settings.candidates) > len(state.candidates):
                state.candidates[state.step] = method.weights()
            now = time.monotonic()
            if now - saved >= settings.save_every:
                state.save(run / STATE, budget.seconds)
                saved = now
            if now - sampled >= settings.sample_every:
                store.check_unchanged(shown)
                write_sample(run, snapshot(), shown, state.step)
                sampled = time.monotonic()
        state.save(run / STATE, budget.seconds)
        store.check_unchanged(shown)
        write_sample(run, snapshot(), shown, state.step)
    if stopping.is_set():
        progress.say(f"stopped after {state.step} steps; go on with the same command and --resume")
        raise KeyboardInterrupt


@contextmanager
def _saved_if_a_picture_fails(run: Path, state: TrainingState, budget: Budget) -> Iterator[None]:
    """Pictures are read between the steps, so that the state is whole where one cannot be read."""
    try:
        yield
    except PictureError:
        state.save(run / STATE, budget.seconds)
        raise


def _batches_from(step: int, store: PictureStore, config: Config) -> Iterator[tuple[Array, NDArray[Any]]]:
    return batches(store, config.data.symmetry, config.data.batch_size, (config.seed, BATCHES), step)


def _recover(
    run: Path, state: TrainingState, breakdowns: int, config: Config, budget: Budget, progress: Progress
) -> None:
    """Go back to the last saved state and go on more slowly."""
    if breakdowns > config.training.breakdowns:
        raise ValueError(
            f"--run {run}: the training broke down {breakdowns} times (a loss is not a number); give lower "
            "learning rates (see `distmap presets`)"
        )
    broken = state.step
    state.load(run / STATE)
    state.method.slow_down(config.training.breakdown_slowdown)
    state.save(run / STATE, budget.seconds)
    progress.say(
        f"step {broken}: a loss is not a number: back to step {state.step}, learning rates times "
        f"{config.training.breakdown_slowdown:g}"
    )
