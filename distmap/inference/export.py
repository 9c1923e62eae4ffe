"""``export``: the map of a run as one ONNX graph, for programs that know nothing of this one."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distmap.common.detection_settings import DetectionSettings
from distmap.common.extras import need
from distmap.common.files import replacing
from distmap.inference.model import DistinctionModel
from distmap.inference.predictor import Predictor
from distmap.inference.refinement import resample
from distmap.inference.sliding_window import over_symmetries
from distmap.inference.student import MULTIPLE, StudentPredictor

INPUT, OUTPUT = "picture", "map"
TRACED_BATCH = 2  # a batch of one would be taken for a constant


class MapGraph(nn.Module):
    """Pictures B x C x H x W in [-1, 1] -> their maps, B x H x W: what files and scenes do with a picture that is seen
    whole, with the same functions. ``size``: H and W; None: those of the predictor."""

    def __init__(self, predictor: Predictor, symmetry: str, size: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.predictor = predictor
        self.symmetry = symmetry
        self.size = size

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """See the class."""
        if self.size is None:
            raw = over_symmetries(x_BCHW, self.symmetry, self.predictor)
            return self.predictor.to_map(raw, x_BCHW)
        height, width = self.size
        side = self.predictor.side
        window = max(height, width)
        scale = window / side
        square = F.pad(x_BCHW, (0, window - width, 0, window - height), mode="replicate")
        seen = resample(square, side, side, 1 / scale)
        raw = over_symmetries(seen, self.symmetry, self.predictor)
        rows, columns = (-int(-length / scale // 1) for length in (height, width))
        return self.predictor.to_map(raw[:, :, :rows, :columns], x_BCHW, scale)


def export_onnx(
    model: DistinctionModel, detection: DetectionSettings, out: Path, size: tuple[int, int] | None = None
) -> Path:
    """Write a model's map as one ONNX graph; returns its path.

    The graph takes ``picture``: float32, B x C x H x W in [-1, 1], and gives ``map``: float32, B x H x W; B is free.
    H and W are ``size``, height and width of the pictures; None: the side of the windows that the network sees, or,
    with a student, any multiples of 32. Everything from the picture to the map is inside, made by the functions that
    map files, but in float32: bringing the picture to the network's size and the map back, the average over symmetries
    where there is one, and all that makes the map. Scaling a file's numbers to [-1, 1] is not; the file's metadata
    says how: ``low`` and ``high`` (numbers that become -1 and 1, a band each), ``dtype``, ``height`` and ``width`` (0:
    free), ``side`` (that the longer side of a picture is brought to where they are free or the network's),
    ``multiple``, ``threshold`` and ``low_threshold`` (a pixel is taken where map >= threshold).

    Raises
    ------
    ValueError
        Packages that are missing, a name that is a folder's, or a size that the model does not see as one window.
    """
    need("onnx", "onnxscript", extra="onnx")
    if out.is_dir():
        raise ValueError(f"--out {out}: is a folder; name a file")
    if size is not None and model.windows(*size).side < max(size):
        raise ValueError(
            f"--size {size[0]}x{size[1]}: the model sees pictures of up to {model.stats.longest_side} pixels as a "
            "whole, and larger ones in windows; export a smaller size"
        )
    mapper = copy.deepcopy(model.mapper)
    multiple = None
    if isinstance(mapper, StudentPredictor):
        mapper.precision = "32"  # a graph in bfloat16 would be tied to the device that it was traced on
        multiple = MULTIPLE if size is None else None
    height, width = size or ((0, 0) if multiple else (mapper.side, mapper.side))
    facts = {
        "low": json.dumps(model.scaling.low),
        "high": json.dumps(model.scaling.high),
        "dtype": model.scaling.dtype,
        "height": str(height),
        "width": str(width),
        "side": str(mapper.side),
        "multiple": str(multiple or mapper.side),
        "threshold": repr(detection.threshold),
        "low_threshold": repr(detection.low_threshold),
    }
    graph = MapGraph(mapper, model.data.symmetry if mapper.averaged else "none", size).eval()
    program = _traced(graph, model.scaling.bands, size or (mapper.side, mapper.side), multiple)
    program.model.metadata_props.update(facts)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as temporary:
        program.save(temporary)
    return out


def _traced(graph: nn.Module, bands: int, size: tuple[int, int], multiple: int | None) -> torch.onnx.ONNXProgram:
    free: dict[int, Any] = {0: torch.export.Dim("batch")}
    height, width = size
    if multiple is not None:
        # Unlike sides, or they would be taken for one; and both more than one multiple, which would be taken for fixed.
        free |= {2: multiple * torch.export.Dim("rows"), 3: multiple * torch.export.Dim("columns")}
        height, width = height + multiple, width + 2 * multiple
    example = torch.zeros(TRACED_BATCH, bands, height, width)
    # Traced apart from the translation, which would quietly fix a size that it cannot leave free.
    traced = torch.export.export(graph, (example,), dynamic_shapes=(free,))
    with _quiet():
        program = torch.onnx.export(traced, input_names=[INPUT], output_names=[OUTPUT], verbose=False)
    assert program is not None
    return program


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the optimiser's word on every operator that it leaves as it is."""
    logger = logging.getLogger("onnxscript.optimizer")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
