"""Settings of a run: frozen dataclasses, presets, YAML on disk, ``key=value`` on the command line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from distmap.common.settings import flatten, split_pair, unknown_setting

Count = Annotated[int, Ge(1)]
Stride = Annotated[int, Ge(1), Le(2)]
Weight = Annotated[float, Ge(0), Lt(math.inf)]
Positive = Annotated[float, Gt(0), Lt(math.inf)]
Share = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """How pictures become batches."""

    group: str | None = None
    """Regular expression; files whose first group agrees are either all trained on or all kept out."""
    holdout: Annotated[float, Gt(0), Lt(1)] = 0.15
    """Share of each folder kept out of training, to choose and score by."""
    symmetry: Literal["none", "mirror", "all"] = "mirror"
    """What leaves the label alone: nothing, left-right mirroring, or all flips and right-angle turns."""
    batch_size: Annotated[int, Ge(2)] = 8
    """Pictures a step, half of them of each class."""
    cache_mb: Annotated[int, Ge(0)] = 4096
    """Memory for decoded pictures; those beyond it are read again each time."""


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Shape of the branched generator."""

    branches: Count = 3
    """Sub-generators n; their outputs add up to the picture."""
    width: Count = 32
    """Channels at the finest level; doubled a level."""
    max_width: Count = 128
    depth: Count = 3
    """Halvings of the size between the finest and the coarsest level."""
    stride: Stride = 2
    """2 works at half resolution inside: four times cheaper."""
    slim: Count = 2
    """A sub-generator's channels are the encoder's divided by this."""
    style_size: Count = 32
    mapping_width: Count = 64


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """Shape of the discriminator, and how it is kept from learning small folders by heart."""

    width: Count = 32
    max_width: Count = 128
    stride: Stride = 2
    augment_shift: Share = 0.125
    """Largest shift, as a share of the side, of what the discriminator sees (differentiable augmentation)."""
    augment_contrast: Share = 0.2
    """Largest relative change of contrast and brightness of what the discriminator sees."""


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the loss terms, and what they are taken of; see ``distmap.methods.branched_gan.losses``."""

    blend: Annotated[float, Ge(0), Le(1)] = 1.0
    """How far branches 2 and on are mixed between the classes: 0 not at all, 1 up to wholly exchanged."""
    adversary: Weight = 1.0
    guidance: Weight = 1.0
    """How much it counts that the classifiers that guide take a repainted picture for its new class."""
    fidelity: Weight = 10.0
    gradient: Weight = 5.0
    focused: Weight = 5.0
    overlap: Weight = 0.1
    energy: Weight = 0.1
    sparsity: Weight = 2.0
    """L1 of branch 1 where it paints a picture as the class that it has."""
    sparsity_rise: Share = 0.0
    """First share of the training in which that weight rises linearly to its value."""
    locality: Weight = 1.0
    """L1 between a picture and its repainting as the other class."""
    locality_where_clear: Weight = 2.0
    """What it is multiplied by where the classes are told apart nearly always, so that what has to change is sure."""
    r1: Weight = 1.0
    r1_every: Count = 4
    """R1 is computed every so many steps, weighted up by as many."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How long and how fast."""

    steps: Count | None = None
    """Steps to train; None: until the time is up."""
    time_limit: Positive | None = None
    """Seconds for the whole of ``fit``, calibration included; None: until the steps are done."""
    learning_rate: Positive = 1e-3
    discriminator_rate: Positive = 1e-3
    mapping_rate: Positive = 1e-3
    beta1: Share = 0.5
    """Of Adam, for both networks; StarGAN v2 has 0, with which all is learnt later."""
    beta2: Annotated[float, Gt(0), Lt(1)] = 0.99
    ema_decay: Annotated[float, Ge(0), Lt(1)] = 0.995
    """Decay of the weight average that is kept."""
    cooldown: Annotated[float, Ge(0), Le(1)] = 0.3
    """Last share of the training in which the learning rates fall linearly to a tenth."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """auto: bf16 where the device computes it natively."""
    save_every: Positive = 60.0
    """Seconds between saved states."""
    sample_every: Positive = 60.0
    """Seconds between sample sheets."""


@dataclass(frozen=True, kw_only=True)
class MapConfig:
    """How maps are made, smoothed and thresholded."""

    kind: Literal["auto", "plain", "placed"] = "auto"
    """placed: weighed by the locator's probability; plain: not; auto: what tells kept-out pictures apart better,
    and where both do, placed, or plain where edges drown in texture."""
    smoothing: Weight = 1.0
    """Sigma of the Gaussian that smooths a map, in pixels of the network."""
    place_smoothing: Weight = 3.0
    """The same for the locator's probability, which a placed map is multiplied by."""
    edge_radius: Weight = 2.0
    """Within so many pixels of the network a map's edges move to those of the picture, and within twice as many where
    pictures have twice the network's size; not where kept-out pictures show that they drown in texture. 0: they
    stay."""
    halo: Share = 0.2
    """Set to zero what is less than this share of the largest value within 3 pixels of the network."""
    evenness: Share = 0.4
    """How far maps are evened out: each value is divided by the mean of the map around it to this power, so that one
    threshold serves faint pictures and strong ones. 0: not at all."""
    even_radius: Weight = 64.0
    """How far that mean reaches, in pixels of the network."""


