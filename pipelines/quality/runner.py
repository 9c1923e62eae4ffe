"""Run a row with a seed: prepare, fit, extract, evaluate, keep. What is finished is not done again."""

from __future__ import annotations

import importlib
import json
import pkgutil
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import detect
import distmap
from detect.rasters import write_map
from detect.saved_maps import saved_maps
from distmap.common.files import read_json, write_json
from distmap.common.locks import locked
from distmap.common.output_names import output_path
from distmap.common.picture_files import find_pictures
from distmap.common.progress import Progress
from distmap.config import resolve
from pipelines.quality.machine import Machine, code_revision, look
from pipelines.quality.picture_sets import prepare
from pipelines.quality.results import Result, Seconds, read_result
from pipelines.quality.rows import Row
from pipelines.quality.scores import every_score

FULL = 1.0
PROTOCOL, FITTED = "protocol.json", "fitted.json"
SOURCES = ("branch1", "localizer")  # of maps that are scored beside those that a run makes by itself
SOURCE_SCORES = ("pixel_ap", "dice", "ap50", "centre_f1")


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Where things are: sets in ``data/``; runs in ``runs/`` and results in ``results/``, those of trials apart."""

    root: Path
    data: Path
    """The real pictures."""
    budget_scale: float = FULL

    @property
    def home(self) -> Path:
        """Of runs and results."""
        return self.root if self.budget_scale == FULL else self.root / f"trial-{self.budget_scale:g}"

    @property
    def results(self) -> Path:
        return self.home / "results"

    def pictures(self, row: Row, seed: int) -> Path:
        """The set's folder."""
        return self.root / "data" / row.pictures.name(seed)

    def run(self, row: Row, seed: int) -> Path:
        """The folder for all that a row and a seed leave."""
        return self.home / "runs" / f"{row.name}-{seed}"

    def result(self, row: Row, seed: int) -> Path:
        """The file of the finished row and seed."""
        return self.results / f"{row.name}-{seed}.json"

    def finished(self, row: Row, seed: int) -> Result | None:
        """The result, unless there is none or the row was another one then."""
        path = self.result(row, seed)
        result = read_result(path) if path.is_file() else None
        return result if result is not None and result.protocol == row.protocol() else None


def load_code() -> str:
    """Import everything and give the revision: rows take hours, and code that changes meanwhile must stay out."""
    for package in (distmap, detect):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    return code_revision()


def prepare_row(row: Row, seed: int, work: Workspace, progress: Progress) -> dict[str, Any]:
    """Write the row's pictures unless they are there; see `pipelines.quality.picture_sets.prepare`."""
    folder = work.pictures(row, seed)
    with locked(folder, wait=True):
        return prepare(row.pictures, work.data, folder, seed, progress)


def run_row(row: Row, seed: int, work: Workspace, revision: str, progress: Progress) -> Result:
    """Run what is not finished of a row and a seed; a fit that was stopped goes on.

    Raises
    ------
    ValueError
        The data are not as they should be, or another process is at this row and seed.
    """
    place = work.run(row, seed)
    with locked(place, f"--rows {row.name}, seed {seed}:"):
        finished = work.finished(row, seed)
        if finished is not None:
            return finished
        content = prepare_row(row, seed, work, progress)
        fitted = _fit(row, seed, work, progress)
        scores, seconds = _score(row, work.pictures(row, seed), place, progress)
        result = Result(
            row=row.name,
            seed=seed,
            protocol=row.protocol(),
            budget_scale=work.budget_scale,
            revision=revision,
            machine=Machine(**fitted["machine"]),
            cores_used=fitted["cores_used"],
            steps=fitted["steps"],
            seconds=Seconds(fit=fitted["seconds"], **seconds),
            resumed=fitted["resumed"],
            pictures=content["pictures"],
            groups=content["groups"],
            commands=row.commands(seed),
            scores=scores,
            config=fitted["config"],
        )
        result.write(work.result(row, seed))
    return result


