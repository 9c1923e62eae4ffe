"""Masks, boxes, annotation files and scores from maps, wherever the maps come from."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detect.calibration import CalibrationReport, calibrate
    from detect.conversion import convert, read_annotations, write_annotations
    from detect.detections import Detections, Instance
    from detect.detector import Detector, read_detector
    from detect.evaluation import Evaluation, evaluate
    from detect.extraction import ExtractionConfig, extract, find_objects
    from detect.masks import Mask
    from detect.truth import read_truth
    from detect.tuning import Tuning, tune

__all__ = [
    "CalibrationReport",
    "Detections",
    "Detector",
    "Evaluation",
    "ExtractionConfig",
    "Instance",
    "Mask",
    "Tuning",
    "calibrate",
    "convert",
    "evaluate",
    "extract",
    "find_objects",
    "read_annotations",
    "read_detector",
    "read_truth",
    "tune",
    "write_annotations",
]

_HOME = {
    "CalibrationReport": "calibration",
    "Detections": "detections",
    "Detector": "detector",
    "Evaluation": "evaluation",
    "ExtractionConfig": "extraction",
    "Instance": "detections",
    "Mask": "masks",
    "Tuning": "tuning",
    "calibrate": "calibration",
    "convert": "conversion",
    "evaluate": "evaluation",
    "extract": "extraction",
    "find_objects": "extraction",
    "read_annotations": "conversion",
    "read_detector": "detector",
    "read_truth": "truth",
    "tune": "tuning",
    "write_annotations": "conversion",
}


def __getattr__(name: str) -> Any:
    # The libraries behind these names take a while to import; `detect --help` need not wait for them.
    if name not in _HOME:
        raise AttributeError(f"module 'detect' has no attribute {name!r}")
    return getattr(import_module(f"detect.{_HOME[name]}"), name)
