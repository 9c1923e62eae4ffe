"""Settings: presets, YAML, KEY=VALUE, checks."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from distmap.config import (
    FORMAT,
    PRESETS,
    Common,
    parse_duration,
    read_run_config,
    read_yaml,
    resolve,
    setting_keys,
    to_yaml,
    validate,
)
from distmap.earlier import EARLIER_NAMES
from distmap.methods.base import Method
from distmap.methods.registry import list_methods

METHODS = list_methods()
NAMES = [method.name for method in METHODS]


def test_presets() -> None:
    assert list(PRESETS) == ["quick", "balanced", "paper", "paper-quick"]


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("name", PRESETS)
def test_presets_resolve(name: str, method: str) -> None:
    config = resolve(preset=name, method=method)
    assert (config.preset, config.method) == (name, method)
    assert config.training.steps or config.training.time_limit


def test_the_paper_preset_is_the_papers() -> None:
    config = resolve(preset="paper")
    generator = config.settings.generator
    assert (config.image_size, generator.branches, generator.stride) == (256, 5, 1)
    assert (generator.width, generator.max_width) == (64, 512)
    rates = config.settings.optimiser
    assert (rates.learning_rate, rates.discriminator_rate, rates.mapping_rate, rates.beta1) == (1e-4, 1e-4, 1e-6, 0)


@pytest.mark.parametrize("name", ["paper", "paper-quick"])
def test_the_papers_presets_add_nothing_of_ours(name: str) -> None:
    config = resolve(preset=name)
    settings = config.settings
    assert settings.losses.guidance == settings.losses.locality == 0
    assert not settings.localizer.enabled
    assert not settings.interventions.enabled
    assert settings.discriminator.augment_shift == settings.discriminator.augment_contrast == 0
    assert settings.map.kind == "branch1"
    changes = settings.map.smoothing, settings.map.halo_suppression, settings.map.edge_radius
    assert (*changes, settings.map.normalisation, settings.map.shrinkage) == (0,) * 5
    assert config.training.candidates == ()
    assert config.student.rounds == 0
    assert all(getattr(settings.losses, term) > 0 for term in ("fidelity", "gradient", "focused", "overlap", "energy"))
    assert settings.losses.sparsity > 0
    assert settings.losses.blend == settings.losses.r1_every == 1


def test_the_quick_paper_differs_from_quick_in_what_we_add_alone() -> None:
    ours, papers = resolve(), resolve(preset="paper-quick")
    assert papers.settings.generator == ours.settings.generator
    assert papers.settings.optimiser == ours.settings.optimiser
    assert papers.training.time_limit == ours.training.time_limit


def test_a_methods_defaults_lie_between_the_preset_and_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    assert resolve(method="mil").training.steps == 300
    assert resolve(method="mil", preset="balanced").data.batch_size == 16
    file.write_text("method: mil\ntraining:\n  steps: 7\n")
    assert (resolve(file=file).method, resolve(file=file).training.steps) == ("mil", 7)


def test_a_method_that_is_named_counts_more_than_that_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("method: mil\n")
    assert resolve(file=file).method == "mil"
    assert resolve(file=file, method="mean-difference").method == "mean-difference"
    assert resolve(overrides={"method": "mil"}).method == "mil"
    with pytest.raises(ValueError, match="give it as --method mil"):
        resolve(settings=["method=mil"])
    with pytest.raises(ValueError, match="--method gun: unknown method; choose one of branched-gan, "):
        resolve(method="gun")


def test_settings_of_another_method_are_unknown() -> None:
    with pytest.raises(ValueError, match=r"unknown setting 'generator\.branches'"):
        resolve(method="mil", settings=["generator.branches=2"])
    with pytest.raises(ValueError, match=r"unknown setting 'xyzzy'; see `distmap presets --method mil`"):
        resolve(method="mil", settings=["xyzzy=2"])
    with pytest.raises(ValueError, match=r"unknown setting 'classifier\.sharpness'"):
        resolve(settings=["classifier.sharpness=2"])


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("seed: 1\nimage_size: 96\ngenerator:\n  branches: 5\n  width: 16\n")
    config = resolve(
        preset="balanced",
        file=file,
        settings=["generator.width = 24", "seed=2", "training.time_limit=none", "training.steps=7"],
        overrides={"seed": 3},
    )
    assert config.settings.discriminator.width == 64  # the preset
    assert (config.image_size, config.settings.generator.branches) == (96, 5)  # the file
    assert (config.settings.generator.width, config.training.time_limit, config.training.steps) == (
        24,
        None,
        7,
    )  # --set
    assert config.seed == 3
    assert config.settings.generator.depth == 4  # a section is not replaced as a whole


def test_the_preset_of_a_file_counts(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("preset: balanced\nseed: 5\n")
    assert resolve(file=file) == resolve(preset="balanced", overrides={"seed": 5})
    file.write_text("preset: nonsense\n")
    with pytest.raises(ValueError, match="nonsense: unknown preset"):
        resolve(file=file)
    with pytest.raises(ValueError, match="give it as --preset paper"):
        resolve(settings=["preset=paper"])


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("name", PRESETS)
def test_yaml_round_trip(tmp_path: Path, name: str, method: str) -> None:
    config = resolve(preset=name, method=method, settings=[r"data.group=^(.*)_\d+$"])
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert validate(read_yaml(tmp_path / "config.yaml")) == config
    assert resolve(file=tmp_path / "config.yaml") == config
    assert read_run_config(tmp_path) == config
    assert validate(config.to_dict()) == config


def test_a_run_says_its_format(tmp_path: Path) -> None:
    """A run of another format is refused in one line that says what to do."""
    path = tmp_path / "config.yaml"
    content = yaml.safe_load(to_yaml(resolve()))
    assert next(iter(content)) == "format"
    assert content["format"] == FORMAT == 3
    path.write_text(yaml.safe_dump(content | {"format": 4}))
    for read in (lambda: read_yaml(path), lambda: read_run_config(tmp_path), lambda: resolve(file=path)):
        with pytest.raises(ValueError, match=r"config\.yaml: of format 4, this version knows 3; use the version that"):
            read()
    del content["format"]
    for earlier in (content, content | {"format": 2}):
        path.write_text(yaml.safe_dump(earlier))
        with pytest.raises(ValueError, match=r"made by an earlier version, .* train again with --overwrite") as refused:
            read_run_config(tmp_path)
        assert "\n" not in str(refused.value)
        assert resolve(file=path) == resolve()  # a file of settings need not have one


def test_what_is_no_run_has_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a run folder"):
        read_run_config(tmp_path)
    (tmp_path / "config.yaml").write_text("format: [2\n")
    with pytest.raises(ValueError, match=r"config\.yaml: not a YAML file"):
        read_run_config(tmp_path)


@pytest.mark.parametrize(
    ("setting", "section", "value"),
    [
        (r"data.group=(\d+)", "data", r"(\d+)"),  # no list, for the setting holds none
        ("data.group=none", "data", None),
        ("data.symmetry=none", "data", "none"),  # a word of its own
        ("training.candidates=(0.25, 0.5)", "training", (0.25, 0.5)),
        ("training.candidates=()", "training", ()),
    ],
)
def test_text_means_what_the_setting_takes(setting: str, section: str, value: object) -> None:
    key = setting.partition("=")[0].partition(".")[2]
    assert getattr(getattr(resolve(settings=[setting]), section), key) == value


def test_a_value_may_hold_an_equals_sign() -> None:
    assert resolve(settings=["data.group=(?P<name>=)"]).data.group == "(?P<name>=)"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("image_sze=64", r"unknown setting 'image_sze'; did you mean 'image_size'\?"),
        ("generator.branch=2", r"unknown setting 'generator.branch'; did you mean 'generator.branches'\?"),
        ("training=5", r"unknown setting 'training'; did you mean 'training\.\w+'\?"),
        ("xyzzy=1", "unknown setting 'xyzzy'; see `distmap presets`"),
        ("image_size.side=1", "unknown setting 'image_size.side'"),
        ("image_size", "--set image_size: give it as KEY=VALUE"),
        ("image_size=big", "setting image_size='big'"),
        ("generator.branches=0", "setting generator.branches='0'"),
        ("generator.stride=3", "setting generator.stride='3'"),
        ("student.rounds=auto", "setting student.rounds='auto': Input should be a valid integer"),
        ("student.rounds=-1", "setting student.rounds='-1'"),
        ("losses.fidelity=-1", "setting losses.fidelity='-1'"),
        ("losses.fidelity=nan", "setting losses.fidelity='nan'"),
        ("data.holdout=1", "setting data.holdout='1'"),
        ("data.symmetry=some", "setting data.symmetry='some'"),
        ("seed=-1", "setting seed='-1'"),
        ("image_size=60", "setting image_size=60: must be a multiple of 16"),
        ("student.max_side=120", "setting student.least_side=128: must not be above student.max_side"),
        ("student.decoder_widths=(8, 8)", "setting student.decoder_widths="),
        (
            "student.encoder_weights=imagenet",
            "student.encoder_weights=imagenet: decides nothing any more; leave it out",
        ),
        ("training.schedule.warm_up=1", "setting training.schedule.warm_up='1'"),
        ("training.candidates=0.5", "setting training.candidates='0.5'"),
        ("training.candidates=(0.5, 2)", "setting training.candidates='2'"),
        ("training.train_by=0.95", "setting training.train_by=0.95: must not be above training.finish_by"),
        ("image_size=49", "setting image_size=49: must be even"),
        ("map.kind=bright", "setting map.kind='bright'"),
        ("training.time_limit=none", "give --steps, --time-limit or both"),
    ],
)
def test_wrong_settings_are_named(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(settings=[setting])


@pytest.mark.parametrize("kind", ["weighted", "localizer"])
def test_some_maps_need_a_localizer(kind: str) -> None:
    with pytest.raises(ValueError, match=rf"setting map\.kind='{kind}': needs a localizer; give localizer\.enabled"):
        resolve(settings=[f"map.kind={kind}", "localizer.enabled=false"])
    assert resolve(settings=["map.kind=unweighted", "localizer.enabled=false"]).settings.map.kind == "unweighted"


def keys_of_every_method() -> Iterator[tuple[str, str]]:
    for method in METHODS:
        yield from ((method.name, key) for key in sorted(setting_keys(method)))


@pytest.mark.parametrize(("method", "key"), list(keys_of_every_method()))
def test_every_setting_can_be_given_as_text(method: str, key: str) -> None:
    """A preset's value of each setting, written out, is read back as it was."""
    for preset in ("quick", "paper"):
        config = resolve(preset=preset, method=method)
        value: Any = config.to_dict()
        for name in key.split("."):
            value = value[name]
        if key not in ("preset", "method"):
            assert resolve(preset=preset, method=method, settings=[f"{key}={value}"]) == config


