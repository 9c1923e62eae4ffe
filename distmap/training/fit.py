"""``fit``: from two folders to a run. Reads, trains, chooses, calibrates, and writes everything a run holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distmap.common.detection_settings import write_detection_settings
from distmap.common.locks import locked
from distmap.common.progress import Progress, Silent
from distmap.common.settings import flatten
from distmap.config import Config, read_run_config, resolve
from distmap.data.batches import PictureStore
from distmap.data.folders import Split, list_folders, split_groups, stratified_subsample
from distmap.data.stamps import Stamps, take_stamps
from distmap.data.statistics import DatasetStats, dataset_stats
from distmap.run import (
    CONFIG,
    check_same_pictures,
    check_target,
    describe_dataset,
    make_frame,
    prepare_folder,
    save,
)
from distmap.training.budget import Budget
from distmap.training.failures import check_step_fits, told_how_to_go_on

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from distmap.inference.model import DistinctionModel
    from distmap.methods.base import FitContext, Method
    from distmap.selection.choice import Choice
    from distmap.training.checkpoint import TrainingState

SAMPLED = 4  # pictures of each class on a sample sheet


def fit(
    with_folder: str | Path,
    without_folder: str | Path,
    *,
    run: str | Path,
    preset: str = "quick",
    method: str | None = None,
    config: str | Path | None = None,
    settings: Iterable[str] = (),
    overrides: Mapping[str, Any] | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> DistinctionModel:
    """Learn what tells two folders of pictures apart.

    Parameters
    ----------
    with_folder, without_folder : pictures with the thing and without it, searched recursively.
    run : folder to write: ``config.yaml``, ``weights.safetensors``, ``detector.json``, ``metrics.jsonl``, TensorBoard
        events, ``samples/``, ``dataset.json`` (what trained, what was kept for validation, and their statistics) and
        ``state/`` (what resuming needs).
    preset, method, config, settings, overrides : see ``distmap.config.resolve``.
    device : ``auto``, ``cpu`` or ``cuda``.
    resume : go on where an interrupted run stopped; only ``training.steps`` and ``training.time_limit`` may change.
    overwrite : replace an existing run.

    Raises
    ------
    ValueError
        Wrong folders, pictures, settings, a run that exists already or that another command is writing to: nothing has
        been written then. Pictures that change meanwhile, or too little memory: the last state is kept.
    OSError
        The disk is full, or the like; the last state is kept.
    KeyboardInterrupt
        Ctrl-C, SIGTERM or SIGHUP; the work so far is saved, ``resume=True`` goes on from there.
    """
    from distmap.methods.registry import find_method
    from distmap.networks.devices import pick_device

    start = time.monotonic()
    progress = progress or Silent()
    run = Path(run)
    settings = tuple(settings)
    base, known = preset, method
    if resume and config is None and "method" not in (overrides or {}) and (run / CONFIG).is_file():
        # What is not said is as in the run, and so is the time that its preset and its method take.
        stored = read_run_config(run)
        base, known = stored.preset if preset == "quick" else preset, method or stored.method
    wanted = resolve(preset=base, method=known, file=config, settings=settings, overrides=overrides)
    for folder in map(Path, (with_folder, without_folder)):
        if run.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"--run {run}: lies inside {folder}; name a folder outside the pictures")
    with locked(run, "--run"):
        if resume:
            asked = Asked(preset=preset, method=method, file=config, settings=settings, overrides=overrides or {})
            wanted = resumed(run, wanted, asked)
        else:
            check_target(run, overwrite)
        target = pick_device(device)
        progress.update("reading pictures", 0, {})
        pictures = list_folders(Path(with_folder), Path(without_folder), wanted.data.group)
        split = split_groups(pictures, wanted.data.holdout, wanted.seed)
        stamps = take_stamps(pictures)
        stats = dataset_stats(split, wanted.data)
        if target.type == "cpu" and find_method(wanted.method).trains:
            check_step_fits(wanted.image_size, wanted.data.batch_size)
        if wanted.student.rounds:
            _check_student(wanted, stats)
        dataset = describe_dataset(split, stats, Path(with_folder), Path(without_folder))
        if resume:
            check_same_pictures(run, dataset, "--resume")
        prepare_folder(run, wanted, dataset, overwrite=overwrite and not resume)
        with told_how_to_go_on(run):
            return _Fit(run, wanted, split, stats, stamps, target, progress, start).go()


class _Fit:
    """One fit, stage by stage."""

    def __init__(
        self,
        run: Path,
        config: Config,
        split: Split,
        stats: DatasetStats,
        stamps: Stamps,
        device: torch.device,
        progress: Progress,
        start: float,
    ) -> None:
        self.run, self.config, self.split, self.stats = run, config, split, stats
        self.device, self.progress = device, progress
        self.state = self._state()
        self.prepared_now = not self.state.prepared
        self.budget = Budget(config, start - self.state.seconds)
        size, cache_mb = config.image_size, config.data.cache_mb
        self.store = PictureStore(split.train, stats.scaling, size, cache_mb, stamps)
        self.unseen = PictureStore(split.validation, stats.scaling, size, cache_mb=0, stamps=stamps)

    def _state(self) -> TrainingState:
        from distmap.training.checkpoint import STATE, TrainingState

        state = TrainingState(method=self._new_method())
        if (self.run / STATE).is_file():
            state.load(self.run / STATE)
        return state

    def _new_method(self) -> Method[Any]:
        from distmap.methods.registry import find_method

        frame = make_frame(self.config, self.stats, self.device)
        return find_method(self.config.method)(self.config.settings, frame)

    def go(self) -> DistinctionModel:
        """All stages, and the files."""
        from distmap.selection.validation import calibrated
        from distmap.training.self_training import learn_from_maps

        config, state, split = self.config, self.state, self.split
        everything = (*split.validation, *split.train)
        self._prepare()
        if state.method.trains:
            self._train()
        self.store.check_unchanged(everything)
        state.method.finish(self._context(self.budget.until_finished))
        self.progress.update("choosing", 0, {})
        choice, model = self._choose()
        detection = calibrated(
            model,
            split.validation,
            everything,
            config.selection,
            step=choice.step,
            progress=self.progress,
        )
        if self.budget.rounds:
            time_spent = self.budget.students_time()
            model, detection = learn_from_maps(
                model, detection, split, config, self.budget.rounds, time_spent, self.progress
            )
        self.store.check_unchanged(everything)
        save(self.run, model)
        write_detection_settings(self.run, detection)
        self.progress.say(
            f"{self.run}: {state.step} steps, {detection.map_kind} map of step {choice.step}, "
            f"threshold {detection.threshold:.4g} takes {detection.false_alarm:.3%} "
            f"of the pixels of {detection.pictures} validation pictures WITHOUT"
        )
        return model

    def _context(self, clock: Callable[[float], Callable[[], float]]) -> FitContext:
        from distmap.methods.base import FitContext

        return FitContext(train=self.store, validation=self.unseen, clock=clock, progress=self.progress)

    def _prepare(self) -> None:
        """What comes before the first step, unless that was done before."""
        from distmap.training.checkpoint import STATE
        from distmap.training.monitor import stop_on_interrupt

        state = self.state
        if not state.prepared:
            state.method.prepare(self._context(self.budget.fraction_from_now))
            state.prepared = True
            with stop_on_interrupt() as stopping:
                state.save(self.run / STATE, self.budget.seconds)
            if stopping.is_set():
                self.progress.say("stopped before the first step; go on with the same command and --resume")
                raise KeyboardInterrupt

    def _train(self) -> None:
        from distmap.training.checkpoint import STATE
        from distmap.training.loop import train

        shown = stratified_subsample(self.split.validation, SAMPLED)
        train(
            self.run, self.state, self.store, shown, lambda: self._model(None), self.config, self.budget, self.progress
        )
        if self.state.step == 0:
            limit = self.config.training.time_limit
            if self.prepared_now:
                (self.run / STATE).unlink()  # that had too little time, too
            raise ValueError(
                f"--time-limit: {limit} s were over before the first step; use --resume and give more time"
            )

    def _model(self, weights: Mapping[str, Tensor] | None) -> DistinctionModel:
        from distmap.inference.model import DistinctionModel

        predictor = self.state.method.predictor(weights)
        return DistinctionModel(predictor, self.stats, self.config.data, device=self.device)

    def _choose(self) -> tuple[Choice, DistinctionModel]:
        """The weights and the kind of map that suit the validation pictures best, and the model with them."""
        from distmap.selection.choice import choose
        from distmap.selection.validation import affordable

        state, selection = self.state, self.config.selection
        weights: dict[int, Mapping[str, Tensor] | None] = {state.step: None}
        weights = dict(state.candidates) | weights
        latest_first = sorted(weights, reverse=True)
        count = affordable(selection.choice_views, self._model(None), selection)
        choice = choose(
            ((step, self._model(weights[step])) for step in latest_first),
            stratified_subsample(self.split.validation, count),
            selection,
            self.budget.choice_is_late,
        )
        model = self._model(weights[choice.step])
        model.predictor.choose(choice.kind, follow_edges=choice.follow_edges)
        return choice, model


def _check_student(config: Config, stats: DatasetStats) -> None:
    """Make a student and drop it: what cannot be had is noticed before hours of training."""
    from distmap.training.student import new_student

    new_student(config, stats, 1)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the caller of ``fit`` said of the configuration."""

    preset: str
    method: str | None
    file: str | Path | None
    settings: tuple[str, ...]
    overrides: Mapping[str, Any]


def resumed(run: Path, wanted: Config, asked: Asked) -> Config:
    """The stored configuration, with the steps and the time limit asked for now; other changes are refused."""
    if not (run / CONFIG).is_file():
        raise ValueError(f"--run {run}: no run to resume; leave --resume out to start one")
    stored = read_run_config(run)
    keys = {key.partition("=")[0].strip() for key in asked.settings} | set(flatten(asked.overrides))
    duration = {"training.steps", "training.time_limit"}
    as_stored = replace(
        wanted, training=replace(wanted.training, steps=stored.training.steps, time_limit=stored.training.time_limit)
    )
    other_method = asked.method not in (None, stored.method)
    said = keys - duration or asked.file is not None or asked.preset != "quick" or other_method
    if said and as_stored != stored:
        raise ValueError(f"--resume: {run / CONFIG} has other settings; only --steps and --time-limit may change")
    if not keys & duration:
        return stored
    return replace(
        stored, training=replace(stored.training, steps=wanted.training.steps, time_limit=wanted.training.time_limit)
    )
