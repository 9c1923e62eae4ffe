"""A run in use: whole pictures and windows, maps at the pictures' size, what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio
import tifffile
import torch
from rasterio.transform import from_origin

import distmap
from distmap.common.picture_files import PictureError, find_pictures
from distmap.data.settings import Symmetry
from distmap.inference.sliding_window import Windows
from distmap.inference.student import StudentPredictor
from distmap.settings import StudentSettings
from tests.distmap.inference.conftest import SIDE, Columns, Grey, Kinds, Large, model_of, noise

SIZES = [(32, 32), (1, 50), (301, 7), (40, 30), (41, 32), (100, 75), (5, 5), (33, 90), (1, 1), (31, 64)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("symmetry", ["none", "mirror", "all"])
def test_every_pixel_comes_back_to_its_place(size: tuple[int, int], symmetry: Symmetry) -> None:
    picture = noise(*size)
    # As large as trained on, and of the network's size: nothing is resampled.
    model = model_of(Grey(SIDE), symmetry=symmetry)
    found = model.map(picture)
    assert found.shape == size
    assert found.dtype == np.float32
    if max(size) == SIDE or max(size) > 1.25 * SIDE:
        np.testing.assert_allclose(found, picture[..., 0] / 200, atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_a_constant_stays_a_constant(size: tuple[int, int]) -> None:
    np.testing.assert_allclose(model_of(Grey(SIDE)).map(np.full((*size, 1), 150, np.uint8)), 0.75, atol=1e-5)


def test_about_as_large_as_trained_on_is_seen_whole() -> None:
    model = model_of(Grey(SIDE), longer=101, longest=160)
    assert model.windows(200, 100) == Windows(side=200, step=100, seen=SIDE)  # 1.25 times the longest
    assert model.windows(20, 10) == Windows(side=20, step=10, seen=SIDE)
    assert model.windows(400, 100) == Windows(side=102, step=51, seen=SIDE)  # the usual picture, made even
    assert model.windows(200, 100, usual=60) == Windows(side=60, step=30, seen=SIDE)


def test_a_predictor_that_sees_larger_windows_has_fewer() -> None:
    """They overlap by one usual picture."""
    model = model_of(Large(SIDE), longer=100, longest=160)
    assert model.windows(200, 100) == Windows(side=200, step=100, seen=SIDE)
    assert model.windows(250, 100) == Windows(side=300, step=200, seen=3 * SIDE)
    assert model.windows(100, 5000) == Windows(side=400, step=300, seen=4 * SIDE)
    assert model.windows(250, 100, usual=50) == Windows(side=200, step=150, seen=4 * SIDE)
    assert model.windows(40, 30, usual=50) == Windows(side=50, step=25, seen=SIDE)
    # As another predictor sees it.
    assert model.windows(5000, 100, predictor=Grey(SIDE)) == Windows(side=100, step=50, seen=SIDE)


@pytest.mark.parametrize("size", SIZES)
def test_in_large_windows_every_pixel_comes_back_to_its_place(size: tuple[int, int]) -> None:
    picture = noise(*size)
    found = model_of(Large(SIDE), symmetry="none").map(picture)
    assert found.shape == size
    if max(size) == SIDE or max(size) > 1.25 * SIDE:
        np.testing.assert_allclose(found, picture[..., 0] / 200, atol=1e-4)


def test_what_is_not_averaged_is_seen_in_one_view() -> None:
    class Once(Columns):
        averaged = False

    found = model_of(Once(SIDE), symmetry="all").map(noise(32, 32))
    np.testing.assert_allclose(found, np.tile(np.arange(32), (32, 1)), atol=1e-4)


def test_a_whole_picture_is_brought_to_the_network_and_back() -> None:
    coarse = noise(16, 12)
    picture = np.kron(coarse, np.ones((4, 4, 1), np.uint8))  # the network sees it at half its size
    found = model_of(Grey(SIDE), longer=64).map(picture)
    assert found.shape == (64, 48)
    # Linear interpolation of what the network saw: exact in the middle of four equal pixels of it.
    small = np.kron(coarse[..., 0], np.ones((2, 2))) / 200
    expected = cv2.resize(small, (48, 64), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_outputs_are_averaged_over_the_symmetries() -> None:
    np.testing.assert_allclose(model_of(Columns(SIDE)).map(noise(32, 32)), (SIDE - 1) / 2)


def test_what_holds_nothing_has_no_map() -> None:
    picture, valid = noise(32, 32), np.ones((32, 32), bool)
    valid[20:, :] = False
    found = model_of(Grey(SIDE)).map(picture, valid)
    np.testing.assert_allclose(found[:20], picture[:20, :, 0] / 200, atol=1e-5)
    assert not found[20:].any()


def test_branches_sum_to_the_reconstruction_and_to_the_picture() -> None:
    model, picture = model_of(Grey(SIDE)), noise(32, 20)
    scaled = model.scaling.apply(picture)
    branches = model.decompose(picture, 1)
    np.testing.assert_allclose(branches[0], 0.25 * scaled + 0.5, atol=1e-5)
    np.testing.assert_allclose(branches.sum(axis=0), scaled + 0.5, atol=1e-5)
    np.testing.assert_allclose(model.reconstruct(picture, 0), picture, atol=0.01)  # in the numbers of the file
    exact = model.decompose(picture)
    np.testing.assert_allclose(exact.sum(axis=0), scaled, atol=1e-6)
    np.testing.assert_allclose(exact[1:], model.decompose(picture, 0)[1:])


def test_branches_of_a_trained_run(fitted: Path) -> None:
    trained = distmap.load(fitted, device="cpu")
    picture = noise(32, 70)
    for label in (0, 1):
        branches = trained.decompose(picture, label)
        assert branches.shape == (3, 32, 70, 1)
        reconstructed = trained.scaling.undo(np.clip(branches.sum(axis=0), -1, 1))
        np.testing.assert_allclose(trained.reconstruct(picture, label), reconstructed, atol=1e-3)


def test_a_method_without_branches_says_so() -> None:
    with pytest.raises(ValueError, match="does not decompose pictures"):
        model_of(Columns(SIDE)).decompose(noise(32, 32), 0)


def test_pictures_of_another_kind_are_refused() -> None:
    model = model_of(Grey(SIDE))
    with pytest.raises(PictureError, match="has 3 band"):
        model.decompose(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(PictureError, match="has float values"):
        model.map(np.zeros((32, 32, 1), np.float32))


def test_maps_of_files_and_folders_are_those_of_their_pictures(tmp_path: Path) -> None:
    model = model_of(Grey(SIDE))
    pictures = {f"{number:02}.png": noise(10 + 3 * number, 50 - 2 * number) for number in range(11)}
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name, picture in pictures.items():
        assert cv2.imwrite(str(tmp_path / "in" / "sub" / name), picture)
    assert cv2.imwrite(str(tmp_path / "alone.png"), pictures["03.png"])
    results = list(model.maps([tmp_path / "in", tmp_path / "alone.png"]))
    assert [result.name for result in results] == [f"sub/{name}" for name in pictures] + ["alone.png"]
    for result, picture in zip(results, [*pictures.values(), pictures["03.png"]], strict=True):
        assert result.map_HW.dtype == np.float32
        np.testing.assert_allclose(result.map_HW, model.map(picture), atol=1e-6)
        assert result.scores == {
            "difference": pytest.approx(0, abs=1e-5),
            "score": pytest.approx(result.map_HW.max()),
        }


def test_files_tell_what_holds_nothing_and_where_they_lie(tmp_path: Path) -> None:
    """As in a scene: nodata has no map, and windows lie on the ground's lattice."""
    picture = noise(70, 50) // 2 + 1
    picture[:, 40:] = 0
    profile = {"driver": "GTiff", "height": 70, "width": 50, "count": 1, "dtype": "uint8", "nodata": 0}
    with rasterio.open(tmp_path / "a.tif", "w", transform=from_origin(5, 1000, 1, 1), **profile) as file:
        file.write(picture[..., 0], 1)
    (result,) = model_of(Grey(SIDE)).maps([tmp_path / "a.tif"])
    np.testing.assert_allclose(result.map_HW[:, :40], picture[:, :40, 0] / 200, atol=1e-4)
    assert not result.map_HW[:, 40:].any()
    (columns,) = model_of(Columns(SIDE), symmetry="none").maps([tmp_path / "a.tif"])
    np.testing.assert_allclose(columns.map_HW[:, 0], 5, atol=1e-3)  # the first window starts 5 pixels before it


