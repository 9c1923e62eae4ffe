"""What is noticed of a training that goes wrong, and what is changed about it."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable

import pytest

from distmap.methods.base import Batch
from distmap.methods.branched_gan import BranchedGan
from distmap.methods.branched_gan.interventions import diagnose
from distmap.methods.branched_gan.settings import InterventionSettings, LossSettings

MakeGan = Callable[..., BranchedGan]
MakeBatch = Callable[..., Batch]
WELL = {"flips": 0.9, "change": 0.05, "margin": 0.5}
SETTINGS = InterventionSettings()


# --- what is noticed ---------------------------------------------------------------------------------------------


def test_a_training_that_goes_well_needs_nothing() -> None:
    assert diagnose(WELL, SETTINGS, LossSettings(), SETTINGS.patience, separable=True) == []


@pytest.mark.parametrize(
    ("sign", "name", "changes", "by"),
    [
        ({"flips": 0.1}, "weak flips", "guidance", 2),
        ({"change": 0.5}, "non-local change", "locality", 3),
        ({"margin": 9.0}, "discriminator wins", "discriminator_rate", 1 / 3),
        ({"margin": 0.1}, "discriminator underfits", "r1", 0.1),
    ],
)
def test_each_sign_has_its_intervention(sign: dict[str, float], name: str, changes: str, by: float) -> None:
    (found,) = diagnose(WELL | sign, SETTINGS, LossSettings(), SETTINGS.patience, separable=True)
    assert (found.name, found.changes, found.by) == (name, changes, by)
    assert "\n" not in found.line
    assert found.line.startswith(("weak flips", "non-local change", "discriminator"))
    assert found.tries == (1 if changes == "r1" else SETTINGS.tries)


@pytest.mark.parametrize(
    ("sign", "bound"),
    [
        ({"flips": 0.1}, {"least_flips": 0.05}),
        ({"change": 0.5}, {"largest_change": 0.6}),
        ({"margin": 9.0}, {"largest_margin": 10.0}),
        ({"margin": 0.1}, {"least_margin": 0.05}),
    ],
)
def test_settings_say_from_where_on_something_is_changed(sign: dict[str, float], bound: dict[str, float]) -> None:
    settings = dataclasses.replace(SETTINGS, **bound)  # type: ignore[arg-type]
    assert diagnose(WELL | sign, settings, LossSettings(), SETTINGS.patience, separable=True) == []


def test_without_guidance_nothing_is_asked_of_the_guides() -> None:
    never = WELL | {"flips": 0.0}
    assert diagnose(never, SETTINGS, LossSettings(guidance=0), SETTINGS.patience, separable=True) == []


def test_the_discriminator_is_given_time_and_r1_is_cut_only_where_there_is_one() -> None:
    underfits, patience = WELL | {"margin": 0.1}, SETTINGS.patience
    assert diagnose(underfits, SETTINGS, LossSettings(), 0.99 * patience, separable=True) == []
    # By twice that the generator may have won, as it should.
    assert diagnose(underfits, SETTINGS, LossSettings(), 2 * patience, separable=True) == []
    assert diagnose(underfits, SETTINGS, LossSettings(r1=0), patience, separable=True) == []
    assert diagnose(underfits, SETTINGS, LossSettings(), patience, separable=False) == []


# --- what is done about it ---------------------------------------------------------------------------------------


def reviewed(gan: BranchedGan, means: dict[str, float], steps: int) -> list[str]:
    """What is said where the means of seven steps were these."""
    gan.steps, gan._recent = steps, {name: 7 * mean for name, mean in means.items()} | {"steps": 7}
    return gan.review()


def test_an_intervention_changes_the_weight_and_is_tried_a_few_times(make_gan: MakeGan, make_batch: MakeBatch) -> None:
    gan = make_gan()
    plain = gan.step(make_batch(), 0.0)["guidance"]
    weak, first, tries = WELL | {"flips": 0.1}, SETTINGS.first, SETTINGS.tries
    assert reviewed(gan, weak, first - 1) == []  # too early to say
    for number in range(tries):
        (line,) = reviewed(gan, weak, first + number)
        assert line.startswith(f"step {first + number}: weak flips (10%")
    assert reviewed(gan, weak, 10 * first) == []
    resumed = make_gan()
    resumed.load_state_dict(copy.deepcopy(gan.state_dict()))
    assert reviewed(resumed, weak, 10 * first) == []  # what was tried is known after resuming, too
    fresh = make_gan()
    fresh._factors = dict(resumed._factors)
    raised = fresh.step(make_batch(), 0.0)["guidance"]
    assert float(raised) == pytest.approx(2**tries * float(plain), rel=1e-4)


def test_settings_say_how_often_and_from_when_on(make_gan: MakeGan) -> None:
    weak = WELL | {"flips": 0.1}
    once = make_gan(interventions={"tries": 1, "first": 5})
    assert [len(reviewed(once, weak, steps)) for steps in (4, 5, 6)] == [0, 1, 0]
    never = make_gan(interventions={"enabled": False})
    assert reviewed(never, weak, 1000) == []


def test_locality_and_the_discriminator_s_rate_are_changed(make_gan: MakeGan, make_batch: MakeBatch) -> None:
    plain, changed = make_gan(), make_gan()
    assert len(reviewed(changed, WELL | {"change": 0.5, "margin": 9.0}, SETTINGS.first)) == 2
    before, after = (float(gan.step(make_batch(), 0.0)["locality"]) for gan in (plain, changed))
    assert after == pytest.approx(3 * before, rel=1e-4)
    rates = [gan._parts()["discriminator_optimiser"].param_groups[0]["lr"] for gan in (plain, changed)]
    assert rates[1] == pytest.approx(rates[0] / 3)


def test_r1_is_cut_once_where_the_discriminator_underfits(make_gan: MakeGan, make_batch: MakeBatch) -> None:
    plain, cut = make_gan(), make_gan()
    underfits = WELL | {"margin": 0.1}
    patience = math.ceil(SETTINGS.patience / cut.settings.optimiser.discriminator_rate)
    assert reviewed(cut, underfits, patience) == []
    cut.separable = True
    assert len(reviewed(cut, underfits, patience)) == 1
    assert reviewed(cut, underfits, patience) == []
    penalties = [float(gan.step(make_batch(), 0.0)["r1"]) for gan in (plain, cut)]
    assert penalties[1] == pytest.approx(penalties[0] / 10, rel=1e-4)


@pytest.mark.parametrize("count", [1, 3])
def test_means_are_of_the_steps_since_the_last_review(
    make_gan: MakeGan, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    looked: list[dict[str, float]] = []

    def noted(means: dict[str, float], *_: object, **__: object) -> list[object]:
        looked.append(means)
        return []

    monkeypatch.setattr("distmap.methods.branched_gan.method.diagnose", noted)
    gan = make_gan(interventions={"first": 1})
    step = 0
    for _ in range(2):
        terms = [gan.step(make_batch(step + number), 0.0) for number in range(count)]
        step += count
        gan.review()
        assert looked[-1] == pytest.approx(
            {name: sum(float(of_step[name]) for of_step in terms) / count for name in ("margin", "change", "flips")}
        )
    gan.review()  # no step since then
    assert len(looked) == 2
