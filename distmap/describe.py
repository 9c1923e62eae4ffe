"""What a run is: for ``distmap info``."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Lt

from distmap.common.checked_files import checked, parse_json, read_utf8
from distmap.common.detection_settings import DETECTOR, read_detection_settings
from distmap.common.files import read_json
from distmap.common.object_size import ObjectSize, describe_objects
from distmap.config import read_run_config
from distmap.run import DATASET, METRICS, WEIGHTS, read_dataset


def describe_run(run: Path) -> dict[str, Any]:
    """Settings, pictures, last metrics, calibration and scores on validation pictures of a run.

    Raises
    ------
    ValueError
        The folder is not a run.
    """
    config = read_run_config(run)
    description: dict[str, Any] = {
        "run": run.name,
        "finished": (run / WEIGHTS).is_file() and (run / DETECTOR).is_file(),
        "config": config.to_dict(),
        "pictures": _counts(run / DATASET),
    }
    if (run / METRICS).is_file():
        # What follows the last line end was cut short by a crash.
        lines = read_utf8(run / METRICS).split("\n")[:-1]
        description["last_metrics"] = _metrics(lines[-1], f"{run / METRICS}: line {len(lines)}") if lines else None
    if (run / DETECTOR).is_file():
        plain = json.loads(json.dumps(asdict(read_detection_settings(run))))  # lists, not tuples, at any depth
        description["detector"] = read_json(run / DETECTOR) | plain
    return description


def format_description(description: dict[str, Any]) -> str:
    """The same for people, one fact a line."""
    config, pictures = description["config"], description["pictures"]
    lines = [
        f"run          {description['run']} ({'finished' if description['finished'] else 'not finished'})",
        f"method       {config['method']}",
        f"preset       {config['preset']}, {config['image_size']} x {config['image_size']}, seed {config['seed']}",
        f"trained on   {pictures['train']['with']} pictures WITH, {pictures['train']['without']} WITHOUT",
        f"validation   {pictures['validation']['with']} pictures WITH, {pictures['validation']['without']} WITHOUT",
    ]
    metrics = description.get("last_metrics")
    if metrics:
        lines.append(f"last logged  step {metrics['step']} after {metrics['seconds']:.0f} s")
    detector = description.get("detector")
    if detector:
        lines.append(f"map          {detector['map_kind']}, of step {detector['step']}")
        lines.append(
            f"threshold    {detector['threshold']:.4g}, taking {detector['false_alarm']:.3%} of the pixels of "
            f"{detector['pictures']} validation pictures WITHOUT"
        )
        size = detector.get("object_size")
        lines.append(f"objects      {describe_objects(None if size is None else ObjectSize(**size))}")
        for name, value in detector.get("validation_scores", {}).items():
            lines.append(f"{name:12} {value:.4g}")
        lines += [f"warning      {warning}" for warning in detector["warnings"]]
    return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What every line of ``metrics.jsonl`` has, beside what a method says."""

    step: Annotated[int, Ge(0), Lt(2**63)]
    seconds: Annotated[float, Ge(0), Lt(math.inf)]


def _metrics(line: str, place: str) -> dict[str, Any]:
    content: dict[str, Any] = parse_json(line.encode("utf-8"), place)
    checked(Metrics, content, place)
    return content


def _counts(path: Path) -> dict[str, dict[str, int]]:
    split = read_dataset(path)
    return {side: {name: len(split[side][name]) for name in ("with", "without")} for side in ("train", "validation")}