def test_maps_name_the_file_that_does_not_fit(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), noise(32, 32))
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((32, 32), np.uint16))
    with pytest.raises(PictureError, match=r"b\.tif: has uint16 values"):
        list(model_of(Grey(SIDE)).maps([tmp_path]))


# --- with a student ----------------------------------------------------------------------------------------------


def taught(student: Any, **options: Any) -> Any:
    return model_of(Grey(SIDE), **options).with_student(student)


def test_a_student_makes_the_map_and_the_method_the_scores(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), noise(64, 48))
    model = taught(Columns(64), longer=64, symmetry="none")
    (result,) = model.maps([tmp_path])
    np.testing.assert_allclose(result.map_HW, np.tile(np.arange(48), (64, 1)))
    assert result.scores == {"difference": pytest.approx(0, abs=1e-4), "score": 47}
    (bare,) = model.map_files(find_pictures([tmp_path]), explained=False)
    assert bare.scores == {}
    np.testing.assert_array_equal(bare.map_HW, result.map_HW)


def test_where_a_student_maps_few_pictures_are_explained_and_none_larger_than_a_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evenly spread; explaining takes longer than mapping. All have the score that is of the map."""
    for number in range(9):
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), noise(*((100, 30) if number == 6 else (32, 32))))
    monkeypatch.setattr("distmap.inference.model.EXPLAINED", 4)
    results = list(taught(Columns(SIDE), symmetry="none").maps([tmp_path]))
    assert [index for index, result in enumerate(results) if "difference" in result.scores] == [0, 3]  # and not 6
    assert all(result.scores["score"] == result.map_HW.max() for result in results)
    # The method's own maps are all explained.
    assert all("difference" in result.scores for result in model_of(Grey(SIDE)).maps([tmp_path]))


def test_not_averaged_is_one_view(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), noise(32, 32))
    model = model_of(Columns(SIDE), symmetry="mirror")
    (result,) = model.map_files(find_pictures([tmp_path]), averaged=False)
    np.testing.assert_allclose(result.map_HW, np.tile(np.arange(32), (32, 1)), atol=1e-4)
    (averaged,) = model.map_files(find_pictures([tmp_path]))
    np.testing.assert_allclose(averaged.map_HW, (SIDE - 1) / 2, atol=1e-4)


def test_a_students_map_is_its_probability() -> None:
    torch.manual_seed(0)
    settings = StudentSettings(encoder="test_efficientnet", decoder_widths=(8, 8, 8, 8, 8))
    student = StudentPredictor(settings, 1, side=64, precision="32").eval()
    picture = noise(64, 64)
    model = taught(student, longer=64, symmetry="none")
    x_BCHW = torch.from_numpy(np.moveaxis(model.scaling.apply(picture), -1, 0)[None].copy())
    with torch.inference_mode():
        expected = torch.sigmoid(student.unet((x_BCHW - student.mean) / student.spread))[0, 0].numpy()
    np.testing.assert_allclose(model.map(picture), expected, atol=1e-5)


def test_a_student_sees_large_pictures_in_windows_at_the_usual_scale() -> None:
    picture = np.kron(noise(100, 80), np.ones((2, 2, 1), np.uint8))  # half of it is the student's scale
    found = taught(Grey(SIDE), longer=64).map(picture)
    assert found.shape == (200, 160)
    small = picture[::2, ::2, 0] / 200
    np.testing.assert_allclose(found, cv2.resize(small, (160, 200), interpolation=cv2.INTER_LINEAR), atol=1e-4)


# --- sources -----------------------------------------------------------------------------------------------------


def test_maps_may_be_of_any_source() -> None:
    picture = noise(32, 32)
    grey = picture[..., 0] / 200
    model = taught_kinds()
    assert (model.source, model.sources) == ("map", ("grey", "inverse", "map"))
    for source, expected in (("grey", grey), ("inverse", 1 - grey), ("map", np.full((32, 32), 15.5))):
        chosen = model.of_source(source)
        assert chosen.source == source
        np.testing.assert_allclose(chosen.map(picture), expected, atol=1e-4)
    assert model.of_source("auto") is model
    assert model.of_source("map") is model


def test_a_model_of_another_source_leaves_the_first_as_it_was() -> None:
    model = model_of(Kinds(SIDE))
    assert model.of_source("inverse").source == "inverse"
    assert (model.source, model.predictor.kind) == ("grey", "grey")


def test_a_source_that_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match="--source student: the run has no such maps; choose one of auto, grey, inv"):
        model_of(Kinds(SIDE)).of_source("student")
    with pytest.raises(ValueError, match="choose one of auto, grey, inverse, map"):
        taught_kinds().of_source("weighted")


def test_maps_of_every_kind_come_in_one_pass(tmp_path: Path) -> None:
    for number in range(3):
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), noise(32, 20 + number))
    files = find_pictures([tmp_path])
    model = model_of(Kinds(SIDE))
    results = list(model.maps_by_kind(files, ["inverse", "grey"]))
    assert len(results) == 3
    for file, (maps, scores) in zip(files, results, strict=True):
        assert list(maps) == ["inverse", "grey"]
        for kind, map_HW in maps.items():
            (expected,) = model.of_source(kind).map_files([file])
            np.testing.assert_allclose(map_HW, expected.map_HW, atol=1e-6)
        assert scores == {"difference": pytest.approx(0, abs=1e-4)}


def taught_kinds() -> Any:
    return model_of(Kinds(SIDE)).with_student(Columns(SIDE))
