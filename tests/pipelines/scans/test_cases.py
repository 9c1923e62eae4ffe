"""Files of a case: names of the releases, and what is passed over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.scans.cases import find_cases
from tests.pipelines.scans.conftest import (
    files,
    invoke,
    write_cases,
)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "picture", "segmentation", "modality"),
        [
            ("BraTS20_Training_001", "_flair.nii.gz", "BraTS20_Training_001_seg.nii.gz", "flair"),
            ("BraTS20_Training_001", "_flair.nii", "BraTS20_Training_001_seg.nii", "t2f"),
            ("BraTS-GLI-00002-000", "-t2f.nii.gz", "BraTS-GLI-00002-000-seg.nii.gz", "flair"),
            ("Brats18_2013_0_1", "_t1ce.nii.gz", "Brats18_2013_0_1_seg.nii.gz", "t1ce"),
            ("BraTS-GLI-00002-000", "-t1c.nii.gz", "BraTS-GLI-00002-000-seg.nii.gz", "T1CE"),
            ("BraTS-GLI-00002-000", "-t1n.nii.gz", "BraTS-GLI-00002-000-seg.nii.gz", "t1"),
            ("BraTS20_Training_355", "_flair.nii", "W39_1998.09.19_Segm.nii", "flair"),
        ],
    )
    def test_of_the_releases(self, tmp_path: Path, name: str, picture: str, segmentation: str, modality: str) -> None:
        folder = tmp_path / "HGG" / "case"
        folder.mkdir(parents=True)
        for file in (name + picture, segmentation, "._hidden_flair.nii", "readme.gz", "BraTS20_Training_001_t2.nii"):
            (folder / file).touch()
        (case,) = find_cases(tmp_path, [modality]).complete
        assert case.name == name
        assert (case.pictures[0].name, case.segmentation.name) == (name + picture, segmentation)

    def test_a_folder_for_each_file(self, tmp_path: Path) -> None:
        for kind in ("flair", "seg"):
            place = tmp_path / "case" / f"case_{kind}.nii" / f"case_{kind}.nii"
            place.parent.mkdir(parents=True)
            place.touch()
        (case,) = find_cases(tmp_path, ["flair"]).complete
        assert (case.name, case.pictures[0].name, case.segmentation.name) == ("case", "case_flair.nii", "case_seg.nii")

    def test_incomplete_cases_are_passed_over(self, tmp_path: Path) -> None:
        source = write_cases(tmp_path / "data", ["a", "b", "c", "d"])
        (source / "a" / "a_seg.nii.gz").unlink()
        (source / "b" / "b_flair.nii.gz").rename(source / "b" / "b_t1.nii.gz")
        result = invoke(source, tmp_path / "set", "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["passed_over"] == ["a", "b"]
        assert "2 cases passed over" in result.stderr
        assert {Path(name).stem.partition("_")[0] for name in files(tmp_path / "set")} == {"c", "d"}


class TestSeveralModalities:
    def touch(self, folder: Path, *names: str) -> Path:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        return folder

    @pytest.mark.parametrize(
        "names",
        [
            ("a_t1.nii.gz", "a_t1ce.nii.gz", "a_t2.nii.gz", "a_flair.nii.gz", "a_seg.nii.gz"),
            ("a-t1n.nii.gz", "a-t1c.nii.gz", "a-t2w.nii.gz", "a-t2f.nii.gz", "a-seg.nii.gz"),
            ("a_T1.nii", "a_t1Gd.nii", "a_t2.nii", "a_flair.nii", "a_Segm.nii"),
        ],
    )
    def test_scans_are_in_the_order_given(self, tmp_path: Path, names: tuple[str, ...]) -> None:
        (case,) = find_cases(self.touch(tmp_path, *names), ["t2", "t1c", "flair", "T1"]).complete
        assert [path.name for path in case.pictures] == [names[2], names[1], names[3], names[0]]
        assert case.segmentation.name == names[4]

    def test_what_is_lacking_is_named(self, tmp_path: Path) -> None:
        kinds = ("flair", "t2", "seg")
        self.touch(tmp_path, *(f"{name}/{name}_{kind}.nii" for name in "abcd" for kind in kinds))
        for gone in ("a/a_t2.nii", "b/b_flair.nii", "c/c_seg.nii", "d/d_t2.nii", "d/d_seg.nii"):
            (tmp_path / gone).unlink()
        self.touch(tmp_path, "e/e_flair.nii", "e/e_t2.nii", "e/e_seg.nii")
        cases = find_cases(tmp_path, ["flair", "t2"])
        assert [case.name for case in cases.complete] == ["e"]
        assert (cases.without_modality, cases.without_segmentation) == (("a", "b"), ("c", "d"))

    def test_a_segmentation_of_another_name(self, tmp_path: Path) -> None:
        self.touch(tmp_path, "x/a_flair.nii", "x/a_t2.nii", "x/W39_Segm.nii", "y/b_flair.nii", "y/W40_Segm.nii")
        cases = find_cases(tmp_path, ["flair", "t2"])
        assert [(case.name, case.segmentation.name) for case in cases.complete] == [("a", "W39_Segm.nii")]
        assert cases.without_modality == ("b",)

    @pytest.mark.parametrize(
        ("modalities", "message"),
        [
            (["flair", "t2f"], "flair,t2f: has flair twice"),
            ([], "names none"),
            (["flair", "t3"], "--modality t3: choose one of"),
            (["flair", "t1"], r"holds no <case>_t1\.nii\.gz .*; there are flair, seg, t2"),
            (["flair", "t2"], "no case has all of flair, t2"),
        ],
    )
    def test_wrong_ones(self, tmp_path: Path, modalities: list[str], message: str) -> None:
        self.touch(tmp_path, "a/a_flair.nii", "a/a_seg.nii", "b/b_t2.nii", "b/b_seg.nii")
        with pytest.raises(ValueError, match=message):
            find_cases(tmp_path, modalities)
