"""``fit``: from two folders to a run. Reads, trains, judges, calibrates, and writes everything a run holds."""

from __future__ import annotations

import copy
import json
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from distmap.common.detection_settings import DETECTOR, write_detection_settings
from distmap.common.files import read_json, write_text
from distmap.common.pictures import Array
from distmap.common.progress import Progress, Silent
from distmap.common.settings import flatten, split_pair
from distmap.config import Config, read_yaml, resolve, to_yaml, validate
from distmap.data.batches import PictureStore, batches
from distmap.data.folders import WITH, WITHOUT, LabelledPicture, Split, list_folders, split_groups
from distmap.data.statistics import Survey, survey
from distmap.inference.model import WEIGHTS, DistinctionModel, save
from distmap.methods.branched_gan.interventions import CHECK_EVERY, CLEAR, ENOUGH
from distmap.networks.devices import pick_device
from distmap.selection.choice import Choice, choose
from distmap.selection.validation import affordable, calibrated, few_of_each
from distmap.training.budget import CHOICE_SHARE, GUIDE_SHARE, JUDGE_SHARE, LOCATOR_SHARE, Budget
from distmap.training.self_training import learn_from_maps

if TYPE_CHECKING:
    from distmap.methods.branched_gan.trainer import Trainer
    from distmap.networks.localizer import PlaceClassifier

CONFIG, SPLIT, METRICS, STATE = "config.yaml", "split.json", "metrics.jsonl", "state/latest.pt"
LOG_EVERY = 10  # steps
BREAKDOWNS = 3  # from which a training is taken back to its last state
CANDIDATE_SHARES = (0.5, 0.75)  # of the training, after which the weights are kept to choose from
CHOICE_VIEWS = 200  # of pictures of each class to choose by
CLEAR_VIEWS = 100  # of pictures of each class, by which it is seen whether they can be told apart
SHEET_ROWS = 8
BATCHES_STREAM = 2


