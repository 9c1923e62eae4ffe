"""BraTS cases to slices: orientation, choice of slices, names of the releases, what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import nibabel
import numpy as np
import pytest
from click.testing import CliRunner, Result
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray

from pipelines.brats_slices import Case, Volume, choose_slices, find_cases, halved, level_auroc, read_volume
from pipelines.cli import main

WIDTH, DEPTH, HEIGHT = 24, 30, 20  # right, front, up
CLASSES = ("with", "without")
Voxels = NDArray[np.int16]


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["brats", *map(str, arguments)])


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def read(path: Path) -> NDArray[Any]:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None, path
    return np.asarray(picture)


def save(path: Path, values: Voxels, codes: str = "RAS", spacing: tuple[float, float, float] = (1, 1, 1)) -> Path:
    """Write voxels given along right, front, up as a file that stores them along ``codes``."""
    image = nibabel.Nifti1Image(values, np.diag([*spacing, 1.0]))  # type: ignore[no-untyped-call]
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(codes))  # type: ignore[no-untyped-call]
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image.as_reoriented(turn), path)  # type: ignore[no-untyped-call]
    return path


def brain(seed: int = 0) -> Voxels:
    """Noise with a rim of background; the lowest two and the highest two slices hold a small brain."""
    values = np.random.default_rng(seed).integers(100, 1000, (WIDTH, DEPTH, HEIGHT)).astype(np.int16)
    values[:2], values[-4:], values[:, :3], values[:, -1:] = 0, 0, 0, 0
    values[:, 6:, :2] = values[:, 6:, -2:] = 0
    return values


def tumour(first: int, last: int, side: int = 12) -> Voxels:
    """A block of ``side`` x 12 voxels on slices ``first`` to ``last``."""
    labels = np.zeros((WIDTH, DEPTH, HEIGHT), np.int16)
    labels[4 : 4 + side, 8:20, first : last + 1] = 2
    return labels


def write_cases(folder: Path, names: list[str], codes: str = "RAS") -> Path:
    for index, name in enumerate(names):
        save(folder / name / f"{name}_flair.nii.gz", brain(index), codes)
        save(folder / name / f"{name}_seg.nii.gz", tumour(8, 11), codes)
    return folder


class TestOrientation:
    def test_right_is_left_and_front_is_up(self, tmp_path: Path) -> None:
        values = np.full((4, 6, 3), 100, np.int16)
        values[::3, ::5, ::2] = 0
        values[3, 5, 1] = 900  # the patient's right, in front
        labels = np.zeros((4, 6, 3), np.int16)
        labels[0, 5, 1] = 1  # the patient's left, in front
        case = Case(name="a", picture=save(tmp_path / "a.nii", values), segmentation=save(tmp_path / "b.nii", labels))
        volume = read_volume(case)
        assert volume.picture_ZHW.shape == (3, 6, 4)
        assert np.argwhere(volume.picture_ZHW == 255).tolist() == [[1, 0, 0]]
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
            Case(name="a", picture=save(tmp_path / "a.nii", values), segmentation=save(tmp_path / "b.nii", labels))
        )
        found = read_volume(
            Case(
                name="a",
                picture=save(tmp_path / "c.nii", values, "PIR"),
                segmentation=save(tmp_path / "d.nii", labels, "LPS"),
            )
        )
        np.testing.assert_array_equal(found.picture_ZHW, expected.picture_ZHW)
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
                picture=save(tmp_path / "a.nii", values, "LPS", spacing),
                segmentation=save(tmp_path / "b.nii", labels, "PIR", spacing),
            )
        )
        assert volume.picture_ZHW.shape == (2, 6, 4)
        assert volume.tumour_ZHW.any(axis=2).tolist() == [[False, False, True, True, False, False]] * 2


class TestHemispheres:
    def test_the_left_is_mirrored_and_the_middle_is_on_the_right(self) -> None:
        picture = np.zeros((1, 4, 8), np.uint8)
        picture[0, 1:3, 2:7] = [[11, 12, 13, 14, 15], [21, 22, 23, 24, 25]]  # five columns: the middle one is in both
        tumour_ZHW = np.zeros_like(picture, bool)
        tumour_ZHW[0, 2, 6] = True
        parts = halved(Volume(picture_ZHW=picture, tumour_ZHW=tumour_ZHW))
        assert parts["right"].picture_ZHW.tolist() == [[[11, 12, 13], [21, 22, 23]]]
        assert parts["left"].picture_ZHW.tolist() == [[[15, 14, 13], [25, 24, 23]]]
        assert not parts["right"].tumour_ZHW.any()
        assert np.argwhere(parts["left"].tumour_ZHW).tolist() == [[0, 1, 0]]

    def test_a_brain_of_one_column(self) -> None:
        picture = np.zeros((1, 2, 3), np.uint8)
        picture[0, 0, 0] = 7
        parts = halved(Volume(picture_ZHW=picture, tumour_ZHW=picture > 0))
        assert [part.picture_ZHW.tolist() for part in parts.values()] == [[[[7]]]] * 2

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


def write_volume(path: Path, values: NDArray[Any], affine: NDArray[Any], slope: float = 1, inter: float = 0) -> Path:
    """Write voxels as they are given; what is read is slope x values + inter."""
    image = nibabel.Nifti1Image(values, affine)  # type: ignore[no-untyped-call]
    image.header.set_slope_inter(slope, inter)  # type: ignore[no-untyped-call]
    nibabel.save(image, path)
    # nibabel scales what it writes, so the numbers are put back as they were.
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([slope, inter], "<f4").tobytes()
    content[352:] = values.tobytes(order="F")
    path.write_bytes(content)
    return path


class TestOneGrid:
    def case(self, folder: Path, scan: NDArray[Any], segmentation: NDArray[Any]) -> Case:
        return Case(
            name="a",
            picture=write_volume(folder / "a_flair.nii", brain(), scan),
            segmentation=write_volume(folder / "a_seg.nii", tumour(8, 11), segmentation),
        )

    @pytest.mark.parametrize(
        ("origin", "segmentation", "difference"),
        [
            ((0, DEPTH - 1, 0), np.eye(4), "origin 0 0 0 mm, not 0 29 0 mm"),
            ((WIDTH - 1, DEPTH - 1, 0), np.eye(4), "axes 1 0 0 0 1 0 0 0 1, not -1 0 0 0 -1 0 0 0 1"),
            ((0, 29, 0), [[-1, 0, 0, 0], [0, -1, 0, 29], [0, 0, 1, 1], [0, 0, 0, 1]], "origin 0 29 1 mm"),
            ((0, 29, 0), [[-1, 0, 0, 0], [0, -1, 0, 29], [0, 0, 1.05, 0], [0, 0, 0, 1]], "spacing 1 1 1.05 mm"),
            ((0, 29, 0), [[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.5], [0, 0, 0, 1]], "axes -1 0 0 0 1 0 0 0 1"),
        ],
    )
    def test_differences_are_named(
        self, tmp_path: Path, origin: tuple[float, ...], segmentation: Any, difference: str
    ) -> None:
        scan = np.diag([-1.0, -1, 1, 1])
        scan[:3, 3] = origin
        case = self.case(tmp_path, scan, np.array(segmentation, float))
        with pytest.raises(ValueError, match=r"a_seg\.nii: does not lie on the grid of a_flair\.nii") as caught:
            read_volume(case)
        assert difference in str(caught.value)

    def test_an_identity_is_taken_on_trust_alone(self, tmp_path: Path) -> None:
        scan = np.diag([-1.0, -1, 1, 1])
        scan[1, 3] = DEPTH - 1
        expected = read_volume(self.case(tmp_path, scan, scan))
        for affines in ((scan, np.eye(4)), (np.eye(4), scan)):
            case = self.case(tmp_path, *affines)
            with pytest.raises(ValueError, match=r"does not say where it lies: .*--trust-grid"):
                read_volume(case)
            found = read_volume(case, trust_grid=True)
            np.testing.assert_array_equal(found.picture_ZHW, expected.picture_ZHW)
            np.testing.assert_array_equal(found.tumour_ZHW, expected.tumour_ZHW)

    def test_trust_does_not_reach_other_shapes_or_places(self, tmp_path: Path) -> None:
        scan, moved = np.diag([-1.0, -1, 1, 1]), np.diag([-1.0, -1, 1, 1])
        moved[2, 3] = 3
        with pytest.raises(ValueError, match="resample"):
            read_volume(self.case(tmp_path, scan, moved), trust_grid=True)
        case = self.case(tmp_path, scan, np.eye(4))
        write_volume(case.segmentation, tumour(8, 11)[1:], np.eye(4))
        with pytest.raises(ValueError, match="shape 23 x 30 x 20, not 24 x 30 x 20"):
            read_volume(case, trust_grid=True)

    def test_a_code_of_0_beside_another(self, tmp_path: Path) -> None:
        scan = np.diag([-1.0, -1, 1, 1])
        scan[:3, 3] = 11.5, 14.5, -9.5  # where files without a code are put, but for its turn
        case = self.case(tmp_path, scan, scan)
        content = bytearray(case.segmentation.read_bytes())
        content[252:256] = bytes(4)
        case.segmentation.write_bytes(content)
        with pytest.raises(ValueError, match="qform and sform codes 0 0, not 0 2"):
            read_volume(case)

    def test_the_command_has_the_option(self, tmp_path: Path) -> None:
        scan = np.diag([-1.0, -1, 1, 1])
        scan[1, 3] = DEPTH - 1
        for name in ("a", "b"):
            write_volume(tmp_path / f"{name}_flair.nii", brain(), scan)
            write_volume(tmp_path / f"{name}_seg.nii", tumour(8, 11), np.eye(4))
        result = invoke(tmp_path, tmp_path / "set")
        assert result.exit_code == 2
        assert "--trust-grid" in result.stderr
        assert invoke(tmp_path, tmp_path / "set", "--trust-grid").exit_code == 0


class TestBackground:
    def read(self, folder: Path, scan: NDArray[Any], slope: float = 1, inter: float = 0) -> Volume:
        affine = np.diag([-1.0, -1, 1, 1])
        return read_volume(
            Case(
                name="a",
                picture=write_volume(folder / "a_flair.nii", scan, affine, slope, inter),
                segmentation=write_volume(folder / "a_seg.nii", tumour(8, 11), affine),
            )
        )

    @pytest.mark.parametrize(("slope", "inter"), [(0.5, -10), (0.1, 7), (-1, 0), (1, -1000)])
    def test_of_another_value_than_0(self, tmp_path: Path, slope: float, inter: float) -> None:
        expected = self.read(tmp_path, brain(), abs(slope))
        found = self.read(tmp_path, brain(), slope, inter)
        np.testing.assert_array_equal(found.picture_ZHW == 0, expected.picture_ZHW == 0)
        if slope > 0:
            np.testing.assert_allclose(
                found.picture_ZHW.astype(int), expected.picture_ZHW, atol=1
            )  # a half may go up or down

    def test_scores_have_brain_on_both_sides(self, tmp_path: Path) -> None:
        values = brain().astype(np.float32)
        outside = values == 0
        values = (values - values[~outside].mean()) / values[~outside].std()
        values[outside] = -0.25  # in the midst of the brain's own
        np.testing.assert_array_equal(self.read(tmp_path, values).picture_ZHW == 0, outside.T)

    def test_rounding_is_background(self, tmp_path: Path) -> None:
        values = brain().astype(np.float32) - 10
        outside = values == -10
        values[outside] += np.random.default_rng(0).uniform(-1e-3, 1e-3, outside.sum()).astype(np.float32)
        np.testing.assert_array_equal(self.read(tmp_path, values).picture_ZHW == 0, outside.T)

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
                picture=write_volume(folder / "a_flair.nii", brain(), affine),
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
    case = Case(name="a", picture=save(tmp_path / "a.nii", values), segmentation=save(tmp_path / "b.nii", labels))
    picture = read_volume(case).picture_ZHW[0, ::-1, ::-1].T  # back along right, front
    assert not picture[40:].any()
    assert not picture[:, 25:].any()
    inside = picture[:40, :25].ravel().astype(float)
    assert (inside[:5] == 1).all()
    assert (inside[-5:] == 255).all()
    low, high = 1 + 0.005 * 999, 1 + 0.995 * 999
    np.testing.assert_allclose(inside[5:-5], 1 + 254 * (np.arange(6, 996) - low) / (high - low), atol=0.501)


class TestChoice:
    def volume(self, brain_pixels: list[int], tumour_pixels: list[int]) -> Volume:
        def filled(counts: list[int]) -> NDArray[np.bool_]:
            return np.array([np.arange(400).reshape(20, 20) < count for count in counts])

        return Volume(picture_ZHW=filled(brain_pixels).astype(np.uint8) * 50, tumour_ZHW=filled(tumour_pixels))

    def test_by_brain_and_tumour(self) -> None:
        volume = self.volume([0, 99, 100, 300, 400, 400, 200, 100, 20], [0, 9, 0, 4, 5, 90, 0, 0, 0])
        chosen = choose_slices("a", volume, min_tumour=5, min_brain=0.25)
        assert [(piece.number, piece.tumour) for piece in chosen] == [
            (2, False), (4, True), (5, True), (6, False), (7, False)
        ]  # fmt: skip
        assert [piece.level for piece in chosen] == [0, 0.4, 0.6, 0.8, 1]

    def test_level_alone(self) -> None:
        # Tenths of 20 slices hold two each: 0..3 without, 4..7 with, 8 and 9 one of each kind.
        volume = self.volume([400] * 20, [0] * 8 + [9] * 8 + [0, 9, 0, 9])
        chosen = choose_slices("a", volume, min_tumour=1, min_brain=0.25)
        # Pairs in order but for ties: of 10 x 10, 2 x 2 are half right.
        assert level_auroc(chosen) == pytest.approx(0.98)
        assert level_auroc([piece for piece in chosen if piece.tumour]) is None


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
