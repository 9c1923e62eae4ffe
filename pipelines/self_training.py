"""``self_train``: from a finished run to one whose maps a student network makes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import distmap
from distmap.common.detection_settings import (
    DetectionSettings,
    read_detection_settings,
    write_detection_settings,
)
from distmap.common.files import filling
from distmap.common.progress import Progress, Silent
from distmap.config import Config, read_run_config, resolve
from distmap.data.folders import list_folders, split_groups
from distmap.run import CONFIG, METRICS, check_same_pictures, describe_dataset, save, write_description
from distmap.training.self_training import learn_from_maps

SECTION = "student."


def self_train(
    run: str | Path,
    with_folder: str | Path,
    without_folder: str | Path,
    *,
    out: str | Path,
    rounds: int = 1,
    settings: Iterable[str] = (),
    time_limit: float | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> DetectionSettings:
    """Train a student on what the maps of a run are sure of, and write a run that maps with it.

    Parameters
    ----------
    run : a finished run; it stays as it is.
    with_folder, without_folder : the folders that it was made of. Its validation pictures are kept out again.
    out : folder of the new run, with the same files; it may not exist yet, or must be empty.
    rounds : students, each trained on the maps of the one before.
    settings : ``student.KEY=VALUE``, see ``distmap.settings.StudentSettings``.
    time_limit : seconds for all rounds; None: until their steps are done.

    Returns
    -------
    The new run's detection settings: its threshold, and its scores on the validation pictures.

    Raises
    ------
    ValueError
        Not a finished run, other pictures than its own, a setting that is wrong or of another section, a folder that
        holds something, or a student that learnt too little to be used. Nothing has been written then.
    """
    start = time.monotonic()
    run, out = Path(run), Path(out)
    progress = progress or Silent()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"--out {out}: is not empty; name a new folder")
    model = distmap.load(run, device)
    config = _settings(run, rounds, settings)
    progress.update("reading pictures", 0, {})
    folders = Path(with_folder), Path(without_folder)
    split = split_groups(list_folders(*folders, config.data.group), config.data.holdout, config.seed)
    dataset = describe_dataset(split, model.stats, *folders)
    check_same_pictures(run, dataset, str(run))
    before = read_detection_settings(run)
    taught, detection = learn_from_maps(model, before, split, config, rounds, _time_spent(start, time_limit), progress)
    if taught is model:
        raise ValueError(f"{run}: no student could be trained on its maps; see the warning above")
    with filling(out) as folder:
        write_description(folder, config, dataset)
        if (run / METRICS).is_file():
            shutil.copyfile(run / METRICS, folder / METRICS)
        save(folder, taught)
        write_detection_settings(folder, detection)
    return detection


def _settings(run: Path, rounds: int, settings: Iterable[str]) -> Config:
    """Those of the run, but for the student's."""
    settings = tuple(settings)
    for setting in settings:
        if not setting.strip().startswith(SECTION):
            raise ValueError(f"--set {setting}: only settings of the student, such as {SECTION}steps=500, can be given")
    read_run_config(run)  # refuses runs of another format
    config = resolve(file=run / CONFIG, settings=settings)
    if rounds < 1:
        raise ValueError(f"--rounds {rounds}: must be 1 or more")
    return replace(config, student=replace(config.student, rounds=rounds))


def _time_spent(start: float, limit: float | None) -> Callable[[], float]:
    if limit is None:
        return lambda: 0.0
    return lambda: (time.monotonic() - start) / limit
