"""How far around a pixel each predictor's map looks: never further than it says, and not much less."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from _pytest.mark.structures import ParameterSet
from torch import Tensor

from distmap.config import resolve
from distmap.inference.predictor import Predictor
from distmap.inference.student import StudentPredictor
from distmap.methods.base import Frame
from distmap.methods.registry import find_method, list_methods
from distmap.settings import StudentSettings

MakeFrame = Callable[..., Frame]
SIDE = 80  # of raw outputs, in pixels of the network
ROUNDING = 1e-10  # of running sums, which goes on to the end of a row
FIXED = {"normalisation": 0.0}  # of the picture, but for its edges

# Where the localizer's probability does not look furthest, a pixel is not seen as far as it might be: the rim of what
# is smoothed is too faint to be anything's halo.
LOOSE = {"near", "unweighted", "branch1"}
TINY = {"backbone": "test_efficientnet", "width": 8}
SMALL: dict[str, dict[str, object]] = {"branched-gan": {"localizer": TINY}, "mil": {"classifier": TINY}}
CASES: dict[str, dict[str, dict[str, object]]] = {
    "branched-gan": {
        "usual": {"map": {"normalisation_radius": 8.0}},
        "without local normalisation": {"map": FIXED},
        "far": {"map": FIXED | {"localizer_smoothing": 4.0, "halo_suppression": 0.0}},
        "without edges": {"map": FIXED | {"edge_radius": 0.0}},
        "near": {"map": FIXED | {"localizer_smoothing": 0.0}},
        "unweighted": {"map": FIXED | {"kind": "unweighted", "halo_radius": 5}},
        "branch1": {"map": FIXED | {"kind": "branch1"}},
        "localizer": {"map": FIXED | {"kind": "localizer", "localizer_smoothing": 4.0, "edge_radius": 0.0}},
    }
}


def predictors() -> list[ParameterSet]:
    """Name and settings of each, and how much of its margin it looks at least, but for a few pixels."""
    names = [method.name for method in list_methods()]
    return [
        pytest.param(name, settings, 0.5 if case in LOOSE or name == "branched-gan" else 0.9, id=f"{name}, {case}")
        for name in [*names, "student"]
        for case, settings in CASES.get(name, {"usual": {}}).items()
    ]


def predictor_of(name: str, settings: dict[str, object], frame: Frame) -> Predictor:
    if name == "student":
        student = StudentSettings(encoder="test_efficientnet")
        return StudentPredictor(student, frame.bands, side=frame.side, precision="32")
    overrides = {"image_size": frame.side, **SMALL.get(name, {}), **settings}
    config = resolve(method=name, overrides=overrides)
    return find_method(name).new_predictor(config.settings, frame).eval()


def changed_around(before: Tensor, after: Tensor, first: int, last: int) -> int:
    """How far from rows and columns ``first`` to ``last`` two maps, H x W, differ by more than rounding."""
    changed = torch.nonzero((before - after).abs() > ROUNDING)
    assert len(changed), "the pixel does not count at all"
    return int(torch.maximum(first - changed, changed - last).max())


@pytest.mark.parametrize(("name", "settings", "least"), predictors())
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 4.0])
def test_the_margin_bounds_what_a_pixel_of_the_map_depends_on(
    name: str,
    settings: dict[str, object],
    least: float,
    scale: float,
    make_frame: MakeFrame,
    rng: np.random.Generator,
) -> None:
    predictor = predictor_of(name, settings, make_frame(side=32))
    length = round(SIDE * scale)
    raw = torch.from_numpy(rng.uniform(0.1, 0.3, (1, predictor.raw_channels(1), SIDE, SIDE)))
    picture = torch.from_numpy(rng.uniform(-1, 1, (1, 1, length, length)))
    margin = predictor.margin(scale)
    assert margin < length / 2, "the picture is too small to tell"
    before = predictor.to_map(raw, picture, scale)[0]

    other = raw.clone()
    other[..., SIDE // 2, SIDE // 2] = 5
    after = predictor.to_map(other, picture, scale)[0]
    first = int(SIDE // 2 * scale)  # the pixels of the picture that lie in the one of the network
    last = max(first, int((SIDE // 2 + 1) * scale) - 1)
    found = changed_around(before, after, first, last)
    assert found <= margin
    assert found >= least * margin - 4

    other = picture.clone()
    other[..., length // 2, length // 2] = 1.5
    after = predictor.to_map(raw, other, scale)[0]
    refined = predictor.refine_margin(scale)
    assert refined <= margin
    if refined:
        assert changed_around(before, after, length // 2, length // 2) <= refined
    else:
        torch.testing.assert_close(after, before)

    valid = torch.ones(1, length, length, dtype=torch.bool)
    valid[..., length // 2, length // 2] = False
    after = predictor.to_map(raw, picture, scale, valid_BHW=valid)[0]
    if (after - before).abs().max() > ROUNDING:
        assert changed_around(before, after, length // 2, length // 2) <= margin


@pytest.mark.parametrize(("name", "settings"), [case.values[:2] for case in predictors()])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 4.0])
def test_a_part_with_its_margin_has_the_map_of_the_whole(
    name: str,
    settings: dict[str, object],
    scale: float,
    make_frame: MakeFrame,
    rng: np.random.Generator,
) -> None:
    """As a scene is mapped part by part."""
    predictor = predictor_of(name, settings, make_frame(side=32))
    length = round(SIDE * scale)
    raw = torch.from_numpy(rng.uniform(-0.3, 0.3, (1, predictor.raw_channels(1), SIDE, SIDE)))
    picture = torch.from_numpy(rng.uniform(-1, 1, (1, 1, length, length)))
    margin = predictor.margin(scale)
    whole = predictor.to_map(raw, picture, scale)
    start = 12
    cut = round(start * scale)
    part = predictor.to_map(raw[..., start:, :], picture[..., cut:, :], scale)
    assert part[:, margin:].numel()
    torch.testing.assert_close(part[:, margin:], whole[:, cut + margin :], rtol=1e-6, atol=1e-12)
