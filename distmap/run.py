"""A run's folder: what it holds, and how a trained model is written there and read again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distmap.common.checked_files import checked
from distmap.common.detection_settings import DETECTOR, DetectionSettings, read_detection_settings
from distmap.common.errors import is_out_of_memory, naming
from distmap.common.files import read_json, replacing, write_text
from distmap.config import Config, read_run_config, to_yaml
from distmap.data.folders import WITH, WITHOUT, Split
from distmap.data.statistics import DatasetStats

if TYPE_CHECKING:
    from distmap.inference.model import DistinctionModel
    from distmap.methods.base import Frame

CONFIG, DATASET, WEIGHTS = "config.yaml", "dataset.json", "weights.safetensors"
METRICS, SAMPLES, STATE_FOLDER = "metrics.jsonl", "samples", "state"
EARLIER_DATASET = "split.json"  # of runs of format 1, which can only be replaced
FORMATS = ("onnx",)


def check_target(run: Path, overwrite: bool) -> None:
    """Raise ValueError where a new run cannot be written to this folder."""
    if not run.exists() or (run.is_dir() and not any(run.iterdir())):
        return
    if not run.is_dir():
        raise ValueError(f"--run {run}: is a file; name a folder")
    # Many a project has a config.yaml of its own.
    if not ((run / CONFIG).is_file() and any((run / name).is_file() for name in (DATASET, EARLIER_DATASET))):
        raise ValueError(f"--run {run}: holds other things than a run; name a new folder")
    if not overwrite:
        raise ValueError(
            f"--run {run}: exists already; use --resume to go on, --overwrite to replace it, or a new name"
        )


def prepare_folder(run: Path, config: Config, dataset: Mapping[str, Any], *, overwrite: bool) -> None:
    """Make the folder with its configuration and the description of its data; what an earlier run left goes.

    Where a new run cannot be written, nothing of it stays.
    """
    is_new = overwrite or not (run / CONFIG).is_file()
    if overwrite:
        _remove_run(run)
    for leftover in run.rglob(".*.part*"):
        leftover.unlink()  # of a process that was killed while it wrote
    try:
        (run / SAMPLES).mkdir(parents=True, exist_ok=True)
        (run / STATE_FOLDER).mkdir(exist_ok=True)
        write_description(run, config, dataset)
    except BaseException:
        if is_new:
            _remove_run(run)
        raise


def write_description(run: Path, config: Config, dataset: Mapping[str, Any]) -> None:
    """Write ``config.yaml`` and ``dataset.json``."""
    write_text(run / DATASET, json.dumps(dataset, indent=1) + "\n")
    write_text(run / CONFIG, to_yaml(config))


def _remove_run(run: Path) -> None:
    """Remove what a run holds, and nothing else that the folder may hold."""
    for name in (CONFIG, DATASET, EARLIER_DATASET, METRICS, WEIGHTS, DETECTOR):
        (run / name).unlink(missing_ok=True)
    for events in run.glob("events.out.tfevents.*"):
        events.unlink()
    for name in (SAMPLES, STATE_FOLDER):
        shutil.rmtree(run / name, ignore_errors=True)


def describe_dataset(split: Split, stats: DatasetStats, with_folder: Path, without_folder: Path) -> dict[str, Any]:
    """What was trained on what: names relative to the folders, and their statistics."""
    described: dict[str, Any] = {
        "folders": {"with": with_folder.name, "without": without_folder.name},
        "statistics": stats.to_json(),
    }
    for side, pictures in (("train", split.train), ("validation", split.validation)):
        described[side] = {
            name: [p.file.name for p in pictures if p.label == label]
            for name, label in (("with", WITH), ("without", WITHOUT))
        }
    return described


def check_same_pictures(run: Path, dataset: Mapping[str, Any], what: str) -> None:
    """Raise ValueError, of ``what``, where a run was not made of the pictures that ``describe_dataset`` describes."""
    path = run / DATASET
    if path.is_file():
        before = read_dataset(path)
        if any(before[side] != dataset[side] for side in ("train", "validation")):
            raise ValueError(f"{what}: the folders do not hold the pictures that {path} lists; give the same folders")


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What ``dataset.json`` holds: names of pictures relative to their folders, ``with`` and ``without``."""

    train: dict[str, list[str]]
    validation: dict[str, list[str]]
    statistics: DatasetStats

    def __post_init__(self) -> None:
        for side, names in (("train", self.train), ("validation", self.validation)):
            if set(names) != {"with", "without"}:
                raise ValueError(f"{side}: must have the lists 'with' and 'without'")