def settings_classes(kind: type[Any]) -> Iterator[type[Any]]:
    """A settings class and those of its fields that are sections."""
    yield kind
    for value in vars(kind()).values():
        if dataclasses.is_dataclass(value):
            yield from settings_classes(type(value))


@pytest.mark.parametrize("kind", [Common, *(method.Settings for method in METHODS)])
def test_every_setting_says_what_it_does(kind: type[Any]) -> None:
    for settings in settings_classes(kind):
        definition = ast.parse(textwrap.dedent(inspect.getsource(settings))).body[0]
        assert isinstance(definition, ast.ClassDef)
        assert ast.get_docstring(definition)
        for node, following in zip(definition.body, [*definition.body[1:], None], strict=True):
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                continue
            default = getattr(settings(), node.target.id)
            if dataclasses.is_dataclass(default) and settings is kind:
                continue  # a section, which its class describes
            described = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            assert described, f"{settings.__name__}.{node.target.id} has no line of its own"


@pytest.mark.parametrize("method", METHODS)
def test_settings_are_frozen_and_given_by_keyword(method: type[Method[Any]]) -> None:
    for settings in (*settings_classes(Common), *settings_classes(method.Settings)):
        field = dataclasses.fields(settings)[0]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(settings(), field.name, None)
        with pytest.raises(TypeError):
            settings(None)


