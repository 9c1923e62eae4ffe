"""The generated sets hold what they say and nothing else differs between the classes."""

from __future__ import annotations

import filecmp
import itertools
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from scipy import ndimage, stats

import pipelines
from detect.formats import dota
from pipelines import synthetic_sets
from pipelines.synthetic_sets import BRIGHTEST, DARK, DIMMEST, RIM, WHITE, Sample, Split

SPLITS: tuple[Split, ...] = get_args(Split)
NUMBER = 400  # samples where a distribution is looked at


def read(path: Path) -> NDArray[Any]:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None, path
    return picture


def samples(split: Split, has_thing: bool, number: int = NUMBER, size: int = 64) -> list[Sample]:
    draw = getattr(synthetic_sets, split)
    return [draw(np.random.default_rng((7, has_thing, i)), size, has_thing) for i in range(number)]


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def corners(sample: Sample) -> NDArray[np.float64]:
    assert sample.corners_N42 is not None
    return sample.corners_N42


class TestFiles:
    @pytest.mark.parametrize("split", SPLITS)
    def test_layout(self, tmp_path: Path, split: Split) -> None:
        folder = pipelines.synthetic(tmp_path / "new" / "set", split=split, count=3, image_size=32)
        suffix = "tif" if split == "effect" else "png"
        for name in ("with", "without"):
            stems = [f"{name}_{i:05d}" for i in range(50)]
            assert files(folder / "train" / name) == [f"{stem}.{suffix}" for stem in stems[:3]]
            assert files(folder / "test" / name) == [f"{stem}.{suffix}" for stem in stems]
        truth = {"masks": "png"} | {"shape": {"shapes": "png"}}.get(split, {"effects": "tif"})
        truth |= {"labelTxt": "txt"} if split == "rows" else {}
        assert {path.name for path in (folder / "test").iterdir()} == {"with", "without", *truth}
        assert {path.name for path in (folder / "train").iterdir()} == {"with", "without"}
        pictures = files(folder / "test" / "with") + files(folder / "test" / "without")
        for kind, kind_suffix in truth.items():
            assert files(folder / "test" / kind) == sorted(f"{Path(name).stem}.{kind_suffix}" for name in pictures)
        assert [path.name for path in folder.parent.iterdir()] == ["set"]

    def test_a_fifth_for_testing(self, tmp_path: Path) -> None:
        folder = pipelines.synthetic(tmp_path / "set", split="shape", count=300, image_size=32)
        assert len(files(folder / "train" / "with")) == 300
        assert len(files(folder / "test" / "without")) == 60

    @pytest.mark.parametrize("split", SPLITS)
    def test_truth_says_how_the_picture_differs(self, tmp_path: Path, split: Split) -> None:
        folder = pipelines.synthetic(tmp_path / "set", split=split, count=1)
        size = 112 if split == "effect" else 64
        for picture in sorted((folder / "test").glob("with*/*")):
            mask = read(folder / "test" / "masks" / f"{picture.stem}.png")
            pixels = read(picture)
            assert mask.shape == pixels.shape == (size, size)
            assert mask.dtype == np.uint8
            assert mask.any() == (picture.parent.name == "with")
            assert set(np.unique(mask)) <= {0, 255}
            if split == "shape":
                shape = read(folder / "test" / "shapes" / f"{picture.stem}.png")
                assert (pixels[shape == 255] == DARK).all()
                np.testing.assert_array_equal(mask, shape if picture.parent.name == "with" else 0)
            else:
                effect = read(folder / "test" / "effects" / f"{picture.stem}.tif")
                assert effect.dtype == np.float32
                np.testing.assert_array_equal(effect != 0, mask == 255)

    def test_the_seed_alone_decides(self, tmp_path: Path) -> None:
        first, second = (
            pipelines.synthetic(tmp_path / name, split="presence", count=2, image_size=32) for name in "ab"
        )
        assert files(first) == files(second)
        assert filecmp.cmpfiles(first, second, files(first), shallow=False) == (files(first), [], [])
        other = pipelines.synthetic(tmp_path / "c", split="presence", count=2, image_size=32, seed=1)
        pictures = [name for name in files(other) if "masks" not in name and "effects" not in name]
        assert filecmp.cmpfiles(first, other, pictures, shallow=False)[1] == pictures

    def test_no_picture_twice(self, tmp_path: Path) -> None:
        folder = pipelines.synthetic(tmp_path / "set", split="presence", count=60, image_size=32)
        pictures = [read(path).tobytes() for path in folder.glob("*/with*/*")]
        assert len(set(pictures)) == len(pictures) == 2 * (60 + 50)

    def test_larger_set_holds_the_smaller(self, tmp_path: Path) -> None:
        small, large = (pipelines.synthetic(tmp_path / str(n), split="effect", count=n, image_size=32) for n in (2, 4))
        assert filecmp.cmpfiles(small, large, files(small), shallow=False)[0] == files(small)


