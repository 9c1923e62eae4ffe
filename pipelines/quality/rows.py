"""What is measured: pictures, time, seeds and the scores that count, with the floor to pass and the aim."""

from __future__ import annotations

import fnmatch
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, cast

from distmap.common.settings import flatten
from pipelines.quality.picture_sets import (
    HEMISPHERE_GROUP,
    PLACE_GROUP,
    SLICE_GROUP,
    Cases,
    Generated,
    PictureSet,
    Scenes,
    Slices,
    describe,
)
from pipelines.quality.splits import Drawn, Named

Part = Literal["targets", "folders", "ablations"]

WORK = "build/quality"
PATCH_FOLDERS = ("test/with", "test/without")
GENERATED_MINUTES, REAL_MINUTES, SHORT_MINUTES = 5, 10, 8
ABLATION_STEPS = 500  # not minutes, in which one machine makes twice as many steps as another, or as itself
ABLATION_LOCALIZER_STEPS = 400  # of each classifier; by default they would take longer than all else

LGG_TEST, LGG_DEVELOPMENT = 25, 12  # patients
CATS_TEST = ("cats_00", "cats_01", "cats_02")
CATS_DEVELOPMENT = ("cats_03", "cats_04")
CATS_TRAIN = ("cats_05", "cats_06", "cats_07", "cats_08", "cats_09")
CAR_SCALE = 0.5  # a car of any source, 33 to 36 pixels long, becomes 17
FULL_SCALE = 1.0
ROW_SIDES = (64, 96, 160)  # of pictures of rows of blocks, whose sides are a tenth of it
PLANE_SCALE = 0.3  # a plane, 66 to 161 pixels long, becomes 20 to 48


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score that a row reports, by the name that `detect.evaluate` or `pipelines.quality.scores` gives it."""

    name: str
    floor: float | None = None
    """To be passed by the median over the seeds."""
    aim: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One training protocol and what is reported of it."""

    name: str
    part: Part
    title: str
    pictures: PictureSet
    minutes: float | None = None
    """For the whole of ``fit``; or, where there is none,"""
    steps: int | None = None
    """of the generator, however long they take."""
    scores: tuple[Score, ...]
    seeds: tuple[int, ...] = (0,)
    group: str | None = None
    """Of the training pictures, and of those that are scored."""
    images: tuple[str, ...] = PATCH_FOLDERS
    """Folders of the set that are mapped and scored."""
    truth: str = "test/masks"
    category: str = "object"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of ``fit``, nested by section, where they differ from the defaults."""
    change: str = ""
    """What an ablation changes."""

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError(f"row {self.name}: minutes={self.minutes}, steps={self.steps}: give one of them")

    @property
    def length(self) -> str:
        """How long it trains, in words."""
        return f"{self.steps} steps" if self.minutes is None else f"{self.minutes:g} minutes"

    @property
    def reported(self) -> tuple[Score, ...]:
        """The scores of its table: its own, and what single sources of maps give."""
        return (*self.scores, Score(name="branch1_pixel_ap"), Score(name="localizer_pixel_ap"))

    def protocol(self) -> dict[str, Any]:
        """All that decides the figures apart from the seed, the code and the defaults, as plain values."""
        plain: dict[str, Any] = json.loads(
            json.dumps(
                {
                    "pictures": describe(self.pictures),
                    **({"steps": self.steps} if self.minutes is None else {"minutes": self.minutes}),
                    "group": self.group,
                    "images": self.images,
                    "truth": self.truth,
                    "category": self.category,
                    "settings": self.settings,
                }
            )
        )
        return plain

    def overrides(self, seed: int, budget_scale: float) -> dict[str, Any]:
        """Settings for ``fit``, nested by section."""
        own = {
            section: dict(value) if isinstance(value, Mapping) else value for section, value in self.settings.items()
        }
        duration: dict[str, Any]
        if self.minutes is None:
            duration = {"steps": max(1, round(cast("int", self.steps) * budget_scale)), "time_limit": None}
        else:
            duration = {"time_limit": 60.0 * self.minutes * budget_scale}
        training = duration | own.pop("training", {})
        data = {"group": self.group} | own.pop("data", {})
        return {"seed": seed, "training": training, "data": data, **own}

    def assignments(self) -> tuple[str, ...]:
        """The settings as ``--set`` takes them."""
        return tuple(f"{key}={value}" for key, value in flatten(self.settings).items())

    def commands(self, seed: int) -> tuple[str, ...]:
        """The same in the shell, from the project's root."""
        run, data = f"{WORK}/runs/{self.name}-{seed}", f"{WORK}/data/{self.pictures.name(seed)}"
        images = [f"{data}/{folder}" for folder in self.images]
        if isinstance(self.pictures, Generated):
            prepare = ["pipelines", "synthetic", data, "--split", self.pictures.split, "--seed", str(seed)]
            if self.pictures.image_size is not None:
                prepare += ["--image-size", str(self.pictures.image_size)]
        else:
            prepare = ["python", "-m", "pipelines.quality", "--prepare", "--rows", self.name, "--seeds", str(seed)]
        fit = ["distmap", "fit", f"{data}/train/with", f"{data}/train/without", "--run", f"{run}/run"]
        fit += ["--steps", str(self.steps)] if self.minutes is None else ["--time-limit", f"{self.minutes:g}m"]
        fit += ["--seed", str(seed)]
        grouped = [] if self.group is None else ["--group", self.group]
        changes = [word for item in self.assignments() for word in ("--set", item)]
        category = [] if self.category == "object" else ["--category", self.category]
        out = ["--out", f"{run}/annotations.json", "--maps", f"{run}/maps"]
        truth = [f"{run}/annotations.json", f"{data}/{self.truth}", "--maps", f"{run}/maps"]
        return tuple(
            shlex.join(words)
            for words in (
                prepare,
                [*fit, *grouped, *changes],
                ["detect", "extract", f"{run}/run", *images, *out, *category],
                ["detect", "evaluate", *truth, *grouped],
            )
        )


