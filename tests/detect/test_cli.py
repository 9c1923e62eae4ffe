"""The command line: what it prints, writes and returns, with a stub in place of a trained run."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from detect.cli import main
from detect.conversion import read_annotations
from detect.formats import coco
from detect.rasters import read_map
from detect.scores.curves import write_curves
from distmap.common.detection_settings import (
    DetectionSettings,
    SourceSettings,
    read_detection_settings,
    write_detection_settings,
)
from distmap.common.locks import locked
from distmap.common.object_size import ObjectSize

Command = Callable[..., Result]


@dataclass(frozen=True)
class StubMap:
    name: str
    map_HW: NDArray[np.float32]
    scores: dict[str, float] = field(default_factory=lambda: {"residual": 0.25})


@dataclass(frozen=True)
class StubModel:
    """Maps a grey picture to its brightness; half of it where the maps are to be of branch 1."""

    source: str = "auto"

    def maps(self, sources: list[Path]) -> Iterator[StubMap]:
        for source in sources:
            for file in sorted(source.rglob("*.png")):
                grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
                if grey is None:
                    raise ValueError(f"{file}: not a picture")
                factor = 0.5 if self.source == "branch1" else 1
                yield StubMap(file.relative_to(source).as_posix(), (factor * grey / 255).astype(np.float32))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    import distmap

    monkeypatch.setattr(distmap, "load", lambda run, device="auto", source="auto": StubModel(source), raising=False)

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(main, [str(item) for item in arguments])

    return call


@pytest.fixture
def run(tmp_path: Path) -> Path:
    settings = DetectionSettings(threshold=0.5, false_alarm=0.01, rates=(0.1, 0.001), thresholds=(0.2, 0.8))
    write_detection_settings(tmp_path / "run", settings)
    return tmp_path / "run"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two pictures; the first holds a block of 200 at (3, 2), 5 x 4, and one of 100 at (12, 12), 3 x 3."""
    first = np.zeros((20, 24), np.uint8)
    first[2:6, 3:8] = 200
    first[12:15, 12:15] = 100
    for name, picture in (("sub/one ä.png", first), ("two.png", np.zeros((8, 9), np.uint8))):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), picture)
    return tmp_path / "images"


def failed(result: Result) -> str:
    assert result.exit_code == 2, result.output
    # What is known of the objects may be said before.
    *before, line = result.stderr.strip().splitlines()
    assert all(one.startswith(("objects: ", "mapping ")) for one in before), result.stderr
    assert line.startswith("error: ")
    return line


