"""`pipelines brats`: the two folders, their truth, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from distmap.common.pictures import read_placed_picture
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
    write_bands,
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


class TestBands:
    def slice(self, seed: int, number: int) -> NDArray[Any]:
        """Grey of a slice of ``brain(seed)``, by hand."""
        values_ZHW = brain(seed)[::-1, ::-1].T.astype(float)
        low, high = np.percentile(values_ZHW[values_ZHW > 0], (0.5, 99.5))
        values_HW = values_ZHW[number]
        return np.asarray(np.where(values_HW > 0, 1 + 254 * ((values_HW - low) / (high - low)).clip(0, 1), 0))

    def write(self, folder: Path, *options: object, kinds: tuple[str, ...] = ("t1", "t1ce", "t2", "flair")) -> Path:
        for name in ("a", "b"):
            write_bands(folder / "data", name, kinds, tumour(8, 11))
        out = folder / "set"
        result = invoke(folder / "data", out, "--test-cases", "b", *options)
        assert result.exit_code == 0, result.stderr
        return out

    @pytest.mark.parametrize(
        ("modality", "seeds", "suffix"),
        [
            ("t2", [2], ".png"),
            ("flair, t1ce,t2", [3, 1, 2], ".png"),  # red, green, blue
            ("t2,t1", [2, 0], ".tif"),
            ("flair,t2,t1ce,t1", [3, 2, 1, 0], ".tif"),
        ],
    )
    def test_modalities_in_their_order(self, tmp_path: Path, modality: str, seeds: list[int], suffix: str) -> None:
        out = self.write(tmp_path, "--modality", modality)
        picture = read_placed_picture(out / "test" / "with" / f"b_009{suffix}")
        assert picture.valid_HW is None
        assert picture.pixels_HWC.dtype == np.uint8
        expected_HWC = np.stack([self.slice(seed, 9) for seed in seeds], axis=-1)
        assert np.abs(picture.pixels_HWC - expected_HWC).max() < 0.51
        np.testing.assert_array_equal(read(out / "test/masks/b_009.png"), 255 * (tumour(8, 11)[::-1, ::-1, 9].T > 0))
        names = {path.suffix for path in out.rglob("*") if path.is_file() and path.parent.name != "masks"}
        assert names == {suffix}

    @pytest.mark.parametrize(
        ("modality", "neighbours", "bands", "suffix"),
        [
            ("flair", 1, [(3, 7), (3, 8), (3, 9)], ".png"),
            ("flair", 2, [(3, 6), (3, 7), (3, 8), (3, 9), (3, 10)], ".tif"),
            ("t2,t1", 1, [(2, 7), (0, 7), (2, 8), (0, 8), (2, 9), (0, 9)], ".tif"),
        ],
    )
    def test_neighbours(
        self, tmp_path: Path, modality: str, neighbours: int, bands: list[tuple[int, int]], suffix: str
    ) -> None:
        out = self.write(tmp_path, "--modality", modality, "--neighbours", neighbours)
        picture_HWC = read_placed_picture(out / "test" / "with" / f"b_008{suffix}").pixels_HWC
        expected_HWC = np.stack([self.slice(seed, number) for seed, number in bands], axis=-1)
        assert np.abs(picture_HWC - expected_HWC).max() < 0.51
        # Labels and masks are the middle slice's: 7 is WITHOUT, although 8 above it has a tumour.
        assert (out / "test" / "without" / f"b_007{suffix}").is_file()
        assert not read(out / "test/masks/b_007.png").any()
        np.testing.assert_array_equal(read(out / "test/masks/b_008.png"), 255 * (tumour(8, 11)[::-1, ::-1, 8].T > 0))

    def test_neighbours_change_no_choice(self, tmp_path: Path) -> None:
        names = []
        for at, options in enumerate(((), ("--neighbours", 3))):
            out = self.write(tmp_path / str(at), "--hemispheres", "--min-tumour", 20, *options)
            names.append({name.removesuffix(".png").removesuffix(".tif") for name in files(out)})
        assert names[0] == names[1]

    def test_cases_without_a_modality_are_passed_over(self, tmp_path: Path) -> None:
        for name in ("a", "b", "c", "d"):
            write_bands(tmp_path / "data", name, ("flair", "t2"), tumour(8, 11))
        (tmp_path / "data" / "c" / "c_t2.nii.gz").unlink()
        result = invoke(tmp_path / "data", tmp_path / "set", "--modality", "flair,t2", "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["passed_over"] == ["c"]
        assert "1 cases passed over for want of a segmentation or one of the modalities, such as c\n" in result.stderr
        assert not [name for name in files(tmp_path / "set") if Path(name).name.startswith("c")]

    def test_another_grid_is_refused(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            write_bands(tmp_path / "data", name, ("flair", "t2"), tumour(8, 11))
        save(tmp_path / "data" / "b" / "b_t2.nii.gz", brain(), spacing=(1, 1, 2))
        result = invoke(tmp_path / "data", tmp_path / "set", "--modality", "flair,t2")
        assert result.exit_code == 2
        last = result.stderr.splitlines()[-1]
        assert "b_t2.nii.gz: does not lie on the grid of b_flair.nii.gz (spacing 1 1 2 mm, not 1 1 1 mm)" in last
        assert not (tmp_path / "set").exists()
        # Where the scan is not asked for, nobody looks at it.
        assert invoke(tmp_path / "data", tmp_path / "set").exit_code == 0


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
        (None, ("--modality", "flair,t2"), "there are flair, seg"),
        (None, ("--modality", "flair,flair"), "flair twice"),
        (None, ("--modality", ","), "--modality"),
        (None, ("--neighbours", -1), "--neighbours -1"),
        (None, ("--neighbours", 2048), "--neighbours 2048: makes 4097 bands"),
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
