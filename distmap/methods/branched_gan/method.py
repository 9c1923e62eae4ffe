"""The branched GAN in training: networks, optimisers, one step, and the state that resuming needs."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from distmap.common.memory import GB, check_memory
from distmap.data.augment import augment, mix_bands
from distmap.data.seeding import NETWORKS, STEPS, seeded_networks, step_rng
from distmap.methods.base import Batch, FitContext, Frame, Method
from distmap.methods.branched_gan import losses
from distmap.methods.branched_gan.classifiers import (
    low_edge_contrast,
    new_classifier,
    new_localizer,
    separable,
    train_judge,
    train_picture_guide,
)
from distmap.methods.branched_gan.interventions import diagnose
from distmap.methods.branched_gan.predictor import LOCALIZER, WEIGHTED, BranchedGanPredictor
from distmap.methods.branched_gan.presets import PRESETS
from distmap.methods.branched_gan.settings import BranchedGanSettings, LossSettings, OptimiserSettings
from distmap.methods.classifier_training import classifier_certainty
from distmap.methods.localizer_training import train_localizer
from distmap.methods.losses import classification
from distmap.methods.registry import register
from distmap.networks.backbones import Backbone
from distmap.networks.classifiers import PictureClassifier
from distmap.networks.devices import pick_precision
from distmap.networks.discriminators import new_discriminator
from distmap.networks.generators import Generator
from distmap.networks.settings import GeneratorSettings

WATCHED = ("margin", "change", "flips")
MOST_OUTPUTS = 200 * GB  # that the branches' outputs at the finest level may take, for one picture
COUNT = "steps"  # beside their sums


def _check_size(shape: GeneratorSettings, image_size: int) -> None:
    """Refuse a generator that no memory holds, by estimates that are lower than what it takes."""
    widest = min(shape.max_width, shape.width * 2**shape.depth)
    own = max(1, widest // shape.slim)
    weights = 4 * 9 * (widest**2 + shape.branches * own**2)
    names = "generator.branches, generator.width, generator.max_width and image_size"
    check_memory(4 * weights, f"settings {names}: the generator's weights")  # with their average and Adam's two means
    outputs = 4 * shape.branches * image_size**2 * max(1, shape.width // shape.slim) // shape.stride**2
    if outputs > MOST_OUTPUTS:
        raise ValueError(
            f"settings {names}: a picture would take {outputs / GB:,.0f} GB in the generator, at most "
            f"{MOST_OUTPUTS / GB:,.0f} are possible; give smaller ones"
        )


@register
class BranchedGan(Method[BranchedGanSettings]):
    """A generator split into branches that add up to the picture; branch 1 comes to hold what tells the classes apart.

    ``step`` makes one discriminator and one generator update; the generator's exponential moving average is what maps.
    The localizer's guide and, as soon as there is one, the picture guide ask that a counterfactual look like its new
    class. All draws depend on (seed, step) alone.
    """

    name = "branched-gan"
    paper = "Additive Class Distinction Maps using Branched-GANs (arXiv 2305.02899)"
    family = "additive maps by GAN"
    summary = "StarGAN v2 split into sub-generators that add up to the picture; the first holds the difference"
    Settings = BranchedGanSettings
    defaults = {"student": {"rounds": 1}}  # noqa: RUF012 - a constant
    presets = PRESETS

    def __init__(self, settings: BranchedGanSettings, frame: Frame) -> None:
        super().__init__(settings, frame)
        self.steps = 0
        self.separable = False
        self.located = True
        self.picture_guide: PictureClassifier | None = None
        self.judge: PictureClassifier | None = None
        self._factors = dict.fromkeys(("guidance", "locality", "r1", "discriminator_rate", "rate"), 1.0)
        self._tried: dict[str, int] = {}
        self._recent: dict[str, float] = {}
        device = frame.device
        self._fabric = Fabric(accelerator=device.type, devices=1, precision=pick_precision(frame.precision, device))
        with seeded_networks(frame.seed, NETWORKS):
            generator = Generator(settings.generator, frame.bands)
            discriminator = new_discriminator(settings.discriminator, frame.bands, frame.side)
            localizer = new_localizer(settings.localizer, frame.bands)
        # channels_last is what the convolutions of CPUs and tensor cores compute fastest.
        generator = generator.to(device).to(memory_format=torch.channels_last)
        discriminator = discriminator.to(device).to(memory_format=torch.channels_last)
        self.localizer = localizer
        if localizer is not None:
            localizer.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
        self.average = copy.deepcopy(generator).eval().requires_grad_(False)
        projected = settings.discriminator.kind == "projected"
        self._loss_weights = replace(settings.losses, r1=0.0) if projected else settings.losses
        optimiser = settings.optimiser
        betas = (optimiser.beta1, optimiser.beta2)
        mapping = list(generator.mapping.parameters())
        rest = [parameter for name, parameter in generator.named_parameters() if not name.startswith("mapping.")]
        self._generator, self._generator_optimiser = self._fabric.setup(
            generator,
            torch.optim.Adam(
                [{"params": rest, "lr": optimiser.learning_rate}, {"params": mapping, "lr": optimiser.mapping_rate}],
                betas=betas,
                fused=True,
            ),
        )
        self._discriminator, self._discriminator_optimiser = self._fabric.setup(
            discriminator,
            torch.optim.Adam(
                [parameter for parameter in discriminator.parameters() if parameter.requires_grad],
                lr=optimiser.discriminator_rate,
                betas=betas,
                fused=True,
            ),
        )

    @classmethod
    def check_settings(cls, settings: BranchedGanSettings, image_size: int) -> None:
        """See ``Method.check_settings``."""
        coarsest = settings.generator.stride * 2**settings.generator.depth
        if image_size % coarsest:
            raise ValueError(
                f"setting image_size={image_size}: must be a multiple of {coarsest} "
                "(generator.stride times 2 to the power generator.depth)"
            )
        _check_size(settings.generator, image_size)
        if not settings.localizer.enabled and settings.map.kind in (WEIGHTED, LOCALIZER):
            raise ValueError(f"setting map.kind={settings.map.kind!r}: needs a localizer; give localizer.enabled=true")

    @classmethod
    def new_predictor(cls, settings: BranchedGanSettings, frame: Frame) -> BranchedGanPredictor:
        """See ``Method.new_predictor``."""
        return BranchedGanPredictor(
            Generator(settings.generator, frame.bands),
            new_localizer(settings.localizer, frame.bands),
            new_classifier(settings.judge, frame),
            settings,
            side=frame.side,
            bands=frame.bands,
        )

    def prepare(self, context: FitContext) -> None:
        """Load pretrained features, train the localizer, find out what it tells of the classes, and train the picture
        guide where it serves."""
        settings, device = self.settings, self.frame.device
        networks = [network for network in (self._discriminator.module, self.localizer) if network is not None]
        backbones = [part for network in networks for part in network.modules() if isinstance(part, Backbone)]
        for note in dict.fromkeys(backbone.load_imagenet_weights() for backbone in backbones):
            if note:
                context.progress.say(f"warning: {note}")
        if self.localizer is None:
            return
        context.progress.update("finding locations", 0, {})
        clock = context.clock(settings.localizer.time_fraction)
        train_localizer(self.localizer, settings.localizer, context.train, self.frame, clock)
        few = context.validation.sample(settings.localizer.validation_pictures)
        self.separable = separable(self.localizer, few, settings.localizer, device)
        self.located = classifier_certainty(self.localizer, few, device) >= settings.localizer.least_certainty
        low_contrast = low_edge_contrast(self.localizer, few, settings, device)
        if self.separable and not low_contrast:
            context.progress.update("learning whole pictures", 0, {})
            clock = context.clock(settings.picture_guide.time_fraction)
            self.picture_guide = train_picture_guide(context.train, settings, self.frame, clock)

    def step(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """One update of each network on a class-balanced batch; ``progress`` in 0..1 sets rates and weights.

        Returns every loss term as weighted in its sum, and what ``interventions`` look at, detached.
        """
        weights = self._loss_weights
        seen_by = self.settings.discriminator
        factors = self._factors
        rng = step_rng(self.frame.seed, STEPS, batch.step)
        x_BCHW = self._fabric.to_device(batch.x_BCHW).contiguous(memory_format=torch.channels_last)
        y = self._fabric.to_device(batch.labels_B)
        self._set_rates(rate_factor(progress, self.settings.optimiser))
        self._generator.train()
        own, other = self._generator(x_BCHW, y)
        alpha = 1 - weights.blend * torch.rand((2, len(y), own.shape[1]), generator=rng).to(own)
        same = losses.blend_branches(own, other, alpha[0])
        swapped = losses.blend_branches(other, own, alpha[1])

        terms = self._discriminator_step(x_BCHW, swapped.detach(), y, batch.step, rng)

        seen = augment(swapped, seen_by.augment_shift, seen_by.augment_contrast, rng)
        with frozen(self._discriminator_optimiser):
            fake_logits = of_class(self._logits(seen), 1 - y)
        guidance, flips = self._guidance(seen, 1 - y, rng)
        change = losses.locality(swapped, x_BCHW)
        locality = weights.locality * (weights.locality_if_separable if self.separable else 1.0)
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
        self.steps = batch.step + 1
        self._update_average()
        terms |= generator_terms | {"change": change, "flips": flips}
        for name in WATCHED:
            self._recent[name] = self._recent.get(name, 0.0) + float(terms[name].detach())
        self._recent[COUNT] = self._recent.get(COUNT, 0.0) + 1
        return {name: value.detach() for name, value in terms.items()}

    def _guidance(self, seen_BCHW: Tensor, wanted_B: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """What the guides say against counterfactuals, and how many they take for their new class (0..1)."""
        guides = self._guides()
        if not guides:
            return seen_BCHW.new_zeros(()), seen_BCHW.new_ones(())
        shown = mix_bands(seen_BCHW, self.settings.localizer.band_mixing, rng)
        with self._fabric.autocast():
            verdicts = [guide(shown) for guide in guides]
        smoothing = self.settings.losses.label_smoothing
        guidance = torch.stack([classification(logits, wanted_B, smoothing) for logits in verdicts]).sum()
        flips = torch.stack([logits.argmax(dim=1) == wanted_B for logits in verdicts]).float().mean()
        return guidance, flips

    def _guides(self) -> list[nn.Module]:
        """The classifiers that the generator has to convince."""
        return [guide for guide in (self.localizer, self.picture_guide) if guide is not None]

    def review(self) -> list[str]:
        """Look at the steps since the last review, change what can be changed, and say so, a line each."""
        recent, self._recent = self._recent, {}
        settings = self.settings.interventions
        count = recent.get(COUNT, 0.0)
        if not settings.enabled or self.steps < settings.first or not count:
            return []
        means = {name: recent[name] / count for name in WATCHED}
        lines = []
        learnt = self.steps * self.settings.optimiser.discriminator_rate
        for found in diagnose(means, settings, self._loss_weights, learnt, separable=self.separable):
            tried = self._tried.get(found.name, 0)
            if tried < found.tries:
                self._tried[found.name] = tried + 1
                self._factors[found.changes] *= found.by
                lines.append(f"step {self.steps}: {found.line}")
        return lines

    def slow_down(self, factor: float) -> None:
        """Multiply all learning rates from now on."""
        self._factors["rate"] *= factor

    def _discriminator_step(
        self, real_BCHW: Tensor, fake_BCHW: Tensor, y: Tensor, step: int, rng: torch.Generator
    ) -> dict[str, Tensor]:
        weights, seen_by = self._loss_weights, self.settings.discriminator
        penalised = weights.r1 > 0 and step % weights.r1_every == 0
        shift, contrast = seen_by.augment_shift, seen_by.augment_contrast
        seen = augment(real_BCHW, shift, contrast, rng).requires_grad_(penalised)
        logits = self._logits(seen)
        real_logits = of_class(logits, y)
        fake_logits = of_class(self._logits(augment(fake_BCHW, shift, contrast, rng)), 1 - y)
        mismatched = of_class(logits, 1 - y) if self.separable else None
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
        settings = self.settings.optimiser
        factor *= self._factors["rate"]
        generator_rest, generator_mapping = self._generator_optimiser.param_groups
        generator_rest["lr"] = settings.learning_rate * factor
        generator_mapping["lr"] = settings.mapping_rate * factor
        self._discriminator_optimiser.param_groups[0]["lr"] = (
            settings.discriminator_rate * factor * self._factors["discriminator_rate"]
        )

    @torch.no_grad()
    def _update_average(self) -> None:
        settings = self.settings.optimiser
        decay = min(settings.ema_decay, (1 + self.steps) / (settings.ema_warm_up + self.steps))
        current = self._generator.module.state_dict()
        for name, kept in self.average.state_dict().items():
            if kept.is_floating_point():
                kept.lerp_(current[name], 1 - decay)
            else:
                kept.copy_(current[name])

    def weights(self) -> dict[str, Tensor]:
        """A copy of the average as it is now."""
        return {name: value.clone() for name, value in self.average.state_dict().items()}

    def finish(self, context: FitContext) -> None:
        """Train the judge."""
        context.progress.update("training the judge", 0, {})
        self.judge = train_judge(context.train, self.settings, self.frame, context.clock(1.0))

    def predictor(self, weights: Mapping[str, Tensor] | None = None) -> BranchedGanPredictor:
        """The average, or earlier ``weights`` of it, with the localizer, and the judge as soon as there is one."""
        generator = copy.deepcopy(self.average)
        if weights is not None:
            generator.load_state_dict(weights)
        predictor = BranchedGanPredictor(
            generator, self.localizer, self.judge, self.settings, side=self.frame.side, bands=self.frame.bands
        )
        if not self.located and self.settings.map.kind == "auto":
            predictor.candidates = tuple(kind for kind in predictor.candidates if kind != WEIGHTED)
            predictor.kind = predictor.candidates[0]
        return predictor

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimisers, and what was found out and changed on the way."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        for name, guide in (("localizer", self.localizer), ("picture_guide", self.picture_guide)):
            state[name] = None if guide is None else guide.state_dict()
        plain = {"steps": self.steps, "separable": self.separable, "located": self.located}
        return state | plain | {"factors": self._factors, "tried": self._tried, "recent": self._recent}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        if self.localizer is not None:
            self.localizer.load_state_dict(state["localizer"])
        self.picture_guide = None
        if state["picture_guide"] is not None:
            guide = new_classifier(self.settings.picture_guide, self.frame)
            guide.load_state_dict(state["picture_guide"])
            guide = guide.to(self.frame.device).to(memory_format=torch.channels_last)
            self.picture_guide = guide.eval().requires_grad_(False)
        self.steps, self.separable, self.located = int(state["steps"]), bool(state["separable"]), bool(state["located"])
        self._factors = dict(state["factors"])
        self._tried, self._recent = dict(state["tried"]), dict(state["recent"])

    def _parts(self) -> dict[str, Any]:
        return {
            "generator": self._generator.module,
            "discriminator": self._discriminator.module,
            "average": self.average,
            "generator_optimiser": self._generator_optimiser.optimizer,
            "discriminator_optimiser": self._discriminator_optimiser.optimizer,
        }


@contextmanager
def frozen(optimiser: torch.optim.Optimizer) -> Iterator[None]:
    """Inside, gradients pass by what the optimiser trains; they may still reach the picture."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def of_class(logits_B2: Tensor, labels_B: Tensor) -> Tensor:
    """The logit of each picture's head of that class."""
    return logits_B2.gather(1, labels_B[:, None])[:, 0]


def rate_factor(progress: float, settings: OptimiserSettings) -> float:
    """Factor on the learning rates: 1, then falling linearly to ``final_rate`` over the last ``cooldown``."""
    if settings.cooldown == 0 or progress <= 1 - settings.cooldown:
        return 1.0
    return settings.final_rate + (1 - settings.final_rate) * max(0.0, 1 - progress) / settings.cooldown


def rise_factor(progress: float, weights: LossSettings) -> float:
    """Factor on the weight of sparsity: rising linearly to 1 over the first ``sparsity_rise`` of the training."""
    return 1.0 if progress >= weights.sparsity_rise else progress / weights.sparsity_rise
