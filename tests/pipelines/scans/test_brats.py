"""`pipelines brats`: the two folders, their truth, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.pipelines.scans.conftest import (
    DEPTH,
    HEIGHT,
    WIDTH,
    brain,
    files,
    invoke,
    read,
    save,
    tumour,
    write_cases,
)


class TestSet:
    def test_layout_and_truth(self, tmp_path: Path) -> None:
        source = write_cases(tmp_path / "data", ["HGG_1", "HGG_2", "LGG_3"])
        out = tmp_path / "set"
        result = invoke(source, out, "--test-cases", "HGG_2", "--min-brain", 0.5, "--json")
        assert result.exit_code == 0, result.stderr
        # Slices 2 to 17 hold enough brain; tumours are on 8 to 11, and 0.2 of 15 slices either side is 3.
        numbers = {"with": range(8, 12), "without": (5, 6, 7, 12, 13, 14)}
        expected = {
            f"{split}/{label}/{case}_{number:03d}.png"
            for split, cases in {"train": ("HGG_1", "LGG_3"), "test": ("HGG_2",)}.items()
            for case in cases
            for label in numbers
            for number in numbers[label]
        }
        masks = {f"test/masks/HGG_2_{number:03d}.png" for label in numbers for number in numbers[label]}
        assert files(out) == expected | masks
        assert json.loads(result.stdout) == {
            "slices": {"train": {"with": 8, "without": 12}, "test": {"with": 4, "without": 6}},
            "cases": {"train": ["HGG_1", "LGG_3"], "test": ["HGG_2"]},
            "passed_over": [],
            "level_auroc": pytest.approx(0.9, abs=0.1),
        }
        assert "--hemispheres" in result.stderr
        mask = read(out / "test/masks/HGG_2_009.png")
        assert mask.dtype == np.uint8
        assert mask.shape == (DEPTH, WIDTH)
        np.testing.assert_array_equal(mask, 255 * (tumour(8, 11)[::-1, ::-1, 9].T > 0))
        assert not read(out / "test/masks/HGG_2_005.png").any()
        np.testing.assert_array_equal(read(out / "test/with/HGG_2_009.png") == 0, brain(1)[::-1, ::-1, 9].T == 0)

    def test_tiny_tumours_are_in_neither_folder(self, tmp_path: Path) -> None:
        source = write_cases(tmp_path / "data", ["a", "b"])
        labels = tumour(8, 11)
        labels[..., 10] = 0
        labels[4, 8:20, 10] = 1  # 12 voxels
        save(source / "a" / "a_seg.nii.gz", labels)
        out = tmp_path / "set"
        assert invoke(source, out, "--test-cases", "b", "--min-tumour", 13).exit_code == 0
        assert "train/with/a_009.png" in files(out)
        assert not {name for name in files(out) if name.endswith("a_010.png")}

    def test_levels_come_from_the_training_split_alone(self, tmp_path: Path) -> None:
        source = write_cases(tmp_path / "data", ["a", "b"])
        save(source / "b" / "b_seg.nii.gz", tumour(15, 16))
        out = tmp_path / "set"
        assert invoke(source, out, "--test-cases", "b", "--min-brain", 0.5).exit_code == 0
        without = sorted(int(name[-7:-4]) for name in files(out) if name.startswith("test/without/b_"))
        assert without == [*range(5, 15)]  # 8 to 11 and 3 either side
        assert {"test/with/b_015.png", "test/with/b_016.png"} <= files(out)

    def test_seed_decides_the_test_split(self, tmp_path: Path) -> None:
        source = write_cases(tmp_path / "data", ["a", "b", "c", "d", "e"])
        chosen = []
        for index, seed in enumerate((0, 0, 1, 2, 3)):
            result = invoke(source, tmp_path / f"set{index}", "--test", 0.4, "--seed", seed, "--json")
            splits = json.loads(result.stdout)["cases"]
            assert sorted(splits["train"] + splits["test"]) == ["a", "b", "c", "d", "e"]
            assert len(splits["test"]) == 2
            chosen.append(tuple(splits["test"]))
        assert chosen[0] == chosen[1]
        assert len(set(chosen)) > 1

    def test_visits_of_a_patient_stay_together(self, tmp_path: Path) -> None:
        names = [f"BraTS-GLI-0000{patient}-00{visit}" for patient in range(3) for visit in range(2)]
        for name in names:
            save(tmp_path / "data" / name / f"{name}-t2f.nii.gz", brain())
            save(tmp_path / "data" / name / f"{name}-seg.nii.gz", tumour(8, 11))
        for seed in range(3):
            result = invoke(tmp_path / "data", tmp_path / f"set{seed}", "--seed", seed, "--json")
            splits = json.loads(result.stdout)["cases"]
            assert [len(splits["train"]), len(splits["test"])] == [4, 2]
            assert len({name[:15] for name in splits["test"]}) == 1


def _one_case(folder: Path) -> None:
    for path in (folder / "b").iterdir():
        path.unlink()


def _no_segmentation(folder: Path) -> None:
    for path in folder.rglob("*_seg.nii.gz"):
        path.unlink()


def _cut_short(folder: Path) -> None:
    path = folder / "b" / "b_flair.nii.gz"
    path.write_bytes(path.read_bytes()[:2000])


def _not_nifti(folder: Path) -> None:
    (folder / "b" / "b_seg.nii.gz").write_text("nothing")


def _other_shape(folder: Path) -> None:
    save(folder / "b" / "b_seg.nii.gz", tumour(8, 11)[1:])


def _other_spacing(folder: Path) -> None:
    save(folder / "b" / "b_seg.nii.gz", tumour(8, 11), spacing=(2, 1, 1))


def _empty_brain(folder: Path) -> None:
    save(folder / "b" / "b_flair.nii.gz", np.zeros_like(brain()))


def _twice(folder: Path) -> None:
    save(folder / "copy" / "b_flair.nii.gz", brain())


def _no_tumour(folder: Path) -> None:
    for path in folder.rglob("*_seg.nii.gz"):
        save(path, np.zeros_like(tumour(8, 11)))


def _all_tumour(folder: Path) -> None:
    for path in folder.rglob("*_seg.nii.gz"):
        save(path, tumour(0, HEIGHT - 1))


@pytest.mark.parametrize(
    ("spoil", "options", "named"),
    [
        (_one_case, (), "there is a"),
        (_no_segmentation, (), "none with its segmentation"),
        (_cut_short, (), "b_flair.nii.gz"),
        (_not_nifti, (), "b_seg.nii.gz"),
        (_other_shape, (), "b_seg.nii.gz"),
        (_other_spacing, (), "b_seg.nii.gz"),
        (_empty_brain, (), "b_flair.nii.gz"),
        (_twice, (), "keep one"),
        (_no_tumour, (), "with/"),
        (_all_tumour, (), "without/"),
        (None, ("--modality", "t3"), "--modality t3"),
        (None, ("--modality", "t2"), "there are flair, seg"),
        (None, ("--test", 0), "--test"),
        (None, ("--min-brain", 2), "--min-brain"),
        (None, ("--min-tumour", 0), "--min-tumour"),
        (None, ("--level-margin", -1), "--level-margin"),
        (None, ("--test-cases", "z"), "--test-cases z"),
        (None, ("--test-cases", "a,b"), "--test-cases"),
    ],
)
def test_wrong_input(
    tmp_path: Path, spoil: Callable[[Path], None] | None, options: tuple[object, ...], named: str
) -> None:
    source = write_cases(tmp_path / "data", ["a", "b"])
    if spoil is not None:
        spoil(source)
    result = invoke(source, tmp_path / "set", *options)
    assert result.exit_code == 2, result.output
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert named in last
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_nibabel_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_cases(tmp_path / "cases", ["a", "b"])
    monkeypatch.setitem(sys.modules, "nibabel", None)
    result = invoke(source, tmp_path / "set")
    assert result.exit_code == 2
    assert result.stderr.endswith("error: needs nibabel; install it with pip install 'distmap[medical]'\n")
    assert not (tmp_path / "set").exists()


def test_wrong_folders(tmp_path: Path) -> None:
    result = invoke(tmp_path / "none", tmp_path / "set")
    assert (result.exit_code, result.stderr) == (2, f"error: {tmp_path / 'none'}: no such folder\n")
    source = write_cases(tmp_path / "data", ["a", "b"])
    result = invoke(source, source)
    assert result.exit_code == 2
    assert "exists already" in result.stderr
    (tmp_path / "empty").mkdir()
    result = invoke(tmp_path / "empty", tmp_path / "set")
    assert result.exit_code == 2
    assert "holds no <case>_flair.nii.gz" in result.stderr


@pytest.mark.real
def test_real_cases(tmp_path: Path, data: Path) -> None:
    result = invoke(data / "brats", tmp_path / "set", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert [len(names) for names in report["cases"].values()] == [3, 1]
    for counts in report["slices"].values():
        assert min(counts.values()) > 10
    for path in sorted((tmp_path / "set/test/with").iterdir()):
        mask, picture = read(tmp_path / "set/test/masks" / path.name) > 0, read(path)
        assert np.count_nonzero(mask) >= 100
        assert picture.shape == mask.shape == (240, 240)
        # The tumour lies in the brain: picture and mask are turned alike.
        assert np.count_nonzero(picture[mask]) > 0.9 * np.count_nonzero(mask)
