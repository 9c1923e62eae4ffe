"""The command line: what it makes, what it prints, and one line for everything that is wrong."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import yaml
from click.testing import CliRunner, Result

import distmap as package
from distmap.cli import main
from distmap.methods.registry import list_methods

Folders = tuple[Path, Path]


def distmap(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def refused(result: Result, *words: str) -> None:
    """Exit status 2 and one line, ``error: ...``, that holds ``words``; nothing on standard output."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    progress = [line for line in lines[:-1] if not line.endswith("...")]
    assert not progress, result.stderr
    assert lines[-1].startswith("error: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in lines[-1]


@pytest.fixture
def config(tiny: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny))
    return path


@pytest.fixture
def folders(pictures: Folders, tmp_path: Path) -> Folders:
    """Copies of the two folders, to spoil."""
    return shutil.copytree(pictures[0], tmp_path / "with"), shutil.copytree(pictures[1], tmp_path / "without")


# --- what works --------------------------------------------------------------------------------------------------


def test_fit_map_info(folders: Folders, config: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "first"
    result = distmap("fit", *folders, "--run", run, "--config", config, "--set", "seed=4", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    result = distmap("map", run, *folders, "--out", tmp_path / "maps", "--preview", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert len(list((tmp_path / "maps").glob("*.tiff"))) == len(list((tmp_path / "maps").glob("*.png"))) == 24
    result = distmap("info", run, "--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    description = json.loads(result.stdout)
    assert description["run"] == "first"
    assert description["config"]["seed"] == 4
    result = distmap("info", run)
    assert result.exit_code == 0
    assert "first (finished)" in result.stdout


def test_maps_of_each_source(fitted: Path, taught: Path, pictures: Folders, tmp_path: Path) -> None:
    picture = pictures[0] / "with_00.png"
    made = {}
    for run in (fitted, taught):
        for source in ("weighted", "unweighted", "branch1", "localizer", "auto"):
            out = tmp_path / run.name / source
            result = distmap("map", run, picture, "--out", out, "--source", source, "--device", "cpu")
            assert result.exit_code == 0, result.output
            made[run, source] = tifffile.imread(out / "with_00.tiff")
        distinct = [made[run, source] for source in ("weighted", "unweighted", "branch1", "localizer")]
        assert not any(np.allclose(one, other) for one, other in itertools.combinations(distinct, 2))
    for source in ("weighted", "unweighted", "branch1", "localizer"):
        np.testing.assert_allclose(made[fitted, source], made[taught, source], atol=1e-6)
    assert any(np.array_equal(made[fitted, "auto"], made[fitted, source]) for source in ("weighted", "unweighted"))
    result = distmap("map", taught, picture, "--out", tmp_path / "student", "--source", "student", "--device", "cpu")
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "student" / "with_00.tiff"), made[taught, "auto"])


def test_a_source_that_there_is_not_is_refused(fitted: Path, pictures: Folders, tmp_path: Path) -> None:
    for source in ("student", "brunch"):
        result = distmap("map", fitted, pictures[0], "--out", tmp_path / "maps", "--source", source, "--device", "cpu")
        refused(
            result, f"--source {source}: the run has no such maps; choose one of auto, weighted, unweighted, branch1"
        )
        assert not (tmp_path / "maps").exists()


def test_options_over_settings(folders: Folders, config: Path, tmp_path: Path) -> None:
    options = ("--image-size", "48", "--steps", "3", "--seed", "9", "--group", r"(\d\d)", "--set", "seed=1")
    result = distmap("fit", *folders, "--run", tmp_path / "run", "--config", config, "--device", "cpu", *options)
    assert result.exit_code == 0, result.output
    stored = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (stored["image_size"], stored["training"]["steps"], stored["seed"]) == (48, 3, 9)
    assert stored["data"]["group"] == r"(\d\d)"


def test_steps_and_the_time_limit(folders: Folders, tmp_path: Path) -> None:
    # Checked on a fit that is refused late: its settings are resolved first.
    with pytest.MonkeyPatch.context() as patch:
        seen: dict[str, Any] = {}
        patch.setattr("distmap.fit", lambda *_args, **keywords: seen.update(keywords), raising=False)
        assert distmap("fit", *folders, "--run", tmp_path / "run", "--steps", "5").exit_code == 0
        assert seen["overrides"] == {"training": {"steps": 5}}  # the preset's limit stays
        assert (
            distmap("fit", *folders, "--run", tmp_path / "run", "--steps", "5", "--time-limit", "none").exit_code == 0
        )
        assert seen["overrides"] == {"training": {"steps": 5, "time_limit": None}}
        distmap("fit", *folders, "--run", tmp_path / "run", "--steps", "5", "--time-limit", "1h30m")
        assert seen["overrides"] == {"training": {"steps": 5, "time_limit": 5400.0}}
        distmap("fit", *folders, "--run", tmp_path / "run")
        assert seen["overrides"] == {}


def test_resume_and_overwrite(folders: Folders, config: Path, tmp_path: Path) -> None:
    fit = ("fit", *folders, "--run", tmp_path / "run", "--config", config, "--device", "cpu")
    assert distmap(*fit).exit_code == 0
    refused(distmap(*fit), "--run", "run: exists already", "--resume", "--overwrite")
    refused(distmap(*fit, "--resume", "--overwrite"), "--resume and --overwrite")
    refused(distmap(*fit, "--resume", "--seed", "5"), "--resume", "other settings")
    assert distmap(*fit, "--resume", "--steps", "6").exit_code == 0
    assert distmap(*fit, "--overwrite").exit_code == 0


def test_presets() -> None:
    result = distmap("presets", "--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    presets = json.loads(result.stdout)
    assert list(presets) == ["quick", "balanced", "paper", "paper-quick"]
    assert presets["paper"]["image_size"] == 256
    assert presets["paper-quick"]["losses"]["guidance"] == 0
    result = distmap("presets")
    for name in ("quick", "balanced", "paper", "paper-quick", "r1_every"):
        assert name in result.stdout


def test_presets_of_a_method() -> None:
    presets = json.loads(distmap("presets", "--method", "mil", "--json").stdout)
    assert {settings["method"] for settings in presets.values()} == {"mil"}
    assert "classifier" in presets["quick"]
    assert "generator" not in presets["quick"]
    text = distmap("presets", "--method", "mil").stdout
    assert "sharpness:" in text
    assert "generator:" not in text
    refused(distmap("presets", "--method", "gun"), "--method gun", "branched-gan")


def test_methods() -> None:
    result = distmap("methods", "--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    listed = json.loads(result.stdout)
    assert [method["name"] for method in listed] == [method.name for method in list_methods()]
    assert {"branched-gan", "mil", "mean-difference"} <= {method["name"] for method in listed}
    assert listed[0]["name"] == "branched-gan"  # the default one
    for method in listed:
        assert list(method) == ["name", "paper", "family", "needs", "summary"]
        assert all(isinstance(fact, str) and fact for fact in method.values())
    text = distmap("methods").stdout
    assert all(fact in text for method in listed for fact in method.values())


def test_fit_by_another_method(folders: Folders, tmp_path: Path) -> None:
    options = ("--method", "mean-difference", "--image-size", "32", "--set", "map.smoothing=2", "--device", "cpu")
    result = distmap("fit", *folders, "--run", tmp_path / "run", *options)
    assert result.exit_code == 0, result.output
    description = json.loads(distmap("info", tmp_path / "run", "--json").stdout)
    assert description["config"]["method"] == "mean-difference"
    assert description["config"]["map"] == {"smoothing": 2.0}
    result = distmap("map", tmp_path / "run", folders[0], "--out", tmp_path / "maps", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "maps").glob("*.tiff"))) == 12


def test_export(fitted: Path, tmp_path: Path) -> None:
    import onnx

    result = distmap(
        "export", fitted, "--format", "onnx", "--out", tmp_path / "small.onnx", "--size", "16x32", "--json"
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"file": str(tmp_path / "small.onnx")}
    (shape,) = (put.type.tensor_type.shape for put in onnx.load(str(tmp_path / "small.onnx")).graph.input)
    assert [dimension.dim_value for dimension in shape.dim][1:] == [1, 16, 32]


def test_export_goes_to_the_run_unless_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def export(run: Path, **keywords: Any) -> Path:
        seen.update(keywords)
        return run / "map.onnx"

    monkeypatch.setattr(package, "export", export, raising=False)
    assert distmap("export", tmp_path, "--format", "onnx").exit_code == 0
    assert seen == {"out": None, "format": "onnx", "size": None}
    assert distmap("export", tmp_path, "--format", "onnx", "--size", "224X96").exit_code == 0
    assert seen["size"] == (224, 96)


@pytest.mark.parametrize("size", ["224", "0x64", "64x", "-3x4", "axb", "64x64x3"])
def test_export_refuses_sizes_that_are_none(tmp_path: Path, size: str) -> None:
    refused(distmap("export", tmp_path, "--format", "onnx", f"--size={size}"), f"--size {size}", "such as 224x224")


def test_help_is_quick_to_import() -> None:
    code = "import sys; from distmap.cli import main; print([m for m in ('torch', 'numpy', 'cv2') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


# --- what is wrong -----------------------------------------------------------------------------------------------


@pytest.fixture
def fit_refused(folders: Folders, config: Path, tmp_path: Path) -> Any:
    """``fit_refused(*options, words=[...], folders=...)``: refused, and nothing at --run."""

    def check(*options: str | Path, words: tuple[str, ...], folders: tuple[Path, ...] = folders) -> None:
        run = tmp_path / "run"
        result = distmap("fit", *folders, "--run", run, "--config", config, "--device", "cpu", *options)
        refused(result, *words)
        assert not run.exists()

    return check


def test_an_empty_folder(fit_refused: Any, folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    fit_refused(words=("empty: the folder holds no pictures",), folders=(folders[0], tmp_path / "empty"))


def test_a_missing_folder(fit_refused: Any, folders: Folders, tmp_path: Path) -> None:
    fit_refused(words=("nowhere: no such folder",), folders=(tmp_path / "nowhere", folders[1]))


def test_one_folder_only(fit_refused: Any, folders: Folders) -> None:
    fit_refused(words=("WITHOUT",), folders=folders[:1])


def test_the_same_folder_twice(fit_refused: Any, folders: Folders) -> None:
    fit_refused(words=("with: given as both folders",), folders=(folders[0], folders[0]))


def test_nested_folders(fit_refused: Any, folders: Folders) -> None:
    shutil.copytree(folders[1], folders[0] / "without")
    fit_refused(words=("one lies inside the other",), folders=(folders[0], folders[0] / "without"))


def test_one_picture_only(fit_refused: Any, folders: Folders) -> None:
    for path in sorted(folders[0].iterdir())[1:]:
        path.unlink()
    fit_refused(words=("1 pictures WITH and 12 WITHOUT", "give more pictures"))


def test_a_text_file_among_pictures(fit_refused: Any, folders: Folders) -> None:
    (folders[1] / "notes.txt").write_text("hello")
    fit_refused(words=("notes.txt: not a picture",))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_picture_cut_short(fit_refused: Any, folders: Folders, suffix: str) -> None:
    path = folders[0] / f"broken.{suffix}"
    assert cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:-300])
    fit_refused(words=(f"broken.{suffix}", "damaged or cut short", "replace or remove it"))


def test_other_bands(fit_refused: Any, folders: Folders) -> None:
    assert cv2.imwrite(str(folders[1] / "colour.png"), np.zeros((32, 32, 3), np.uint8))
    fit_refused(words=("colour.png: has 3 band(s)", "has 1"))


def test_other_number_type(fit_refused: Any, folders: Folders) -> None:
    assert cv2.imwrite(str(folders[1] / "deep.png"), np.zeros((32, 32), np.uint16))
    fit_refused(words=("deep.png: has uint16 values", "has uint8"))


def test_values_that_are_not_finite(fit_refused: Any, folders: Folders) -> None:
    tifffile.imwrite(folders[0] / "nan.tif", np.full((32, 32), np.nan, np.float32))
    fit_refused(words=("nan.tif", "not finite"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--preset", "quik"), ("--preset quik", "quick, balanced, paper")),
        (("--method", "gun"), ("--method gun", "branched-gan", "mean-difference", "mil")),
        (
            ("--method", "mil"),
            ("unknown setting 'discriminator.max_width'", "presets --method mil"),
        ),
        (("--set", "generator.branch=2"), ("unknown setting 'generator.branch'", "did you mean 'generator.branches'?")),
        (("--set", "generator.branches=many"), ("setting generator.branches='many'",)),
        (("--set", "seed"), ("--set seed: give it as KEY=VALUE",)),
        (("--image-size", "33"), ("image_size=33", "must be even")),
        (("--image-size", "36"), ("image_size=36", "multiple of 8")),
        (("--image-size", "big"), ("--image-size", "big")),
        (("--time-limit", "soon"), ("--time-limit", "'soon' is not a duration", "10m")),
        (("--time-limit", "0"), ("--time-limit", "longer than nothing")),
        (("--steps", "0"), ("training.steps=0",)),
        (("--seed", "-1"), ("seed=-1",)),
        (("--device", "tpu"), ("--device tpu", "auto, cpu, cuda")),
        (("--group", "("), ("--group '('", "not a regular expression")),
        (("--group", "patient"), ("does not match --group", "with_00.png")),
        (("--group", "(with)"), ("1 group(s) are too few", "finer --group")),
        (("--resume",), ("--run", "no run to resume")),
        (("--nonsense",), ("--nonsense",)),
    ],
)
def test_wrong_options(fit_refused: Any, options: tuple[str, ...], words: tuple[str, ...]) -> None:
    fit_refused(*options, words=words)


def test_config_files(fit_refused: Any, tmp_path: Path) -> None:
    fit_refused("--config", tmp_path / "none.yaml", words=("none.yaml", "No such file"))
    (tmp_path / "bad.yaml").write_text("a: [1\nb: 2")
    fit_refused("--config", tmp_path / "bad.yaml", words=("bad.yaml: not a YAML file",))
    (tmp_path / "list.yaml").write_text("- a\n- b\n")
    fit_refused("--config", tmp_path / "list.yaml", words=("list.yaml: must hold settings",))
    (tmp_path / "unknown.yaml").write_text("generator:\n  brances: 3\n")
    fit_refused("--config", tmp_path / "unknown.yaml", words=("generator.brances", "generator.branches"))


def test_a_run_is_needed(pictures: Folders, tmp_path: Path) -> None:
    refused(distmap("fit", *pictures), "--run")
    for nothing in (tmp_path, tmp_path / "nowhere"):
        refused(distmap("info", nothing), f"{nothing}: not a run folder", "distmap fit")
        refused(distmap("info", nothing, "--json"), f"{nothing}: not a run folder")
        refused(distmap("map", nothing, pictures[0], "--out", tmp_path / "maps"), f"{nothing}: not a run folder")
    assert not (tmp_path / "maps").exists()


def test_runs_of_an_earlier_version_are_refused_in_one_line(fitted: Path, pictures: Folders, tmp_path: Path) -> None:
    run = shutil.copytree(fitted, tmp_path / "run")
    (run / "config.yaml").write_text((run / "config.yaml").read_text().removeprefix("format: 3\n"))
    words = ("run: made by an earlier version", "train again with --overwrite")
    refused(distmap("info", run), *words)
    refused(distmap("export", run, "--format", "onnx"), *words)
    refused(distmap("map", run, pictures[0], "--out", tmp_path / "maps"), *words)
    refused(distmap("fit", *pictures, "--run", run, "--resume"), *words)


def test_a_run_cannot_be_a_file(folders: Folders, config: Path, tmp_path: Path) -> None:
    refused(distmap("fit", *folders, "--run", config, "--config", config), "tiny.yaml: is a file")
    result = distmap("fit", *folders, "--run", config / "run", "--config", config, "--device", "cpu")
    refused(result, "tiny.yaml")


def test_pictures_larger_than_the_limit(fitted: Path, folders: Folders, tmp_path: Path) -> None:
    limit = ("--max-megapixels", "0.0001")
    mapped = distmap("map", fitted, folders[0], "--out", tmp_path / "maps", *limit)
    refused(mapped, "GB of memory", "pipelines geotiff", "--max-megapixels 1")
    assert not (tmp_path / "maps").exists()
    refused(distmap("fit", *folders, "--run", tmp_path / "run", *limit), "--max-megapixels 1")
    assert not (tmp_path / "run").exists()
    assert distmap("map", fitted, folders[0], "--out", tmp_path / "maps").exit_code == 0


def test_wrong_pictures_to_map(fitted: Path, tmp_path: Path) -> None:
    def check(source: Path, *words: str) -> None:
        refused(distmap("map", fitted, source, "--out", tmp_path / "maps", "--device", "cpu"), *words)
        assert not (tmp_path / "maps").exists()

    check(tmp_path / "nowhere.png", "nowhere.png: no such file")
    assert cv2.imwrite(str(tmp_path / "colour.png"), np.zeros((32, 32, 3), np.uint8))
    check(tmp_path / "colour.png", "colour.png: has 3 band(s)")
    (tmp_path / "text.png").write_text("hello")
    check(tmp_path / "text.png", "text.png")
    refused(distmap("map", fitted, "--out", tmp_path / "maps"), "IMAGES")
    refused(distmap("map", fitted, tmp_path / "colour.png"), "--out")
