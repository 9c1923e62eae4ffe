"""CelebA to the two folders: both layouts, the crop, the splits, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from pipelines.cli import main

NAMES = tuple(f"{number:06d}" for number in range(1, 13))
MALE = {name for index, name in enumerate(NAMES) if index % 2}
PARTITION = dict(zip(NAMES, "000000112222", strict=True))


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["celeba", *map(str, arguments)])


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def read(path: Path) -> NDArray[Any]:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None, path
    return np.asarray(picture)


def face(name: str) -> NDArray[np.uint8]:
    """218 x 178: rows in the first band, columns in the second."""
    rows, columns = np.mgrid[:218, :178]
    return np.stack([rows, columns, np.full_like(rows, int(name))], axis=-1).astype(np.uint8)


def write_faces(folder: Path, names: Sequence[str] = NAMES, suffix: str = ".jpg") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        assert cv2.imwrite(str(folder / f"{name}{suffix}"), face(name))


def write_text(folder: Path) -> Path:
    """The authors' layout: ``Anno/``, ``Eval/`` and ``Img/``."""
    rows = "".join(f"{name}.jpg -1 {' 1' if name in MALE else '-1'}  1\n" for name in NAMES)
    (folder / "Anno").mkdir(parents=True)
    (folder / "Anno/list_attr_celeba.txt").write_text(f"{len(NAMES)}\nBald Male Young \n{rows}")
    (folder / "Eval").mkdir()
    (folder / "Eval/list_eval_partition.txt").write_text("".join(f"{name}.jpg {PARTITION[name]}\n" for name in NAMES))
    write_faces(folder / "Img/img_align_celeba")
    return folder


def write_csv(folder: Path) -> Path:
    """Kaggle's layout: tables, and the folder within a folder of the same name."""
    folder.mkdir()
    rows = "".join(f"{name}.jpg,-1,{1 if name in MALE else -1},1\n" for name in NAMES)
    (folder / "list_attr_celeba.csv").write_text(f"image_id,Bald,Male,Young\n{rows}")
    partition = "".join(f"{name}.jpg,{PARTITION[name]}\n" for name in NAMES)
    (folder / "list_eval_partition.csv").write_text(f"image_id,partition\n{partition}")
    write_faces(folder / "img_align_celeba/img_align_celeba")
    return folder


@pytest.mark.parametrize("write", [write_text, write_csv])
def test_layouts_as_downloaded(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    result = invoke(write(tmp_path / "data"), tmp_path / "set", "--attribute", "Male", "--json")
    assert result.exit_code == 0, result.stderr
    expected = {"train/with": (2, 4, 6), "train/without": (1, 3, 5), "test/with": (10, 12), "test/without": (9, 11)}
    assert files(tmp_path / "set") == {f"{place}/{n:06d}.png" for place, numbers in expected.items() for n in numbers}
    assert json.loads(result.stdout) == {
        "pictures": {"train": {"with": 3, "without": 3}, "test": {"with": 2, "without": 2}},
        "missing": 0,
        "partition": True,
    }


class TestPicture:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        folder = write_text(tmp_path / "data")
        for path in (folder / "Img/img_align_celeba").iterdir():
            path.unlink()
        write_faces(folder / "Img/img_align_celeba_png", suffix=".png")
        return folder

    def test_square_in_the_middle(self, tmp_path: Path, source: Path) -> None:
        assert invoke(source, tmp_path / "set", "--attribute", "Male").exit_code == 0
        np.testing.assert_array_equal(read(tmp_path / "set/train/with/000004.png"), face("4")[20:198])

    def test_crop_and_size(self, tmp_path: Path, source: Path) -> None:
        options = ("--attribute", "Male", "--crop", 120, "--image-size", 60)
        assert invoke(source, tmp_path / "set", *options).exit_code == 0
        picture = read(tmp_path / "set/train/with/000004.png")
        square = face("4")[49:169, 29:149].astype(float).reshape(60, 2, 60, 2, 3)
        assert np.abs(picture - square.mean(axis=(1, 3))).max() <= 0.51


class TestHalves:
    def test_by_the_seed_where_no_partition_is_there(self, tmp_path: Path) -> None:
        source = write_text(tmp_path / "data")
        (source / "Eval/list_eval_partition.txt").unlink()
        sets = []
        for index, seed in enumerate((0, 0, 1)):
            out = tmp_path / f"set{index}"
            result = invoke(source, out, "--attribute", "Male", "--test", 0.4, "--seed", seed, "--json")
            assert result.exit_code == 0, result.stderr
            assert "a person may be in both" in result.stderr
            assert not json.loads(result.stdout)["partition"]
            assert {Path(name).stem for name in files(out)} == set(NAMES)
            assert {Path(name).stem for name in files(out) if "/with/" in name} == MALE
            sets.append(files(out))
        assert sets[0] == sets[1] != sets[2]

    def test_at_most(self, tmp_path: Path) -> None:
        source = write_text(tmp_path / "data")
        result = invoke(source, tmp_path / "set", "--attribute", "Male", "--count", 2, "--json")
        assert json.loads(result.stdout)["pictures"] == {
            "train": {"with": 2, "without": 2},
            "test": {"with": 1, "without": 1},
        }

    def test_pictures_that_are_not_there(self, tmp_path: Path) -> None:
        source = write_text(tmp_path / "data")
        for name in NAMES[:2]:
            (source / f"Img/img_align_celeba/{name}.jpg").unlink()
        result = invoke(source, tmp_path / "set", "--attribute", "Male")
        assert result.exit_code == 0, result.stderr
        assert "2 listed pictures are not there" in result.stderr
        assert len(files(tmp_path / "set")) == 8


def _no_list(folder: Path) -> None:
    (folder / "Anno/list_attr_celeba.txt").unlink()


def _no_pictures(folder: Path) -> None:
    for path in (folder / "Img/img_align_celeba").iterdir():
        path.unlink()


def _bad_value(folder: Path) -> None:
    path = folder / "Anno/list_attr_celeba.txt"
    path.write_text(path.read_text().replace("000003.jpg -1 -1", "000003.jpg -1 2"))


def _bad_partition(folder: Path) -> None:
    (folder / "Eval/list_eval_partition.txt").write_text("000001.jpg 7\n")


def _damaged(folder: Path) -> None:
    (folder / "Img/img_align_celeba/000003.jpg").write_bytes(b"nothing")


@pytest.mark.parametrize(
    ("spoil", "options", "named"),
    [
        (_no_list, (), "holds no list_attr_celeba.txt"),
        (_no_pictures, (), "none of the 12 pictures"),
        (_bad_value, (), "list_attr_celeba.txt: line 5"),
        (_bad_partition, (), "list_eval_partition.txt: line 1"),
        (_damaged, (), "000003.jpg"),
        (None, ("--attribute", "Tall"), "Bald, Male, Young"),
        (None, ("--attribute", "Bald"), "with Bald"),
        (None, ("--attribute", "Young"), "without Young"),
        (None, ("--crop", 200), "--crop 200"),
        (None, ("--crop", 1), "--crop 1"),
        (None, ("--image-size", 1), "--image-size 1"),
        (None, ("--count", 0), "--count 0"),
        (None, ("--test", 0), "--test"),
    ],
)
def test_wrong_input(
    tmp_path: Path, spoil: Callable[[Path], None] | None, options: tuple[object, ...], named: str
) -> None:
    source = write_text(tmp_path / "data")
    if spoil is not None:
        spoil(source)
    result = invoke(source, tmp_path / "set", "--attribute", "Male", *options)
    assert result.exit_code == 2, result.output
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert named in last
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
