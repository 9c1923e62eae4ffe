"""Maps as files."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
import tifffile

import distmap
from distmap.common.picture_files import PictureError
from distmap.inference.image_grid import LINE
from distmap.inference.map_files import write_maps
from distmap.inference.model import DistinctionModel


@pytest.fixture(scope="module")
def model(fitted: Path) -> DistinctionModel:
    return distmap.load(fitted, device="cpu")


def grey(height: int = 32, width: int = 32) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(height * width).integers(0, 256, (height, width), dtype=np.uint8)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    for name, picture in {"a.png": grey(40, 30), "sub/a.png": grey(1, 50), "sub/b.x.png": grey(20, 90)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / name), picture)
    return folder


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_one_tiff_a_picture_in_the_same_subfolders(model: DistinctionModel, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "deep"
    targets = write_maps(model, [source], out)
    assert written(out) == ["a.tiff", "sub/a.tiff", "sub/b.x.tiff"]
    assert [path.relative_to(out).as_posix() for path in targets] == written(out)
    for result, target in zip(model.maps([source]), targets, strict=True):
        map_HW = tifffile.imread(target)
        assert map_HW.dtype == np.float32
        np.testing.assert_array_equal(map_HW, result.map_HW)
        with rasterio.open(target) as other_reader:
            np.testing.assert_array_equal(other_reader.read(1), result.map_HW)


def test_previews_show_picture_and_map_side_by_side(model: DistinctionModel, source: Path, tmp_path: Path) -> None:
    write_maps(model, [source], tmp_path / "out", preview=True)
    assert written(tmp_path / "out") == [
        "a.png", "a.tiff", "sub/a.png", "sub/a.tiff", "sub/b.x.png", "sub/b.x.tiff",
    ]  # fmt: skip
    preview = cv2.imread(str(tmp_path / "out" / "a.png"))
    assert preview is not None
    assert preview.shape[0] >= LINE + 40
    assert preview.shape[1] >= 2 * 30
    picture = model.scaling.undo(model.scaling.apply(grey(40, 30)[..., None]))[..., 0]
    shown = preview[LINE : LINE + 40, :30, 0].astype(float)
    assert np.corrcoef(shown.ravel(), picture.ravel())[0, 1] > 0.99


def test_two_pictures_with_one_map_are_refused(model: DistinctionModel, source: Path, tmp_path: Path) -> None:
    assert cv2.imwrite(str(source / "a.jpg"), grey())
    with pytest.raises(PictureError, match=r"a\.(jpg|png): its map would have the name of that of .*a\.(png|jpg)"):
        write_maps(model, [source], tmp_path / "out")
    with pytest.raises(PictureError, match="its map would have the name"):
        write_maps(model, [source / "a.png", source / "sub" / "a.png"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pictures_are_never_replaced(model: DistinctionModel, source: Path, tmp_path: Path) -> None:
    before = (source / "a.png").read_bytes()
    with pytest.raises(PictureError, match=r"--out .*a\.png would replace a picture"):
        write_maps(model, [source], source, preview=True)
    assert (source / "a.png").read_bytes() == before
    assert written(source) == ["a.png", "sub/a.png", "sub/b.x.png"]
    tiffs = tmp_path / "tiffs"
    tiffs.mkdir()
    tifffile.imwrite(tiffs / "a.tiff", grey())
    with pytest.raises(PictureError, match=r"a\.tiff would replace a picture"):
        write_maps(model, [tiffs], tmp_path / "x" / ".." / "tiffs")
    np.testing.assert_array_equal(tifffile.imread(tiffs / "a.tiff"), grey())


def test_a_broken_picture_leaves_nothing_written(model: DistinctionModel, source: Path, tmp_path: Path) -> None:
    (source / "z.png").write_bytes((source / "a.png").read_bytes()[:100])
    with pytest.raises(PictureError, match=r"z\.png"):
        write_maps(model, [source], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_maps_may_be_written_again(model: DistinctionModel, source: Path, tmp_path: Path) -> None:
    first = write_maps(model, [source], tmp_path / "out")
    shutil.copy(first[0], tmp_path / "before.tiff")
    write_maps(model, [source], tmp_path / "out")
    assert first[0].read_bytes() == (tmp_path / "before.tiff").read_bytes()