def _generated() -> Iterator[Row]:
    def row(name: Any, seeds: tuple[int, ...], side: int, *scores: Score) -> Row:
        return Row(
            name=name,
            part="targets",
            title=f"Generated: `{name}`, {side} x {side}",
            pictures=Generated(split=name),
            minutes=GENERATED_MINUTES,
            scores=scores,
            seeds=seeds,
        )

    yield row(
        "presence",
        (0, 1, 2),
        64,
        Score(name="pixel_ap", floor=0.99),
        Score(name="ncc", floor=0.95),
        Score(name="psnr", floor=40),
        Score(name="dice"),
        Score(name="flip_rate"),
    )
    yield row(
        "shape",
        (0,),
        64,
        Score(name="on_shape", floor=0.80, aim=0.95),
        Score(name="flip_rate", floor=0.90, aim=0.98),
        Score(name="psnr"),
    )
    yield row("effect", (0,), 112, Score(name="ncc", floor=0.90, aim=0.97), Score(name="pixel_ap"), Score(name="psnr"))


def _rows_of_blocks() -> Iterator[Row]:
    for side in ROW_SIDES:
        yield Row(
            name=f"rows-{side}",
            part="targets",
            title=f"Generated: rows of touching blocks of {side / 10:g} pixels, {side} x {side}",
            pictures=Generated(split="rows", image_size=side),
            minutes=GENERATED_MINUTES,
            scores=(Score(name="centre_f1", floor=0.95), Score(name="ap50"), Score(name="ap25")),
            images=("test/with",),
            truth="test/labelTxt",
            category="block",
        )


def _cars(label: str, train: tuple[str, ...], test: tuple[str, ...], scale: float = CAR_SCALE) -> Scenes:
    return Scenes(
        label=label, folder="aerial", split=Named(train=train, test=test), category="small-vehicle", scale=scale
    )


def _on_scenes(pictures: Scenes, *, settings: Mapping[str, Any] = MappingProxyType({}), **fields: Any) -> Row:
    """A row whose scored pictures are whole scenes; overhead pictures may be turned any way."""
    return Row(
        pictures=pictures,
        group=PLACE_GROUP,
        images=("test/scenes",),
        truth="test/scenes_labelTxt",
        category=pictures.category,
        settings={**settings, "data": {"symmetry": "all"} | settings.get("data", {})},
        **fields,
    )


LGG = Slices(label="lgg", split=Drawn(train_from=LGG_TEST))
LGG_APART = Slices(label="lgg-development", split=Drawn(first=LGG_TEST, train_from=LGG_TEST + LGG_DEVELOPMENT))
CATS_APART = _cars("cats-development", CATS_TRAIN, CATS_DEVELOPMENT)


def _real() -> Iterator[Row]:
    """Real pictures, by what they show."""
    yield from _lgg()
    yield from _cats()
    yield from _other_scenes()
    yield from _brats()


def _lgg() -> Iterator[Row]:
    yield Row(
        name="lgg",
        part="targets",
        title="Real: tumours in FLAIR slices (LGG Segmentation Dataset)",
        pictures=LGG,
        minutes=REAL_MINUTES,
        scores=(
            Score(name="dice", floor=0.60, aim=0.79),
            Score(name="pixel_ap", floor=0.65),
            Score(name="dice_lost", floor=0.05, aim=0.02),
            Score(name="dice_oracle"),
            Score(name="locality"),
            Score(name="flip_rate"),
            Score(name="psnr"),
        ),
        seeds=(0, 1, 2),
        group=SLICE_GROUP,
    )


