"""A run in use: painting whole pictures and windows, maps at the pictures' size, loading."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import distmap
from distmap.common.picture_files import PictureError, find_pictures
from distmap.common.pictures import read_picture
from distmap.config import Config, resolve
from distmap.data.resizing import resize
from distmap.data.scaling import Scaling
from distmap.data.statistics import Survey
from distmap.inference.model import DistinctionModel, Painting, save
from distmap.methods.branched_gan.maps import distinction_map, finish
from distmap.training.student import Student

SIDE = 32
SCALING = Scaling(low=(0.0,), high=(200.0,), dtype="uint8")


class Painter(nn.Module):
    """In place of a generator: two branches; ``branches(x, class)`` gives each from a window's pixels."""

    def encode(self, x_BCHW: Tensor) -> list[Tensor]:
        return [x_BCHW]

    def paint(self, features: Sequence[Tensor], labels_B: Tensor) -> Tensor:
        x, y = features[0], labels_B[:, None, None, None].float()
        return torch.stack(self.branches(x, y), dim=1)

    def branches(self, x: Tensor, y: Tensor) -> list[Tensor]:
        raise NotImplementedError


class Constant(Painter):
    def branches(self, x: Tensor, y: Tensor) -> list[Tensor]:
        return [torch.full_like(x, -0.25) + y, torch.full_like(x, 0.125)]


class Copy(Painter):
    """As WITHOUT the picture itself, as WITH something added; branch 1 carries a quarter."""

    def branches(self, x: Tensor, y: Tensor) -> list[Tensor]:
        return [0.25 * x + 0.5 * y, 0.75 * x]


class Ramp(Painter):
    """Paints the column number of the window."""

    def branches(self, x: Tensor, y: Tensor) -> list[Tensor]:
        return [torch.arange(x.shape[-1]).expand_as(x).float(), torch.zeros_like(x)]


