"""``export``: the map of a run as one ONNX graph, for programs that know nothing of this one."""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distmap.common.detection_settings import DetectionSettings, read_detection_settings
from distmap.common.files import replacing
from distmap.config import MapConfig
from distmap.inference.model import DistinctionModel, load
from distmap.inference.views import over_symmetries, painted
from distmap.methods.branched_gan.maps import EDGE_SOFTNESS, FAINT, GATE, HALO_RADIUS, SATURATION, SUBDUED, USUAL

if TYPE_CHECKING:
    from distmap.networks.generators import Generator
    from distmap.networks.localizer import Locator
    from distmap.training.student import Student

FORMATS = ("onnx",)
PACKAGES = ("onnx", "onnxscript")
INPUT, OUTPUT = "picture", "map"
TRACED_BATCH = 2  # a batch of one would be taken for a constant


class StudentGraph(nn.Module):
    """Picture B x C x H x W in [-1, 1] -> the student's map, B x H x W; H and W multiples of the network's."""

    def __init__(self, student: Student, symmetry: str) -> None:
        super().__init__()
        self.student = student
        self.symmetry = symmetry

    def forward(self, x_BCHW: Tensor) -> Tensor:
        logits = over_symmetries(x_BCHW, self.symmetry, lambda view: self.student(view)[:, None])
        return torch.sigmoid(logits[:, 0])


class PaintedGraph(nn.Module):
    """Picture B x C x S x S in [-1, 1] -> the map of its repainting, B x S x S, as ``distinction_map``
    makes it: gated, smoothed, cleaned of halos, and weighed by the locator where the run's maps are."""

    def __init__(
        self, generator: Generator, locator: Locator, branches: int, bands: int, symmetry: str, config: MapConfig
    ) -> None:
        super().__init__()
        self.generator = generator
        self.locator = locator
        self.branches = branches
        self.bands = bands
        self.symmetry = symmetry
        self.config = config

    def forward(self, x_BCHW: Tensor) -> Tensor:
        everything = over_symmetries(x_BCHW, self.symmetry, lambda view: painted(self.generator, self.locator, view))
        without, with_ = (
            torch.unflatten(half, 1, (self.branches, self.bands)) for half in everything[:, :-1].chunk(2, dim=1)
        )
        residual = (x_BCHW - without.sum(dim=1)).abs().mean(dim=1)
        gate = (with_[:, 0] - without[:, 0]).abs().mean(dim=1)
        found = gaussian(residual * gate / (gate + GATE), self.config.smoothing)
        if self.config.halo:
            strongest = F.max_pool2d(found[:, None], 2 * HALO_RADIUS + 1, stride=1, padding=HALO_RADIUS)[:, 0]
            found = torch.where(found >= self.config.halo * strongest, found, 0.0)
        if self.config.kind != "plain":
            found = found * gaussian(torch.sigmoid(everything[:, -1]), self.config.place_smoothing)
        found = follow_edges(found, x_BCHW.mean(dim=1), round(self.config.edge_radius))
        found = even_out(found, round(self.config.even_radius), self.config.evenness)
        return found * found / (found + SUBDUED)


def follow_edges(map_BHW: Tensor, picture_BHW: Tensor, radius: int) -> Tensor:
    """``maps.follow_edges``, B x H x W."""
    if radius == 0:
        return map_BHW

    def mean(x_BHW: Tensor) -> Tensor:
        padded = F.pad(x_BHW[:, None], (radius,) * 4, mode="replicate")
        return F.avg_pool2d(padded, 2 * radius + 1, stride=1)[:, 0]

    values = map_BHW / (map_BHW + SATURATION)
    mean_guide, mean_values = mean(picture_BHW), mean(values)
    variance = (mean(picture_BHW * picture_BHW) - mean_guide * mean_guide).clamp(min=0.0)
    slope = (mean(picture_BHW * values) - mean_guide * mean_values) / (variance + EDGE_SOFTNESS)
    share = mean(slope) * picture_BHW + mean(mean_values - slope * mean_guide)
    most = F.max_pool2d(values[:, None], 2 * radius + 1, stride=1, padding=radius)[:, 0]
    share = torch.minimum(share.clamp(min=0.0), most)
    return SATURATION * share / (1 - share)


