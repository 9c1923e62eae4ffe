"""Settings of the branched GAN, a section for each part."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from distmap.common.kinds import (
    BatchSize,
    Channels,
    Count,
    Fraction,
    NonNegative,
    Positive,
    Radius,
    Sigma,
    UpToOne,
)
from distmap.methods.localizer_training import LocalizerTraining
from distmap.networks.settings import DiscriminatorSettings, GeneratorSettings, LocalizerShape


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """Weights of the loss terms, and what they are taken of; see ``distmap.methods.branched_gan.losses``."""

    blend: UpToOne = 1.0
    """How far branches 2 and on are mixed between the classes: 0 not at all, 1 up to wholly exchanged."""
    adversary: NonNegative = 1.0
    """Of the non-saturating adversarial loss."""
    guidance: NonNegative = 1.0
    """How much it counts that the classifiers that guide take a counterfactual for its new class."""
    label_smoothing: Fraction = 0.1
    """Of the classifiers' cross-entropy, in their training and in the guidance: beyond 95 % nothing is gained."""
    fidelity: NonNegative = 10.0
    """Of the same-class picture, L1 + L2 (eq. 5)."""
    gradient: NonNegative = 5.0
    """Of its gradients (eq. 6)."""
    focused: NonNegative = 5.0
    """Of the same where branch 1 is strong (eq. 7)."""
    overlap: NonNegative = 0.1
    """Of the products of branches (eq. 8)."""
    energy: NonNegative = 0.1
    """Of unequal energies of branches 2 and on (eq. 8)."""
    sparsity: NonNegative = 2.0
    """L1 of branch 1 under the picture's own class (eq. 9)."""
    sparsity_rise: Fraction = 0.0
    """First fraction of the training in which that weight rises linearly to its value."""
    locality: NonNegative = 1.0
    """L1 between a picture and its counterfactual."""
    locality_if_separable: NonNegative = 2.0
    """What it is multiplied by where the classes are separable, so that what has to change is sure."""
    r1: NonNegative = 1.0
    """Of the gradient penalty on real pictures; not with a projected discriminator, which needs none."""
    r1_every: Count = 4
    """R1 is computed every so many steps, weighted up by as many."""


@dataclass(frozen=True, kw_only=True)
class OptimiserSettings:
    """Adam of both networks, and the average of weights that is kept."""

    learning_rate: Positive = 1e-3
    """Of the generator."""
    discriminator_rate: Positive = 1e-3
    """Of the discriminator."""
    mapping_rate: Positive = 1e-3
    """Of the network that makes a style of a class."""
    beta1: Fraction = 0.5
    """Of Adam, for both networks; StarGAN v2 has 0, with which all is learnt later."""
    beta2: Annotated[float, Gt(0), Lt(1)] = 0.99
    """Of Adam, for both networks."""
    ema_decay: Fraction = 0.995
    """Decay of the weight average that is kept."""
    ema_warm_up: Count = 10
    """The decay is at most (1 + steps) / (this + steps), or the average would remember the random start."""
    cooldown: UpToOne = 0.3
    """Last fraction of the training in which the learning rates fall linearly,"""
    final_rate: UpToOne = 0.1
    """to this fraction of them."""


@dataclass(frozen=True, kw_only=True)
class MapSettings:
    """From reconstructions to the map. Lengths in pixels of the network, values in a range of 2 for the picture."""

    kind: Literal["auto", "unweighted", "weighted", "branch1", "localizer"] = "auto"
    """weighted: by the localizer's probability; unweighted: not; branch1: the change of branch 1
    alone; localizer: its probability alone; auto: what of the first two tells validation pictures
    apart better, and where both do, weighted, or unweighted where edge contrast is low."""
    gate: Positive = 0.01
    """Difference of branch 1 between the classes at which the gate is half open."""
    smoothing: Sigma = 1.0
    """Sigma of the Gaussian that smooths a map."""
    localizer_smoothing: Sigma = 3.0
    """The same for the localizer's probability."""
    gain: Positive = 0.1
    """Unweighted map at which a weighted one is half of the localizer's probability."""
    halo_suppression: Fraction = 0.2
    """Set to zero what is less than this fraction of the largest value within"""
    halo_radius: Radius = 3
    """so many pixels."""
    edge_radius: Annotated[float, Ge(0), Le(256)] = 2.0
    """Within so far a map's edges move to those of the picture (guided filter), and further where pictures are larger
    than the network's; not where validation pictures show low edge contrast. 0: they stay."""
    edge_growth: Annotated[float, Ge(1), Le(16)] = 2.0
    """At most so many times as far, in pixels of the network, where pictures are larger."""
    edge_softness: Positive = 0.004
    """Edges of a picture weaker than the root of this are not followed."""
    saturation: Positive = 0.05
    """Map at which half of what the guided filter sees is reached, so that one bright spot does not outweigh all."""
    normalisation: Fraction = 0.4
    """Each value is divided by the mean of the map around it to this power, so that one threshold serves faint pictures
    and strong ones (local normalisation). 0: not at all."""
    normalisation_radius: Annotated[float, Ge(0), Le(1024)] = 64.0
    """How far that mean reaches."""
    normalisation_mean: Positive = 0.01
    """Mean at which local normalisation changes nothing."""
    normalisation_floor: Positive = 3e-4
    """Is added to that mean: what is about zero stays so."""
    shrinkage: NonNegative = 0.03
    """m becomes m m / (m + this), as a Wiener filter does: what is faint counts less. 0: not at all."""


