"""Sets hold what they should, are written once, and have no patient or place in both splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from distmap.common.progress import Silent
from distmap.data.folders import list_folders
from pipelines.quality.picture_sets import (
    PLACE_GROUP,
    SLICE_GROUP,
    Generated,
    PictureSet,
    Scenes,
    Slices,
    check_data,
    drawn,
    prepare,
    some,
)
from pipelines.quality.splits import Drawn, Named


def written(pictures: PictureSet, data: Path, seed: int = 0) -> tuple[Path, dict[str, Any]]:
    folder = data.parent / "sets" / pictures.name(seed)
    return folder, prepare(pictures, data, folder, seed, Silent())


def groups(split: Path, group: str) -> set[str]:
    return {picture.group for picture in list_folders(split / "with", split / "without", group)}


def stems(*folders: Path) -> set[str]:
    return {file.stem for folder in folders for file in folder.iterdir()}


class TestSlices:
    def test_patients_are_on_one_side(self, slices: Path) -> None:
        folder, content = written(Slices(label="lgg", split=Drawn(train_from=4)), slices)
        train, test = (groups(folder / split, SLICE_GROUP) for split in ("train", "test"))
        assert len(test) == 4
        assert not train & test
        assert len(train | test) == 10
        assert content["groups"] == {"train": content["groups"]["train"], "test": content["groups"]["test"]}
        assert set(content["groups"]["test"]) == test
        assert content["pictures"] == {"train": {"without": 12, "with": 18}, "test": {"without": 8, "with": 12}}

    def test_truth_is_that_of_the_test_split_alone(self, slices: Path) -> None:
        folder, _ = written(Slices(label="lgg", split=Drawn(train_from=4)), slices)
        test = folder / "test"
        assert stems(test / "masks") == stems(test / "with", test / "without")
        assert not (folder / "train" / "masks").exists()

    def test_development_never_sees_those_set_aside(self, slices: Path) -> None:
        aside, _ = written(Slices(label="lgg", split=Drawn(train_from=4)), slices)
        apart, _ = written(Slices(label="apart", split=Drawn(first=4, train_from=6)), slices)
        seen = groups(apart / "train", SLICE_GROUP) | groups(apart / "test", SLICE_GROUP)
        assert not seen & groups(aside / "test", SLICE_GROUP)

    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_fewer_pictures_are_some_of_the_training_patients(self, slices: Path, seed: int) -> None:
        split = Drawn(train_from=4)
        whole, _ = written(Slices(label="lgg", split=split), slices)
        more, _ = written(Slices(label="more", split=split, count=9), slices, seed)
        few, content = written(Slices(label="few", split=split, count=4), slices, seed)
        assert content["pictures"]["train"] == {"without": 4, "with": 4}
        assert set(content["groups"]["train"]) == groups(few / "train", SLICE_GROUP)
        for label in ("with", "without"):
            kept = [stems(folder / "train" / label) for folder in (few, more, whole)]
            assert kept[0] < kept[1] < kept[2]
        assert stems(few / "test" / "with") == stems(whole / "test" / "with")
        # Three slices WITH of each patient: four are of two patients, as few as can be.
        assert len({stem.rpartition("_")[0] for stem in stems(few / "train" / "with")}) == 2

    def test_too_many_are_refused(self, slices: Path) -> None:
        with pytest.raises(ValueError, match=r"13 pictures are wanted where .*without has 12"):
            written(Slices(label="few", split=Drawn(train_from=4), count=13), slices)
        assert not list(slices.parent.glob("sets/*"))


class TestScenes:
    CARS = Scenes(
        label="cars",
        folder="aerial",
        split=Named(train=("town_",), test=("port_3",)),
        category="small-vehicle",
        scale=0.5,
        patch=16,
    )

    def test_places_are_on_one_side_and_others_are_left_out(self, scenes: Path) -> None:
        folder, content = written(self.CARS, scenes)
        train, test = (groups(folder / split, PLACE_GROUP) for split in ("train", "test"))
        assert train == {"town_0", "town_1", "town_2"}
        assert test == {"port_3"}
        assert content["groups"] == {"train": ["town_0", "town_1", "town_2"], "test": ["port_3"]}
        assert stems(folder / "test" / "scenes") == {"port_3__frame_6", "port_3__frame_7"}
        assert stems(folder / "test" / "scenes_labelTxt") == stems(folder / "test" / "scenes")

    def test_scale_reaches_the_labels(self, scenes: Path) -> None:
        folder, _ = written(self.CARS, scenes)
        lines = (folder / "test" / "scenes_labelTxt" / "port_3__frame_6.txt").read_text().split()
        index = lines.index("small-vehicle")
        assert [float(word) for word in lines[index - 8 : index]] == [2, 3, 10, 3, 10, 8, 2, 8]

    def test_nothing_is_left_of_the_links(self, scenes: Path) -> None:
        folder, _ = written(self.CARS, scenes)
        assert [path.name for path in folder.parent.iterdir()] == ["cars"]
        assert not any(path.is_symlink() for path in folder.rglob("*"))


class TestPrepare:
    def test_a_set_is_written_once(self, slices: Path) -> None:
        pictures = Slices(label="lgg", split=Drawn(train_from=4))
        folder, content = written(pictures, slices)
        (folder / "train" / "with" / "mine.txt").write_text("kept")
        assert written(pictures, slices, seed=1) == (folder, content)
        assert (folder / "train" / "with" / "mine.txt").exists()

    def test_a_set_of_another_split_is_written_anew(self, slices: Path) -> None:
        folder, _ = written(Slices(label="lgg", split=Drawn(train_from=4)), slices)
        before = groups(folder / "test", SLICE_GROUP)
        written(Slices(label="lgg", split=Drawn(first=4, train_from=6)), slices)
        assert groups(folder / "test", SLICE_GROUP).isdisjoint(before)

    def test_a_set_that_was_cut_short_is_written_anew(self, slices: Path) -> None:
        pictures = Slices(label="lgg", split=Drawn(train_from=4))
        folder, content = written(pictures, slices)
        (folder / "set.json").unlink()
        next((folder / "train" / "with").iterdir()).unlink()
        assert written(pictures, slices)[1] == content
        assert len(stems(folder / "train" / "with")) == content["pictures"]["train"]["with"]

    def test_generated_sets_differ_by_seed(self, tmp_path: Path) -> None:
        pictures = Generated(split="shape", count=1, image_size=32)
        first, second = (written(pictures, tmp_path / "data", seed)[0] for seed in (0, 1))
        assert first != second
        name = "train/with/with_00000.png"
        assert (first / name).read_bytes() != (second / name).read_bytes()
        assert json.loads((first / "set.json").read_text())["groups"] is None


def test_absent_data_are_named(tmp_path: Path) -> None:
    (tmp_path / "lgg").mkdir()
    check_data([None, "lgg"], tmp_path)
    with pytest.raises(ValueError, match=r"DISTMAP_DATA=.*: holds no aerial, planes; set it"):
        check_data(["planes", None, "aerial", "lgg", "planes"], tmp_path)


def test_drawn_depends_on_the_seed_alone() -> None:
    names = [f"p{number}" for number in range(20)]
    assert drawn(names, 3) == drawn(names[::-1], 3) != drawn(names, 4)
    assert sorted(drawn(names, 3)) == sorted(names)


def test_some_takes_group_after_group() -> None:
    files = [Path(f"{group}_{number}") for group in "abc" for number in (2, 1)]
    taken = some(files, lambda file: file.name[0], 3, ["c", "a"])
    assert [file.name for file in taken] == ["c_1", "c_2", "a_1"]
    with pytest.raises(ValueError, match="5 pictures are wanted"):
        some(files, lambda file: file.name[0], 5, ["c", "a"])
