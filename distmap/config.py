"""The configuration of a run: presets, YAML on disk, ``key=value`` on the command line.

Settings of all methods and those of the run's own method stand side by side in one file, a section for each part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le, Lt

from distmap.common.checked_files import read_yaml_file, shortened
from distmap.common.errors import naming
from distmap.common.settings import flatten, merge, split_pair, unknown_setting
from distmap.data.settings import DataSettings
from distmap.earlier import EARLIER_NAMES, with_names_of_today
from distmap.selection.settings import SelectionSettings
from distmap.settings import StudentSettings, TrainingSettings

if TYPE_CHECKING:
    from distmap.methods.base import Method

FORMAT = 3  # of run folders; 1 had no number
DEFAULT_METHOD = "branched-gan"

Settings = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Common:
    """What every method has."""

    preset: str = "quick"
    """What the other settings begin with."""
    method: str = DEFAULT_METHOD
    """How the distinction is learnt."""
    image_size: Annotated[int, Ge(16), Le(8192)] = 64
    """Side of the square that the network sees, in pixels; even."""
    seed: Annotated[int, Ge(0), Lt(2**63)] = 0
    """The same seed gives the same run."""
    data: DataSettings = field(default_factory=DataSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    selection: SelectionSettings = field(default_factory=SelectionSettings)
    student: StudentSettings = field(default_factory=StudentSettings)


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Everything that decides a run. ``settings``: those of its method, of the method's own class."""

    settings: Any

    def to_dict(self) -> dict[str, Any]:
        """Every setting, nested by section; ``validate`` takes it back."""
        values = asdict(self)
        own: dict[str, Any] = values.pop("settings")
        return values | own


PRESETS: Mapping[str, tuple[str, Settings]] = {
    "quick": ("minutes on two CPU cores", {"training": {"time_limit": 600.0}}),
    "balanced": (
        "one GPU, tens of minutes",
        {"image_size": 128, "data": {"batch_size": 32}, "training": {"time_limit": 2400.0}},
    ),
    "paper": (
        "the paper and nothing else: its losses, 256 x 256, five branches, StarGAN v2's widths and rates",
        {
            "image_size": 256,
            "data": {"batch_size": 8},
            "training": {"steps": 100_000},
        },
    ),
    "paper-quick": (
        "the paper's losses and nothing else, with the networks and the time of quick",
        {"training": {"time_limit": 600.0}},
    ),
}


def resolve(
    *,
    preset: str = "quick",
    method: str | None = None,
    file: str | Path | None = None,
    settings: Iterable[str] = (),
    overrides: Settings | None = None,
) -> Config:
    """The configuration that results from a preset, then a YAML file, then ``key=value`` settings, then overrides.

    A ``preset`` named in the file takes the place of ``preset``; ``method`` that of one named in the file.

    Raises
    ------
    ValueError
        An unknown preset, method or setting, a value of the wrong kind or out of range, a file that is not YAML.
    """
    from distmap.methods.registry import find_method

    from_file: dict[str, Any] = {}
    if file is not None:
        with naming(file):
            from_file = with_names_of_today(read_yaml(Path(file)))
    preset = str(from_file.get("preset", preset))
    if preset not in PRESETS:
        said = f"{file}: preset" if "preset" in from_file else "--preset"
        raise ValueError(f"{said} {preset}: unknown preset; choose one of {', '.join(PRESETS)}")
    named = method or (overrides or {}).get("method") or from_file.get("method") or DEFAULT_METHOD
    with naming("--method" if file is None or named != from_file.get("method") else file):
        chosen = find_method(str(named))
    merged = merge({"preset": preset}, PRESETS[preset][1])
    for layer in (chosen.defaults, chosen.presets.get(preset, {}), from_file):
        merged = merge(merged, layer)
    usual = flatten(asdict(Common()) | asdict(chosen.Settings()))
    for setting in settings:
        key, value = split_pair(setting)
        if key in ("preset", "method"):
            raise ValueError(f"--set {setting}: give it as --{key} {value}")
        today = EARLIER_NAMES.get(key, key)
        if today is None:
            raise ValueError(f"--set {setting}: decides nothing any more; leave it out")
        merged = merge(merged, with_names_of_today({key: _value(value, usual.get(today))}))
    whole = merge(merged, with_names_of_today(overrides or {})) | {"method": chosen.name}
    try:
        return validate(whole)
    except ValueError as error:
        # What the file says may be said otherwise by what counts more.
        flat = flatten(whole)
        by_file = [key for key, value in flatten(from_file).items() if flat.get(key) is value]
        if not any(f"setting {key}=" in str(error) or f"setting {key!r}" in str(error) for key in by_file):
            raise
        raise ValueError(f"{file}: {error}") from error