class Everywhere(nn.Module):
    """In place of a locator: every place has the logit 2, but for the left quarter of a window, which has -2."""

    def places(self, x_BCHW: Tensor) -> Tensor:
        logits = torch.full((len(x_BCHW), x_BCHW.shape[2] // 4, x_BCHW.shape[3] // 4), 2.0)
        logits[..., : logits.shape[-1] // 4] = -2
        return logits


class Bright(nn.Module):
    """In place of a judge: bright pictures are WITH."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        mean = x_BCHW.mean(dim=(1, 2, 3))
        return torch.stack([-mean, mean], dim=1)


def model(painter: Painter, *, judge: bool = False, longer: int = SIDE, longest: int = SIDE, **sections: Any) -> Any:
    config = resolve(overrides={"image_size": SIDE, "generator": {"branches": 2}, **sections})
    facts = Survey(scaling=SCALING, longer_side=longer, longest_side=longest)
    stand_in: Any = painter
    locator: Any = Everywhere()
    judging: Any = Bright() if judge else None
    return DistinctionModel(config, facts, stand_in, locator, judging, torch.device("cpu"))


def painting_of(picture_HWC: Any, without_NHWC: Any, with_NHWC: Any) -> Painting:
    """A painting whose every place is certain to the locator."""
    return Painting(
        picture_HWC=picture_HWC,
        without_NHWC=without_NHWC,
        with_NHWC=with_NHWC,
        place_HW=np.full(picture_HWC.shape[:2], 100, np.float32),
    )


def noise(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 201, (*shape, 1), dtype=np.uint8)


SIZES = [(32, 32), (1, 50), (301, 7), (40, 30), (41, 32), (100, 75), (5, 5), (33, 90), (1, 1), (31, 64)]


@pytest.mark.parametrize("size", SIZES)
def test_a_constant_is_painted_as_a_constant(size: tuple[int, int]) -> None:
    painting = model(Constant()).paint(noise(*size))
    assert painting.without_NHWC.shape[1:] == painting.picture_HWC.shape
    np.testing.assert_allclose(painting.without_NHWC[0], -0.25, atol=1e-5)
    np.testing.assert_allclose(painting.with_NHWC[0], 0.75, atol=1e-5)
    np.testing.assert_allclose(painting.repainted(0), -0.125, atol=1e-5)
    np.testing.assert_allclose(painting.repainted(1), 0.875, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("symmetry", ["none", "mirror", "all"])
def test_every_pixel_comes_back_to_its_place(size: tuple[int, int], symmetry: str) -> None:
    painting = model(Copy(), data={"symmetry": symmetry}).paint(noise(*size))
    np.testing.assert_allclose(painting.repainted(0), painting.picture_HWC, atol=1e-4)
    np.testing.assert_allclose(painting.with_NHWC[0], 0.25 * painting.picture_HWC + 0.5, atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_maps_have_the_size_of_the_picture(size: tuple[int, int]) -> None:
    map_HW = model(Constant()).map(noise(*size))
    assert map_HW.shape == size
    assert map_HW.dtype == np.float32
    assert np.isfinite(map_HW).all()


def test_about_as_large_as_trained_on_is_seen_whole() -> None:
    painter = model(Copy(), longer=100, longest=160)
    assert painter.paint(noise(200, 100)).picture_HWC.shape == (32, 16, 1)  # 1.25 times the longest
    assert painter.paint(noise(20, 10)).picture_HWC.shape == (32, 16, 1)
    # A larger one is brought to the scale of the usual picture: 32 for 100.
    assert painter.paint(noise(400, 100)).picture_HWC.shape == (128, 32, 1)


def test_painting_is_averaged_over_the_symmetries() -> None:
    painting = model(Ramp(), data={"symmetry": "mirror"}).paint(noise(32, 32))
    np.testing.assert_allclose(painting.with_NHWC[0], (SIDE - 1) / 2)


def test_branches_add_up_to_the_repainting(fitted: Path) -> None:
    trained = distmap.load(fitted, device="cpu")
    picture = noise(32, 70)
    for label in (0, 1):
        branches = trained.decompose(picture, label)
        assert branches.shape == (3, 32, 70, 1)
        repainted = trained.scaling.undo(np.clip(branches.sum(axis=0), -1, 1))
        np.testing.assert_allclose(trained.reconstruct(picture, label), repainted, atol=1e-3)


def test_the_decomposition_of_a_picture_is_exact(fitted: Path) -> None:
    painting = distmap.load(fitted, device="cpu").paint(noise(40, 32))
    branches = painting.decomposition()
    assert branches.shape == painting.without_NHWC.shape
    np.testing.assert_allclose(branches.sum(axis=0), painting.picture_HWC, atol=1e-6)
    np.testing.assert_array_equal(branches[1:], painting.without_NHWC[1:])
    # What branch 1 holds beyond its own painting as WITHOUT is the picture less that repainting.
    expected = painting.picture_HWC - painting.repainted(0)
    np.testing.assert_allclose(branches[0] - painting.without_NHWC[0], expected, atol=1e-6)


def test_reconstruct_is_in_the_numbers_of_the_file() -> None:
    picture = noise(32, 20)
    np.testing.assert_allclose(model(Copy()).reconstruct(picture, 0), picture, atol=0.01)


@pytest.mark.parametrize("symmetry", ["none", "mirror", "all"])
def test_the_locator_is_averaged_over_the_symmetries(symmetry: str) -> None:
    places = model(Copy(), data={"symmetry": symmetry}).paint(noise(32, 32)).place_HW
    assert places.shape == (32, 32)
    np.testing.assert_allclose(places[14:18, 14:18], 2)
    # The sides are -2 in one view of those that move them: of one, of two, and of two among eight for each side.
    share = {"none": 1, "mirror": 1 / 2, "all": 2 / 8}[symmetry]
    np.testing.assert_allclose(places[14:18, 0], 2 - 4 * share, atol=1e-5)
    np.testing.assert_allclose(places[14:18, -1], 2 if symmetry == "none" else 2 - 4 * share, atol=1e-5)
    np.testing.assert_allclose(places[0, 14:18], 2 - 4 * share if symmetry == "all" else 2, atol=1e-5)


def test_the_map_is_made_of_the_painting_at_the_pictures_size() -> None:
    painter = model(Constant(), longer=64, longest=64)
    picture = noise(64, 48)
    painting = painter.paint(picture)
    expected = resize(distinction_map(painting.evidence(), painter.config.map), 64, 48)
    grey = painter.scaling.apply(picture).mean(axis=-1)
    expected = finish(expected, grey, painter.config.map, 2.0)
    np.testing.assert_allclose(painter.map(picture), expected)


def test_explain_by_hand() -> None:
    picture = np.zeros((4, 4, 1), np.float32)
    without = np.full((2, 4, 4, 1), 0.1, np.float32)  # sum 0.2: MSE 0.04, 20 dB for a range of 2
    with_ = np.full((2, 4, 4, 1), 0.01, np.float32)  # sum 0.02: MSE 0.0004, 40 dB
    scores = model(Copy()).explain(painting_of(picture, without, with_))
    assert scores["psnr_without"] == pytest.approx(20, abs=1e-3)
    assert scores["psnr_with"] == pytest.approx(40, abs=1e-3)
    assert scores["residual"] == pytest.approx(0.02)
    assert "flips_to_with" not in scores


def test_a_perfect_repainting_has_a_finite_psnr() -> None:
    blank = np.zeros((1, 4, 4, 1), np.float32)
    scores = model(Copy()).explain(painting_of(blank[0], blank, blank))
    assert math.isfinite(scores["psnr_with"])
    assert scores["psnr_with"] > 100


@pytest.mark.parametrize(("as_with", "as_without"), [(0.5, -0.5), (-0.5, 0.5)])
def test_the_judge_sees_each_repainting(as_with: float, as_without: float) -> None:
    painting = painting_of(
        np.zeros((20, 32, 1), np.float32),
        np.full((1, 20, 32, 1), as_without, np.float32),
        np.full((1, 20, 32, 1), as_with, np.float32),
    )
    scores = model(Copy(), judge=True).explain(painting)
    assert scores["flips_to_with"] == (as_with > 0)
    assert scores["flips_to_without"] == (as_without < 0)


def test_the_judge_says_nothing_of_pictures_larger_than_its_window() -> None:
    large = np.zeros((1, 33, 10, 1), np.float32)
    scores = model(Copy(), judge=True).explain(painting_of(large[0], large, large))
    assert "flips_to_with" not in scores


def test_pictures_of_another_kind_are_refused() -> None:
    painter = model(Copy())
    with pytest.raises(PictureError, match="has 3 band"):
        painter.paint(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(PictureError, match="has float values"):
        painter.map(np.zeros((32, 32, 1), np.float32))


def test_maps_of_files_and_folders_are_those_of_their_pictures(tmp_path: Path) -> None:
    painter = model(Constant(), judge=True)
    pictures = {f"{number:02}.png": noise(10 + 3 * number, 50 - 2 * number) for number in range(11)}
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name, picture in pictures.items():
        assert cv2.imwrite(str(tmp_path / "in" / "sub" / name), picture)
    assert cv2.imwrite(str(tmp_path / "alone.png"), pictures["03.png"])
    results = list(painter.maps([tmp_path / "in", tmp_path / "alone.png"]))
    assert [result.name for result in results] == [f"sub/{name}" for name in pictures] + ["alone.png"]
    for result, picture in zip(results, [*pictures.values(), pictures["03.png"]], strict=True):
        assert result.map_HW.dtype == np.float32
        np.testing.assert_allclose(result.map_HW, painter.map(picture), atol=1e-6)
        assert result.scores["score"] >= result.map_HW.max() - 1e-6
        assert set(result.scores) == {
            "psnr_with",
            "psnr_without",
            "residual",
            "score",
            *(() if max(picture.shape) > 40 else ("flips_to_with", "flips_to_without")),
        }


def test_maps_name_the_file_that_does_not_fit(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), noise(32, 32))
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((32, 32), np.uint16))
    with pytest.raises(PictureError, match=r"b\.tif: has uint16 values"):
        list(model(Constant()).maps([tmp_path]))


# --- with a student ----------------------------------------------------------------------------------------------


class Slope(nn.Module):
    """In place of a student: the logit is the picture plus a hundredth of the window's column."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW[:, 0] + 0.01 * torch.arange(x_BCHW.shape[-1])


def taught(*, longer: int = SIDE, **sections: Any) -> Any:
    student: Any = Slope()
    untaught = model(Constant(), longer=longer, longest=longer, **sections)
    return untaught.with_student(student, untaught.config.student)


def test_a_student_makes_the_map_at_the_pictures_own_size() -> None:
    pupil = taught(longer=64, data={"symmetry": "none"})
    assert (pupil.map_side, pupil.channels, pupil.reach(2.0)) == (64, 1, 0)
    picture = noise(64, 48)
    logits = picture[..., 0] / 100 - 1 + 0.01 * np.arange(48)
    np.testing.assert_allclose(pupil.map(picture), 1 / (1 + np.exp(-logits)), rtol=1e-4)
    np.testing.assert_allclose(pupil.paint(picture).without_NHWC[0], -0.25)  # the repainting is the generator's


def test_a_students_logits_are_averaged_over_the_symmetries() -> None:
    grey = np.full((64, 64, 1), 100, np.uint8)
    np.testing.assert_allclose(taught(longer=64).map(grey), 1 / (1 + np.exp(-0.315)), rtol=1e-4)  # the mean column


def test_a_student_sees_large_pictures_in_windows_at_the_usual_scale() -> None:
    pupil = taught(longer=64, student={"max_side": 32})
    picture = np.kron(noise(100, 80), np.ones((2, 2, 1), np.uint8))  # 200 x 160: half of it is the network's scale
    means = picture[..., 0].astype(float)
    expected = 1 / (1 + np.exp(-(means / 100 - 1 + 0.155)))
    found = pupil.map(picture)
    assert found.shape == (200, 160)
    np.testing.assert_allclose(found[1::2, 1::2].mean(), expected[1::2, 1::2].mean(), atol=0.01)


def test_what_a_student_finds_in_a_scenes_windows_makes_their_maps() -> None:
    pupil = taught(longer=64)
    windows = np.stack([noise(64, 64), noise(64, 64)[::-1]])
    found = pupil.evidence(windows)
    assert found.shape == (2, 64, 64, 1)
    for window, one in zip(windows, found, strict=True):
        np.testing.assert_allclose(pupil.map_evidence(one, 1.0), pupil.map(window), atol=1e-5)


def test_maps_of_files_are_the_students_and_scores_the_generators(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), noise(32, 20))
    pupil, painter = taught(), model(Constant())
    (result,), (painted,) = pupil.maps([tmp_path]), painter.maps([tmp_path])
    np.testing.assert_allclose(result.map_HW, pupil.map(noise(32, 20)), atol=1e-6)
    assert result.scores == painted.scores | {"score": pytest.approx(result.map_HW.max())}
    (bare,) = pupil.map_files(find_pictures([tmp_path]), explained=False)
    assert bare.scores == {}
    np.testing.assert_array_equal(bare.map_HW, result.map_HW)


def test_a_student_is_saved_and_loaded(fitted: Path, pictures: tuple[Path, Path], tmp_path: Path) -> None:
    loaded = distmap.load(fitted, device="cpu")
    student = Student(loaded.config.student, 1).eval()
    shutil.copy(fitted / "config.yaml", tmp_path)
    save(tmp_path, loaded.with_student(student, loaded.config.student))
    again = distmap.load(tmp_path, device="cpu")
    picture = read_picture(pictures[0] / "with_00.png")
    np.testing.assert_array_equal(again.map(picture), loaded.with_student(student, loaded.config.student).map(picture))
    assert np.abs(again.map(picture) - loaded.map(picture)).max() > 0.01


# --- loading -----------------------------------------------------------------------------------------------------


def test_a_run_that_was_moved_still_works(fitted: Path, pictures: tuple[Path, Path], tmp_path: Path) -> None:
    before = list(distmap.load(fitted, device="cpu").maps([pictures[0]]))
    shutil.copytree(fitted, tmp_path / "elsewhere")
    after = list(distmap.load(str(tmp_path / "elsewhere"), device="cpu").maps([str(pictures[0])]))
    for one, other in zip(before, after, strict=True):
        assert (one.name, one.scores) == (other.name, other.scores)
        np.testing.assert_array_equal(one.map_HW, other.map_HW)


def test_weights_and_config_are_enough(fitted: Path, tmp_path: Path) -> None:
    for name in ("config.yaml", "weights.safetensors"):
        shutil.copy(fitted / name, tmp_path)
    assert isinstance(distmap.load(tmp_path, device="cpu").config, Config)


def test_what_is_no_run_is_refused(tmp_path: Path, fitted: Path) -> None:
    for nothing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match="not a run folder"):
            distmap.load(nothing)
    shutil.copy(fitted / "config.yaml", tmp_path)
    with pytest.raises(ValueError, match="holds no weights yet; finish its training"):
        distmap.load(tmp_path)


@pytest.fixture
def copy_of_run(fitted: Path, tmp_path: Path) -> Path:
    for name in ("config.yaml", "weights.safetensors"):
        shutil.copy(fitted / name, tmp_path)
    return tmp_path


def refuse(run: Path) -> None:
    with pytest.raises(ValueError, match=r"weights\.safetensors: damaged, or not made with this config\.yaml"):
        distmap.load(run, device="cpu")


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 1000])
def test_weights_that_are_none(copy_of_run: Path, content: bytes) -> None:
    (copy_of_run / "weights.safetensors").write_bytes(content)
    refuse(copy_of_run)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_weights_cut_short(copy_of_run: Path, share: float) -> None:
    whole = (copy_of_run / "weights.safetensors").read_bytes()
    (copy_of_run / "weights.safetensors").write_bytes(whole[: int(share * len(whole))])
    refuse(copy_of_run)


def test_weights_of_another_configuration(copy_of_run: Path) -> None:
    config = copy_of_run / "config.yaml"
    config.write_text(config.read_text().replace("branches: 3", "branches: 2"))
    refuse(copy_of_run)


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {"low": "[", "high": "[1]", "dtype": "uint8", "longer_side": "1", "longest_side": "1"}],
)
def test_weights_without_their_metadata(copy_of_run: Path, metadata: dict[str, str] | None) -> None:
    path = copy_of_run / "weights.safetensors"
    save_file(load_file(path), path, metadata)
    refuse(copy_of_run)


def test_missing_tensors(copy_of_run: Path) -> None:
    path = copy_of_run / "weights.safetensors"
    tensors = {name: value for name, value in load_file(path).items() if "bottleneck" not in name}
    save_file(tensors, path)
    refuse(copy_of_run)