def test_extract_writes_what_was_asked_for(command: Command, run: Path, images: Path, tmp_path: Path) -> None:
    out, maps, masks = tmp_path / "out" / "a.json", tmp_path / "maps", tmp_path / "masks"
    result = command("extract", run, images, "--out", out, "--maps", maps, "--masks", masks, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["objects"] == 1
    pictures = coco.read(out)
    assert [picture.name for picture in pictures] == ["sub/one ä.png", "two.png"]
    assert [item.bbox for item in pictures[0].instances] == [(3, 2, 5, 4)]
    assert pictures[0].model == {"residual": 0.25}
    assert read_map(maps / "sub" / "one ä.tiff")[3, 4] == pytest.approx(200 / 255)
    drawn = cv2.imdecode(np.fromfile(masks / "sub" / "one ä.png", np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.unique(np.asarray(drawn)).tolist() == [0, 255]
    assert not np.asarray(cv2.imread(str(masks / "two.png"), cv2.IMREAD_UNCHANGED)).any()


def test_extract_by_another_source(command: Command, run: Path, images: Path, tmp_path: Path) -> None:
    """Its maps and its threshold: those of branch 1 are half as strong here, and both blocks are above 0.15."""
    branch1 = SourceSettings(threshold=0.15, false_alarm=0.01, rates=(0.1, 0.001), thresholds=(0.1, 0.3))
    settings = dataclasses.replace(read_detection_settings(run), map_kind="student", sources={"branch1": branch1})
    write_detection_settings(run, settings)
    maps = tmp_path / "maps"
    out = ("--out", tmp_path / "a.json", "--json")
    result = command("extract", run, images, *out, "--source", "branch1", "--maps", maps)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["objects"] == 2
    assert read_map(maps / "sub" / "one ä.tiff")[3, 4] == pytest.approx(100 / 255)
    strict = command("extract", run, images, *out, "--source", "branch1", "--false-alarm", "0.001")
    assert json.loads(strict.stdout)["objects"] == 1
    for source in ("auto", "student"):
        assert json.loads(command("extract", run, images, *out, "--source", source).stdout)["objects"] == 1
    (tmp_path / "a.json").unlink()
    line = failed(command("extract", run, images, *out, "--source", "localizer"))
    assert "--source localizer: the run has no such maps; choose one of auto, student, branch1" in line
    assert not (tmp_path / "a.json").exists()


def test_extract_draws_on_the_pictures(command: Command, run: Path, images: Path, tmp_path: Path) -> None:
    overlays = tmp_path / "overlays"
    result = command("extract", run, images, "--out", tmp_path / "a.json", "--overlays", overlays)
    assert result.exit_code == 0, result.output
    drawn = cv2.imdecode(np.fromfile(overlays / "sub" / "one ä.png", np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None
    zoom = drawn.shape[1] // 24
    assert drawn.shape == (20 * zoom, 24 * zoom, 3)
    coloured = np.argwhere(drawn.max(axis=-1) != drawn.min(axis=-1))
    assert coloured.min(axis=0).tolist() == [2 * zoom, 3 * zoom]
    assert coloured.max(axis=0).tolist() == [6 * zoom, 8 * zoom]
    plain = cv2.imread(str(overlays / "two.png"))
    assert plain is not None
    assert not plain.any()
    failed(command("extract", run, images, "--out", tmp_path / "b.json", "--overlays", images))
    assert not (tmp_path / "b.json").exists()


def test_report(command: Command, run: Path, images: Path, tmp_path: Path) -> None:
    out, maps = tmp_path / "out" / "r.html", tmp_path / "maps"
    result = command("report", run, images, "--out", out, "--truth", images, "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert (content["pictures"], content["objects"], content["threshold"]) == (2, 1, 0.5)
    assert content["scores"]["objects_true"] == 2
    assert f"detect extract {run} {images} --out annotations.json" in out.read_text(encoding="utf-8")
    assert command("extract", run, images, "--out", tmp_path / "a.json", "--maps", maps).exit_code == 0
    again = command("report", run, images, "--out", tmp_path / "again.html", "--from-maps", maps)
    assert again.exit_code == 0, again.output
    assert "1 objects in 2 pictures at threshold 0.5" in again.stdout
    line = failed(command("report", run, images, "--out", images / "two.png"))
    assert "is one of the pictures" in line
    assert "is a folder" in failed(command("report", run, images, "--out", images))


@pytest.mark.parametrize(
    ("options", "objects"),
    [
        (["--threshold", "0.3"], 2),
        (["--threshold", "0.3", "--min-area", "10"], 1),
        (["--false-alarm", "0.1"], 2),
        (["--false-alarm", "0.001"], 0),
    ],
)
def test_thresholds_and_areas(
    command: Command, run: Path, images: Path, tmp_path: Path, options: list[str], objects: int
) -> None:
    result = command("extract", run, images, "--out", tmp_path / "a.json", "--json", *options)
    assert json.loads(result.stdout)["objects"] == objects


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threshold", "high"], "--threshold high: give auto, otsu, triangle or a number"),
        (["--threshold", "-1"], "threshold -1.0"),
        (["--threshold", "0.4", "--false-alarm", "0.01"], "not both"),
        (["--false-alarm", "0.9"], "reaches from 0.001 to 0.1"),
        (["--min-area", "-3"], "--min-area"),
        (["--no-such-option"], "No such option"),
    ],
)
def test_wrong_options_are_one_line(
    command: Command, run: Path, images: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    assert message in failed(command("extract", run, images, "--out", tmp_path / "a.json", *options))
    assert not (tmp_path / "a.json").exists()


def test_a_broken_picture_leaves_nothing_behind(command: Command, run: Path, images: Path, tmp_path: Path) -> None:
    (images / "z.png").write_bytes(b"no picture")
    before = set(tmp_path.rglob("*"))
    out, maps, masks = tmp_path / "a.json", tmp_path / "maps", tmp_path / "masks"
    assert "z.png" in failed(command("extract", run, images, "--out", out, "--maps", maps, "--masks", masks))
    assert set(tmp_path.rglob("*")) == before


def test_a_folder_that_is_no_run(command: Command, images: Path, tmp_path: Path) -> None:
    assert "detector.json: not there" in failed(command("extract", tmp_path, images, "--out", tmp_path / "a.json"))


def test_one_name_twice_asks_for_the_common_folder(command: Command, run: Path, images: Path, tmp_path: Path) -> None:
    assert "two pictures have this name" in failed(
        command("extract", run, images, images, "--out", tmp_path / "a.json")
    )


def test_evaluate_prints_one_object_or_a_table(command: Command, run: Path, images: Path, tmp_path: Path) -> None:
    out, maps, masks = tmp_path / "a.json", tmp_path / "maps", tmp_path / "masks"
    assert command("extract", run, images, "--out", out, "--maps", maps, "--masks", masks).exit_code == 0
    result = command("evaluate", out, masks, "--maps", maps, "--json")
    scores: dict[str, Any] = json.loads(result.stdout)
    assert scores["pixel_ap"] == 1
    assert scores["ap50"] == pytest.approx(1)
    assert scores["pictures"] == 2
    table = command("evaluate", out, masks)
    assert table.exit_code == 0
    assert "dice" in table.stdout
    assert "pixel_ap" not in table.stdout
    assert all(0 < image["confidence"] <= 1 for image in json.loads(out.read_text())["images"])
    assert scores["risk_coverage"]["dice_at"]["0.8"] == 1
    assert "the surest 80 %" in table.stdout


def test_evaluate_says_what_was_not_looked_for(command: Command, images: Path, tmp_path: Path) -> None:
    labels, found = tmp_path / "labelTxt", tmp_path / "found.json"
    labels.mkdir()
    lines = ["1 1 9 1 9 5 1 5 car 0", "9 9 15 9 15 19 9 19 [b]us 0"]  # as it stands, no markup
    (labels / "one ä.txt").write_text(lines[0], encoding="utf-8")
    assert command("convert", labels, found, "--images", images).exit_code == 0
    one = command("evaluate", found, labels).stdout
    assert "categories" not in one
    assert "looked for" not in one
    (labels / "one ä.txt").write_text("\n".join(lines), encoding="utf-8")
    both = command("evaluate", found, labels)
    assert both.exit_code == 0, both.output
    assert both.stdout.splitlines()[-1] == (
        "not looked for, so not in the means: [b]us (1 object); "
        "--all-categories counts them, --category NAME scores one alone"
    )
    [row] = [line for line in both.stdout.splitlines() if line.startswith("│ [b]us")]
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "[b]us", "0", "1", "0.0000", "0.0000", "0.0000", "not looked for",
    ]  # fmt: skip
    everything = command("evaluate", found, labels, "--all-categories").stdout
    assert "[b]us" in everything
    assert "looked for" not in everything
    for options, ap50 in (([], 1), (["--all-categories"], 0.5), (["--category", "car"], 1)):
        result = command("evaluate", found, labels, "--json", *options)
        assert json.loads(result.stdout)["ap50"] == pytest.approx(ap50)


def test_evaluate_names_what_is_wrong(command: Command, tmp_path: Path) -> None:
    assert "no.json" in failed(command("evaluate", tmp_path / "no.json", tmp_path))
    (tmp_path / "a.json").write_text("[]")
    assert "a.json: a results list; give --pictures" in failed(command("evaluate", tmp_path / "a.json", tmp_path))


def test_stopping_gives_130(command: Command, run: Path, images: Path, tmp_path: Path, monkeypatch: Any) -> None:
    def stopped(self: StubModel, sources: list[Path]) -> Iterator[StubMap]:
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr(StubModel, "maps", stopped)
    assert command("extract", run, images, "--out", tmp_path / "a.json").exit_code == 130
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopping_saves_what_is_done(
    command: Command, run: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    whole = StubModel.maps

    def stopped(self: StubModel, sources: list[Path]) -> Iterator[StubMap]:
        yield next(whole(self, sources))
        signal.raise_signal(number)

    monkeypatch.setattr(StubModel, "maps", stopped)
    result = command("extract", run, images, "--out", tmp_path / "a.json", "--maps", tmp_path / "maps")
    assert result.exit_code == 130
    assert "1 pictures are done and saved" in result.stderr
    assert [picture.name for picture in coco.read(tmp_path / "a.json")] == ["sub/one ä.png"]
    assert [file.name for file in (tmp_path / "maps" / "sub").iterdir()] == ["one ä.tiff"]


def test_standard_output_holds_the_annotations_alone(tmp_path: Path) -> None:
    coco.write(tmp_path / "a.json", [])
    code = "from detect.cli import main; main()"
    command = [sys.executable, "-c", code, "convert", str(tmp_path / "a.json"), "/proc/self/fd/1", "--to", "coco"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout)["images"] == []
    assert answer.stderr == "0 objects in 0 pictures: /proc/self/fd/1\nleft out: nothing\n"


@pytest.mark.parametrize("option", ["--maps", "--masks"])
def test_the_second_command_in_a_folder_is_refused(
    command: Command, run: Path, images: Path, tmp_path: Path, option: str
) -> None:
    with locked(tmp_path / "folder"), ThreadPoolExecutor() as another:
        arguments = ("extract", run, images, "--out", tmp_path / "a.json", option, tmp_path / "folder")
        result = another.submit(command, *arguments).result()
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(f"error: {option} {tmp_path / 'folder'}: another command")
    assert not (tmp_path / "a.json").exists()


def test_a_run_that_another_command_writes_to_is_left_alone(
    command: Command, run: Path, images: Path, tmp_path: Path
) -> None:
    assert command("extract", run, images, "--out", tmp_path / "a.json", "--maps", tmp_path / "maps").exit_code == 0
    before = sorted((path.name, path.read_bytes()) for path in run.iterdir())
    with locked(run), ThreadPoolExecutor() as another:
        for arguments in (
            ("calibrate", run, images),
            ("tune", run, "--maps", tmp_path / "maps", "--truth", tmp_path / "a.json"),
        ):
            result = another.submit(command, *arguments).result()
            assert result.exit_code == 2
            assert result.stderr.splitlines()[-1].startswith(f"error: RUN {run}: another command")
        assert another.submit(command, "calibrate", run).result().exit_code == 0  # which only shows it
    assert sorted((path.name, path.read_bytes()) for path in run.iterdir()) == before


def test_help_needs_no_heavy_library() -> None:
    code = (
        "import sys, detect, detect.cli\n"
        "from click.testing import CliRunner\n"
        "assert CliRunner().invoke(detect.cli.main, ['--help']).exit_code == 0\n"
        "print([name for name in ('torch', 'numpy', 'cv2', 'scipy', 'skimage', 'shapely') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_names_of_the_package_are_there() -> None:
    import detect

    for name in detect.__all__:
        assert getattr(detect, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = detect.nothing


@pytest.mark.parametrize("rule", ["otsu", "triangle"])
def test_thresholds_from_each_map(command: Command, run: Path, images: Path, tmp_path: Path, rule: str) -> None:
    out = tmp_path / "a.json"
    assert command("extract", run, images, "--out", out, "--threshold", rule).exit_code == 0
    first, second = coco.read(out)
    assert (3, 2, 5, 4) in [item.bbox for item in first.instances]
    assert second.instances == ()


@pytest.mark.parametrize("name", ["dota", "yolo-obb", "label-studio", "geojson", "gpkg"])
def test_extract_writes_other_formats(command: Command, run: Path, images: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / ("a.gpkg" if name == "gpkg" else "out")
    result = command("extract", run, images, "--out", out, "--format", name, "--category", "car")
    assert result.exit_code == 0, result.output
    found = read_annotations(out, source_format=name, images=images)
    [item] = found[0].instances
    assert (found[0].name, item.category) == ("sub/one ä.png", "car")
    assert item.bbox == pytest.approx((3, 2, 5, 4))


def test_convert_and_evaluate_labeltxt(command: Command, images: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labelTxt"
    labels.mkdir()
    (labels / "one ä.txt").write_text("1 1 9 1 9 5 1 5 car 0\n9 9 15 9 15 19 9 19 car 0\n", encoding="utf-8")
    out = tmp_path / "a.json"
    result = command("convert", labels, out, "--images", images, "--json")
    assert json.loads(result.stdout) == {
        "pictures": 1,
        "objects": 2,
        "out": str(out),
        "left_out": {"pictures without a label file": 1},
        "without_place": {},
    }
    for source in (out, labels):
        result = command("evaluate", source, labels, "--images", images, "--json", "--curves", tmp_path / "curves")
        scores = json.loads(result.stdout)
        ones = ("dice", "iou", "ap", "ap50", "ap25", "ap_dota", "ap_dota_horizontal", "centre_f1")
        assert {name: scores[name] for name in ones} == dict.fromkeys(ones, 1.0)
    assert {file.name for file in (tmp_path / "curves").iterdir()} == {
        "curves.json",
        "objects_free_response.png",
        "objects_precision_recall.png",
    }


def test_curves_need_matplotlib(
    command: Command, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    labels = tmp_path / "labelTxt"
    labels.mkdir()
    (labels / "two.txt").write_text("1 1 9 1 9 5 1 5 car 0\n", encoding="utf-8")
    arguments = ("evaluate", labels, labels, "--images", images, "--bootstrap", 0)
    assert command(*arguments).exit_code == 0
    line = "needs matplotlib; install it with pip install 'distmap[report]'"
    assert line in failed(command(*arguments, "--curves", tmp_path / "curves"))
    assert not (tmp_path / "curves").exists()
    with pytest.raises(ValueError, match="needs matplotlib"):
        write_curves(tmp_path / "curves", {})


def test_large_pictures_and_blurred_masks_are_one_line(
    command: Command, run: Path, images: Path, tmp_path: Path
) -> None:
    assert command("extract", run, images, "--out", tmp_path / "a.json").exit_code == 0
    (tmp_path / "masks").mkdir()
    for picture in json.loads((tmp_path / "a.json").read_text())["images"]:
        file = (tmp_path / "masks" / picture["file_name"]).with_suffix(".jpg")
        file.parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(file), np.zeros((picture["height"], picture["width"]), np.uint8))
    convert = ("convert", tmp_path / "masks", tmp_path / "b.json", "--images", images, "--ignore", "255")
    assert "--max-megapixels 1" in failed(command(*convert, "--max-megapixels", "0.0000001"))
    result = command(*convert)
    assert result.exit_code == 0
    lines = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert len(lines) == 1
    assert "JPEG blurs masks" in lines[0]


def test_convert_names_what_is_wrong(command: Command, images: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labelTxt"
    labels.mkdir()
    (labels / "two.txt").write_text("1 1 9 1 9 5 1\n")
    before = set(tmp_path.rglob("*"))
    assert "two.txt: line 1: 7 fields" in failed(command("convert", labels, tmp_path / "a.json", "--images", images))
    assert "give --images" in failed(command("convert", labels, tmp_path / "a.json"))
    assert "say --format" in failed(command("convert", labels, tmp_path / "a", "--images", images))
    (labels / "two.txt").rename(labels / "three.txt")
    assert "three.txt: no picture has this name" in failed(
        command("convert", labels, tmp_path / "a.json", "--images", images)
    )
    (labels / "three.txt").rename(labels / "two.txt")
    assert set(tmp_path.rglob("*")) == before


def test_calibrate_writes_the_run_and_reports(command: Command, run: Path, tmp_path: Path) -> None:
    without = tmp_path / "without"
    without.mkdir()
    rng = np.random.default_rng(0)
    for index in range(6):
        picture = rng.integers(0, 250, (20, 20)).astype(np.uint8)
        assert cv2.imwrite(str(without / f"p{index // 2}_{index}.png"), picture)
    result = command("calibrate", run, without, "--group", r"^(p\d)_", "--false-alarm", "0.05", "--json")
    report = json.loads(result.stdout)
    settings = read_detection_settings(run)
    assert settings.threshold == report["detector"]["threshold"] == pytest.approx(0.95, abs=0.02)
    assert (report["groups"], settings.pictures, settings.unit) == (3, 6, "pixel")
    assert report["reached"] <= 0.05
    assert report["measured"] == pytest.approx(0.05, abs=0.03)
    assert command("calibrate", run, without).exit_code == 0
    usual = read_detection_settings(run)
    assert (usual.false_alarm, usual.close_radius) == (0.003, settings.close_radius)
    table = command("calibrate", run, without, "--false-alarm", "2", "--unit", "object")
    assert table.exit_code == 0
    assert "false objects a picture" in table.stdout
    assert read_detection_settings(run).unit == "object"
    shown = command("calibrate", run)
    assert "false alarms 2 objects a picture, from 6 pictures without" in shown.stdout
    assert json.loads(command("calibrate", run, "--json").stdout)["unit"] == "object"


def test_calibrate_names_what_is_wrong(command: Command, run: Path, images: Path) -> None:
    before = (run / "detector.json").read_text()
    assert "give --false-alarm too" in failed(command("calibrate", run, images, "--unit", "object"))
    assert "--group 'x' does not match" in failed(command("calibrate", run, images, "--group", "x"))
    assert "false alarm 0.9" in failed(command("calibrate", run, images, "--false-alarm", "0.9"))
    assert (run / "detector.json").read_text() == before


@pytest.mark.real
def test_real_labels_against_themselves(command: Command, data: Path, tmp_path: Path) -> None:
    images, labels, out = data / "aerial" / "images", data / "aerial" / "labelTxt", tmp_path / "a.json"
    assert command("convert", labels, out, "--images", images).exit_code == 0
    scores = json.loads(command("evaluate", out, labels, "--json", "--bootstrap", "0").stdout)
    ones = ("dice", "dice_per_picture", "iou", "ap", "ap50", "ap25", "ap_dota", "centre_f1", "image_auroc")
    assert {name: scores[name] for name in ones} == dict.fromkeys(ones, 1.0)
    assert scores["count_mae"] == 0
    assert scores["pictures"] == 447


@pytest.mark.parametrize("option", ["--maps", "--masks"])
def test_extract_never_replaces_the_pictures(
    command: Command, run: Path, images: Path, tmp_path: Path, option: str
) -> None:
    before = (images / "two.png").read_bytes()
    result = command("extract", run, images, "--out", tmp_path / "a.json", option, images)
    assert result.exit_code == 2
    assert option in result.output
    assert (images / "two.png").read_bytes() == before


# Of a run, over the blocks of `images`: the typical object is the block of 5 x 4, and the threshold is for both.
SIZED: dict[str, Any] = {"threshold": 0.3, "false_alarm": 0.01, "object_size": ObjectSize(area=20, length=5, width=4)}


def saved(command: Command, run: Path, images: Path, folder: Path) -> Path:
    """Maps of ``images``, as `extract --maps` leaves them in ``folder``."""
    result = command("extract", run, images, "--out", folder.parent / "first.json", "--maps", folder)
    assert result.exit_code == 0, result.output
    return folder


def shapes(path: Path) -> list[tuple[str, list[tuple[float, ...]], list[float | None]]]:
    """Name, boxes and scores of each picture of a COCO file."""
    return [
        (item.name, [one.bbox for one in item.instances], [one.score for one in item.instances])
        for item in coco.read(path)
    ]


def test_saved_maps_give_the_same_annotations(command: Command, run: Path, images: Path, tmp_path: Path) -> None:
    maps = saved(command, run, images, tmp_path / "maps")
    for options in ([], ["--threshold", "0.3", "--object-size", "5x4"], ["--threshold", "otsu"]):
        new, again = tmp_path / "new.json", tmp_path / "again.json"
        assert command("extract", run, images, "--out", new, *options).exit_code == 0
        assert command("extract", run, images, "--out", again, "--from-maps", maps, *options).exit_code == 0
        assert shapes(again) == shapes(new)
        assert any(boxes for _, boxes, _ in shapes(new))
    assert [item.model for item in coco.read(again)] == [{}, {}]


def test_saved_maps_need_no_network(command: Command, run: Path, images: Path, tmp_path: Path) -> None:
    """Neither torch nor a model is loaded."""
    maps = saved(command, run, images, tmp_path / "maps")
    out = tmp_path / "a.json"
    code = (
        "import sys\n"
        "from detect.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "print([name for name in ('torch', 'lightning_fabric', 'distmap.model') if name in sys.modules])"
    )
    arguments = ["extract", str(run), str(images), "--out", str(out), "--from-maps", str(maps)]
    answer = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"
    assert shapes(out) == shapes(tmp_path / "first.json")


def test_saved_maps_that_do_not_fit_are_named(command: Command, run: Path, images: Path, tmp_path: Path) -> None:
    maps, out = saved(command, run, images, tmp_path / "maps"), tmp_path / "a.json"
    (maps / "two.tiff").rename(maps / "three.tiff")
    line = failed(command("extract", run, images, "--out", out, "--from-maps", maps))
    assert "two.png: has no map in" in line
    assert "1 of 2 pictures have none" in line
    (maps / "sub" / "one ä.tiff").replace(maps / "two.tiff")
    assert "two.tiff: the map is 24 x 20" in failed(
        command("extract", run, images / "two.png", "--out", out, "--from-maps", maps)
    )
    assert "no such folder" in failed(command("extract", run, images, "--out", out, "--from-maps", tmp_path / "none"))
    assert not out.exists()


def test_any_setting_and_the_typical_object(command: Command, run: Path, images: Path, tmp_path: Path) -> None:
    """The least area follows the size: a quarter of it."""
    write_detection_settings(run, DetectionSettings(**SIZED))
    out = tmp_path / "a.json"

    def boxes(*options: str) -> list[tuple[float, ...]]:
        assert command("extract", run, images, "--out", out, *options).exit_code == 0
        return sorted(box for _, some, _ in shapes(out) for box in some)

    large, small = (3, 2, 5, 4), (12, 12, 3, 3)
    assert boxes() == [large, small]
    assert boxes("--set", "min_area=10") == [large]
    assert boxes("--set", "threshold=0.5", "--set", "min_area=1") == [large]
    assert boxes("--set", "max_area=10") == [small]
    assert boxes("--object-size", "8x6") == [large], "9 pixels are less than a quarter of 48"
    assert boxes("--object-size", "8x6", "--set", "min_area=9", "--set", "open_radius=0") == [large, small]
    assert boxes("--object-size", "auto", "--min-area", "10") == [large]
    assert boxes("--min-area", "10", "--set", "min_area=1") == [large, small]


def test_what_is_said_of_objects(command: Command, run: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    unknown = command("extract", run, images, "--out", out)
    assert "does not know how large they are" in unknown.stderr
    assert "detect calibrate RUN --with DIR" in unknown.stderr
    assert "about 8 x 6 pixels" in command("extract", run, images, "--out", out, "--object-size", "6x8").stderr
    write_detection_settings(run, DetectionSettings(**SIZED))
    known = command("extract", run, images, "--out", out, "--json")
    assert known.stderr.startswith("objects: about 5 x 4 pixels")
    assert "objects: about 5 x 4 pixels" in command("calibrate", run).stdout
    assert json.loads(known.stdout)["objects"] == 2, "what is said goes to standard error"


def test_objects_with_tuned_settings(command: Command, run: Path, images: Path, tmp_path: Path) -> None:
    """What is given on the command line counts more than what was tuned."""
    out = tmp_path / "a.json"
    assert "tuned.json: not there" in failed(command("extract", run, images, "--out", out, "--tuned"))
    (run / "tuned.json").write_text(json.dumps({"settings": ["threshold=0.3", "min_area=10"]}))
    for options, objects in (([], 1), (["--tuned"], 1), (["--tuned", "--set", "min_area=1"], 2)):
        report = json.loads(command("extract", run, images, "--out", out, "--json", *options).stdout)
        assert report["objects"] == objects
        assert report["threshold"] == (0.3 if options else 0.5)
    (run / "tuned.json").write_text('{"settings": ["nek=1"]}')
    assert "tuned.json: nek=1: unknown setting" in failed(command("extract", run, images, "--out", out, "--tuned"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--object-size", "large"], "object size 'large': give auto, a length and a width in pixels"),
        (["--object-size", "3x"], "object size '3x'"),
        (["--object-size", "-5"], "object size '-5'"),
        (["--set", "nek=0.5"], "unknown setting 'nek'; did you mean 'neck'?"),
        (["--set", "neck"], "--set neck: give it as KEY=VALUE"),
        (["--set", "neck=wide"], "--set neck=wide: Input should be a valid number"),
        (["--set", "neck=2"], "neck is 2.0, it must be from 0 to 1"),
        (["--set", "halo=1"], "halo is 1.0"),
        (["--set", "threshold=-1"], "threshold -1.0"),
        (["--set", "low_threshold=0.9"], "low threshold 0.9"),
        (["--set", "value_range=2,1"], "value_range is (2.0, 1.0), it must be two finite numbers, the lower one first"),
        (["--set", "object_size=large"], "object size 'large'"),
    ],
)
def test_wrong_settings_are_one_line(
    command: Command, run: Path, images: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    assert message in failed(command("extract", run, images, "--out", tmp_path / "a.json", *options))
    assert not (tmp_path / "a.json").exists()


@pytest.fixture
def with_blocks(tmp_path: Path) -> Path:
    """Pictures of 60 x 60 that hold two blocks of 12 x 6 each, of brightness 250."""
    folder = tmp_path / "with"
    folder.mkdir()
    for index in range(6):
        picture = np.zeros((60, 60), np.uint8)
        picture[5 + index : 11 + index, 8:20] = picture[30:42, 40 + index : 46 + index] = 250
        assert cv2.imwrite(str(folder / f"p{index}.png"), picture)
    return folder


def test_calibrate_finds_how_large_objects_are(command: Command, run: Path, with_blocks: Path, tmp_path: Path) -> None:
    before = read_detection_settings(run)
    result = command("calibrate", run, "--with", with_blocks)
    assert result.exit_code == 0, result.output
    assert "objects: about 12 x 6 pixels" in result.stdout
    after = read_detection_settings(run)
    size = ObjectSize(area=72, length=12, width=6, several=1, objects=12)
    assert after == dataclasses.replace(before, object_size=size), "nothing else changes"
    without = tmp_path / "without"
    without.mkdir()
    rng = np.random.default_rng(0)
    for index in range(3):
        assert cv2.imwrite(str(without / f"{index}.png"), rng.integers(0, 100, (20, 20)).astype(np.uint8))
    result = command("calibrate", run, without, "--with", with_blocks, "--false-alarm", "0.05", "--json")
    report = json.loads(result.stdout)
    both = read_detection_settings(run)
    assert both.object_size == size
    assert both.threshold == pytest.approx(0.37, abs=0.03)
    assert report["detector"] == json.loads(json.dumps(dataclasses.asdict(both)))
    assert command("calibrate", run, without, "--false-alarm", "0.05").exit_code == 0
    assert read_detection_settings(run).object_size == size, "without --with it stays"
    shown = json.loads(command("calibrate", run, "--json").stdout)
    assert shown["object_size"] == dataclasses.asdict(size)


def test_calibrate_with_too_few_objects(command: Command, run: Path, images: Path) -> None:
    result = command("calibrate", run, "--with", images, "--json")
    assert json.loads(result.stdout)["detector"]["object_size"] is None
    assert "too few to tell their size" in command("calibrate", run, "--with", images).stdout


def test_tune_on_a_little_truth(command: Command, run: Path, with_blocks: Path, tmp_path: Path) -> None:
    """The label-free threshold is far too low: a border of 60 around the blocks of 250 is taken, too."""
    truth = tmp_path / "truth"
    truth.mkdir()
    for file in sorted(with_blocks.iterdir()):
        picture = np.asarray(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE))
        assert cv2.imwrite(str(truth / file.name), np.where(picture > 0, 255, 0).astype(np.uint8))
        wide = cv2.dilate(picture, np.ones((9, 9), np.uint8))
        assert cv2.imwrite(str(file), np.where((picture == 0) & (wide > 0), np.uint8(60), picture))
    write_detection_settings(run, DetectionSettings(threshold=0.1, low_threshold=0.1, false_alarm=0.01))
    before = (run / "detector.json").read_bytes()
    maps = saved(command, run, with_blocks, tmp_path / "maps")
    result = command("tune", run, "--maps", maps, "--truth", truth, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["label_free"], report["score"], report["pictures"]) == (0, "ap50", 6)
    assert report["tuned"] == pytest.approx(1)
    assert report["held_out"] == pytest.approx(1)
    assert json.loads((run / "tuned.json").read_text()) == report
    assert (run / "detector.json").read_bytes() == before
    assert "ap50 1.000" in result.stderr, "what changes is told"

    out = tmp_path / "tuned.json"
    for options, ap50 in (([], 0), (["--tuned"], 1)):
        arguments = ["extract", run, with_blocks, "--out", out, "--from-maps", maps, *options]
        assert command(*arguments).exit_code == 0
        assert json.loads(command("evaluate", out, truth, "--json").stdout)["ap50"] == pytest.approx(ap50)

    result = command("tune", run, "--maps", maps, "--truth", truth, "--score", "dice", "--group", "^(p)")
    assert result.exit_code == 0, result.output
    assert "dice: " in result.stdout
    assert " 1.000 tuned (in hindsight), - tuned on either half" in result.stdout, "a single group"
    assert str(run / "tuned.json") in result.stdout
    assert json.loads((run / "tuned.json").read_text())["held_out"] is None


def test_tune_needs_no_network(command: Command, run: Path, with_blocks: Path, tmp_path: Path) -> None:
    maps, masks = tmp_path / "maps", tmp_path / "masks"
    out = tmp_path / "a.json"
    assert command("extract", run, with_blocks, "--out", out, "--maps", maps, "--masks", masks).exit_code == 0
    code = (
        "import sys\n"
        "from detect.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "print([name for name in ('torch', 'lightning_fabric') if name in sys.modules])"
    )
    arguments = ["tune", str(run), "--maps", str(maps), "--truth", str(masks), "--score", "dice"]
    answer = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"
    assert "settings: the label-free ones are best" in answer.stdout


def test_tune_names_what_is_wrong(command: Command, run: Path, images: Path, tmp_path: Path) -> None:
    maps, truth, empty = saved(command, run, images, tmp_path / "maps"), tmp_path / "truth", tmp_path / "empty"
    truth.mkdir()
    empty.mkdir()
    assert cv2.imwrite(str(truth / "two.png"), np.zeros((8, 9), np.uint8))

    def said(*options: object) -> str:
        return failed(command("tune", run, *options))

    assert "holds no map" in said("--maps", empty, "--truth", truth)
    assert "no such folder" in said("--maps", tmp_path / "none", "--truth", truth)
    assert "no such file or folder" in said("--maps", maps, "--truth", tmp_path / "none")
    assert "Missing option '--truth'" in said("--maps", maps)
    assert "--score" in said("--maps", maps, "--truth", truth, "--score", "iou")
    assert "--group 'x' does not match" in said("--maps", maps, "--truth", truth, "--group", "x")
    assert "detector.json: not there" in failed(command("tune", empty, "--maps", maps, "--truth", truth))
    assert not (run / "tuned.json").exists()
