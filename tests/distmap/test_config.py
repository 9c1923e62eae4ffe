"""Settings: presets, YAML, KEY=VALUE, checks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distmap.config import PRESETS, Config, parse_duration, read_yaml, resolve, setting_keys, to_yaml, validate


@pytest.mark.parametrize("name", ["quick", "balanced", "paper"])
def test_presets_resolve(name: str) -> None:
    assert name in PRESETS
    config = resolve(preset=name)
    assert config.preset == name
    assert config.training.steps or config.training.time_limit


def test_the_paper_preset_is_the_papers() -> None:
    config = resolve(preset="paper")
    assert (config.image_size, config.generator.branches, config.generator.stride) == (256, 5, 1)
    assert (config.generator.width, config.generator.max_width) == (64, 512)


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("seed: 1\nimage_size: 96\ngenerator:\n  branches: 5\n  width: 16\n")
    config = resolve(
        preset="balanced",
        file=file,
        settings=["generator.width = 24", "seed=2", "training.time_limit=none", "training.steps=7"],
        overrides={"seed": 3},
    )
    assert config.discriminator.width == 64  # the preset
    assert (config.image_size, config.generator.branches) == (96, 5)  # the file
    assert (config.generator.width, config.training.time_limit, config.training.steps) == (24, None, 7)  # --set
    assert config.seed == 3
    assert config.generator.depth == 4  # a section is not replaced as a whole


def test_the_preset_of_a_file_counts(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("preset: balanced\nseed: 5\n")
    assert resolve(file=file) == resolve(preset="balanced", overrides={"seed": 5})
    file.write_text("preset: nonsense\n")
    with pytest.raises(ValueError, match="nonsense: unknown preset"):
        resolve(file=file)
    with pytest.raises(ValueError, match="give it as --preset paper"):
        resolve(settings=["preset=paper"])


@pytest.mark.parametrize("name", PRESETS)
def test_yaml_round_trip(tmp_path: Path, name: str) -> None:
    config = resolve(preset=name, settings=[r"data.group=^(.*)_\d+$"])
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert validate(read_yaml(tmp_path / "config.yaml")) == config
    assert resolve(file=tmp_path / "config.yaml") == config


def test_settings_that_are_no_more_are_passed_over(tmp_path: Path) -> None:
    """A run of before they went can still be used; other settings that nobody knows are still refused."""
    path = tmp_path / "config.yaml"
    config = resolve(preset="quick", settings=["seed=7"])
    text = to_yaml(config)
    retired = "map:\n  close_radius: 1.0\n  open_radius: 1.5\n  split_distance: 4.0\n"
    assert "\nmap:\n" in text
    path.write_text(text.replace("map:\n", retired))
    assert validate(read_yaml(path)) == config
    path.write_text(f"seed: 7\n{retired}")
    assert resolve(file=path) == config
    path.write_text(f"{retired}  kind_of: 1\n")
    with pytest.raises(ValueError, match="kind_of"):
        resolve(file=path)
    with pytest.raises(ValueError, match=r"map\.split_distance"):
        resolve(settings=["map.split_distance=3"])


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
        ("student.rounds=often", r"setting student.rounds='often': .*; or give auto"),
        ("student.rounds=-1", r"setting student.rounds='-1': .*; or give auto"),
        ("losses.fidelity=-1", "setting losses.fidelity='-1'"),
        ("losses.fidelity=nan", "setting losses.fidelity='nan'"),
        ("data.holdout=1", "setting data.holdout='1'"),
        ("data.symmetry=some", "setting data.symmetry='some'"),
        ("seed=-1", "setting seed='-1'"),
        ("image_size=60", "setting image_size=60: must be a multiple of 16"),
        ("student.max_side=120", "setting student.max_side=120: must be a multiple of 16"),
        ("student.encoder_weights=coco", "setting student.encoder_weights='coco'"),
        ("training.time_limit=none", "give --steps, --time-limit or both"),
    ],
)
def test_wrong_settings_are_named(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(settings=[setting])


@pytest.mark.parametrize("key", sorted(setting_keys()))
def test_every_setting_can_be_given_as_text(key: str) -> None:
    """A preset's value of each setting, written out, is read back as it was."""
    for preset in ("quick", "paper"):
        config = resolve(preset=preset)
        value: object = config
        for name in key.split("."):
            value = getattr(value, name)
        if key != "preset":
            assert resolve(preset=preset, settings=[f"{key}={value}"]) == config


def test_unknown_preset() -> None:
    with pytest.raises(ValueError, match="--preset quik: unknown preset; choose one of quick, balanced, paper"):
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
        Config().seed = 1  # type: ignore[misc]


def test_setting_keys() -> None:
    keys = setting_keys()
    assert {"image_size", "training.steps", "losses.r1_every"} <= set(keys)
    assert "training" not in keys


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