class TestPresence:
    def test_white_rectangle_inside_the_dark_shape(self) -> None:
        for sample in samples("presence", has_thing=True, number=100):
            rows, columns = np.nonzero(sample.mask_HW)
            box = sample.mask_HW[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            assert box.all(), "the mask is no rectangle"
            assert (sample.picture_HW[sample.mask_HW] == WHITE).all()
            rim = ndimage.binary_dilation(sample.mask_HW) & ~sample.mask_HW
            assert (sample.picture_HW[rim] == DARK).all()

    def test_one_that_fits_nowhere_shrinks(self) -> None:
        # At this size some rectangles that are drawn are too large for their circle, wherever they lie.
        for sample in samples("presence", has_thing=True, number=60, size=32):
            assert sample.mask_HW.any()
            rim = ndimage.binary_dilation(sample.mask_HW) & ~sample.mask_HW
            assert (sample.picture_HW[rim] == DARK).all()

    def test_effect_takes_the_thing_out(self) -> None:
        for sample in samples("presence", has_thing=True, number=20):
            assert sample.effect_HW is not None
            without = sample.picture_HW - sample.effect_HW
            assert (without[sample.mask_HW] == DARK).all()
            np.testing.assert_array_equal(without[~sample.mask_HW], sample.picture_HW[~sample.mask_HW])

    def test_nothing_else_differs_between_the_classes(self) -> None:
        """Size, place, extent and roundness of the dark shape and the background agree (Kolmogorov-Smirnov)."""

        def measure(sample: Sample) -> list[float]:
            # Backgrounds seldom reach the dark level; the largest component is the shape.
            labels, _ = ndimage.label((sample.picture_HW == DARK) | sample.mask_HW)
            dark = labels == np.bincount(labels.ravel())[1:].argmax() + 1
            rows, columns = np.nonzero(dark)
            background = sample.picture_HW[~dark]
            filled = dark.sum() / ((np.ptp(rows) + 1) * (np.ptp(columns) + 1))
            return [dark.sum(), rows.mean(), columns.mean(), np.ptp(rows), filled, background.mean(), background.std()]

        measured = [np.array([measure(sample) for sample in samples("presence", thing)]) for thing in (True, False)]
        for with_, without in zip(measured[0].T, measured[1].T, strict=True):
            assert stats.ks_2samp(with_, without).pvalue > 0.01


class TestShape:
    def test_circle_and_rectangle(self) -> None:
        for has_thing, filled in ((True, np.pi / 4), (False, 1.0)):
            for sample in samples("shape", has_thing, number=50, size=256):
                assert sample.shape_HW is not None
                rows, columns = np.nonzero(sample.shape_HW)
                box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
                assert sample.shape_HW.sum() / box == pytest.approx(filled, abs=0.03)
                assert (sample.picture_HW[sample.shape_HW] == DARK).all()

    def test_size_and_place_do_not_tell_the_class(self) -> None:
        def measure(sample: Sample) -> list[float]:
            assert sample.shape_HW is not None
            rows, columns = np.nonzero(sample.shape_HW)
            return [sample.shape_HW.sum(), rows.mean(), columns.mean(), sample.picture_HW.mean()]

        measured = [np.array([measure(sample) for sample in samples("shape", thing)]) for thing in (True, False)]
        for with_, without in zip(measured[0].T, measured[1].T, strict=True):
            assert stats.ks_2samp(with_, without).pvalue > 0.01


class TestEffect:
    def test_noise(self) -> None:
        """Mean 0, standard deviation 50, and the autocorrelation exp(-d² / 4σ²) of noise blurred with σ = 2.5."""
        pictures = np.stack([sample.picture_HW for sample in samples("effect", has_thing=False, size=112)])
        assert pictures.dtype == np.float32
        np.testing.assert_allclose(pictures.mean(axis=(1, 2)), 0, atol=1e-3)
        np.testing.assert_allclose(pictures.std(axis=(1, 2)), 50, rtol=1e-5)
        inner = pictures[:, 16:-16, 16:-16].astype(np.float64)
        for distance in (1, 2, 5):
            correlation = (inner[:, distance:] * inner[:, :-distance]).mean() / (inner**2).mean()
            assert correlation == pytest.approx(np.exp(-(distance**2) / (4 * 2.5**2)), abs=0.02)

    def test_squares(self) -> None:
        centres = []
        for sample in samples("effect", has_thing=True, size=112):
            assert sample.effect_HW is not None
            np.testing.assert_array_equal(sample.effect_HW, np.where(sample.mask_HW, 100, 0))
            assert (sample.picture_HW - sample.effect_HW).std() == pytest.approx(50, rel=1e-4)
            assert sample.mask_HW[46:66, 46:66].all(), "a square of 20 in the centre"
            second = sample.mask_HW.copy()
            second[46:66, 46:66] = False
            rows, columns = np.nonzero(second)
            assert second.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1) == 400
            centres.append((rows.min() + 10, columns.min() + 10))
        upper_left = np.array([centre for centre in centres if max(centre) < 56])
        lower_right = np.array([centre for centre in centres if min(centre) > 56])
        assert len(upper_left) + len(lower_right) == NUMBER
        assert stats.binomtest(len(upper_left), NUMBER).pvalue > 0.01
        for found, middle in ((upper_left, 28), (lower_right, 84)):
            assert set(np.unique(found)) == set(range(middle - 5, middle + 6)), "moved by -5 to +5"
            assert stats.chisquare(np.bincount(found.ravel() - (middle - 5))).pvalue > 0.01

    def test_every_float_survives_the_file(self, tmp_path: Path) -> None:
        folder = pipelines.synthetic(tmp_path / "set", split="effect", count=1, seed=3)
        expected = synthetic_sets.effect(np.random.default_rng((3, 2, 0, 1, 0)), 112, True)
        picture = read(folder / "train" / "with" / "with_00000.tif")
        assert picture.dtype == np.float32
        np.testing.assert_array_equal(picture, expected.picture_HW)