@dataclass(frozen=True, kw_only=True)
class LocatorConfig:
    """The classifiers that are trained first, and find the places that tell the classes apart."""

    members: Count = 3
    """Classifiers, trained apart: the one whose places point best at what they see guides the generator, the mean of
    those that point well says where. Fewer are trained where one tells the classes apart nearly always."""
    width: Count = 32
    sharpness: Positive = 1.0
    """Of the pooling over places: towards 0 their mean counts, towards infinity the strongest place alone."""
    band_mixing: Weight = 0.3
    """How far the colours of what it sees are changed; 0 where colour alone tells the classes apart."""
    robustness: Weight = 0.3
    """Where they tell the classes apart nearly always, these classifiers and the picture guide learn to withstand
    changes of a picture up to this share of the pictures' spread; 0: none."""
    steps: Count = 1000
    """Of each."""
    batch_size: Annotated[int, Ge(2)] = 16
    learning_rate: Positive = 2e-3
    weight_decay: Weight = 0.1


@dataclass(frozen=True, kw_only=True)
class PictureGuideConfig:
    """The classifier of whole pictures that guides, too, where the classes are told apart nearly always and the thing
    does not drown in texture."""

    width: Count = 32
    max_width: Count = 128
    steps: Count = 300
    batch_size: Annotated[int, Ge(2)] = 16
    learning_rate: Positive = 2e-3
    weight_decay: Weight = 0.01


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """The classifier, trained apart, that says what class a repainted picture looks like."""

    width: Count = 16
    max_width: Count = 64
    steps: Count = 300
    batch_size: Annotated[int, Ge(2)] = 32
    learning_rate: Positive = 2e-3
    weight_decay: Weight = 0.01
    blur: Weight = 1.0
    """Its pictures are blurred by a sigma of up to so many pixels of the network,"""
    noise: Weight = 0.1
    """and get noise of a standard deviation of up to so much, of a range of 2: so that it judges what is painted, not
    how finely."""


