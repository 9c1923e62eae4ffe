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
        (case,) = find_cases(tmp_path, modality).complete
        assert case.name == name
        assert (case.picture.name, case.segmentation.name) == (name + picture, segmentation)

    def test_a_folder_for_each_file(self, tmp_path: Path) -> None:
        for kind in ("flair", "seg"):
            place = tmp_path / "case" / f"case_{kind}.nii" / f"case_{kind}.nii"
            place.parent.mkdir(parents=True)
            place.touch()
        (case,) = find_cases(tmp_path, "flair").complete
        assert (case.name, case.picture.name, case.segmentation.name) == ("case", "case_flair.nii", "case_seg.nii")

    def test_incomplete_cases_are_passed_over(self, tmp_path: Path) -> None:
        source = write_cases(tmp_path / "data", ["a", "b", "c", "d"])
        (source / "a" / "a_seg.nii.gz").unlink()
        (source / "b" / "b_flair.nii.gz").rename(source / "b" / "b_t1.nii.gz")
        result = invoke(source, tmp_path / "set", "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["passed_over"] == ["a", "b"]
        assert "2 cases passed over" in result.stderr
        assert {Path(name).stem.partition("_")[0] for name in files(tmp_path / "set")} == {"c", "d"}