def fit(
    with_folder: str | Path,
    without_folder: str | Path,
    *,
    run: str | Path,
    preset: str = "quick",
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
        events, ``samples/``, ``split.json`` (what trained, what was kept out) and ``state/`` (what resuming needs).
    preset, config, settings, overrides : see ``distmap.config.resolve``.
    device : ``auto``, ``cpu`` or ``cuda``.
    resume : go on where an interrupted run stopped; only ``training.steps`` and ``training.time_limit`` may change.
    overwrite : replace an existing run.

    Raises
    ------
    ValueError
        Wrong folders, pictures, settings, or a run that exists already. Nothing has been written then.
    KeyboardInterrupt
        Ctrl-C; the work so far is saved, ``resume=True`` goes on from there.
    """
    clock = time.monotonic()
    progress = progress or Silent()
    run = Path(run)
    settings = tuple(settings)
    wanted = resolve(preset=preset, file=config, settings=settings, overrides=overrides)
    for folder in map(Path, (with_folder, without_folder)):
        if run.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"--run {run}: lies inside {folder}; name a folder outside the pictures")
    if resume:
        wanted = _resumed(run, wanted, preset, config, settings, overrides)
    else:
        _check_target(run, overwrite)
    target_device = pick_device(device)
    progress.update("reading pictures", 0, {})
    pictures = list_folders(Path(with_folder), Path(without_folder), wanted.data.group)
    split = split_groups(pictures, wanted.data.holdout, wanted.seed)
    facts = survey(split)
    if wanted.student.rounds:
        _check_student(wanted, facts)
    description = describe_split(split, Path(with_folder), Path(without_folder))
    if resume:
        check_same_pictures(run, description, "--resume")
    _prepare(run, wanted, description, overwrite=overwrite and not resume)
    return _fit(run, wanted, split, facts, target_device, progress, clock)


def _fit(
    run: Path, config: Config, split: Split, facts: Survey, device: Any, progress: Progress, clock: float
) -> DistinctionModel:
    from distmap.methods.branched_gan.trainer import Trainer
    from distmap.methods.classifier_training import train_judge

    trainer = Trainer(config, facts.scaling.bands, device)
    resumed = (run / STATE).is_file()
    spent = trainer.load_state(run / STATE) if resumed else 0.0
    if resumed and trainer.steps == 0:  # its guides are trained as by an uninterrupted fit
        trainer, spent = Trainer(config, facts.scaling.bands, device), 0.0
    budget = Budget(config, clock - spent)
    store = PictureStore(split.train, facts.scaling, config.image_size, config.data.cache_mb)
    shown = few_of_each(split.kept_out, SHEET_ROWS // 2)

    def snapshot() -> DistinctionModel:
        return DistinctionModel(config, facts, trainer.average, trainer.locator, None, device)

    _train_guides(trainer, store, split, facts, device, progress, budget)
    _train(run, trainer, store, shown, snapshot, progress, budget)
    if trainer.steps == 0:
        limit = config.training.time_limit
        raise ValueError(f"--time-limit: {limit} s were over before the first step; use --resume and give more time")
    progress.update("training the judge", 0, {})
    judge = train_judge(store, config, facts.scaling.bands, device, budget.time_until(JUDGE_SHARE))
    progress.update("choosing", 0, {})
    choice, model = _chosen(trainer, facts, judge, device, split, lambda: budget.over(CHOICE_SHARE))
    everything = (*split.kept_out, *split.train)
    detector = calibrated(model, split.kept_out, everything, choice.kind, choice.step, progress)
    if budget.rounds:
        model, detector = learn_from_maps(
            model, detector, split, config, budget.rounds, budget.students_time(), progress
        )
    save(run, model)
    write_detection_settings(run, detector)
    progress.say(
        f"{run}: {trainer.steps} steps, {detector.map_kind} map of step {choice.step}, "
        f"threshold {detector.threshold:.4g} takes {detector.false_alarm:.3%} "
        f"of the pixels of {detector.pictures} kept-out pictures WITHOUT"
    )
    return model


def _train_guides(
    trainer: Trainer, store: PictureStore, split: Split, facts: Survey, device: Any, progress: Progress, budget: Budget
) -> None:
    """What comes before the first step: the locator, what it tells of the classes, and the guide of whole pictures.

    Of a trainer that has made steps only what the locator tells is found out again.
    """
    from distmap.methods.classifier_training import drowns, told_apart, train_locator, train_picture_guide

    config = trainer.config
    few = few_of_each(split.kept_out, CLEAR_VIEWS)
    unseen = PictureStore(few, facts.scaling, config.image_size, cache_mb=0)
    enough = all(sum(picture.label == label for picture in few) >= ENOUGH for label in (WITH, WITHOUT))

    def clear(classifier: PlaceClassifier) -> bool:
        return enough and told_apart(classifier, unseen, device) >= CLEAR

    if trainer.steps == 0:
        progress.update("finding places", 0, {})
        train_locator(trainer.locator, store, config, device, budget.time_for(LOCATOR_SHARE), clear)
    trainer.clear = clear(trainer.locator.guide)
    textured = drowns(trainer.locator, unseen, device)
    if budget.rounds is None:
        budget.rounds = int(textured)
        if textured:
            progress.say("the thing drowns in texture: a student will learn the outlines")
    if trainer.clear and not textured and trainer.steps == 0:
        progress.update("learning whole pictures", 0, {})
        trainer.picture_guide = train_picture_guide(
            store, config, facts.scaling.bands, device, budget.time_for(GUIDE_SHARE)
        )


def _train(
    run: Path,
    trainer: Trainer,
    store: PictureStore,
    shown: list[LabelledPicture],
    snapshot: Callable[[], DistinctionModel],
    progress: Progress,
    budget: Budget,
) -> None:
    """The loop: until the steps are done or the time is up, with logs, sample sheets and saved states on the way."""
    import torch

    config = trainer.config
    settings = config.training
    recorder = Recorder(run, trainer.steps)
    saved = sampled = time.monotonic()

    def batches_from(step: int) -> Iterator[tuple[Array, Any]]:
        return batches(store, config.data.symmetry, config.data.batch_size, (config.seed, BATCHES_STREAM), step)

    stream = batches_from(trainer.steps)
    breakdowns = 0
    with stop_on_interrupt() as stopping, recorder:
        trainer.save_state(run / STATE, budget.seconds)
        while True:
            share = budget.trained(trainer.steps)
            if share >= 1 or stopping.is_set():
                break
            pictures, labels = next(stream)
            terms = trainer.step(torch.from_numpy(pictures), torch.from_numpy(labels), share)
            if not all(torch.isfinite(value) for value in terms.values()):
                breakdowns += 1
                _recover(run, trainer, breakdowns, progress, budget)
                recorder.go_back(trainer.steps)
                stream = batches_from(trainer.steps)
                continue
            if trainer.steps % LOG_EVERY == 0 or trainer.steps == settings.steps:
                figures = {name: float(value) for name, value in terms.items()}
                recorder.record(trainer.steps, budget.seconds, figures)
                progress.update("training", share, {"step": trainer.steps} | figures)
            if trainer.steps % CHECK_EVERY == 0:
                for line in trainer.check_up():
                    progress.say(line)
            if sum(share >= due for due in CANDIDATE_SHARES) > len(trainer.candidates):
                trainer.keep_candidate()
            now = time.monotonic()
            if now - saved >= settings.save_every:
                trainer.save_state(run / STATE, budget.seconds)
                saved = now
            if now - sampled >= settings.sample_every:
                _sample(run, snapshot(), shown, trainer.steps)
                sampled = time.monotonic()
        trainer.save_state(run / STATE, budget.seconds)
        _sample(run, snapshot(), shown, trainer.steps)
    if stopping.is_set():
        progress.say(f"stopped after {trainer.steps} steps; go on with the same command and --resume")
        raise KeyboardInterrupt


def _recover(run: Path, trainer: Trainer, breakdowns: int, progress: Progress, budget: Budget) -> None:
    """Go back to the last saved state and go on more slowly."""
    if breakdowns > BREAKDOWNS:
        raise ValueError(
            f"--run {run}: the training broke down {breakdowns} times (a loss is not a number); "
            "give lower rates: training.learning_rate, training.discriminator_rate"
        )
    broken = trainer.steps
    trainer.load_state(run / STATE)
    trainer.slow_down(0.5)
    trainer.save_state(run / STATE, budget.seconds)
    progress.say(f"step {broken}: a loss is not a number: back to step {trainer.steps}, learning rates halved")


def _check_student(config: Config, facts: Survey) -> None:
    """Make a student and drop it: what cannot be had is noticed before hours of training."""
    from distmap.training.student import new_student

    new_student(config, facts.scaling.bands, 1)


def _chosen(
    trainer: Trainer, facts: Survey, judge: Any, device: Any, split: Split, out_of_time: Callable[[], bool]
) -> tuple[Choice, DistinctionModel]:
    """The weights and the kind of map that suit the kept-out pictures best, and the model with them."""

    def model(weights: Mapping[str, Any], config: Config) -> DistinctionModel:
        generator = copy.deepcopy(trainer.average)
        generator.load_state_dict(weights)
        return DistinctionModel(config, facts, generator, trainer.locator, judge, device)

    states = trainer.candidates | {trainer.steps: trainer.average.state_dict()}
    latest_first = sorted(states, reverse=True)
    choice = choose(
        ((step, model(states[step], trainer.config)) for step in latest_first),
        few_of_each(split.kept_out, affordable(CHOICE_VIEWS, trainer.config.data.symmetry)),
        out_of_time,
    )
    settings = trainer.config.map
    edge_radius = settings.edge_radius if choice.follow_edges else 0.0
    config = replace(trainer.config, map=replace(settings, kind=choice.kind, edge_radius=edge_radius))
    return choice, model(states[choice.step], config)


def _sample(run: Path, model: DistinctionModel, shown: list[LabelledPicture], step: int) -> None:
    from distmap.common.pictures import read_picture
    from distmap.inference.image_grid import painting_row, write_sheet

    rows = [painting_row(model.paint(read_picture(picture.file.path)), picture.label) for picture in shown]
    write_sheet(run / "samples" / f"{step:07d}.png", rows)


class Recorder:
    """``metrics.jsonl`` and TensorBoard events; what was logged after the step that it starts from is dropped."""

    def __init__(self, run: Path, step: int) -> None:
        self._run = run
        self._start(step)

    def _start(self, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        path = self._run / METRICS
        if path.is_file():
            kept = [line for line in path.read_text().splitlines() if _logged_step(line) <= step]
            write_text(path, "".join(line + "\n" for line in kept))
        self._lines = path.open("a", encoding="utf-8")
        self._events = SummaryWriter(str(self._run), purge_step=step + 1 if step else None)

    def go_back(self, step: int) -> None:
        """Drop what was logged after this step."""
        self.close()
        self._start(step)

    def record(self, step: int, seconds: float, figures: Mapping[str, float]) -> None:
        """Write one line and the same to TensorBoard."""
        self._lines.write(json.dumps({"step": step, "seconds": round(seconds, 2), **figures}) + "\n")
        self._lines.flush()
        for name, value in figures.items():
            self._events.add_scalar(name, value, step)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close both."""
        self._lines.close()
        self._events.close()


def _logged_step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a line cut short by a crash


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """Ctrl-C sets the event, so that a step ends before the work is saved; a second Ctrl-C stops at once."""
    stopping = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield stopping
    finally:
        signal.signal(signal.SIGINT, before)


def _check_target(run: Path, overwrite: bool) -> None:
    if not run.exists() or (run.is_dir() and not any(run.iterdir())):
        return
    if not run.is_dir():
        raise ValueError(f"--run {run}: is a file; name a folder")
    if not ((run / CONFIG).is_file() and (run / SPLIT).is_file()):
        raise ValueError(f"--run {run}: holds other things than a run; name a new folder")
    if not overwrite:
        raise ValueError(
            f"--run {run}: exists already; use --resume to go on, --overwrite to replace it, or a new name"
        )


def _prepare(run: Path, config: Config, description: Mapping[str, Any], *, overwrite: bool) -> None:
    if overwrite:
        _remove_run(run)
    for leftover in run.rglob(".*.part*"):
        leftover.unlink()  # of a process that was killed while it wrote
    (run / "samples").mkdir(parents=True, exist_ok=True)
    (run / "state").mkdir(exist_ok=True)
    write_text(run / SPLIT, json.dumps(description, indent=1) + "\n")
    write_text(run / CONFIG, to_yaml(config))


def _remove_run(run: Path) -> None:
    """Remove what a run holds, and nothing else that the folder may hold."""
    for name in (CONFIG, SPLIT, METRICS, WEIGHTS, DETECTOR):
        (run / name).unlink(missing_ok=True)
    for events in run.glob("events.out.tfevents.*"):
        events.unlink()
    for name in ("samples", "state"):
        shutil.rmtree(run / name, ignore_errors=True)


def _resumed(
    run: Path,
    wanted: Config,
    preset: str,
    file: str | Path | None,
    settings: Iterable[str],
    overrides: Mapping[str, Any] | None,
) -> Config:
    """The stored configuration, with the steps and the time limit asked for now; other changes are refused."""
    if not (run / CONFIG).is_file():
        raise ValueError(f"--run {run}: no run to resume; leave --resume out to start one")
    stored = validate(read_yaml(run / CONFIG))
    asked = {split_pair(setting)[0] for setting in settings} | flatten(overrides or {}).keys()
    duration = {"training.steps", "training.time_limit"}
    as_stored = replace(
        wanted, training=replace(wanted.training, steps=stored.training.steps, time_limit=stored.training.time_limit)
    )
    if (asked - duration or file is not None or preset != "quick") and as_stored != stored:
        raise ValueError(f"--resume: {run / CONFIG} has other settings; only --steps and --time-limit may change")
    if not asked & duration:
        return stored
    return replace(
        stored, training=replace(stored.training, steps=wanted.training.steps, time_limit=wanted.training.time_limit)
    )


def describe_split(split: Split, with_folder: Path, without_folder: Path) -> dict[str, Any]:
    """What was trained on what: names relative to the folders."""
    sides: dict[str, Any] = {"folders": {"with": with_folder.name, "without": without_folder.name}}
    for side, pictures in (("train", split.train), ("kept_out", split.kept_out)):
        sides[side] = {
            name: [p.file.name for p in pictures if p.label == label]
            for name, label in (("with", WITH), ("without", WITHOUT))
        }
    return sides


def check_same_pictures(run: Path, description: Mapping[str, Any], what: str) -> None:
    """Raise ValueError, of ``what``, where a run was not made of the pictures that ``describe_split`` describes."""
    path = run / SPLIT
    if path.is_file():
        before = read_json(path)
        if any(before[side] != description[side] for side in ("train", "kept_out")):
            raise ValueError(f"{what}: the folders do not hold the pictures that {path} lists; give the same folders")