class TestRows:
    def test_one_to_six_blocks(self) -> None:
        """Each number is as likely, and directions are spread evenly."""
        pictures = samples("rows", has_thing=True)
        numbers = [len(corners(sample)) for sample in pictures]
        assert set(numbers) == {1, 2, 3, 4, 5, 6}
        assert stats.chisquare(np.bincount(numbers)[1:]).pvalue > 0.01
        edges = np.array([corners(sample)[0, 1] - corners(sample)[0, 0] for sample in pictures])
        directions = np.arctan2(edges[:, 1], edges[:, 0]) % np.pi
        assert stats.kstest(directions / np.pi, "uniform").pvalue > 0.01

    @pytest.mark.parametrize("size", [32, 64, 150])
    def test_blocks_touch_and_agree_with_the_mask(self, size: int) -> None:
        """A pixel is in the mask where its centre is in a block's square, and neighbours' squares share a side."""
        rows, columns = np.mgrid[:size, :size] + 0.5
        for sample in samples("rows", has_thing=True, number=60, size=size):
            blocks = [shapely.Polygon(block) for block in corners(sample)]
            np.testing.assert_allclose(shapely.area(blocks), (size / 10) ** 2)
            edges = np.diff(corners(sample)[:, [0, 1, 2, 3, 0]], axis=1)
            np.testing.assert_allclose(np.hypot(edges[..., 0], edges[..., 1]), size / 10)
            inside = shapely.contains_xy(shapely.union_all(shapely.buffer(blocks, 1e-9)), columns, rows)
            np.testing.assert_array_equal(sample.mask_HW, inside)
            assert ndimage.label(sample.mask_HW, np.ones((3, 3)))[1] == 1, "the row falls apart"
            for one, other in itertools.pairwise(blocks):
                assert shapely.distance(one, other) < 1e-9
                assert shapely.area(shapely.intersection(one, other)) < 1e-6
                assert shapely.length(shapely.intersection(one.buffer(1e-7), other)) > 2 * 0.7 * size / 10

    def test_blocks_lie_within_the_bar_and_the_bar_within_the_picture(self) -> None:
        """Nothing of the bar is cut off: its area is whole."""
        whole = (6.5 * 6.4) * (1.6 * 6.4)
        for has_thing in (False, True):
            for sample in samples("rows", has_thing=has_thing, number=150):
                assert sample.effect_HW is not None
                before = sample.picture_HW - sample.effect_HW
                labels, _ = ndimage.label(before == DARK)
                bar = labels == np.bincount(labels.ravel())[1:].argmax() + 1
                assert bar.sum() == pytest.approx(whole, rel=0.06)
                assert not (sample.mask_HW & ~bar).any()
                assert ((corners(sample) >= 0) & (corners(sample) <= 64)).all()

    def test_blocks_have_a_rim_and_a_brightness_of_their_own(self) -> None:
        levels = []
        for sample in samples("rows", has_thing=True, number=100):
            taken = np.unique(sample.picture_HW[sample.mask_HW]).tolist()
            bright = [level for level in taken if level >= DIMMEST]
            assert set(taken) <= {*bright, *(level - RIM for level in bright)}
            assert max(bright) <= BRIGHTEST
            levels += bright
            alone = ndimage.binary_erosion(sample.mask_HW, iterations=2) & (sample.picture_HW >= DIMMEST)
            edge = sample.mask_HW & ~ndimage.binary_erosion(sample.mask_HW, np.ones((3, 3), bool))
            assert sample.picture_HW[edge].mean() < sample.picture_HW[alone].mean() - RIM / 2
        assert len(set(levels)) > 30

    def test_nothing_in_without(self) -> None:
        for sample in samples("rows", has_thing=False, number=50):
            assert not sample.mask_HW.any()
            assert corners(sample).shape == (0, 4, 2)
            assert sample.effect_HW is not None
            assert not sample.effect_HW.any()

    def test_oriented_boxes_in_the_files(self, tmp_path: Path) -> None:
        folder = pipelines.synthetic(tmp_path / "set", split="rows", count=1, seed=3)
        sizes = {f"{name}_{number:05d}.png": (64, 64) for name in ("with", "without") for number in range(50)}
        found = {item.name: item.instances for item in dota.read(folder / "test" / "labelTxt", sizes=sizes)}
        assert set(found) == set(sizes)
        assert not any(items for name, items in found.items() if name.startswith("without"))
        for number in range(50):
            expected = synthetic_sets.rows(np.random.default_rng((3, 3, 1, 1, number)), 64, True)
            blocks = found[f"with_{number:05d}.png"]
            assert len(blocks) == len(corners(expected))
            for block, corners_42 in zip(blocks, corners(expected), strict=True):
                assert block.category == "block"
                assert shapely.Polygon(block.obb).symmetric_difference(shapely.Polygon(corners_42)).area < 0.2


class TestWrongInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"split": "holes"}, "unknown split 'holes': choose one of presence, shape, effect, rows"),
            ({"count": 0}, "count must be 1 or more, not 0"),
            ({"image_size": 31}, "image size must be from 32 to 4096 pixels, not 31"),
            ({"image_size": 5000}, "image size must be from 32 to 4096 pixels, not 5000"),
            ({"seed": -1}, "seed must be 0 or more, not -1"),
        ],
    )
    def test_is_named_and_nothing_is_written(self, tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            pipelines.synthetic(tmp_path / "set", **({"split": "shape"} | arguments))
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("as_file", [True, False])
    def test_existing_folder_is_left_alone(self, tmp_path: Path, as_file: bool) -> None:
        target = tmp_path / "set"
        kept = target if as_file else target / "kept.txt"
        kept.parent.mkdir(exist_ok=True)
        kept.write_text("mine")
        with pytest.raises(FileExistsError, match="set exists already"):
            pipelines.synthetic(target, split="shape", count=1)
        assert files(tmp_path) == [kept.relative_to(tmp_path).as_posix()]

    def test_empty_folder_is_taken(self, tmp_path: Path) -> None:
        (tmp_path / "set").mkdir()
        pipelines.synthetic(tmp_path / "set", split="shape", count=1, image_size=32)
        assert (tmp_path / "set" / "test" / "masks").is_dir()

    def test_failure_half_way_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        written: list[str] = []

        def full_disk(path: str, picture: object) -> bool:
            written.append(path)
            return len(written) < 4

        monkeypatch.setattr(cv2, "imwrite", full_disk)
        with pytest.raises(OSError, match="cannot write"):
            pipelines.synthetic(tmp_path / "set", split="shape", count=5)
        assert len(written) == 4
        assert not list(tmp_path.iterdir())