def _cats() -> Iterator[Row]:
    yield _on_scenes(
        _cars("cats", CATS_DEVELOPMENT + CATS_TRAIN, CATS_TEST),
        name="cats",
        part="targets",
        title="Real: cars from above (CATS), whole scenes of three places",
        minutes=REAL_MINUTES,
        scores=(
            Score(name="pixel_ap", floor=0.75, aim=0.85),
            Score(name="ap50", floor=0.70),
            Score(name="centre_f1", floor=0.88, aim=0.92),
            Score(name="dice_lost", floor=0.05, aim=0.02),
            Score(name="ap25"),
            Score(name="dice"),
            Score(name="psnr"),
        ),
        seeds=(0, 1, 2),
    )
    yield _on_scenes(
        _cars("cats-full", CATS_DEVELOPMENT + CATS_TRAIN, CATS_TEST, FULL_SCALE),
        name="cats-full",
        part="targets",
        title="Real: the same cars at full scale",
        minutes=REAL_MINUTES,
        scores=(
            Score(name="ap50", floor=0.78),
            Score(name="centre_f1", floor=0.85),
            Score(name="pixel_ap"),
            Score(name="ap25"),
            Score(name="dice"),
        ),
        seeds=(0, 1, 2),
    )


def _other_scenes() -> Iterator[Row]:
    yield _on_scenes(
        _cars("aerial-other", ("cats_", "simd_"), ("dota_", "kit_", "minsk_")),
        name="aerial-other",
        part="targets",
        title="Real: cars from above, whole scenes of sources that did not train (DOTA, KIT AIS, Minsk)",
        minutes=REAL_MINUTES,
        scores=(
            Score(name="ap25", aim=0.45),
            Score(name="centre_f1", aim=0.65),
            Score(name="ap50"),
            Score(name="pixel_ap"),
        ),
    )
    yield _on_scenes(
        Scenes(label="planes", folder="planes", split=Drawn(train_from=6), category="plane", scale=PLANE_SCALE),
        name="planes",
        part="targets",
        title="Real: planes from above (Airbus Aircrafts), six whole scenes",
        minutes=REAL_MINUTES,
        scores=(
            Score(name="ap50", floor=0.45),
            Score(name="centre_f1", floor=0.60, aim=0.70),
            Score(name="ap25"),
            Score(name="pixel_ap"),
        ),
    )


def _brats() -> Iterator[Row]:
    for name, title, hemispheres, group in (
        ("brats", "Real: tumours in FLAIR slices (BRATS 2015), one case", False, SLICE_GROUP),
        ("brats-hemispheres", "Real: the same case, each hemisphere by itself", True, HEMISPHERE_GROUP),
    ):
        yield Row(
            name=name,
            part="targets",
            title=title,
            pictures=Cases(label=name, split=Drawn(train_from=1), hemispheres=hemispheres),
            minutes=REAL_MINUTES,
            scores=(
                Score(name="dice", aim=0.80),
                Score(name="dice_oracle"),
                Score(name="pixel_ap"),
                Score(name="flip_rate"),
            ),
            group=group,
        )


def _small_folders() -> Iterator[Row]:
    for count in (25, 50, 100, 200):
        yield Row(
            name=f"lgg-{count}",
            part="folders",
            title=f"{count} pictures a class",
            pictures=Slices(label=f"lgg-{count}", split=LGG.split, count=count),
            minutes=SHORT_MINUTES,
            scores=(Score(name="dice"), Score(name="pixel_ap"), Score(name="dice_oracle")),
            group=SLICE_GROUP,
        )


def _ablations() -> Iterator[Row]:
    from pipelines.quality.ablations import DEFAULT, changes

    scores = tuple(Score(name=name) for name in ("pixel_ap", "dice", "dice_oracle", "psnr", "flip_rate"))
    for name, change in changes():
        settings = {**change, "localizer": {"steps": ABLATION_LOCALIZER_STEPS} | change.get("localizer", {})}
        shared: dict[str, Any] = {
            "part": "ablations",
            "steps": ABLATION_STEPS,
            "scores": scores,
            "change": name,
            "settings": settings,
            "seeds": (0, 1, 2) if name == DEFAULT else (0,),  # how far trainings of one setting lie apart
        }
        slug = name.replace(" ", "-").replace("/", "-")
        lgg = f"ablation-lgg-{slug}"
        yield Row(name=lgg, title=lgg, pictures=LGG_APART, group=SLICE_GROUP, **shared)
        cats = f"ablation-cats-{slug}"
        yield _on_scenes(CATS_APART, name=cats, title=cats, **shared)


def every_row() -> tuple[Row, ...]:
    """All rows, in the order in which they run."""
    return (*_generated(), *_rows_of_blocks(), *_real(), *_small_folders(), *_ablations())


def chosen(rows: Sequence[Row], patterns: Sequence[str]) -> list[Row]:
    """Rows whose name is one of the patterns (``*`` stands for anything), in their order; no pattern: all.

    Raises
    ------
    ValueError
        A pattern fits no row.
    """
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(row.name, pattern) for row in rows):
            raise ValueError(f"--rows {pattern}: is no row; --list shows them, and * stands for anything")
    return [row for row in rows if not patterns or any(fnmatch.fnmatchcase(row.name, item) for item in patterns)]
