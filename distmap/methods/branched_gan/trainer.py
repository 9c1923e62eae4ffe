"""The training loop's inside: networks, optimisers, one step, and the state that resuming needs.

The loop around it (data, clock, files) is in ``distmap.training.fit``.
"""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from distmap.common.files import replacing
from distmap.config import Config, LossConfig, TrainingConfig
from distmap.data.augment import augment, mix_bands
from distmap.data.seeding import seeded_networks, step_generator
from distmap.methods.branched_gan import losses
from distmap.methods.branched_gan.interventions import CHECK_EVERY, FIRST_CHECK, diagnose
from distmap.methods.losses import classification
from distmap.networks.classifiers import PictureClassifier
from distmap.networks.devices import pick_precision
from distmap.networks.discriminators import Discriminator
from distmap.networks.generators import Generator
from distmap.networks.localizer import Locator

NETWORKS_STREAM, DRAWS_STREAM = 3, 4
FINAL_RATE = 0.1  # of the learning rates, at the end of the cooldown


class Trainer:
    """The branched GAN in training.

    ``step`` makes one discriminator and one generator update; ``average`` is the generator's exponential moving
    average, which is what a run keeps. The guide of ``locator`` and, as soon as there is one, ``picture_guide`` guide
    the generator: a repainted picture shall look to them like its new class; train the locator before the first step.
    ``clear``: see ``distmap.health.diagnose``; it is for the caller to say. ``candidates``: earlier states of
    ``average``, by step, to choose from. All draws depend on (seed, step) alone.
    """

    def __init__(self, config: Config, bands: int, device: torch.device) -> None:
        self.config = config
        self._bands = bands
        self.steps = 0
        self.clear = False
        self.picture_guide: PictureClassifier | None = None
        self.candidates: dict[int, dict[str, Tensor]] = {}
        self._factors = dict.fromkeys(("guidance", "locality", "r1", "discriminator_rate", "rate"), 1.0)
        self._remedies: dict[str, int] = {}
        self._recent: dict[str, float] = {}
        self._fabric = Fabric(
            accelerator=device.type, devices=1, precision=pick_precision(config.training.precision, device)
        )
        with seeded_networks(config.seed, NETWORKS_STREAM):
            generator = Generator(config.generator, bands)
            discriminator = Discriminator(config.discriminator, bands, config.image_size)
            locator = Locator(config.locator, bands)
        # channels_last is what the convolutions of CPUs and tensor cores compute fastest.
        generator = generator.to(device).to(memory_format=torch.channels_last)
        discriminator = discriminator.to(device).to(memory_format=torch.channels_last)
        self.locator = locator.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
        self.average = copy.deepcopy(generator).eval().requires_grad_(False)
        settings = config.training
        betas = (settings.beta1, settings.beta2)
        mapping = list(generator.mapping.parameters())
        rest = [parameter for name, parameter in generator.named_parameters() if not name.startswith("mapping.")]
        self._generator, self._generator_optimiser = self._fabric.setup(
            generator,
            torch.optim.Adam(
                [{"params": rest, "lr": settings.learning_rate}, {"params": mapping, "lr": settings.mapping_rate}],
                betas=betas,
                fused=True,
            ),
        )
        self._discriminator, self._discriminator_optimiser = self._fabric.setup(
            discriminator,
            torch.optim.Adam(discriminator.parameters(), lr=settings.discriminator_rate, betas=betas, fused=True),
        )

    def step(self, x_BCHW: Tensor, labels_B: Tensor, progress: float) -> dict[str, Tensor]:
        """One update of each network on a class-balanced batch; ``progress`` in 0..1 sets rates and weights.

        Returns every loss term as weighted in its sum, and what ``distmap.health`` looks at, detached.
        """
        weights = self.config.losses
        factors = self._factors
        draws = step_generator(self.config.seed, DRAWS_STREAM, self.steps)
        x_BCHW = self._fabric.to_device(x_BCHW).contiguous(memory_format=torch.channels_last)
        y = self._fabric.to_device(labels_B)
        self._set_rates(rate_factor(progress, self.config.training))
        self._generator.train()
        own, other = self._generator(x_BCHW, y)
        alpha = 1 - weights.blend * torch.rand((2, len(y), own.shape[1]), generator=draws).to(own)
        same = losses.blend_branches(own, other, alpha[0])
        swapped = losses.blend_branches(other, own, alpha[1])

        terms = self._discriminator_step(x_BCHW, swapped.detach(), y, draws)

        self._discriminator.requires_grad_(False)
        seen = augment(swapped, self.config.discriminator, draws)
        fake_logits = of_class(self._logits(seen), 1 - y)
        self._discriminator.requires_grad_(True)
        shown = mix_bands(seen, self.config.locator.band_mixing, draws)
        with self._fabric.autocast():
            verdicts = [guide(shown) for guide in self._guides()]
        guidance = torch.stack([classification(logits, 1 - y) for logits in verdicts]).sum()
        change = losses.locality(swapped, x_BCHW)
        locality = weights.locality * (weights.locality_where_clear if self.clear else 1.0)
        generator_terms = {
            "adversary": weights.adversary * losses.generator_nonsaturating(fake_logits),
            "guidance": factors["guidance"] * weights.guidance * guidance,
            "fidelity": weights.fidelity * losses.fidelity(same, x_BCHW),
            "gradient": weights.gradient * losses.gradient_fidelity(same, x_BCHW),
            "focused": weights.focused * losses.focused_fidelity(same, x_BCHW, own[:, 0]),
            "overlap": weights.overlap * losses.overlap(own),
            "energy": weights.energy * losses.energy_imbalance(own),
            "sparsity": rise_factor(progress, weights) * weights.sparsity * losses.sparsity(own[:, 0]),
            "locality": factors["locality"] * locality * change,
        }
        self._generator_optimiser.zero_grad()
        self._fabric.backward(torch.stack(list(generator_terms.values())).sum())
        self._generator_optimiser.step()
        self.steps += 1
        self._update_average()
        convinced = torch.stack([logits.argmax(dim=1) == 1 - y for logits in verdicts]).float().mean()
        terms |= generator_terms | {"change": change, "convinced": convinced}
        for name in ("margin", "change", "convinced"):
            self._recent[name] = self._recent.get(name, 0.0) + float(terms[name].detach()) / CHECK_EVERY
        return {name: value.detach() for name, value in terms.items()}

    def check_up(self) -> list[str]:
        """Look at the last ``CHECK_EVERY`` steps, mend what can be mended, and say so, a line each."""
        recent, self._recent = self._recent, {}
        if self.steps < FIRST_CHECK:
            return []
        lines = []
        learnt = self.steps * self.config.training.discriminator_rate
        for remedy in diagnose(recent, self.config.losses, learnt, clear=self.clear):
            tried = self._remedies.get(remedy.name, 0)
            if tried < remedy.times:
                self._remedies[remedy.name] = tried + 1
                self._factors[remedy.changes] *= remedy.by
                lines.append(f"step {self.steps}: {remedy.line}")
        return lines

    def slow_down(self, factor: float) -> None:
        """Multiply all learning rates from now on."""
        self._factors["rate"] *= factor

    def _guides(self) -> list[nn.Module]:
        """The classifiers that the generator has to convince."""
        return [self.locator.guide] if self.picture_guide is None else [self.locator.guide, self.picture_guide]

    def _discriminator_step(
        self, real_BCHW: Tensor, fake_BCHW: Tensor, y: Tensor, draws: torch.Generator
    ) -> dict[str, Tensor]:
        weights = self.config.losses
        penalised = weights.r1 > 0 and self.steps % weights.r1_every == 0
        seen = augment(real_BCHW, self.config.discriminator, draws).requires_grad_(penalised)
        logits = self._logits(seen)
        real_logits = of_class(logits, y)
        fake_logits = of_class(self._logits(augment(fake_BCHW, self.config.discriminator, draws)), 1 - y)
        mismatched = of_class(logits, 1 - y) if self.clear else None
        terms = {"discriminator": losses.discriminator_logistic(real_logits, fake_logits, mismatched)}
        if penalised:
            terms["r1"] = self._factors["r1"] * weights.r1 * weights.r1_every * losses.r1_penalty(real_logits, seen)
        self._discriminator_optimiser.zero_grad()
        self._fabric.backward(torch.stack(list(terms.values())).sum())
        self._discriminator_optimiser.step()
        return terms | {"margin": (real_logits.mean() - fake_logits.mean()).detach()}

    def _logits(self, x_BCHW: Tensor) -> Tensor:
        """The discriminator's logits, B x 2.

        Past Fabric's wrapper, which would refuse the gradient that R1 takes of these logits.
        """
        with self._fabric.autocast():
            logits: Tensor = self._discriminator.module(x_BCHW)
        return logits

    def _set_rates(self, factor: float) -> None:
        settings = self.config.training
        factor *= self._factors["rate"]
        generator_rest, generator_mapping = self._generator_optimiser.param_groups
        generator_rest["lr"] = settings.learning_rate * factor
        generator_mapping["lr"] = settings.mapping_rate * factor
        self._discriminator_optimiser.param_groups[0]["lr"] = (
            settings.discriminator_rate * factor * self._factors["discriminator_rate"]
        )

    @torch.no_grad()
    def _update_average(self) -> None:
        # The average follows quickly at first, or it would remember the random start.
        decay = min(self.config.training.ema_decay, (1 + self.steps) / (10 + self.steps))
        current = self._generator.module.state_dict()
        for name, kept in self.average.state_dict().items():
            if kept.is_floating_point():
                kept.lerp_(current[name], 1 - decay)
            else:
                kept.copy_(current[name])

    def keep_candidate(self) -> None:
        """Keep a copy of the average as it is now."""
        self.candidates[self.steps] = {name: value.clone() for name, value in self.average.state_dict().items()}

    def save_state(self, path: Path, seconds: float) -> None:
        """Write everything that going on needs, in one move; ``seconds`` is the time spent so far."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        state["picture_guide"] = None if self.picture_guide is None else self.picture_guide.state_dict()
        progress = {"steps": self.steps, "seconds": seconds, "candidates": self.candidates}
        progress |= {"factors": self._factors, "remedies": self._remedies, "recent": self._recent}
        with replacing(path) as temporary:
            torch.save(state | progress, temporary)

    def load_state(self, path: Path) -> float:
        """Take up a saved state; returns the seconds spent before it. Raises ValueError where it does not fit."""
        try:
            state: dict[str, Any] = torch.load(path, map_location=self._fabric.device, weights_only=True)
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            self.picture_guide = None
            if state["picture_guide"] is not None:
                guide = PictureClassifier(self.config.picture_guide, self._bands, self.config.image_size)
                guide.load_state_dict(state["picture_guide"])
                guide = guide.to(self._fabric.device).to(memory_format=torch.channels_last)
                self.picture_guide = guide.eval().requires_grad_(False)
            self.candidates = dict(state["candidates"])
            self._factors = state["factors"]
            self._remedies, self._recent = state["remedies"], state["recent"]
            self.steps = int(state["steps"])
            return float(state["seconds"])
        except (RuntimeError, KeyError, EOFError, TypeError, ValueError, pickle.UnpicklingError) as error:
            raise ValueError(
                f"{path}: damaged, or not made with this config.yaml; start again with --overwrite"
            ) from error

    def _parts(self) -> dict[str, Any]:
        return {
            "generator": self._generator.module,
            "discriminator": self._discriminator.module,
            "average": self.average,
            "locator": self.locator,
            "generator_optimiser": self._generator_optimiser.optimizer,
            "discriminator_optimiser": self._discriminator_optimiser.optimizer,
        }


def of_class(logits_B2: Tensor, labels_B: Tensor) -> Tensor:
    """The logit of each picture's head of that class."""
    return logits_B2.gather(1, labels_B[:, None])[:, 0]


def rate_factor(progress: float, settings: TrainingConfig) -> float:
    """Factor on the learning rates: 1, then falling linearly to a tenth over the last ``cooldown`` of the training."""
    if settings.cooldown == 0 or progress <= 1 - settings.cooldown:
        return 1.0
    return FINAL_RATE + (1 - FINAL_RATE) * max(0.0, 1 - progress) / settings.cooldown


def rise_factor(progress: float, weights: LossConfig) -> float:
    """Factor on the weight of sparsity: rising linearly to 1 over the first ``sparsity_rise`` of the training."""
    return 1.0 if progress >= weights.sparsity_rise else progress / weights.sparsity_rise
