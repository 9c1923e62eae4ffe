"""One step of training, the weight average, the learning rates, and the state that resuming needs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from distmap.config import Config, LossConfig, TrainingConfig, resolve
from distmap.methods.branched_gan import losses
from distmap.methods.branched_gan.trainer import Trainer, rate_factor, rise_factor
from distmap.methods.losses import classification
from distmap.networks.classifiers import PictureClassifier

CPU = torch.device("cpu")


def config(tiny: dict[str, Any], **sections: Any) -> Config:
    settings = copy.deepcopy(tiny)
    for section, values in sections.items():
        settings[section] = {**settings.get(section, {}), **values} if isinstance(values, dict) else values
    return resolve(overrides=settings)


def batch(number: int = 0, bands: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(number)
    return torch.rand((4, bands, 32, 32), generator=draws) * 2 - 1, torch.tensor([1, 1, 0, 0])


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    parts = trainer._parts()
    return {
        f"{part}.{name}": value.clone()
        for part in ("generator", "discriminator", "average")
        for name, value in parts[part].state_dict().items()
    }


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("branches", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_any_number_of_branches_trains(tiny: dict[str, Any], branches: int, stride: int) -> None:
    settings = config(tiny, generator={"branches": branches, "stride": stride}, discriminator={"stride": stride})
    trainer = Trainer(settings, 1, CPU)
    before = weights(trainer)
    for number in range(2):
        terms = trainer.step(*batch(number), 0.0)
        assert all(torch.isfinite(value) for value in terms.values()), terms
    after = weights(trainer)
    assert all(torch.isfinite(value).all() for value in after.values())
    for part in (
        "generator.branches.0.",
        f"generator.branches.{branches - 1}.",
        "generator.encoder.",
        "discriminator.",
    ):
        moved = [name for name in after if name.startswith(part) and not torch.equal(before[name], after[name])]
        assert len(moved) > 0.8 * sum(name.startswith(part) for name in after), part
    assert trainer.steps == 2


def test_pictures_count_as_fakes_of_the_other_class_where_classes_are_clear(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    mismatched: list[torch.Tensor | None] = []
    made = losses.discriminator_logistic

    def noted(*logits: torch.Tensor | None) -> torch.Tensor:
        mismatched.append(logits[2])
        return made(*logits)  # type: ignore[arg-type]

    monkeypatch.setattr(losses, "discriminator_logistic", noted)
    trainer = Trainer(config(tiny, discriminator={"augment_shift": 0.0, "augment_contrast": 0.0}), 1, CPU)
    trainer.step(*batch(), 0.0)
    assert mismatched == [None]
    trainer.clear = True
    x, y = batch(1)
    with torch.no_grad():
        expected = trainer._discriminator.module(x)[torch.arange(4), 1 - y]
    trainer.step(x, y, 0.0)
    torch.testing.assert_close(mismatched[1], expected)


@pytest.mark.parametrize("bands", [3, 5])
@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_bands_and_precisions(tiny: dict[str, Any], bands: int, precision: str) -> None:
    trainer = Trainer(config(tiny, training={"precision": precision}), bands, CPU)
    terms = trainer.step(*batch(0, bands), 0.0)
    assert all(torch.isfinite(value) for value in terms.values())


def test_every_loss_is_reported_and_weighted(tiny: dict[str, Any]) -> None:
    names = {"adversary", "fidelity", "gradient", "focused", "overlap", "energy", "sparsity", "locality"}
    terms = Trainer(config(tiny), 1, CPU).step(*batch(), 0.0)
    assert names <= set(terms)
    assert all(not value.requires_grad and value.dim() == 0 for value in terms.values())
    doubled = {name: 2 * getattr(config(tiny).losses, name) for name in names}
    twice = Trainer(config(tiny, losses=doubled), 1, CPU).step(*batch(), 0.0)
    for name in names - {"adversary"}:  # that one comes after the discriminator's update
        assert twice[name].item() == pytest.approx(2 * terms[name].item(), rel=1e-5), name


def test_the_picture_is_learnt(tiny: dict[str, Any]) -> None:
    trainer = Trainer(config(tiny), 1, CPU)
    figures = [trainer.step(*batch(), 0.0)["fidelity"].item() for _ in range(25)]
    assert figures[-1] < 0.7 * figures[0]


def test_same_seed_same_weights(tiny: dict[str, Any]) -> None:
    results = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(noise)  # torch's own state must not matter
        trainer = Trainer(config(tiny, seed=seed), 1, CPU)
        trainer.step(*batch(), 0.0)
        results.append(weights(trainer))
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_average_by_hand(tiny: dict[str, Any]) -> None:
    trainer = Trainer(config(tiny, training={"ema_decay": 0.5}), 1, CPU)
    name = "encoder.stem.weight"
    expected = trainer._parts()["generator"].state_dict()[name].clone()
    for step in range(1, 12):
        trainer.step(*batch(step), 0.0)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * trainer._parts()["generator"].state_dict()[name]
    torch.testing.assert_close(trainer.average.state_dict()[name], expected)
    assert not trainer.average.training
    assert not any(parameter.requires_grad for parameter in trainer.average.parameters())


def test_rates_fall_in_the_cooldown() -> None:
    settings = TrainingConfig(cooldown=0.4)
    assert [rate_factor(share, settings) for share in (0, 0.3, 0.6)] == [1, 1, 1]
    assert rate_factor(0.8, settings) == pytest.approx(0.55)
    assert rate_factor(1.0, settings) == pytest.approx(0.1)
    assert rate_factor(1.5, settings) == pytest.approx(0.1)
    assert rate_factor(1.0, TrainingConfig(cooldown=0)) == 1


def test_sparsity_may_rise() -> None:
    assert rise_factor(0.0, LossConfig()) == 1
    rising = LossConfig(sparsity_rise=0.5)
    assert [rise_factor(progress, rising) for progress in (0.0, 0.1, 0.5, 1.0)] == pytest.approx([0, 0.2, 1, 1])


def test_a_rising_sparsity_is_in_the_loss(tiny: dict[str, Any]) -> None:
    terms = [
        Trainer(config(tiny, losses={"sparsity_rise": rise}), 1, CPU).step(*batch(), 0.1)["sparsity"]
        for rise in (0.0, 0.4)
    ]
    assert terms[1] == pytest.approx(0.25 * terms[0])


@pytest.mark.parametrize(("blend", "least"), [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)])
def test_branches_are_mixed_as_far_as_blend_says(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch, blend: float, least: float
) -> None:
    drawn: list[torch.Tensor] = []
    made = losses.blend_branches

    def noted(own: torch.Tensor, other: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        drawn.append(alpha)
        return made(own, other, alpha)

    monkeypatch.setattr(losses, "blend_branches", noted)
    trainer = Trainer(config(tiny, losses={"blend": blend}), 1, CPU)
    for number in range(4):
        trainer.step(*batch(number), 0.0)
    alpha = torch.stack(drawn)
    assert alpha.max() <= 1
    assert alpha.max() > 0.9
    assert least <= alpha.min() <= least + 0.1


def test_rates_reach_the_optimisers(tiny: dict[str, Any]) -> None:
    rates = {"learning_rate": 0.1, "mapping_rate": 0.2, "discriminator_rate": 0.3, "cooldown": 1.0}
    trainer = Trainer(config(tiny, training=rates), 1, CPU)
    trainer.step(*batch(), 1.0)
    parts = trainer._parts()
    assert [group["lr"] for group in parts["generator_optimiser"].param_groups] == pytest.approx([0.01, 0.02])
    assert [group["lr"] for group in parts["discriminator_optimiser"].param_groups] == pytest.approx([0.03])


def test_a_loaded_state_goes_on_as_if_nothing_had_happened(tiny: dict[str, Any], tmp_path: Path) -> None:
    whole = Trainer(config(tiny), 1, CPU)
    for number in range(7):
        whole.step(*batch(number), number / 7)
        if number == 2:  # R1 is due every four steps, so the count of steps matters too
            whole.save_state(tmp_path / "latest.pt", 12.5)
    resumed = Trainer(config(tiny), 1, CPU)
    assert resumed.load_state(tmp_path / "latest.pt") == 12.5
    assert resumed.steps == 3
    for number in range(3, 7):
        resumed.step(*batch(number), number / 7)
    assert same(weights(whole), weights(resumed))


def test_a_picture_guide_has_to_be_convinced_as_well(tiny: dict[str, Any], tmp_path: Path) -> None:
    plain, guided = (Trainer(config(tiny), 1, CPU) for _ in range(2))
    guide = PictureClassifier(guided.config.picture_guide, 1, guided.config.image_size).eval().requires_grad_(False)
    guided.picture_guide = guide
    seen: list[torch.Tensor] = []
    guide.register_forward_hook(lambda _, pictures, __: seen.append(pictures[0]))
    before, after = (trainer.step(*batch(), 0.0) for trainer in (plain, guided))
    verdict = float(classification(guide(seen[0].detach()), 1 - batch()[1]))
    assert float(after["guidance"] - before["guidance"]) == pytest.approx(verdict, rel=1e-3)
    unchanged = {name: value.clone() for name, value in guide.state_dict().items()}
    guided.step(*batch(1), 0.1)
    assert same(unchanged, guide.state_dict())
    guided.save_state(tmp_path / "latest.pt", 0.0)
    resumed = Trainer(config(tiny, seed=1), 1, CPU)
    resumed.load_state(tmp_path / "latest.pt")
    assert resumed.picture_guide is not None
    assert same(unchanged, resumed.picture_guide.state_dict())
    plain.save_state(tmp_path / "latest.pt", 0.0)
    resumed.load_state(tmp_path / "latest.pt")
    assert resumed.picture_guide is None


def test_where_classes_are_clear_repaintings_stay_nearer(tiny: dict[str, Any]) -> None:
    settings = config(tiny, losses={"locality": 0.5})
    unclear, clear = (Trainer(settings, 1, CPU) for _ in range(2))
    clear.clear = True
    before, after = (float(trainer.step(*batch(), 0.0)["locality"]) for trainer in (unclear, clear))
    assert after == pytest.approx(2 * before)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04", b"PK\x03\x04broken"])
def test_a_damaged_state_is_refused(tiny: dict[str, Any], tmp_path: Path, content: bytes) -> None:
    (tmp_path / "latest.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"latest\.pt: damaged"):
        Trainer(config(tiny), 1, CPU).load_state(tmp_path / "latest.pt")


def test_a_state_of_other_networks_is_refused(tiny: dict[str, Any], tmp_path: Path) -> None:
    Trainer(config(tiny), 1, CPU).save_state(tmp_path / "latest.pt", 0.0)
    other = Trainer(config(tiny, generator={"branches": 2}), 1, CPU)
    with pytest.raises(ValueError, match=r"latest\.pt: .*not made with this config\.yaml"):
        other.load_state(tmp_path / "latest.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match=r"list\.pt"):
        other.load_state(tmp_path / "list.pt")