def _fit(row: Row, seed: int, work: Workspace, progress: Progress) -> dict[str, Any]:
    """Fit, or go on with a fit of the same protocol, and give what is to be kept of it."""
    place, pictures = work.run(row, seed), work.pictures(row, seed) / "train"
    overrides = row.overrides(seed, work.budget_scale)
    # As a file gives them back: lists, not tuples.
    asked = json.loads(json.dumps({"protocol": row.protocol(), "config": resolve(overrides=overrides).to_dict()}))
    if not (place / PROTOCOL).is_file() or read_json(place / PROTOCOL) != asked:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        write_json(place / PROTOCOL, asked, indent=1)
    if (place / FITTED).is_file():
        fitted: dict[str, Any] = read_json(place / FITTED)
        return fitted
    run = place / "run"
    resumed = (run / "config.yaml").is_file()
    if not resumed:
        shutil.rmtree(run, ignore_errors=True)
    machine = look()
    _, before = _training_state(run)
    wall, cpu = time.monotonic(), time.process_time()
    distmap.fit(
        pictures / "with", pictures / "without", run=run, overrides=overrides, resume=resumed, progress=progress
    )
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    fitted = {
        "config": asked["config"],
        "machine": asdict(machine),
        "cores_used": cpu / wall,
        "steps": _training_state(run)[0],
        "seconds": before + wall,
        "resumed": resumed,
    }
    write_json(place / FITTED, fitted, indent=1)
    return fitted


def _training_state(run: Path) -> tuple[int, float]:
    """Steps made and seconds spent, as the run's own state has them; 0 before the first is saved."""
    from distmap.training.checkpoint import STATE, read_state

    if not (run / STATE).is_file():
        return 0, 0.0
    state = read_state(run / STATE)
    return int(state["steps"]), float(state["seconds"])


def _score(row: Row, pictures: Path, place: Path, progress: Progress) -> tuple[dict[str, Any], dict[str, float]]:
    """Extract and evaluate as the commands do, with the same files; scores, and seconds of both."""
    started = time.monotonic()
    run, maps, annotations = place / "run", place / "maps", place / "annotations.json"
    shutil.rmtree(maps, ignore_errors=True)
    config = detect.extraction_config(detect.read_detection_settings(run), category=row.category)
    model = distmap.load(run)
    progress.update("mapping", 0, {})
    detect.extract_and_write(
        model.maps([pictures / folder for folder in row.images]), config, annotations, map_folder=maps
    )
    extracted = time.monotonic()
    progress.update("scoring", 0, {})
    scores = detect.evaluate(annotations, pictures / row.truth, maps=maps, group=row.group)
    everything = every_score(scores, maps, pictures / "test" / "shapes")
    seconds = {"extract": extracted - started, "evaluate": time.monotonic() - extracted}
    everything |= _score_sources(row, pictures, place, progress)
    return everything, seconds


def _score_sources(row: Row, pictures: Path, place: Path, progress: Progress) -> dict[str, Any]:
    """Scores of the maps of each source alone, by their names with the source's before them."""
    run = place / "run"
    settings = detect.read_detection_settings(run)
    sources = [source for source in SOURCES if source in settings.sources]
    if not sources:
        return {}
    images = [pictures / folder for folder in row.images]
    files = find_pictures(images)
    folders = {source: place / f"maps-{source}" for source in sources}
    for folder in folders.values():
        shutil.rmtree(folder, ignore_errors=True)
    model = distmap.load(run, source=sources[0])
    for index, (file, (maps, _)) in enumerate(zip(files, model.maps_by_kind(files, sources), strict=True)):
        progress.update("mapping with each source", index / len(files), {})
        for source, folder in folders.items():
            write_map(output_path(folder, file.name, ".tiff"), maps[source])
    scores: dict[str, Any] = {}
    for source, folder in folders.items():
        annotations = place / f"{source}.json"
        config = detect.extraction_config(settings.of_source(source), category=row.category)
        detect.extract_and_write(saved_maps(folder, images), config, annotations)
        found = detect.evaluate(annotations, pictures / row.truth, maps=folder, group=row.group)
        known = every_score(found, folder, pictures / "test" / "shapes")
        scores |= {f"{source}_{name}": known[name] for name in SOURCE_SCORES if known.get(name) is not None}
    return scores
