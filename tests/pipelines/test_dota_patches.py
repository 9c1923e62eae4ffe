"""Scenes with labelTxt to patches: places, labels, splits, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

import detect
from detect.formats import dota as label_txt
from detect.rasters import picture_sizes
from pipelines.cli import main
from pipelines.dota_patches import Candidates, choose

HEAD = "imagesource:GoogleEarth\ngsd:0.13\n"


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["dota", *map(str, arguments)])


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def read(path: Path) -> NDArray[Any]:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None, path
    return np.asarray(picture)


def line(left: float, top: float, right: float, bottom: float, category: str = "small-vehicle", hard: int = 0) -> str:
    return f"{left} {top} {right} {top} {right} {bottom} {left} {bottom} {category} {hard}\n"


def scene(seed: int = 0, height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(1, 255, (height, width, 3), dtype=np.uint8)


def write_scene(folder: Path, name: str, picture: NDArray[Any], *lines: str) -> None:
    for place in ("images", "labelTxt"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(folder / "images" / f"{name}.png"), picture)
    (folder / "labelTxt" / f"{name}.txt").write_text(HEAD + "".join(lines))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three scenes of 96 x 64: a car in the first quarter, and others that leave it open elsewhere."""
    folder = tmp_path / "data"
    lines = (
        line(4, 6, 20, 16),  # inside the first patch of 32
        line(54, 8, 74, 18),  # half in the second patch of the row, half in the third
        line(8, 40, 14, 50, "large-vehicle"),  # leaves the first patch of the second row open
        line(70, 40, 80, 50, "ship"),
    )
    for index, name in enumerate(("here_1", "here_2", "there_1")):
        write_scene(folder, name, scene(index), *lines)
    return folder