def test_names_of_earlier_versions_are_taken(tmp_path: Path) -> None:
    """On the command line, in files and from Python; what decides nothing any more is passed over."""
    said = [
        "locator.steps=5",
        "map.kind=placed",
        "training.learning_rate=0.1",
        "student.time_share=0.5",
    ]
    settings = resolve(settings=said)
    assert settings == resolve(
        settings=["localizer.steps=5", "map.kind=weighted", "optimiser.learning_rate=0.1", "student.time_fraction=0.5"]
    )
    (tmp_path / "a.yaml").write_text("locator: {steps: 5, members: 2}\nmap: {kind: placed, split_distance: 3}\n")
    of_file = resolve(file=tmp_path / "a.yaml")
    assert of_file == resolve(overrides={"localizer": {"steps": 5}, "map": {"kind": "weighted"}})
    assert of_file == resolve(overrides={"locator": {"steps": 5}, "map": {"kind": "placed"}})
    with pytest.raises(ValueError, match=r"--set map.split_distance=3: decides nothing any more; leave it out"):
        resolve(settings=["map.split_distance=3"])
    known = setting_keys()
    for before, today in EARLIER_NAMES.items():
        assert before not in known
        assert today is None or today in known


def test_unknown_preset() -> None:
    with pytest.raises(
        ValueError, match="--preset quik: unknown preset; choose one of quick, balanced, paper, paper-quick"
    ):
        resolve(preset="quik")


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "hello", "", "a: [1"])
def test_files_that_hold_no_settings(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"a\.yaml: (must hold settings|not a YAML file)"):
        resolve(file=tmp_path / "a.yaml")


def test_a_binary_file_is_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ValueError, match=r"a\.yaml: not a YAML file"):
        resolve(file=tmp_path / "a.yaml")


def test_settings_cannot_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        resolve().seed = 1  # type: ignore[misc]


def test_setting_keys() -> None:
    keys = setting_keys()
    assert {"image_size", "training.steps", "training.schedule.warm_up", "losses.r1_every"} <= set(keys)
    assert "training" not in keys
    assert len(set(keys)) == len(keys)
    assert set(setting_keys(METHODS[0])) == set(keys)  # of the default method


def test_all_methods_share_the_common_settings() -> None:
    shared = set.intersection(*(set(setting_keys(method)) for method in METHODS))
    assert {"preset", "method", "seed", "data.group", "training.steps", "selection.tie", "student.rounds"} <= shared
    assert set(resolve().to_dict()) > {field.name for field in dataclasses.fields(Common)}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1h1m1s", 3661), ("0.5h", 1800), (" 2m ", 120)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "0", "0s", "-5", "5 minutes", "1m1h", "10m5m", "ten", "1e3", "5d"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(1, 59))
def test_durations_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == 3600 * hours + 60 * minutes + seconds
