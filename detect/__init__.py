"""Masks, boxes, annotation files and scores from maps, wherever the maps come from."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detect.calibration import CalibrationReport, calibrate
    from detect.conversion import convert, read_annotations, write_annotations
    from detect.detections import Detections, Instance
    from detect.evaluation import Evaluation, evaluate
    from detect.extraction import ExtractionConfig, extract, find_objects
    from detect.extraction_settings import extraction_config
    from detect.job import extract_and_write
    from detect.masks import Mask
    from detect.report.writing import Report, write_report
    from detect.truth import read_truth
    from detect.tuning import Tuning, tune
    from distmap.common.detection_settings import (
        DetectionSettings,
        read_detection_settings,
        write_detection_settings,
    )

__all__ = [
    "CalibrationReport",
    "DetectionSettings",
    "Detections",
    "Evaluation",
    "ExtractionConfig",
    "Instance",
    "Mask",
    "Report",
    "Tuning",
    "calibrate",
    "convert",
    "evaluate",
    "extract",
    "extract_and_write",
    "extraction_config",
    "find_objects",
    "read_annotations",
    "read_detection_settings",
    "read_truth",
    "tune",
    "write_annotations",
    "write_detection_settings",
    "write_report",
]

_HOMES = {
    "CalibrationReport": "detect.calibration",
    "DetectionSettings": "distmap.common.detection_settings",
    "Detections": "detect.detections",
    "Evaluation": "detect.evaluation",
    "ExtractionConfig": "detect.extraction",
    "Instance": "detect.detections",
    "Mask": "detect.masks",
    "Report": "detect.report.writing",
    "Tuning": "detect.tuning",
    "calibrate": "detect.calibration",
    "convert": "detect.conversion",
    "evaluate": "detect.evaluation",
    "extract": "detect.extraction",
    "extract_and_write": "detect.job",
    "extraction_config": "detect.extraction_settings",
    "find_objects": "detect.extraction",
    "read_annotations": "detect.conversion",
    "read_detection_settings": "distmap.common.detection_settings",
    "read_truth": "detect.truth",
    "tune": "detect.tuning",
    "write_annotations": "detect.conversion",
    "write_detection_settings": "distmap.common.detection_settings",
    "write_report": "detect.report.writing",
}


def __getattr__(name: str) -> Any:
    # The libraries behind these names take a while to import; `detect --help` need not wait for them.
    if name not in _HOMES:
        raise AttributeError(f"module 'detect' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