def read_dataset(path: Path) -> dict[str, Any]:
    """What ``dataset.json`` holds, checked; raises ValueError that names it where it is not what fit wrote."""
    if not path.is_file():
        raise ValueError(f"{path}: not there, and without it the run cannot be used; train again with --overwrite")
    content: dict[str, Any] = read_json(path)
    checked(Dataset, content, path)
    return content


def save(run: Path, model: DistinctionModel) -> None:
    """Write a model's weights under their final name in one move; equal weights give equal files."""
    from safetensors.torch import save as as_bytes

    parts = {"predictor": model.predictor} | ({} if model.student is None else {"student": model.student})
    tensors = {
        f"{part}.{name}": value.contiguous()
        for part, network in parts.items()
        for name, value in network.state_dict().items()
    }
    # Not by save_file, which gives the file to its owner alone and has errors of its own for a full disk.
    content = as_bytes(dict(sorted(tensors.items())))
    with replacing(run / WEIGHTS) as path:
        path.write_bytes(content)


def load(run: str | Path, device: str = "auto", source: str = "auto") -> DistinctionModel:
    """A trained run, ready to map pictures.

    ``source``: what the maps are of: ``student``, or a kind of the method's own maps, such as ``branch1``; ``auto``:
    what was found best.

    Raises
    ------
    ValueError
        The run has no such source. The folder is not a run, its training has not come to an end yet, or its files are
        damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from distmap.inference.model import DistinctionModel
    from distmap.methods.registry import find_method
    from distmap.networks.devices import pick_device

    run = Path(run)
    config = read_run_config(run)
    if not (run / WEIGHTS).is_file():
        raise ValueError(f"{run}: holds no weights yet; finish its training with `distmap fit ... --resume`")
    target = pick_device(device)
    settings = read_detection_settings(run)
    with naming(run / DATASET):
        stats = DatasetStats.from_json(read_dataset(run / DATASET)["statistics"])
    try:
        tensors: dict[str, Any] = load_file(run / WEIGHTS)
        frame = make_frame(config, stats, target)
        predictor = find_method(config.method).new_predictor(config.settings, frame)
        predictor.load_state_dict(_part(tensors, "predictor."))
        student = None
        if any(name.startswith("student.") for name in tensors):
            from distmap.inference.student import StudentPredictor, student_side

            side, precision = student_side(stats, config.student), config.training.precision
            student = StudentPredictor(config.student, stats.bands, side=side, precision=precision)
            student.load_state_dict(_part(tensors, "student."))
        if not all(bool(value.isfinite().all()) for value in tensors.values()):
            raise ValueError("weights that are not finite")
        predictor.choose(_kind(settings, predictor.kinds), follow_edges=settings.follow_edges)
    except (SafetensorError, OSError, LookupError, ArithmeticError, TypeError, RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise ValueError(
            f"{run / WEIGHTS}: damaged, or not made with this config.yaml or version; train again with --overwrite"
        ) from error
    return DistinctionModel(predictor, stats, config.data, device=target, student=student).of_source(source)


def _kind(settings: DetectionSettings, kinds: tuple[str, ...]) -> str:
    """The kind of the method's own maps: a student's have none."""
    return settings.map_kind if settings.map_kind in kinds else kinds[0]


def make_frame(config: Config, stats: DatasetStats, device: Any) -> Frame:
    """What the networks of a run's method have to fit."""
    from distmap.methods.base import Frame

    return Frame(
        bands=stats.bands,
        side=config.image_size,
        seed=config.seed,
        symmetry=config.data.symmetry,
        precision=config.training.precision,
        schedule=config.training.schedule,
        device=device,
    )


def _part(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def export(
    run: str | Path, *, out: str | Path | None = None, format: str = "onnx", size: tuple[int, int] | None = None
) -> Path:
    """Write a run's map as one graph, ``RUN/map.onnx`` unless ``out`` names another file; returns its path.

    See ``distmap.inference.export.export_onnx``.

    Raises
    ------
    ValueError
        An unknown format, a folder that is not a finished run, packages that are missing, or a size that cannot be.
    """
    if format not in FORMATS:
        raise ValueError(f"--format {format}: choose one of {', '.join(FORMATS)}")
    from distmap.inference.export import export_onnx

    run = Path(run)
    path = run / "map.onnx" if out is None else Path(out)
    return export_onnx(load(run, "cpu"), read_detection_settings(run), path, size)
