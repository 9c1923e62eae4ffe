"""From raw outputs to the map: values worked out by hand, the gate, the localizer's weight; what else is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from distmap.data.folders import WITH, WITHOUT
from distmap.inference.refinement import (
    follow_edges,
    gaussian,
    gaussian_reach,
    normalise_locally,
    shrink,
    suppress_halos,
)
from distmap.methods.branched_gan import BranchedGan
from distmap.methods.branched_gan.predictor import BRANCH1, LOCALIZER, UNWEIGHTED, WEIGHTED, BranchedGanPredictor
from distmap.networks.classifiers import PictureClassifier

MakeGan = Callable[..., BranchedGan]
MakePredictor = Callable[..., BranchedGanPredictor]
Array = NDArray[np.floating]
GAIN = 0.2


@pytest.fixture(scope="session")
def make_predictor(make_gan: MakeGan) -> MakePredictor:
    """Return ``make_predictor(bands=1, localizer={}, **of_the_map)``."""

    def make(bands: int = 1, localizer: dict[str, object] | None = None, **of_the_map: object) -> BranchedGanPredictor:
        return make_gan(bands, map=of_the_map, localizer=localizer or {}).predictor()

    return make


def raw_outputs(
    picture_CHW: Tensor, without_NCHW: Tensor, with_NCHW: Tensor, logits_HW: Tensor | None = None
) -> Tensor:
    """Raw outputs by their definition, 1 x K x H x W."""
    logits = torch.zeros(picture_CHW.shape[1:]) if logits_HW is None else logits_HW
    parts = (
        picture_CHW - without_NCHW.sum(dim=0),
        picture_CHW - with_NCHW.sum(dim=0),
        with_NCHW[0] - without_NCHW[0],
        logits[None],
    )
    return torch.cat(parts)[None].float()


def row(*values: float) -> Tensor:
    """A picture of one band that is one row."""
    return torch.tensor(values)[None, None]


def rows(*branches: Sequence[float]) -> Tensor:
    return torch.stack([row(*values) for values in branches])


def uniform(rng: np.random.Generator, *size: int) -> Tensor:
    return torch.from_numpy(rng.uniform(-1, 1, size).astype(np.float32))


# --- raw outputs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [1, 3])
def test_raw_outputs_are_residuals_the_change_of_branch_1_and_the_localizer_s_logit(
    make_predictor: MakePredictor, bands: int, rng: np.random.Generator
) -> None:
    predictor = make_predictor(bands)
    x_BCHW = uniform(rng, 2, bands, 32, 32)
    without, with_ = (predictor.branches(x_BCHW, label) for label in (WITHOUT, WITH))
    assert without.shape == (2, 3, bands, 32, 32)
    assert predictor.localizer is not None
    logits = predictor.localizer.location_logits(x_BCHW)
    enlarged = torch.nn.functional.interpolate(logits[:, None], (32, 32), mode="bilinear")[:, 0]
    raw = predictor(x_BCHW)
    assert raw.shape == (2, predictor.raw_channels(bands), 32, 32)
    for index in range(2):
        expected = raw_outputs(x_BCHW[index], without[index], with_[index], enlarged[index])
        torch.testing.assert_close(raw[index : index + 1], expected)


def test_without_a_localizer_its_logit_is_0(make_predictor: MakePredictor, rng: np.random.Generator) -> None:
    predictor = make_predictor(localizer={"enabled": False})
    raw = predictor(uniform(rng, 2, 1, 32, 32))
    assert raw.shape == (2, 4, 32, 32)
    assert (raw[:, -1] == 0).all()


def test_branches_are_those_of_the_generator(make_predictor: MakePredictor, rng: np.random.Generator) -> None:
    predictor = make_predictor()
    x_BCHW = uniform(rng, 3, 1, 32, 32)
    own, other = predictor.generator(x_BCHW, torch.ones(3, dtype=torch.int64))
    torch.testing.assert_close(predictor.branches(x_BCHW, WITH), own)
    torch.testing.assert_close(predictor.branches(x_BCHW, WITHOUT), other)


# --- distinction -------------------------------------------------------------------------------------------------


def test_distinction_by_hand(make_predictor: MakePredictor) -> None:
    # Two branches, whose sums as WITHOUT are 0.3 and 0.4; as WITH only branch 1 counts.
    raw = raw_outputs(row(0.5, 0.0), rows((0.1, 0.0), (0.2, 0.4)), rows((0.4, 0.01), (9.0, 9.0)))
    residual, gate = torch.tensor([0.2, 0.4]), torch.tensor([0.3, 0.01])
    expected = (residual * gate / (gate + 0.01))[None, None]
    for kind in (WEIGHTED, UNWEIGHTED):
        torch.testing.assert_close(make_predictor().distinction(raw, kind), expected)
    torch.testing.assert_close(make_predictor().distinction(raw, BRANCH1), gate[None, None])
    half = (residual * gate / (gate + 0.3))[None, None]
    torch.testing.assert_close(make_predictor(gate=0.3).distinction(raw, WEIGHTED), half)


def test_bands_are_averaged(make_predictor: MakePredictor) -> None:
    picture = torch.tensor([0.6, 0.0])[:, None, None]
    with_ = torch.tensor([0.0, 0.04])[None, :, None, None]
    raw = raw_outputs(picture, torch.zeros(1, 2, 1, 1), with_)
    predictor = make_predictor(bands=2)
    torch.testing.assert_close(predictor.distinction(raw, UNWEIGHTED), torch.tensor([[[0.3 * 0.02 / 0.03]]]))
    torch.testing.assert_close(predictor.distinction(raw, BRANCH1), torch.tensor([[[0.02]]]))


def test_zero_where_branch_1_is_the_same_under_both_classes(
    make_predictor: MakePredictor, rng: np.random.Generator
) -> None:
    picture, without, with_ = uniform(rng, 3, 6, 5), uniform(rng, 4, 3, 6, 5), uniform(rng, 4, 3, 6, 5)
    with_[0, :, :, :3] = without[0, :, :, :3]
    for kind in (UNWEIGHTED, BRANCH1):
        (found,) = make_predictor(bands=3).distinction(raw_outputs(picture, without, with_), kind)
        assert (found[:, :3] == 0).all()
        assert (found[:, 3:] > 0).all()


def test_zero_where_the_picture_reconstructed_as_without_is_the_picture(
    make_predictor: MakePredictor, rng: np.random.Generator
) -> None:
    without, with_ = uniform(rng, 3, 1, 4, 4), uniform(rng, 3, 1, 4, 4)
    raw = raw_outputs(without.sum(dim=0), without, with_)
    assert (make_predictor().distinction(raw, UNWEIGHTED) == 0).all()


# --- the map -----------------------------------------------------------------------------------------------------


def test_the_coarse_map_is_smoothed_without_halos_and_weighted_by_the_smoothed_probability(
    make_predictor: MakePredictor, rng: np.random.Generator
) -> None:
    raw = torch.from_numpy(rng.normal(size=(2, 4, 20, 24)).astype(np.float32))
    predictor = make_predictor(smoothing=1.2, halo_suppression=0.8, halo_radius=2, localizer_smoothing=2.5, gain=GAIN)
    distinction = predictor.distinction(raw, WEIGHTED)
    smooth = torch.from_numpy(np.stack([gaussian_filter(one, 1.2, mode="nearest") for one in distinction.numpy()]))
    unweighted = suppress_halos(smooth, 0.8, 2)
    torch.testing.assert_close(predictor.coarse_map(raw, UNWEIGHTED), unweighted)
    probability = torch.sigmoid(raw[:, -1]).numpy()
    there = torch.from_numpy(np.stack([gaussian_filter(one, 2.5, mode="nearest") for one in probability]))
    torch.testing.assert_close(predictor.coarse_map(raw, LOCALIZER), there)
    torch.testing.assert_close(predictor.coarse_map(raw, WEIGHTED), there * unweighted / (unweighted + GAIN))
    torch.testing.assert_close(predictor.coarse_map(raw), predictor.coarse_map(raw, WEIGHTED))
    sharp = make_predictor(smoothing=1.2, halo_suppression=0.8, halo_radius=2, localizer_smoothing=0, gain=GAIN)
    expected = torch.sigmoid(raw[:, -1]) * unweighted / (unweighted + GAIN)
    torch.testing.assert_close(sharp.coarse_map(raw), expected)
    assert (unweighted == 0).any()


def test_what_the_map_is_refined_by(make_predictor: MakePredictor, rng: np.random.Generator) -> None:
    predictor = make_predictor(
        bands=3,
        edge_radius=1.0,
        edge_softness=0.02,
        saturation=0.1,
        normalisation=0.3,
        normalisation_radius=5,
        normalisation_mean=0.02,
        normalisation_floor=0.001,
        shrinkage=0.05,
    )
    map_BHW, picture = torch.from_numpy(rng.random((2, 30, 40))), uniform(rng, 2, 3, 30, 40)
    valid = torch.from_numpy(rng.random((2, 30, 40)) < 0.9)
    moved = follow_edges(map_BHW, picture.mean(dim=1), 4, saturation=0.1, softness=0.02)
    normalised = normalise_locally(moved, 10, 0.3, mean=0.02, floor=0.001, valid_BHW=valid)
    torch.testing.assert_close(predictor.refine(map_BHW, picture, 2.0, valid), shrink(normalised, 0.05))
    predictor.choose(UNWEIGHTED, follow_edges=False)
    normalised = normalise_locally(map_BHW, 10, 0.3, mean=0.02, floor=0.001)
    torch.testing.assert_close(predictor.refine(map_BHW, picture, 2.0), shrink(normalised, 0.05))


@pytest.mark.parametrize(("scale", "pixels"), [(0.5, 1), (1, 2), (1.5, 4), (2, 8), (4, 16)])
def test_edges_are_looked_for_twice_as_far_in_pictures_finer_than_the_network(
    make_predictor: MakePredictor, scale: float, pixels: int, rng: np.random.Generator
) -> None:
    """A radius of 2, in pixels of the picture."""
    plain = {"normalisation": 0.0, "shrinkage": 0.0}
    predictor, none = make_predictor(edge_radius=2, **plain), make_predictor(edge_radius=0, **plain)
    map_BHW, picture = torch.from_numpy(rng.random((1, 40, 40))), uniform(rng, 1, 1, 40, 40)
    expected = follow_edges(map_BHW, picture[:, 0], pixels, saturation=0.05, softness=0.004)
    assert torch.equal(predictor.refine(map_BHW, picture, scale), expected)
    assert torch.equal(none.refine(map_BHW, picture, scale), map_BHW)
    assert predictor.margin(scale) - none.margin(scale) == 2 * pixels
    assert predictor.choose(WEIGHTED, follow_edges=False).margin(scale) == none.margin(scale)


def test_the_normalisation_reaches_as_far_in_the_picture_as_it_does_for_the_network(
    make_predictor: MakePredictor, rng: np.random.Generator
) -> None:
    map_BHW, picture = torch.from_numpy(rng.random((1, 40, 40))), torch.zeros(1, 1, 40, 40)
    one, other = (
        make_predictor(edge_radius=0, normalisation_radius=radius).refine(map_BHW, picture, scale)
        for radius, scale in ((5, 2.0), (10, 1.0))
    )
    assert torch.equal(one, other)


def test_margins_by_hand(make_predictor: MakePredictor) -> None:
    near = make_predictor(smoothing=1.0, halo_radius=3, localizer_smoothing=0.0, normalisation=0.0, edge_radius=0)
    assert near.coarse_margin() == gaussian_reach(1.0) + 3 == 7
    assert near.refine_margin(2.0) == 0
    far = make_predictor(localizer_smoothing=4.0, halo_suppression=0.0, normalisation_radius=10, edge_radius=1.5)
    assert far.coarse_margin() == gaussian_reach(4.0) == 16
    assert far.refine_margin(1.0) == 2 * 2 + 10
    assert far.refine_margin(2.0) == 2 * 6 + 20


# --- kinds -------------------------------------------------------------------------------------------------------


def test_kinds_are_those_that_the_settings_leave_open(make_predictor: MakePredictor) -> None:
    every = (WEIGHTED, UNWEIGHTED, BRANCH1, LOCALIZER)
    predictor = make_predictor()
    assert (predictor.kinds, predictor.candidates) == (every, (WEIGHTED, UNWEIGHTED))
    without = make_predictor(localizer={"enabled": False})
    assert (without.kinds, without.candidates, without.kind) == ((UNWEIGHTED, BRANCH1), (UNWEIGHTED,), UNWEIGHTED)
    for kind in every:
        predictor = make_predictor(kind=kind)
        assert (predictor.kinds, predictor.candidates, predictor.kind) == (every, (kind,), kind)


def test_a_weighted_map_is_made_of_the_two_others_as_they_are_handed_out(
    make_predictor: MakePredictor, rng: np.random.Generator
) -> None:
    predictor = make_predictor(gain=GAIN)
    raw, picture = torch.from_numpy(rng.normal(size=(1, 4, 20, 24)).astype(np.float32)), uniform(rng, 1, 1, 40, 48)
    unweighted, probability = (predictor.to_map(raw, picture, 2.0, kind=kind) for kind in (UNWEIGHTED, LOCALIZER))
    expected = probability * unweighted / (unweighted + GAIN)
    torch.testing.assert_close(predictor.to_map(raw, picture, 2.0), expected)
    # A localizer's map knows nothing of the picture's edges.
    other = uniform(rng, 1, 1, 40, 48)
    torch.testing.assert_close(predictor.to_map(raw, other, 2.0, kind=LOCALIZER), probability)
    assert not torch.allclose(predictor.to_map(raw, other, 2.0, kind=UNWEIGHTED), unweighted)


def test_a_weighted_map_by_hand(make_predictor: MakePredictor) -> None:
    """p m / (m + gain): half of p where the unweighted map is the gain, 0 where it is 0."""
    plain = {"smoothing": 0.0, "halo_suppression": 0.0, "localizer_smoothing": 0.0, "gate": 1e-9}
    predictor = make_predictor(gain=0.3, **plain)
    change = rows((1.0, 1.0, 1.0))
    raw = raw_outputs(row(0.3, 0.0, 0.9), rows((0.0, 0.0, 0.0)), change, torch.tensor([[0.0, 50.0, np.log(3.0)]]))
    expected = torch.tensor([[[0.5 * 0.5, 0.0, 0.75 * 0.75]]])
    torch.testing.assert_close(predictor.coarse_map(raw, WEIGHTED), expected)


# --- what else is told -------------------------------------------------------------------------------------------


class Judge(PictureClassifier):
    """Takes what is bright on the whole for WITH, and keeps what it has seen."""

    def __init__(self) -> None:
        super().__init__(1, 32, width=8, max_width=8)
        self.seen: list[Tensor] = []

    def forward(self, x_BCHW: Tensor) -> Tensor:
        self.seen.append(x_BCHW)
        bright = x_BCHW.mean(dim=(1, 2, 3))
        return torch.stack([-bright, bright], dim=1)


def test_diagnostics_by_hand(make_predictor: MakePredictor) -> None:
    predictor = make_predictor()
    judge = predictor.judge = Judge()
    picture = torch.full((1, 20, 32), 0.3)
    raw = torch.zeros(4, 20, 32)
    raw[0], raw[1] = 0.2, -0.02  # reconstructed as WITHOUT it is 0.1, as WITH 0.32
    raw[2:] = 7.0
    scores = predictor.diagnostics(picture, raw)
    assert scores == {
        "psnr_without": pytest.approx(20.0, abs=1e-4),  # of a range of 2: 4 / 0.04 is a hundred
        "psnr_with": pytest.approx(40.0, abs=1e-4),
        "residual": pytest.approx(0.02),
        "flips_to_without": 0.0,
        "flips_to_with": 1.0,
    }
    # What the judge sees fills its window.
    torch.testing.assert_close(judge.seen[0], torch.full((1, 1, 32, 32), 0.1))
    assert predictor.diagnostics(picture - 0.4, raw)["flips_to_without"] == 1
    assert predictor.diagnostics(picture - 0.4, raw)["flips_to_with"] == 0


def test_a_picture_that_fills_part_of_the_window_is_continued_for_the_judge(make_predictor: MakePredictor) -> None:
    predictor = make_predictor()
    judge = predictor.judge = Judge()
    picture = torch.rand(1, 30, 20)
    predictor.diagnostics(picture, torch.zeros(4, 30, 20))
    (seen,) = judge.seen[0]
    assert torch.equal(seen[:, :30, :20], picture)
    assert torch.equal(seen[:, 30:, :20], picture[:, -1:].expand(1, 2, 20))
    assert torch.equal(seen[:, :, 20:], seen[:, :, 19:20].expand(1, 32, 12))


def test_there_is_no_verdict_without_a_judge_or_of_pictures_larger_than_its_window(
    make_predictor: MakePredictor,
) -> None:
    predictor = make_predictor()
    assert predictor.diagnostics(torch.zeros(1, 32, 32), torch.zeros(4, 32, 32)).keys() == {
        "psnr_without",
        "psnr_with",
        "residual",
    }
    predictor.judge = Judge()
    assert "flips_to_with" not in predictor.diagnostics(torch.zeros(1, 32, 33), torch.zeros(4, 32, 33))


def test_a_perfect_reconstruction_has_a_finite_psnr(make_predictor: MakePredictor) -> None:
    scores = make_predictor().diagnostics(torch.zeros(1, 8, 8), torch.zeros(4, 8, 8))
    assert scores["psnr_with"] == pytest.approx(10 * np.log10(4e12))


@pytest.mark.parametrize("label", [WITHOUT, WITH])
def test_panels_show_the_branches_under_the_other_class_and_their_sum(
    make_predictor: MakePredictor, label: int, rng: np.random.Generator
) -> None:
    predictor = make_predictor(bands=3)
    picture = uniform(rng, 3, 32, 32)
    panels = predictor.panels(picture, label)
    assert [panel.title for panel in panels] == ["branch 1", "branch 2", "branch 3", "counterfactual"]
    (branches,) = predictor.branches(picture[None], 1 - label)
    for panel, branch in zip(panels, [*branches, branches.sum(dim=0)], strict=True):
        torch.testing.assert_close(panel.picture_CHW, branch)
        assert not panel.picture_CHW.requires_grad


def test_smoothing_of_maps_is_the_one_of_refinement(make_predictor: MakePredictor, rng: np.random.Generator) -> None:
    """So that the margins that are told are those that are needed."""
    raw = torch.from_numpy(rng.normal(size=(1, 4, 20, 24)).astype(np.float32))
    predictor = make_predictor(smoothing=1.7, halo_suppression=0.0, kind=UNWEIGHTED)
    expected = gaussian(predictor.distinction(raw, UNWEIGHTED), 1.7)
    assert torch.equal(predictor.coarse_map(raw), expected)
