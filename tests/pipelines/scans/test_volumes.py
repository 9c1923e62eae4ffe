"""A case as one volume: orientation, square pixels, grey, background, labels, hemispheres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.scans.cases import Case
from pipelines.scans.volumes import Volume, halved, read_volume
from tests.pipelines.scans.conftest import (
    CLASSES,
    DEPTH,
    HEIGHT,
    WIDTH,
    Voxels,
    brain,
    files,
    invoke,
    read,
    save,
    tumour,
    write_cases,
    write_volume,
)


class TestOrientation:
    def test_right_is_left_and_front_is_up(self, tmp_path: Path) -> None:
        values = np.full((4, 6, 3), 100, np.int16)
        values[::3, ::5, ::2] = 0
        values[3, 5, 1] = 900  # the patient's right, in front
        labels = np.zeros((4, 6, 3), np.int16)
        labels[0, 5, 1] = 1  # the patient's left, in front
        case = Case(
            name="a", pictures=(save(tmp_path / "a.nii", values),), segmentation=save(tmp_path / "b.nii", labels)
        )
        volume = read_volume(case)
        assert volume.picture_ZHWC[..., 0].shape == (3, 6, 4)
        assert np.argwhere(volume.picture_ZHWC[..., 0] == 255).tolist() == [[1, 0, 0]]
        assert np.argwhere(volume.tumour_ZHW).tolist() == [[1, 0, 3]]

    @pytest.mark.parametrize("codes", ["LPS", "PIR", "ASL", "SRA"])
    def test_storage_does_not_matter(self, tmp_path: Path, codes: str) -> None:
        sets = []
        for stored in ("RAS", codes):
            write_cases(tmp_path / stored, ["one", "two"], stored)
            out = tmp_path / f"set-{stored}"
            assert invoke(tmp_path / stored, out, "--level-margin", 1).exit_code == 0
            sets.append({name: (out / name).read_bytes() for name in files(out)})
        assert sets[0] == sets[1]
        assert len(sets[0]) > 20

    def test_picture_and_segmentation_may_be_stored_apart(self, tmp_path: Path) -> None:
        values, labels = brain(), tumour(8, 11)
        expected = read_volume(
            Case(name="a", pictures=(save(tmp_path / "a.nii", values),), segmentation=save(tmp_path / "b.nii", labels))
        )
        found = read_volume(
            Case(
                name="a",
                pictures=(save(tmp_path / "c.nii", values, "PIR"),),
                segmentation=save(tmp_path / "d.nii", labels, "LPS"),
            )
        )
        np.testing.assert_array_equal(found.picture_ZHWC[..., 0], expected.picture_ZHWC[..., 0])
        np.testing.assert_array_equal(found.tumour_ZHW, expected.tumour_ZHW)

    def test_pixels_become_square(self, tmp_path: Path) -> None:
        values = np.full((4, 3, 2), 100, np.int16)
        values[::3, ::2] = 0
        labels = np.zeros_like(values)
        labels[:, 1] = 4  # the middle of three rows
        spacing = (1.0, 2.0, 5.0)
        volume = read_volume(
            Case(
                name="a",
                pictures=(save(tmp_path / "a.nii", values, "LPS", spacing),),
                segmentation=save(tmp_path / "b.nii", labels, "PIR", spacing),
            )
        )
        assert volume.picture_ZHWC[..., 0].shape == (2, 6, 4)
        assert volume.tumour_ZHW.any(axis=2).tolist() == [[False, False, True, True, False, False]] * 2


class TestHemispheres:
    def test_the_left_is_mirrored_and_the_middle_is_on_the_right(self) -> None:
        picture = np.zeros((1, 4, 8), np.uint8)
        picture[0, 1:3, 2:7] = [[11, 12, 13, 14, 15], [21, 22, 23, 24, 25]]  # five columns: the middle one is in both
        tumour_ZHW = np.zeros_like(picture, bool)
        tumour_ZHW[0, 2, 6] = True
        parts = halved(Volume(picture_ZHWC=picture[..., None], tumour_ZHW=tumour_ZHW))
        assert parts["right"].picture_ZHWC[..., 0].tolist() == [[[11, 12, 13], [21, 22, 23]]]
        assert parts["left"].picture_ZHWC[..., 0].tolist() == [[[15, 14, 13], [25, 24, 23]]]
        assert not parts["right"].tumour_ZHW.any()
        assert np.argwhere(parts["left"].tumour_ZHW).tolist() == [[0, 1, 0]]

    def test_a_brain_of_one_column(self) -> None:
        picture = np.zeros((1, 2, 3), np.uint8)
        picture[0, 0, 0] = 7
        parts = halved(Volume(picture_ZHWC=picture[..., None], tumour_ZHW=picture > 0))
        assert [part.picture_ZHWC[..., 0].tolist() for part in parts.values()] == [[[[7]]]] * 2

    def test_each_has_its_own_label(self, tmp_path: Path) -> None:
        source = tmp_path / "data"
        labels = tumour(8, 11, side=6)  # in the patient's left half, columns 2 to 10 of the voxels
        for name in ("a", "b"):
            save(source / name / f"{name}_flair.nii.gz", brain())
            save(source / name / f"{name}_seg.nii.gz", labels)
        result = invoke(source, tmp_path / "set", "--hemispheres", "--min-tumour", 60, "--level-margin", 0)
        assert result.exit_code == 0, result.stderr
        assert "folders with AUROC 0.50\n" in result.stderr  # the same levels in both folders: no hint
        for split in ("train", "test"):
            case = next((tmp_path / "set" / split / "with").iterdir()).name[0]
            slices = {f"{case}_{number:03d}" for number in range(8, 12)}
            folders = {name: {path.stem for path in (tmp_path / "set" / split / name).iterdir()} for name in CLASSES}
            assert folders["with"] == {f"{name}_left" for name in slices}
            assert folders["without"] == {f"{name}_right" for name in slices}
        masks = tmp_path / "set" / "test" / "masks"
        assert {path.stem.removesuffix("_left").removesuffix("_right") for path in masks.iterdir()} == slices
        # 6 x 12 voxels; the box around the brain begins at the third column and holds 18 x 26.
        for path in masks.iterdir():
            expected = np.zeros((26, 9), bool)
            if path.stem.endswith("_left"):
                expected[9:21, 2:8] = True
            np.testing.assert_array_equal(read(path) > 0, expected)


class TestBackground:
    def read(self, folder: Path, scan: NDArray[Any], slope: float = 1, inter: float = 0) -> Volume:
        affine = np.diag([-1.0, -1, 1, 1])
        return read_volume(
            Case(
                name="a",
                pictures=(write_volume(folder / "a_flair.nii", scan, affine, slope, inter),),
                segmentation=write_volume(folder / "a_seg.nii", tumour(8, 11), affine),
            )
        )

    @pytest.mark.parametrize(("slope", "inter"), [(0.5, -10), (0.1, 7), (-1, 0), (1, -1000)])
    def test_of_another_value_than_0(self, tmp_path: Path, slope: float, inter: float) -> None:
        expected = self.read(tmp_path, brain(), abs(slope))
        found = self.read(tmp_path, brain(), slope, inter)
        np.testing.assert_array_equal(found.picture_ZHWC[..., 0] == 0, expected.picture_ZHWC[..., 0] == 0)
        if slope > 0:
            np.testing.assert_allclose(
                found.picture_ZHWC[..., 0].astype(int), expected.picture_ZHWC[..., 0], atol=1
            )  # a half may go up or down

    def test_scores_have_brain_on_both_sides(self, tmp_path: Path) -> None:
        values = brain().astype(np.float32)
        outside = values == 0
        values = (values - values[~outside].mean()) / values[~outside].std()
        values[outside] = -0.25  # in the midst of the brain's own
        np.testing.assert_array_equal(self.read(tmp_path, values).picture_ZHWC[..., 0] == 0, outside.T)

    def test_rounding_is_background(self, tmp_path: Path) -> None:
        values = brain().astype(np.float32) - 10
        outside = values == -10
        values[outside] += np.random.default_rng(0).uniform(-1e-3, 1e-3, outside.sum()).astype(np.float32)
        np.testing.assert_array_equal(self.read(tmp_path, values).picture_ZHWC[..., 0] == 0, outside.T)

    def test_of_no_number(self, tmp_path: Path) -> None:
        values = brain().astype(np.float32)
        expected = self.read(tmp_path, values).picture_ZHWC
        outside = values == 0
        values -= 150  # scores lie on both sides of 0
        values[outside] = np.nan
        found = self.read(tmp_path, values).picture_ZHWC
        np.testing.assert_allclose(found.astype(int), expected, atol=1)
        np.testing.assert_array_equal(found == 0, expected == 0)

    def test_holes_of_no_number_are_none(self, tmp_path: Path) -> None:
        values = brain().astype(np.float32)
        values[tuple(side // 2 for side in values.shape)] = np.nan
        with pytest.raises(ValueError, match=r"a_flair\.nii: holds values that are not finite"):
            self.read(tmp_path, values)

    def test_noise_is_none(self, tmp_path: Path) -> None:
        values = np.random.default_rng(0).integers(1, 1000, (WIDTH, DEPTH, HEIGHT)).astype(np.int16)
        with pytest.raises(ValueError, match=r"a_flair\.nii: its background is not one value, the corners are"):
            self.read(tmp_path, values)


class TestLabels:
    def read(self, folder: Path, labels: NDArray[Any]) -> Volume:
        affine = np.diag([-1.0, -1, 1, 1])
        return read_volume(
            Case(
                name="a",
                pictures=(write_volume(folder / "a_flair.nii", brain(), affine),),
                segmentation=write_volume(folder / "a_seg.nii", labels, affine),
            )
        )

    def test_near_0_are_0(self, tmp_path: Path) -> None:
        labels = tumour(8, 11).astype(np.float32)
        rounding = np.random.default_rng(0).uniform(-1e-4, 1e-4, labels.shape).astype(np.float32)
        found = self.read(tmp_path, labels + rounding)
        np.testing.assert_array_equal(found.tumour_ZHW, labels.T > 0)

    def test_scaled_down_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"a_seg\.nii: its largest label is 0\.0078"):
            self.read(tmp_path, tumour(8, 11).astype(np.float32) / 255)


def test_grey_runs_between_percentiles_of_the_brain(tmp_path: Path) -> None:
    values = np.zeros((50, 50, 1), np.int16)
    values[:40, :25, 0] = np.arange(1, 1001).reshape(40, 25)
    labels = np.zeros_like(values)
    case = Case(name="a", pictures=(save(tmp_path / "a.nii", values),), segmentation=save(tmp_path / "b.nii", labels))
    picture = read_volume(case).picture_ZHWC[..., 0][0, ::-1, ::-1].T  # back along right, front
    assert not picture[40:].any()
    assert not picture[:, 25:].any()
    inside = picture[:40, :25].ravel().astype(float)
    assert (inside[:5] == 1).all()
    assert (inside[-5:] == 255).all()
    low, high = 1 + 0.005 * 999, 1 + 0.995 * 999
    np.testing.assert_allclose(inside[5:-5], 1 + 254 * (np.arange(6, 996) - low) / (high - low), atol=0.501)


class TestBands:
    def case(self, folder: Path, scans: Sequence[Voxels], codes: Sequence[str] = ("RAS", "RAS")) -> Case:
        labels = np.zeros_like(scans[0])
        return Case(
            name="a",
            pictures=tuple(save(folder / f"{at}.nii", scan, codes[at]) for at, scan in enumerate(scans)),
            segmentation=save(folder / "seg.nii", labels, codes[0]),
        )

    def scans(self) -> tuple[Voxels, Voxels]:
        """The first has 1, 2, 3 in its middle row of brain, the second 9000, 5000, 1000 a row behind as well."""
        first, second = np.zeros((2, 5, 5, 3), np.int16)
        first[1:4, 3, 1] = 1, 2, 3
        second[1:4, 2:4, 1] = [[9000, 9000], [5000, 5000], [1000, 1000]]
        return first, second

    @pytest.mark.parametrize("codes", ["LPS", "PIR"])
    def test_each_is_scaled_by_itself(self, tmp_path: Path, codes: str) -> None:
        volume = read_volume(self.case(tmp_path, self.scans(), ("LPS", codes)))
        assert volume.picture_ZHWC.shape == (3, 5, 5, 2)
        assert volume.picture_ZHWC.dtype == np.uint8
        # Anterior first, the patient's right first; 1 to 255 between the extremes of the brain of each scan.
        assert volume.picture_ZHWC[1, 1, :, 0].tolist() == [0, 255, 128, 1, 0]
        assert volume.picture_ZHWC[1, 1, :, 1].tolist() == [0, 1, 128, 255, 0]
        assert volume.picture_ZHWC[1, 2, :, 0].tolist() == [0] * 5
        assert volume.picture_ZHWC[1, 2, :, 1].tolist() == [0, 1, 128, 255, 0]

    def test_the_brain_is_that_of_any(self, tmp_path: Path) -> None:
        volume = read_volume(self.case(tmp_path, self.scans()))
        assert np.argwhere(volume.brain).tolist() == [[1, row, column] for row in (1, 2) for column in (1, 2, 3)]
        assert halved(volume)["left"].picture_ZHWC[1, :, :, 1].tolist() == [[255, 128], [255, 128]]

    def test_as_if_each_were_alone(self, tmp_path: Path) -> None:
        case = self.case(tmp_path, [brain(0), brain(1), 3 * brain(2)], ("LPS", "PIR", "SRA"))
        together = read_volume(case)
        for at, path in enumerate(case.pictures):
            alone = read_volume(replace(case, pictures=(path,)))
            np.testing.assert_array_equal(together.picture_ZHWC[..., at], alone.picture_ZHWC[..., 0])

    def test_another_grid_is_refused(self, tmp_path: Path) -> None:
        case = self.case(tmp_path, self.scans())
        save(case.pictures[1], self.scans()[1], spacing=(1, 1, 2))
        with pytest.raises(ValueError, match=r"1\.nii: does not lie on the grid of 0\.nii \(spacing 1 1 2 mm"):
            read_volume(case)
        save(case.pictures[1], self.scans()[1][1:])
        with pytest.raises(ValueError, match=r"1\.nii: does not lie on the grid of 0\.nii \(shape 4 x 5 x 3"):
            read_volume(case)

    def test_one_without_brain_is_named(self, tmp_path: Path) -> None:
        first, second = self.scans()
        with pytest.raises(ValueError, match=r"1\.nii: holds nothing but 0"):
            read_volume(self.case(tmp_path, (first, 0 * second)))
