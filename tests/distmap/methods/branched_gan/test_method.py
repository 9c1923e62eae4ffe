"""One step of training, the weight average, the learning rates, and the state that resuming needs."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch

from distmap.common.progress import Silent
from distmap.data.batches import PictureStore
from distmap.methods.base import Batch, FitContext, Frame
from distmap.methods.branched_gan import BranchedGan, losses
from distmap.methods.branched_gan.classifiers import new_classifier
from distmap.methods.branched_gan.method import rate_factor, rise_factor
from distmap.methods.branched_gan.settings import BranchedGanSettings, LossSettings, OptimiserSettings
from distmap.methods.losses import classification

MakeGan = Callable[..., BranchedGan]
MakeBatch = Callable[..., Batch]
MakeFrame = Callable[..., Frame]
CLASSIFIERS = "distmap.methods.branched_gan.classifiers"
METHOD = "distmap.methods.branched_gan.method"


def weights(gan: BranchedGan) -> dict[str, torch.Tensor]:
    parts = gan._parts()
    return {
        f"{part}.{name}": value.clone()
        for part in ("generator", "discriminator", "average")
        for name, value in parts[part].state_dict().items()
    }


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# --- a step ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("branches", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_any_number_of_branches_trains(make_gan: MakeGan, make_batch: MakeBatch, branches: int, stride: int) -> None:
    gan = make_gan(generator={"branches": branches, "stride": stride}, discriminator={"stride": stride})
    before = weights(gan)
    for number in range(2):
        terms = gan.step(make_batch(number), 0.0)
        assert all(torch.isfinite(value) for value in terms.values()), terms
    after = weights(gan)
    assert all(torch.isfinite(value).all() for value in after.values())
    for part in (
        "generator.branches.0.",
        f"generator.branches.{branches - 1}.",
        "generator.encoder.",
        "discriminator.",
    ):
        moved = [name for name in after if name.startswith(part) and not torch.equal(before[name], after[name])]
        assert len(moved) > 0.8 * sum(name.startswith(part) for name in after), part
    assert gan.steps == 2


def test_pictures_count_as_fakes_of_the_other_class_where_classes_are_separable(
    make_gan: MakeGan, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    mismatched: list[torch.Tensor | None] = []
    made = losses.discriminator_logistic

    def noted(*logits: torch.Tensor | None) -> torch.Tensor:
        mismatched.append(logits[2])
        return made(*logits)  # type: ignore[arg-type]

    monkeypatch.setattr(losses, "discriminator_logistic", noted)
    gan = make_gan(discriminator={"augment_shift": 0.0, "augment_contrast": 0.0})
    gan.step(make_batch(), 0.0)
    assert mismatched == [None]
    gan.separable = True
    batch = make_batch(1)
    with torch.no_grad():
        expected = gan._discriminator.module(batch.x_BCHW)[torch.arange(4), 1 - batch.labels_B]
    gan.step(batch, 0.0)
    torch.testing.assert_close(mismatched[1], expected)


@pytest.mark.parametrize("bands", [3, 5])
@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_bands_and_precisions(make_gan: MakeGan, make_batch: MakeBatch, bands: int, precision: str) -> None:
    terms = make_gan(bands, precision=precision).step(make_batch(0, bands), 0.0)
    assert all(torch.isfinite(value) for value in terms.values())


def test_every_loss_is_reported_and_weighted(make_gan: MakeGan, make_batch: MakeBatch) -> None:
    names = {"adversary", "guidance", "fidelity", "gradient", "focused", "overlap", "energy", "sparsity", "locality"}
    gan = make_gan()
    terms = gan.step(make_batch(), 0.0)
    assert names <= set(terms)
    assert all(not value.requires_grad and value.dim() == 0 for value in terms.values())
    doubled = {name: 2 * getattr(gan.settings.losses, name) for name in names}
    twice = make_gan(losses=doubled).step(make_batch(), 0.0)
    for name in names - {"adversary"}:  # that one comes after the discriminator's update
        assert twice[name].item() == pytest.approx(2 * terms[name].item(), rel=1e-5), name


def test_the_picture_is_learnt(make_gan: MakeGan, make_batch: MakeBatch) -> None:
    gan = make_gan()
    figures = [gan.step(dataclasses.replace(make_batch(), step=step), 0.0)["fidelity"].item() for step in range(25)]
    assert figures[-1] < 0.7 * figures[0]


def test_same_seed_same_weights(make_gan: MakeGan, make_batch: MakeBatch) -> None:
    results = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(noise)  # torch's own state must not matter
        gan = make_gan(seed=seed)
        gan.step(make_batch(), 0.0)
        results.append(weights(gan))
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_average_by_hand(make_gan: MakeGan, make_batch: MakeBatch) -> None:
    gan = make_gan(optimiser={"ema_decay": 0.5, "ema_warm_up": 7})
    name = "encoder.stem.weight"
    expected = gan._parts()["generator"].state_dict()[name].clone()
    for step in range(1, 12):
        gan.step(dataclasses.replace(make_batch(step), step=step - 1), 0.0)
        decay = min(0.5, (1 + step) / (7 + step))
        expected = decay * expected + (1 - decay) * gan._parts()["generator"].state_dict()[name]
    torch.testing.assert_close(gan.average.state_dict()[name], expected)
    assert not gan.average.training
    assert not any(parameter.requires_grad for parameter in gan.average.parameters())


def test_sparsity_may_rise() -> None:
    assert rise_factor(0.0, LossSettings()) == 1
    rising = LossSettings(sparsity_rise=0.5)
    assert [rise_factor(progress, rising) for progress in (0.0, 0.1, 0.5, 1.0)] == pytest.approx([0, 0.2, 1, 1])


def test_a_rising_sparsity_is_in_the_loss(make_gan: MakeGan, make_batch: MakeBatch) -> None:
    terms = [make_gan(losses={"sparsity_rise": rise}).step(make_batch(), 0.1)["sparsity"] for rise in (0.0, 0.4)]
    assert terms[1] == pytest.approx(0.25 * terms[0])


@pytest.mark.parametrize(("blend", "least"), [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)])
def test_branches_are_mixed_as_far_as_blend_says(
    make_gan: MakeGan, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch, blend: float, least: float
) -> None:
    drawn: list[torch.Tensor] = []
    made = losses.blend_branches

    def noted(own: torch.Tensor, other: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        drawn.append(alpha)
        return made(own, other, alpha)

    monkeypatch.setattr(losses, "blend_branches", noted)
    gan = make_gan(losses={"blend": blend})
    for number in range(4):
        gan.step(make_batch(number), 0.0)
    alpha = torch.stack(drawn)
    assert alpha.max() <= 1
    assert alpha.max() > 0.9
    assert least <= alpha.min() <= least + 0.1


def test_r1_is_computed_every_so_many_steps_and_weighted_up(make_gan: MakeGan, make_batch: MakeBatch) -> None:
    gan = make_gan(losses={"r1_every": 2})
    assert ["r1" in gan.step(make_batch(step), 0.0) for step in range(5)] == [True, False, True, False, True]
    once, twice = (float(make_gan(losses={"r1_every": every}).step(make_batch(), 0.0)["r1"]) for every in (1, 2))
    assert twice == pytest.approx(2 * once)
    assert "r1" not in make_gan(losses={"r1": 0.0}).step(make_batch(), 0.0)


# --- a projected discriminator -----------------------------------------------------------------------------------

PROJECTED = {"kind": "projected", "backbone": "test_efficientnet"}  # of random weights
FIXED = ("discriminator.backbone.", "discriminator.mixing.")


@pytest.mark.parametrize(("bands", "precision"), [(1, "32"), (3, "32"), (5, "bf16")])
def test_of_a_projected_discriminator_the_heads_alone_are_trained(
    make_gan: MakeGan, make_batch: MakeBatch, bands: int, precision: str
) -> None:
    gan = make_gan(bands, precision=precision, discriminator=PROJECTED)
    before = weights(gan)
    for number in range(3):
        terms = gan.step(make_batch(number, bands), 0.0)
        assert all(torch.isfinite(value) for value in terms.values()), terms
        assert "r1" not in terms  # though it would be due in the first of these
    after = weights(gan)
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert not {name for name in moved if name.startswith(FIXED)}
    assert {name for name in after if name.startswith("discriminator.heads.")} <= moved
    assert any(name.startswith("generator.") for name in moved)
    trained = [name for name, parameter in gan._discriminator.module.named_parameters() if parameter.requires_grad]
    assert trained
    assert all(name.startswith("heads.") for name in trained)


def test_a_training_with_a_projected_discriminator_is_resumed(make_gan: MakeGan, make_batch: MakeBatch) -> None:
    whole = make_gan(discriminator=PROJECTED)
    for number in range(2):
        whole.step(make_batch(number), 0.0)
    resumed = make_gan(seed=1, discriminator=PROJECTED)  # of other features, mixing and heads, which the state has, too
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    resumed.frame = whole.frame
    for number in range(2, 4):
        for gan in (whole, resumed):
            gan.step(make_batch(number), 0.0)
    assert same(weights(whole), weights(resumed))


@pytest.mark.parametrize("localizer", [True, False])
def test_pretrained_features_are_loaded_before_the_first_step(
    make_gan: MakeGan, known: PictureStore, monkeypatch: pytest.MonkeyPatch, localizer: bool
) -> None:
    loaded: list[str] = []
    said: list[str] = []

    def load(features: torch.nn.Module, name: str, bands: int, indices: tuple[int, ...]) -> str:
        loaded.append(name)
        next(features.parameters()).data.fill_(0.25)
        return f"{name}: none"

    class Noted(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    monkeypatch.setattr("distmap.networks.backbones.load_imagenet_weights", load)
    shape = {"enabled": localizer, "backbone": "test_efficientnet"}
    gan = make_gan(discriminator=PROJECTED, localizer=shape)
    gan.prepare(FitContext(train=known, validation=known, progress=Noted()))
    assert loaded == ["test_efficientnet"] * (1 + localizer)
    assert said == ["warning: test_efficientnet: none"]
    assert (next(gan._discriminator.module.backbone.parameters()) == 0.25).all()


@pytest.mark.parametrize(("discriminator", "cut"), [({}, True), (PROJECTED, False)])
def test_r1_is_not_cut_where_there_is_none(make_gan: MakeGan, discriminator: dict[str, Any], cut: bool) -> None:
    gan = make_gan(discriminator=discriminator)
    gan.separable = True
    gan.steps = 500  # times the rate of 1e-3: the discriminator should have learnt something
    gan._recent = {"flips": 1.0, "change": 0.0, "margin": 0.0, "steps": 1.0}
    assert any("underfits" in line for line in gan.review()) == cut


# --- rates -------------------------------------------------------------------------------------------------------


def test_rates_fall_in_the_cooldown() -> None:
    settings = OptimiserSettings(cooldown=0.4)
    assert [rate_factor(progress, settings) for progress in (0, 0.3, 0.6)] == [1, 1, 1]
    assert rate_factor(0.8, settings) == pytest.approx(0.55)
    assert rate_factor(1.0, settings) == pytest.approx(0.1)
    assert rate_factor(1.5, settings) == pytest.approx(0.1)
    assert rate_factor(1.0, OptimiserSettings(cooldown=0)) == 1
    assert rate_factor(0.8, OptimiserSettings(cooldown=0.4, final_rate=0.5)) == pytest.approx(0.75)


def rates(gan: BranchedGan) -> list[float]:
    """Of the generator, of its mapping network, and of the discriminator."""
    optimisers = [gan._parts()[f"{name}_optimiser"] for name in ("generator", "discriminator")]
    return [group["lr"] for optimiser in optimisers for group in optimiser.param_groups]


def test_rates_reach_the_optimisers(make_gan: MakeGan, make_batch: MakeBatch) -> None:
    settings = {"learning_rate": 0.1, "mapping_rate": 0.2, "discriminator_rate": 0.3, "cooldown": 1.0}
    gan = make_gan(optimiser=settings)
    gan.step(make_batch(), 1.0)
    assert rates(gan) == pytest.approx([0.01, 0.02, 0.03])
    gan.slow_down(0.5)
    gan.step(make_batch(1), 1.0)
    assert rates(gan) == pytest.approx([0.005, 0.01, 0.015])


# --- before the first step ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auroc", "enough", "low_contrast"), [(1.0, 1, False), (1.0, 1, True), (0.99, 1, False), (1.0, 30, False)]
)
def test_a_picture_guide_is_trained_where_classes_are_separable_and_edge_contrast_is_not_low(
    make_gan: MakeGan,
    known: PictureStore,
    monkeypatch: pytest.MonkeyPatch,
    auroc: float,
    enough: int,
    low_contrast: bool,
) -> None:
    monkeypatch.setattr(f"{CLASSIFIERS}.classifier_auroc", lambda *_: auroc)
    monkeypatch.setattr(f"{METHOD}.low_edge_contrast", lambda *_: low_contrast)
    gan = make_gan(localizer={"separable_pictures": enough})
    assert gan.localizer is not None
    untrained = copy.deepcopy(gan.localizer.state_dict())
    fractions: list[float] = []

    def clock(fraction: float) -> Callable[[], float]:
        fractions.append(fraction)
        return lambda: 0.0

    gan.prepare(FitContext(train=known, validation=known, clock=clock))
    separable = auroc == 1 and enough == 1
    assert gan.separable is separable
    assert (gan.picture_guide is not None) == (separable and not low_contrast)
    assert fractions == [0.4, 0.05][: 1 + (gan.picture_guide is not None)]
    assert not same(untrained, gan.localizer.state_dict())


def test_few_of_the_validation_pictures_are_looked_at(
    make_gan: MakeGan, known: PictureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []

    def separable(_: object, validation: PictureStore, *__: object) -> bool:
        looked.append(len(validation))
        return False

    monkeypatch.setattr(f"{METHOD}.separable", separable)
    make_gan(localizer={"validation_pictures": 3}).prepare(FitContext(train=known, validation=known))
    assert looked == [6]


@pytest.mark.parametrize(("certainty", "kind"), [(0.2, "auto"), (0.19, "auto"), (0.19, "weighted")])
def test_maps_are_weighted_by_a_localizer_that_is_sure_of_something_alone(
    make_gan: MakeGan, known: PictureStore, monkeypatch: pytest.MonkeyPatch, certainty: float, kind: str
) -> None:
    monkeypatch.setattr(f"{METHOD}.classifier_certainty", lambda *_: certainty)
    sections = {"localizer": {"least_certainty": 0.2, "steps": 1}, "map": {"kind": kind}}
    gan = make_gan(**sections)
    gan.prepare(FitContext(train=known, validation=known))
    left_open = ("weighted", "unweighted") if certainty == 0.2 else ("unweighted",)
    candidates = left_open if kind == "auto" else ("weighted",)
    again = make_gan(**sections)
    again.load_state_dict(copy.deepcopy(gan.state_dict()))
    for one in (gan, again):
        predictor = one.predictor()
        assert (predictor.candidates, predictor.kind) == (candidates, candidates[0])
        assert "weighted" in predictor.kinds  # it may still be asked for


def test_without_a_localizer_nothing_is_trained_before_the_first_step(make_gan: MakeGan, known: PictureStore) -> None:
    gan = make_gan(localizer={"enabled": False})
    gan.prepare(FitContext(train=known, validation=known))
    assert (gan.separable, gan.picture_guide) == (False, None)


def test_a_picture_guide_has_to_be_convinced_as_well(
    make_gan: MakeGan, make_batch: MakeBatch, make_frame: MakeFrame
) -> None:
    plain, guided = make_gan(), make_gan()
    guide = new_classifier(guided.settings.picture_guide, make_frame()).eval().requires_grad_(False)
    guided.picture_guide = guide
    seen: list[torch.Tensor] = []
    guide.register_forward_hook(lambda _, pictures, __: seen.append(pictures[0]))
    before, after = (gan.step(make_batch(), 0.0) for gan in (plain, guided))
    verdict = float(classification(guide(seen[0].detach()), 1 - make_batch().labels_B))
    assert float(after["guidance"] - before["guidance"]) == pytest.approx(verdict, rel=1e-3)
    unchanged = {name: value.clone() for name, value in guide.state_dict().items()}
    guided.step(make_batch(1), 0.1)
    assert same(unchanged, guide.state_dict())
    resumed = make_gan(seed=1)
    resumed.load_state_dict(guided.state_dict())
    assert resumed.picture_guide is not None
    assert same(unchanged, resumed.picture_guide.state_dict())
    assert not any(parameter.requires_grad for parameter in resumed.picture_guide.parameters())
    resumed.load_state_dict(plain.state_dict())
    assert resumed.picture_guide is None


def test_where_classes_are_separable_counterfactuals_stay_nearer(make_gan: MakeGan, make_batch: MakeBatch) -> None:
    usual, separable = (make_gan(losses={"locality": 0.5, "locality_if_separable": 3.0}) for _ in range(2))
    separable.separable = True
    before, after = (float(gan.step(make_batch(), 0.0)["locality"]) for gan in (usual, separable))
    assert after == pytest.approx(3 * before)


# --- after the last ----------------------------------------------------------------------------------------------


def test_the_judge_is_trained_last_and_judges_in_the_predictor(make_gan: MakeGan, known: PictureStore) -> None:
    gan = make_gan()
    assert gan.predictor().judge is None
    fractions: list[float] = []

    def clock(fraction: float) -> Callable[[], float]:
        fractions.append(fraction)
        return lambda: 0.0

    gan.finish(FitContext(train=known, validation=known, clock=clock))
    assert fractions == [1.0]
    assert gan.judge is not None
    assert gan.predictor().judge is gan.judge


def test_the_predictor_maps_by_the_average_and_by_earlier_weights(make_gan: MakeGan, make_batch: MakeBatch) -> None:
    gan = make_gan()
    gan.step(make_batch(), 0.0)
    earlier = gan.weights()
    predictor = gan.predictor()
    x_BCHW = make_batch(9).x_BCHW
    before = predictor(x_BCHW)
    gan.step(make_batch(1), 0.0)
    assert torch.equal(predictor(x_BCHW), before)  # it does not change when training goes on
    assert not torch.equal(gan.predictor()(x_BCHW), before)
    assert torch.equal(gan.predictor(earlier)(x_BCHW), before)
    assert same(gan.predictor().generator.state_dict(), gan.average.state_dict())


def test_a_new_predictor_takes_a_saved_one_s_weights(
    make_gan: MakeGan, make_batch: MakeBatch, known: PictureStore, make_frame: MakeFrame
) -> None:
    gan = make_gan()
    gan.step(make_batch(), 0.0)
    gan.finish(FitContext(train=known, validation=known))
    again = BranchedGan.new_predictor(gan.settings, make_frame())
    again.load_state_dict(gan.predictor().state_dict())
    x_BCHW = make_batch(9).x_BCHW
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(x_BCHW), gan.predictor()(x_BCHW))


# --- state -------------------------------------------------------------------------------------------------------


def test_a_loaded_state_goes_on_as_if_nothing_had_happened(make_gan: MakeGan, make_batch: MakeBatch) -> None:
    whole = make_gan()
    state: dict[str, Any] = {}
    for number in range(7):
        whole.step(make_batch(number), number / 7)
        if number == 2:
            whole.slow_down(0.5)
            state = copy.deepcopy(whole.state_dict())
    resumed = make_gan()
    resumed.load_state_dict(state)
    assert resumed.steps == 3
    for number in range(3, 7):  # R1 is due every four steps, so the number of the step matters too
        resumed.step(make_batch(number), number / 7)
    assert same(weights(whole), weights(resumed))


def test_a_state_of_other_networks_is_refused(make_gan: MakeGan) -> None:
    with pytest.raises(RuntimeError):
        make_gan(generator={"branches": 2}).load_state_dict(make_gan().state_dict())


# --- settings ----------------------------------------------------------------------------------------------------


def test_settings_that_do_not_go_together_are_refused(make_settings: Callable[..., BranchedGanSettings]) -> None:
    BranchedGan.check_settings(make_settings(), 32)
    with pytest.raises(ValueError, match="setting image_size=36: must be a multiple of 8"):
        BranchedGan.check_settings(make_settings(), 36)
    weighted = {"localizer": {"enabled": False}, "map": {"kind": "weighted"}}
    with pytest.raises(ValueError, match=r"setting map\.kind='weighted': needs a localizer"):
        make_settings(**weighted)


@pytest.mark.parametrize("preset", ["paper", "paper-quick"])
def test_with_the_paper_s_settings_what_is_ours_is_zero(
    make_gan: MakeGan, make_batch: MakeBatch, known: PictureStore, preset: str
) -> None:
    gan = make_gan(preset=preset)
    gan.prepare(FitContext(train=known, validation=known))
    assert (gan.separable, gan.picture_guide, gan.localizer) == (False, None, None)
    for step in range(2):
        terms = gan.step(make_batch(step), 0.5)
        assert (float(terms["guidance"]), float(terms["locality"])) == (0, 0)
        of_the_paper = ("adversary", "fidelity", "gradient", "focused", "overlap", "energy", "sparsity", "r1")
        assert all(float(terms[name]) > 0 for name in of_the_paper)
    assert gan.predictor().candidates == ("branch1",)
    gan.steps, gan._recent = 10_000, {"flips": 0.0, "change": 2.0, "margin": 99.0, "steps": 1.0}
    assert gan.review() == []