@dataclass(frozen=True, kw_only=True)
class StudentConfig:
    """The segmentation network (a U-Net) that learns what the maps are sure of, and then makes the maps itself."""

    rounds: Annotated[int, Ge(0)] | Literal["auto"] = "auto"
    """How often one is trained; each after the first learns from the maps of the one before. 0: none; auto: once where
    the thing drowns in texture, so that maps cannot follow its edges."""
    encoder: str = "resnet18"
    """Of segmentation-models-pytorch, by its name there."""
    encoder_weights: Literal["imagenet"] | None = None
    """imagenet: start from weights that are downloaded; None: from random ones."""
    encoder_depth: Annotated[int, Ge(3), Le(5)] = 4
    """Halvings of the size."""
    width: Count = 8
    """Channels of the decoder's finest level; doubled a level."""
    max_side: Annotated[int, Ge(32)] = 128
    """It sees pictures at their own size, up to this longer side."""
    high_share: Annotated[float, Ge(1), Lt(math.inf)] = 1.5
    """In pictures WITH, pixels from so many times the threshold on are taken for the thing,"""
    low_share: Annotated[float, Gt(0), Le(1)] = 0.01
    """and those below this share of it for free of the thing."""
    pasted: Share = 0.9
    """Share of the pictures WITHOUT onto which a piece of what is sure is pasted, so that outlines are learnt."""
    steps: Count = 600
    """Of a round."""
    batch_size: Annotated[int, Ge(2)] = 8
    learning_rate: Positive = 1e-3
    weight_decay: Weight = 0.01
    time_share: Annotated[float, Gt(0), Lt(0.8)] = 0.5
    """Share of the time limit that is kept for it."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that decides a run."""

    preset: str = "quick"
    image_size: Annotated[int, Ge(16)] = 64
    """Side of the square that the network sees, in pixels."""
    seed: Annotated[int, Ge(0)] = 0
    data: DataConfig = field(default_factory=DataConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    map: MapConfig = field(default_factory=MapConfig)
    locator: LocatorConfig = field(default_factory=LocatorConfig)
    picture_guide: PictureGuideConfig = field(default_factory=PictureGuideConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    student: StudentConfig = field(default_factory=StudentConfig)


Settings = Mapping[str, Any]

# Settings that earlier versions wrote into their files and that decide nothing any more.
RETIRED = (("map", "close_radius"), ("map", "open_radius"), ("map", "split_distance"))

PRESETS: Mapping[str, tuple[str, Settings]] = {
    "quick": ("minutes on two CPU cores", {"training": {"time_limit": 600.0}}),
    "balanced": (
        "one GPU, tens of minutes",
        {
            "image_size": 128,
            "data": {"batch_size": 32},
            "generator": {"width": 64, "max_width": 256, "depth": 4},
            "discriminator": {"width": 64, "max_width": 256},
            "training": {"time_limit": 2400.0, "learning_rate": 5e-4, "discriminator_rate": 5e-4, "ema_decay": 0.999},
        },
    ),
    "paper": (
        "256 x 256, five branches, StarGAN v2's widths and rates",
        {
            "image_size": 256,
            "data": {"batch_size": 8},
            "generator": {
                "branches": 5,
                "width": 64,
                "max_width": 512,
                "depth": 4,
                "stride": 1,
                "slim": 1,
                "style_size": 64,
                "mapping_width": 512,
            },
            "discriminator": {"width": 64, "max_width": 512, "stride": 1},
            "losses": {"r1_every": 1},
            "training": {
                "steps": 100_000,
                "learning_rate": 1e-4,
                "discriminator_rate": 1e-4,
                "mapping_rate": 1e-6,
                "beta1": 0.0,
                "ema_decay": 0.999,
                "cooldown": 0.0,
            },
        },
    ),
}


def resolve(
    *,
    preset: str = "quick",
    file: str | Path | None = None,
    settings: Iterable[str] = (),
    overrides: Settings | None = None,
) -> Config:
    """The configuration that results from a preset, then a YAML file, then ``key=value`` settings, then overrides.

    A ``preset`` named in the file takes the place of ``preset``.

    Raises
    ------
    ValueError
        An unknown preset or setting, a value of the wrong kind or out of range, a file that is not YAML.
    """
    from_file = read_yaml(Path(file)) if file is not None else {}
    preset = str(from_file.get("preset", preset))
    if preset not in PRESETS:
        raise ValueError(f"--preset {preset}: unknown preset; choose one of {', '.join(PRESETS)}")
    merged = _merge(_merge({"preset": preset}, PRESETS[preset][1]), from_file)
    for setting in settings:
        key, value = split_pair(setting)
        if key == "preset":
            raise ValueError(f"--set {setting}: give it as --preset {value}")
        nested: dict[str, Any] = {}
        inner = nested
        *parents, last = key.split(".")
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = None if value.lower() in {"none", "null"} else value
        merged = _merge(merged, nested)
    return validate(_merge(merged, overrides or {}))


def validate(settings: Settings) -> Config:
    """Settings, nested by section, as a checked ``Config``; raises ValueError that names the setting at fault."""
    from pydantic import TypeAdapter, ValidationError

    known = setting_keys()
    for key in flatten(settings):
        if key not in known:
            raise ValueError(unknown_setting(key, known, otherwise="see `distmap presets`"))
    try:
        config = TypeAdapter(Config).validate_python(settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])  # longer than the key where a setting has several kinds
        key = next((key for key in known if where == key or where.startswith(f"{key}.")), where)
        hint = "; or give auto" if key == "student.rounds" else ""
        raise ValueError(f"setting {key}={first['input']!r}: {first['msg']}{hint}") from error
    coarsest = config.generator.stride * 2**config.generator.depth
    if config.image_size % coarsest:
        raise ValueError(
            f"setting image_size={config.image_size}: must be a multiple of {coarsest} "
            "(generator.stride times 2 to the power generator.depth)"
        )
    if config.student.max_side % 2**config.student.encoder_depth:
        raise ValueError(
            f"setting student.max_side={config.student.max_side}: must be a multiple of "
            f"{2**config.student.encoder_depth} (2 to the power student.encoder_depth)"
        )
    if config.training.steps is None and config.training.time_limit is None:
        raise ValueError("setting training.steps=None: give --steps, --time-limit or both")
    return config


def setting_keys() -> list[str]:
    """Every setting's dotted key."""
    return list(flatten(asdict(Config())))


def to_yaml(config: Config) -> str:
    """Every setting as YAML; ``validate(read_yaml(...))`` gives the same configuration back."""
    import yaml

    return yaml.safe_dump(asdict(config), sort_keys=False)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of settings, nested by section, without retired ones; raises ValueError where it is not that."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: must hold settings as `section: {{key: value}}`")
    for section, key in RETIRED:
        if isinstance(content.get(section), dict):
            content[section].pop(key, None)
    return content


def parse_duration(text: str) -> float:
    """``90``, ``90s``, ``10m``, ``1h30m`` -> seconds; raises ValueError for anything else."""
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
    if not match or not any(match.groups()):
        raise ValueError(f"{text!r} is not a duration; write 90s, 10m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if total <= 0:
        raise ValueError(f"{text!r}: a duration must be longer than nothing")
    return total


def _merge(base: Settings, over: Settings) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        merged[key] = _merge(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return merged