def even_out(map_BHW: Tensor, radius: int, evenness: float) -> Tensor:
    """``maps.even_out``, B x H x W."""
    if evenness == 0:
        return map_BHW
    mean = F.avg_pool2d(map_BHW[:, None], 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)[:, 0]
    return map_BHW * (USUAL / (mean + FAINT)) ** evenness


def gaussian(map_BHW: Tensor, sigma: float) -> Tensor:
    """``scipy.ndimage.gaussian_filter`` with its border repeated: B x H x W, sigma in pixels."""
    if sigma == 0:
        return map_BHW
    radius = int(4 * sigma + 0.5)
    places = torch.arange(-radius, radius + 1, dtype=torch.float64)
    line = torch.exp(-0.5 * (places / sigma) ** 2)
    line = (line / line.sum()).to(map_BHW)
    padded = F.pad(map_BHW[:, None], (radius,) * 4, mode="replicate")
    down = F.conv2d(padded, line[None, None, :, None])
    return F.conv2d(down, line[None, None, None, :])[:, 0]


def export(run: str | Path, *, out: str | Path | None = None, format: str = "onnx") -> Path:
    """Write a run's map as one ONNX graph, ``RUN/map.onnx`` unless ``out`` names another file; returns its path.

    The graph takes pictures as the network sees them, ``picture``: float32, B x C x H x W in [-1, 1], and gives
    ``map``: float32, B x H x W; B is free. With a student H and W are free too, in multiples of 2 to the power
    ``student.encoder_depth``; else both are ``image_size``. Everything from the picture to the map is inside: the
    average over the symmetries, and without a student the gate, the smoothing, the cleaning of halos, the locator, the
    edges of the picture, as far as its size in the network shows them, the evening out and the subduing. Scaling a
    file's numbers to [-1, 1], bringing the picture to the network's size and the map back are not; the file's metadata
    says how: ``low`` and ``high`` (numbers that become -1 and 1, a band each), ``dtype``, ``side`` (that the longer
    side of a picture is brought to), ``multiple``, ``threshold`` and ``low_threshold`` (a pixel is taken where
    map >= threshold).

    Raises
    ------
    ValueError
        An unknown format, a folder that is not a finished run, or packages that are missing.
    """
    if format not in FORMATS:
        raise ValueError(f"--format {format}: choose one of {', '.join(FORMATS)}")
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"--format {format}: needs {' and '.join(missing)}; install with `pip install {' '.join(missing)}`"
        )
    run = Path(run)
    path = run / "map.onnx" if out is None else Path(out)
    if path.is_dir():
        raise ValueError(f"--out {path}: is a folder; name a file")
    model = load(run, "cpu")
    detector = read_detection_settings(run)
    graph, multiple = _graph(model)
    program = _traced(graph, model.scaling.bands, model.map_side, multiple)
    program.model.metadata_props.update(_facts(model, multiple, detector))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        program.save(temporary)
    return path


def _graph(model: DistinctionModel) -> tuple[nn.Module, int | None]:
    """What is written, and what its height and width are multiples of; None where they are fixed."""
    networks: dict[str, Any] = model.networks
    config = model.config
    if "student" in networks:
        return StudentGraph(networks["student"], config.data.symmetry).eval(), 2**config.student.encoder_depth
    painting = PaintedGraph(
        networks["generator"],
        networks["locator"],
        config.generator.branches,
        model.scaling.bands,
        config.data.symmetry,
        config.map,
    )
    return painting.eval(), None


def _traced(graph: nn.Module, bands: int, side: int, multiple: int | None) -> torch.onnx.ONNXProgram:
    free: dict[int, Any] = {0: torch.export.Dim("batch")}
    if multiple is not None:
        # Unlike sides, or they would be taken for one.
        free |= {2: multiple * torch.export.Dim("rows"), 3: multiple * torch.export.Dim("columns")}
    example = torch.zeros(TRACED_BATCH, bands, side, side if multiple is None else side + multiple)
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


def _facts(model: DistinctionModel, multiple: int | None, detector: DetectionSettings) -> dict[str, str]:
    return {
        "low": json.dumps(model.scaling.low),
        "high": json.dumps(model.scaling.high),
        "dtype": model.scaling.dtype,
        "side": str(model.map_side),
        "multiple": str(model.map_side if multiple is None else multiple),
        "threshold": repr(detector.threshold),
        "low_threshold": repr(detector.low_threshold),
    }