def test_patches_and_their_labels(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "set"
    options = ("--category", "small-vehicle", "--patch", 32, "--stride", 32, "--test-groups", "here_2")
    result = invoke(source, out, *options, "--without-per-with", 9, "--json")
    assert result.exit_code == 0, result.stderr
    train = {
        f"train/{place}.png"
        for name in ("here_1", "there_1")
        for place in (f"with/{name}__0_0", f"without/{name}__32_32", f"without/{name}__64_32")
    }
    test = {"test/with/here_2__0_0.png", "test/without/here_2__32_32.png", "test/without/here_2__64_32.png"}
    truth = {f"test/labelTxt/here_2__{place}.txt" for place in ("0_0", "32_32", "64_32")}
    assert files(out) == train | test | truth | {"test/scenes/here_2.png", "test/scenes_labelTxt/here_2.txt"}
    assert json.loads(result.stdout) == {
        "patches": {"train": {"with": 2, "without": 4}, "test": {"with": 1, "without": 2}},
        "scenes": {"train": 2, "test": 1},
        "test_groups": ["here_2"],
        "passed_over": {"without_labels": 0, "too_small": 0},
    }
    np.testing.assert_array_equal(read(out / "train/without/there_1__64_32.png"), scene(2)[32:64, 64:96])
    np.testing.assert_array_equal(read(out / "test/scenes/here_2.png"), scene(1))
    assert (out / "test/labelTxt/here_2__0_0.txt").read_text() == line(4, 6, 20, 16)
    assert (out / "test/labelTxt/here_2__32_32.txt").read_text() == ""
    assert (out / "test/scenes_labelTxt/here_2.txt").read_text() == line(4, 6, 20, 16) + line(54, 8, 74, 18)


def test_scale_shrinks_scenes_and_labels(tmp_path: Path) -> None:
    source, out = tmp_path / "data", tmp_path / "set"
    for index, name in enumerate(("a", "b")):
        # 101 x 151 at 0.5 is 50 x 76: factors are 76 / 151 and 50 / 101.
        lines = (line(60.4, 10.1, 75.5, 30.3), line(120.8, 0, 151, 20.2, hard=1))
        write_scene(source, name, scene(index, 101, 151), *lines)
    options = ("--category", "small-vehicle", "--patch", 20, "--stride", 20, "--scale", 0.5, "--test-groups", "b")
    result = invoke(source, out, *options)
    assert result.exit_code == 0, result.stderr
    shrunk = read(out / "test/scenes/b.png")
    assert shrunk.shape == (50, 76, 3)
    expected = cv2.resize(scene(1, 101, 151), (76, 50), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - expected).max() <= 1
    assert (out / "test/scenes_labelTxt/b.txt").read_text() == line(30.4, 5, 38, 15) + line(60.8, 0, 76, 10, hard=1)
    assert [path.name for path in (out / "test/with").iterdir()] == ["b__20_0.png"]
    np.testing.assert_array_equal(read(out / "test/with/b__20_0.png"), shrunk[:20, 20:40])
    assert (out / "test/labelTxt/b__20_0.txt").read_text() == line(10.4, 5, 18, 15)


def test_truth_scores_as_perfect(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "set"
    result = invoke(source, out, "--category", "small-vehicle", "--patch", 32, "--stride", 8, "--test-groups", "here_2")
    assert result.exit_code == 0, result.stderr
    for pictures, truth in (("", "labelTxt"), ("scenes", "scenes_labelTxt")):
        sizes = {
            name: size
            for name, size in picture_sizes(out / "test" / pictures).items()
            if pictures or not name.startswith("scenes")
        }
        known = label_txt.read(out / "test" / truth, sizes=sizes)
        assert len(known) == len(sizes)
        # As `detect extract` says it: scored, and by another category's name.
        found = [
            dataclasses.replace(
                picture,
                instances=tuple(
                    dataclasses.replace(item, score=1.0, category="object", difficult=False)
                    for item in picture.instances
                ),
            )
            for picture in known
        ]
        scores = detect.evaluate(found, out / "test" / truth)
        assert (scores.pictures, scores.ap50, scores.centre_f1, scores.ap_dota) == (len(sizes), 1, 1, 1)
        assert scores.objects_true > 0


class TestHalves:
    @pytest.fixture
    def places(self, tmp_path: Path) -> Path:
        for place in range(5):
            for frame in range(3):
                lines = [line(4, 6, 20, 16)]
                write_scene(tmp_path / "data", f"place{place}_{frame}", scene(place * 3 + frame), *lines)
        return tmp_path / "data"

    def names(self, folder: Path) -> dict[str, set[str]]:
        return {
            split: {path.stem.partition("__")[0] for path in (folder / split).rglob("*.png")}
            for split in ("train", "test")
        }

    def test_groups_stay_together(self, tmp_path: Path, places: Path) -> None:
        chosen = []
        for index, seed in enumerate((0, 0, 1, 2, 3)):
            out = tmp_path / f"set{index}"
            options = ("--category", "small-vehicle", "--patch", 32, "--group", "^(.*)_", "--test", 0.4)
            result = invoke(places, out, *options, "--seed", seed, "--json")
            assert result.exit_code == 0, result.stderr
            sides = self.names(out)
            assert [len(sides["train"]), len(sides["test"])] == [9, 6]
            groups = [{name.partition("_")[0] for name in sides[split]} for split in ("train", "test")]
            assert not groups[0] & groups[1]
            assert sorted(groups[1]) == json.loads(result.stdout)["test_groups"]
            chosen.append(tuple(sorted(groups[1])))
        assert chosen[0] == chosen[1]
        assert len(set(chosen)) > 1

    def test_groups_by_name(self, tmp_path: Path, places: Path) -> None:
        options = ("--category", "small-vehicle", "--patch", 32, "--group", "^(.*)_", "--test-groups", "place4, place1")
        assert invoke(places, tmp_path / "set", *options).exit_code == 0
        assert {name[:6] for name in self.names(tmp_path / "set")["test"]} == {"place1", "place4"}


class TestChoose:
    def candidates(self, with_count: int, without_count: int) -> Candidates:
        count = with_count + without_count
        corners = np.column_stack([np.arange(count), np.zeros(count, int)])
        return Candidates(corners_N2=corners, with_N=np.arange(count) < with_count)

    def counts(self, found: list[Candidates], ratio: float = 1.0, most: int | None = None) -> list[list[int]]:
        chosen = choose(found, without_per_with=ratio, most=most, rng=np.random.default_rng(0))
        for before, after in zip(found, chosen, strict=True):
            assert after.corners_N2.tolist() == sorted(after.corners_N2.tolist())
            np.testing.assert_array_equal(before.with_N[after.corners_N2[:, 0]], after.with_N)
        return [[int(item.with_N.sum()), int((~item.with_N).sum())] for item in chosen]

    def test_each_scene_gives_as_many_as_it_has(self) -> None:
        found = [self.candidates(3, 50), self.candidates(5, 20), self.candidates(0, 900)]
        assert self.counts(found) == [[3, 3], [5, 5], [0, 0]]
        assert self.counts(found, ratio=2) == [[3, 6], [5, 10], [0, 0]]

    def test_others_fill_up(self) -> None:
        (first, second) = self.counts([self.candidates(10, 2), self.candidates(0, 900)])
        assert (first, second) == ([10, 2], [0, 8])

    def test_all_that_there_are(self) -> None:
        assert self.counts([self.candidates(10, 2), self.candidates(4, 3)]) == [[10, 2], [4, 3]]

    def test_at_most(self) -> None:
        chosen = self.counts([self.candidates(100, 100), self.candidates(50, 50)], most=30)
        assert np.sum(chosen, axis=0).tolist() == [30, 30]
        assert chosen[0][0] == chosen[0][1]

    def test_nothing(self) -> None:
        assert self.counts([self.candidates(0, 0), self.candidates(0, 4)]) == [[0, 0], [0, 0]]
        assert choose([], without_per_with=1, most=None, rng=np.random.default_rng(0)) == []


def test_count_and_the_fifth_for_test(tmp_path: Path, source: Path) -> None:
    options = ("--category", "small-vehicle", "--patch", 16, "--stride", 4, "--count", 10, "--test-groups", "here_2")
    result = invoke(source, tmp_path / "set", *options, "--json")
    assert json.loads(result.stdout)["patches"] == {
        "train": {"with": 10, "without": 10},
        "test": {"with": 2, "without": 2},
    }


def test_exclude_may_be_chosen(tmp_path: Path, source: Path) -> None:
    def without(name: str, *options: object) -> set[str]:
        shared = ("--category", "small-vehicle", "--patch", 32, "--stride", 32, "--without-per-with", 9)
        result = invoke(source, tmp_path / name, *shared, "--test-groups", "here_2", *options)
        assert result.exit_code == 0, result.stderr
        return {path.stem.partition("__")[2] for path in (tmp_path / name / "train/without").iterdir()}

    assert without("default") == {"32_32", "64_32"}
    assert without("none", "--exclude", "") == {"0_32", "32_32", "64_32"}
    assert without("ship", "--exclude", "ship") == {"0_32", "32_32"}


def test_difficult_leaves_it_open(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_scene(tmp_path / "data", name, scene(), line(4, 6, 20, 16), line(40, 6, 50, 16, hard=1))
    options = ("--category", "small-vehicle", "--patch", 32, "--stride", 32, "--without-per-with", 9)
    assert invoke(tmp_path / "data", tmp_path / "set", *options).exit_code == 0
    names = {path.stem.partition("__")[2] for path in (tmp_path / "set/train").rglob("*.png")}
    assert names == {"0_0", "64_0", "0_32", "32_32", "64_32"}


def test_black_borders_are_left_out(tmp_path: Path) -> None:
    picture = scene()
    picture[:, 62:] = 0  # 2 of 32 columns of the second patch, all of the third
    picture[:1, :32] = 0  # 1 of 32 rows of the first
    picture[40:45, 40:45] = (0, 0, 5)  # dark, not black
    for name in ("a", "b"):
        write_scene(tmp_path / "data", name, picture, line(4, 6, 20, 16))
    options = ("--category", "small-vehicle", "--patch", 32, "--stride", 32, "--without-per-with", 9)
    assert invoke(tmp_path / "data", tmp_path / "set", *options).exit_code == 0
    names = {path.stem.partition("__")[2] for path in (tmp_path / "set/train").rglob("*.png")}
    assert names == {"0_0", "0_32"}


def test_transparent_pixels_are_left_out(tmp_path: Path) -> None:
    picture = np.dstack([scene(), np.full((64, 96), 255, np.uint8)])
    picture[40, 70, 3] = 0
    for name in ("a", "b"):
        write_scene(tmp_path / "data", name, picture, line(4, 6, 20, 16))
    options = ("--category", "small-vehicle", "--patch", 32, "--stride", 32, "--without-per-with", 9)
    assert invoke(tmp_path / "data", tmp_path / "set", *options).exit_code == 0
    names = {path.stem.partition("__")[2] for path in (tmp_path / "set/train").rglob("*.png")}
    assert names == {"0_0", "32_0", "64_0", "0_32", "32_32"}
    (shown,) = (tmp_path / "set/train/with").iterdir()
    assert read(shown).shape == (32, 32, 3)


def test_grey_scenes_among_coloured_ones(tmp_path: Path) -> None:
    write_scene(tmp_path / "data", "a", scene(), line(4, 6, 20, 16))
    write_scene(tmp_path / "data", "b", scene()[..., 0], line(4, 6, 20, 16))
    options = ("--category", "small-vehicle", "--patch", 32, "--test-groups", "b")
    assert invoke(tmp_path / "data", tmp_path / "set", *options).exit_code == 0
    grey = read(tmp_path / "set/test/with/b__0_0.png")
    np.testing.assert_array_equal(grey, np.repeat(scene()[:32, :32, :1], 3, axis=2))
    assert read(tmp_path / "set/test/scenes/b.png").shape == (64, 96, 3)


def test_names_are_compared_in_one_unicode_form(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for number in range(2):
        write_scene(folder, f"a\u0308{number}", scene(number), line(4, 6, 20, 16))
        text = folder / "labelTxt" / f"a\u0308{number}.txt"
        text.rename(text.with_name(f"\u00e4{number}.txt"))
    result = invoke(folder, tmp_path / "set", "--category", "small-vehicle", "--patch", 32)
    assert result.exit_code == 0, result.stderr


def test_layout_as_downloaded(tmp_path: Path) -> None:
    """Splits in folders of their own, two kinds of labels, scenes without labels or too small."""
    folder = tmp_path / "DOTA"
    for split, names in {"train": ("P0001", "P0002"), "val": ("P0003",)}.items():
        for name in names:
            write_scene(folder / split, name, scene(), line(4, 6, 20, 16))
    (folder / "train/labelTxt").rename(folder / "train/labelTxt-v1.0")
    write_scene(folder / "val", "P0004", scene(0, 20, 96), line(4, 6, 20, 16))
    (folder / "test/images").mkdir(parents=True)
    assert cv2.imwrite(str(folder / "test/images/P0005.png"), scene())
    assert cv2.imwrite(str(folder / "preview.png"), scene())  # beside images/, so no scene
    options = ("--category", "small-vehicle", "--patch", 32)
    result = invoke(folder, tmp_path / "set", *options, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["scenes"] == {"train": 2, "test": 1}
    assert "scenes passed over: 1 without labels, 1 smaller than a patch" in result.stderr

    (folder / "train/labelTxt-v1.5").mkdir()
    (folder / "train/labelTxt-v1.5/P0001.txt").write_text(line(4, 6, 20, 16, "plane"))
    result = invoke(folder, tmp_path / "other", *options)
    assert result.exit_code == 2
    assert "--labels" in result.stderr
    chosen = ("--labels", folder / "train/labelTxt-v1.0", "--labels", folder / "val/labelTxt")
    assert invoke(folder, tmp_path / "other", *options, *chosen).exit_code == 0
    assert files(tmp_path / "other") == files(tmp_path / "set")


def _no_labels(folder: Path) -> None:
    for path in (folder / "labelTxt").iterdir():
        path.unlink()


def _no_pictures(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        path.unlink()


def _bad_line(folder: Path) -> None:
    (folder / "labelTxt/here_2.txt").write_text(HEAD + "1 2 3 small-vehicle 0\n")


def _bad_picture(folder: Path) -> None:
    (folder / "images/here_2.png").write_text("nothing")


def _same_stem(folder: Path) -> None:
    assert cv2.imwrite(str(folder / "images/here_1.jpg"), scene())


def _other_type(folder: Path) -> None:
    assert cv2.imwrite(str(folder / "images/here_2.png"), scene().astype(np.uint16))


def _floats(folder: Path) -> None:
    (folder / "images/here_2.png").unlink()
    assert cv2.imwrite(str(folder / "images/here_2.tif"), scene().astype(np.float32))


def _full_of_cars(folder: Path) -> None:
    for path in (folder / "labelTxt").iterdir():
        path.write_text("".join(line(x, y, x + 8, y + 8) for x in range(0, 96, 8) for y in range(0, 64, 8)))


def _one_scene(folder: Path) -> None:
    for name in ("here_2", "there_1"):
        (folder / "images" / f"{name}.png").unlink()


@pytest.mark.parametrize(
    ("spoil", "options", "named"),
    [
        (_no_labels, (), "none with its label file"),
        (_no_pictures, (), "holds no picture"),
        (_bad_line, (), "here_2.txt: line 3"),
        (_bad_picture, (), "here_2.png"),
        (_same_stem, (), "rename one"),
        (_other_type, (), "is uint16 where"),
        (_floats, (), "here_2.tif"),
        (_full_of_cars, (), "free of small-vehicle"),
        (_one_scene, (), "there is here_1"),
        (None, ("--category", "car"), "have large-vehicle, ship, small-vehicle"),
        (None, ("--patch", 16, "--inside", 1, "--stride", 16), "18 pixels long"),
        (None, ("--patch", 8), "--patch 8"),
        (None, ("--patch", 500), "all 3 scenes"),
        (None, ("--scale", 2), "--scale"),
        (None, ("--scale", 0), "--scale"),
        (None, ("--stride", 0), "--stride"),
        (None, ("--inside", 0), "--inside"),
        (None, ("--without-per-with", 0), "--without-per-with"),
        (None, ("--count", 0), "--count"),
        (None, ("--test", 1), "--test"),
        (None, ("--test-groups", "nowhere"), "--test-groups nowhere"),
        (None, ("--group", "^(x"), "--group"),
        (None, ("--group", "^town_"), "--group"),
        (None, ("--labels", "nowhere"), "nowhere"),
    ],
)
def test_wrong_input(
    tmp_path: Path, source: Path, spoil: Callable[[Path], None] | None, options: tuple[object, ...], named: str
) -> None:
    if spoil is not None:
        spoil(source)
    result = invoke(source, tmp_path / "set", "--category", "small-vehicle", "--patch", 32, *options)
    assert result.exit_code == 2, result.output
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert named in last
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.real
def test_real_scenes(tmp_path: Path, data: Path) -> None:
    source = tmp_path / "data"
    for kind in ("images", "labelTxt"):
        (source / kind).mkdir(parents=True)
        for path in sorted((data / "aerial" / kind).glob("cats_[01]_*")):
            (source / kind / path.name).symlink_to(path)
    out = tmp_path / "set"
    options = ("--category", "small-vehicle", "--patch", 64, "--scale", 0.5, "--group", "^(cats_[^_]+)_")
    result = invoke(source, out, *options, "--stride", 16, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    for counts in report["patches"].values():
        assert min(counts.values()) > 0
    assert len(report["test_groups"]) == 1