@dataclass(frozen=True, kw_only=True)
class LocalizerSettings(LocalizerShape, LocalizerTraining):
    """The classifier of locations that is trained first: it finds what tells the classes apart, guides the generator,
    and weights the map."""

    enabled: bool = True
    """Without it nothing guides, and maps are unweighted."""
    time_fraction: Annotated[float, Gt(0), Lt(1)] = 0.4
    """Of the method's time, at most."""
    separable_auroc: Annotated[float, Gt(0.5)] = 0.995
    """Classes are separable where it tells validation pictures apart so well,"""
    separable_pictures: Count = 30
    """of which there must be so many of each class, since fewer may be told apart by chance;"""
    validation_pictures: Count = 100
    """at most so many of each class are looked at."""
    least_certainty: UpToOne = 0.4
    """Maps are not weighted by it unless it is so sure of validation pictures: its mean probability in pictures WITH
    less that in pictures WITHOUT."""
    contrast_smoothing: Sigma = 3.0
    """Test of edge contrast: sigma that smooths its probability, in pixels of the network,"""
    contrast_radius: Radius = 2
    """radius of the squares whose variance is compared,"""
    contrast: NonNegative = 3.0
    """and how much more pictures must vary where it points than usually."""


@dataclass(frozen=True, kw_only=True)
class PictureGuideSettings:
    """The classifier of whole pictures that guides, too, where classes are separable and edge contrast is not low."""

    width: Channels = 32
    """Channels at the finest level; doubled a level."""
    max_width: Channels = 128
    """Channels at most."""
    steps: Count = 300
    """Of its training."""
    batch_size: BatchSize = 16
    """Pictures a step, half of them of each class."""
    learning_rate: Positive = 2e-3
    """Highest of the one-cycle schedule."""
    weight_decay: NonNegative = 0.01
    """Of AdamW."""
    time_fraction: Annotated[float, Gt(0), Lt(1)] = 0.05
    """Of the method's time, at most."""


@dataclass(frozen=True, kw_only=True)
class JudgeSettings:
    """The classifier, trained apart, that says what class a counterfactual looks like."""

    width: Channels = 16
    """Channels at the finest level; doubled a level."""
    max_width: Channels = 64
    """Channels at most."""
    steps: Count = 300
    """Of its training."""
    batch_size: BatchSize = 32
    """Pictures a step, half of them of each class."""
    learning_rate: Positive = 2e-3
    """Highest of the one-cycle schedule."""
    weight_decay: NonNegative = 0.01
    """Of AdamW."""
    blur: Sigma = 1.0
    """Its pictures are blurred by a sigma of up to so many pixels of the network,"""
    noise: NonNegative = 0.1
    """and get noise of a standard deviation of up to so much, of a range of 2: so that it judges what is shown, not
    how finely."""


@dataclass(frozen=True, kw_only=True)
class InterventionSettings:
    """What is watched while it trains, and changed where the training goes wrong."""

    enabled: bool = True
    """Whether anything is changed."""
    first: Count = 200
    """Step before which nothing has had time to form."""
    tries: Annotated[int, Ge(1), Le(1000)] = 3
    """That most interventions are tried."""
    least_flips: UpToOne = 0.5
    """Fraction of counterfactuals that the guides must take for their new class, or guidance is multiplied by"""
    guidance_factor: Positive = 2.0
    """this."""
    largest_change: Positive = 0.35
    """Mean change, of a range of 2, beyond which more than the thing is changed: locality is multiplied by"""
    locality_factor: Positive = 3.0
    """this."""
    largest_margin: Positive = 8.0
    """Margin of the discriminator from which on the generator learns nothing from it: its rate is multiplied by"""
    discriminator_factor: Positive = 1 / 3
    """this."""
    patience: Positive = 0.4
    """Steps times learning rate, from which to twice which the discriminator must have learnt something,"""
    least_margin: NonNegative = 0.3
    """that is, have this margin; or R1 is multiplied, once, where the classes are separable, by"""
    r1_factor: Positive = 0.1
    """this."""


@dataclass(frozen=True, kw_only=True)
class BranchedGanSettings:
    """Everything that decides a branched GAN."""

    generator: GeneratorSettings = field(default_factory=GeneratorSettings)
    discriminator: DiscriminatorSettings = field(default_factory=DiscriminatorSettings)
    losses: LossSettings = field(default_factory=LossSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    map: MapSettings = field(default_factory=MapSettings)
    localizer: LocalizerSettings = field(default_factory=LocalizerSettings)
    picture_guide: PictureGuideSettings = field(default_factory=PictureGuideSettings)
    judge: JudgeSettings = field(default_factory=JudgeSettings)
    interventions: InterventionSettings = field(default_factory=InterventionSettings)