def _value(text: str, usual: Any) -> Any:
    """The value that a text stands for, where ``usual`` is the setting's usual one: none may be a word, (a) too."""
    if text.lower() in {"none", "null"} and not isinstance(usual, str):
        return None
    if isinstance(usual, tuple) and text.startswith("(") and text.endswith(")"):
        return tuple(part.strip() for part in text[1:-1].split(",") if part.strip())
    return text


def validate(settings: Settings) -> Config:
    """Settings, nested by section, as a checked ``Config``; raises ValueError that names the setting at fault."""
    from distmap.methods.registry import find_method

    method = find_method(str(settings.get("method", DEFAULT_METHOD)))
    known = setting_keys(method)
    of_method = "" if method.name == DEFAULT_METHOD else f" --method {method.name}"
    for key in flatten(settings):
        if key not in known:
            raise ValueError(unknown_setting(key, known, otherwise=f"see `distmap presets{of_method}`"))
    sections = set(asdict(Common()))
    common = _checked(Common, {key: value for key, value in settings.items() if key in sections}, known)
    own = _checked(method.Settings, {key: value for key, value in settings.items() if key not in sections}, known)
    _check_together(common)
    method.check_settings(own, common.image_size)
    return Config(**{name: getattr(common, name) for name in sections}, settings=own)


def _checked(kind: type[Any], settings: Settings, known: Iterable[str]) -> Any:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])  # longer than the key where a setting has several kinds
        key = next((key for key in known if where == key or where.startswith(f"{key}.")), where)
        raise ValueError(f"setting {key}={shortened(first['input'])}: {first['msg']}") from error


def _check_together(common: Common) -> None:
    if common.image_size % 2:
        raise ValueError(f"setting image_size={common.image_size}: must be even, so that windows overlap by half")
    student = common.student
    if student.least_side > student.max_side:
        raise ValueError(f"setting student.least_side={student.least_side}: must not be above student.max_side")
    training = common.training
    if training.steps is None and training.time_limit is None:
        raise ValueError("setting training.steps=None: give --steps, --time-limit or both")
    if not training.train_by <= training.finish_by <= training.choose_by:
        raise ValueError(
            f"setting training.train_by={training.train_by}: must not be above training.finish_by, "
            "nor that above training.choose_by"
        )


def setting_keys(method: type[Method[Any]] | None = None) -> list[str]:
    """Every setting's dotted key, for this method or the default one."""
    from distmap.methods.registry import find_method

    own = (method or find_method(DEFAULT_METHOD)).Settings()
    return list(flatten(asdict(Common()) | asdict(own)))


def to_yaml(config: Config) -> str:
    """Every setting as YAML; ``validate(read_yaml(...))`` gives the same configuration back."""
    import yaml

    values = {"format": FORMAT} | config.to_dict()
    return yaml.safe_dump(_plain(values), sort_keys=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of settings, nested by section; raises ValueError where it is not that, or of a later format."""
    settings = _read_mapping(path)
    version = settings.pop("format", FORMAT)
    if not (isinstance(version, int) and version <= FORMAT):
        raise ValueError(f"{path}: of format {version}, this version knows {FORMAT}; use the version that wrote it")
    return settings


def _read_mapping(path: Path) -> dict[str, Any]:
    content = read_yaml_file(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: must hold settings as `section: {{key: value}}`")
    return content


def read_run_config(run: Path) -> Config:
    """The configuration of a run's folder.

    Raises
    ------
    ValueError
        It is not a run, or one of another format.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise ValueError(f"{run}: not a run folder (no config.yaml); make one with `distmap fit`")
    version = _read_mapping(path).get("format", 1)
    if isinstance(version, int) and version < FORMAT:
        raise ValueError(f"{run}: made by an earlier version, whose runs cannot be used; train again with --overwrite")
    with naming(path):
        return validate(read_yaml(path))


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
