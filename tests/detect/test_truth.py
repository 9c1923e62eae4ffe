"""Reading the truth: which picture gets what, and what is said where it does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from detect.detections import Detections, Instance
from detect.formats import coco, dota, masks
from detect.masks import Mask
from detect.truth import read_truth

SIZES = {"a.jpg": (10, 12), "sub/b.jpg": (8, 8)}


def two_blocks(height: int, width: int, value: int = 255, dtype: Any = np.uint8) -> np.ndarray[Any, Any]:
    picture = np.zeros((height, width), dtype)
    picture[1:3, 1:4] = picture[5:7, 5:7] = value
    return picture


def save(path: Path, picture: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def test_a_folder_of_masks(tmp_path: Path) -> None:
    save(tmp_path / "a.png", two_blocks(10, 12))
    save(tmp_path / "other" / "b.png", np.zeros((8, 8), np.uint8))
    save(tmp_path / "more.png", np.zeros((3, 3), np.uint8))
    known = read_truth(tmp_path, SIZES)
    assert known.source == "masks"
    assert known.has_masks
    assert [item.bbox for item in known.pictures["a.jpg"].objects.instances] == [(1, 1, 3, 2), (5, 5, 2, 2)]
    assert known.pictures["sub/b.jpg"].objects.instances == ()


@pytest.mark.parametrize("value", [1, 300, 65535])
def test_16_bit_masks(tmp_path: Path, value: int) -> None:
    save(tmp_path / "a.png", two_blocks(10, 12, value, np.uint16))
    assert read_truth(tmp_path, SIZES).pictures["a.jpg"].objects.union_mask().sum() == 10


def test_alpha_is_no_truth(tmp_path: Path) -> None:
    colour = np.zeros((10, 12, 4), np.uint8)
    colour[..., 3] = 255
    colour[2, 3, 1] = 9
    save(tmp_path / "a.png", colour)
    assert read_truth(tmp_path, SIZES).pictures["a.jpg"].objects.union_mask().sum() == 1


def test_floating_point_masks_are_effects(tmp_path: Path) -> None:
    effect = two_blocks(10, 12).astype(np.float32) / 100
    tifffile.imwrite(tmp_path / "a.tif", effect)
    truth = read_truth(tmp_path, SIZES).pictures["a.jpg"]
    assert truth.effect_HW is not None
    np.testing.assert_array_equal(truth.effect_HW, effect)


def test_a_coco_file(tmp_path: Path) -> None:
    block = Instance(mask=Mask(x=1, y=1, crop_HW=np.ones((2, 3), bool)), category="car")
    pictures = [
        Detections(name="a.png", height=10, width=12, instances=(block,)),
        Detections(name="z.png", height=1, width=1),
    ]
    coco.write(tmp_path / "truth.json", pictures)
    known = read_truth(tmp_path / "truth.json", SIZES)
    assert list(known.pictures) == ["a.jpg"]
    assert known.has_masks
    with pytest.raises(ValueError, match=r"truth\.json: image a\.png is 12 x 10, not 5 x 5"):
        read_truth(tmp_path / "truth.json", {"a.jpg": (5, 5)})


def test_a_labeltxt_folder(tmp_path: Path) -> None:
    text = (
        "imagesource:x\ngsd:null\n1 1 4 1 4 3 1 3 small-vehicle 0\n0.5 0 8 0 8 8 0 8 bus 2\n\n1 1 4 1 4 3 1 3 plane\n"
    )
    (tmp_path / "a.txt").write_text(text)
    (tmp_path / "zzz.txt").write_text("")
    known = read_truth(tmp_path, SIZES)
    first, second, third = known.pictures["a.jpg"].objects.instances
    assert known.source == "dota"
    assert not known.has_masks
    assert (first.category, first.difficult, first.bbox) == ("small-vehicle", False, (1, 1, 3, 2))
    assert second.difficult
    assert not third.difficult
    assert known.pictures["a.jpg"].objects.union_mask()[1:3, 1:4].all()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 1 4 1 4 3 1 car 0", r"a\.txt: line 2: .* is not 8 numbers"),
        ("1 1 4 1 4 3 1", r"a\.txt: line 2: 7 fields, expected 8 numbers"),
        ("1 1 4 1 4 3 1 3 car 0 7", r"a\.txt: line 2: 11 fields"),
        ("1 1 4 1 4 3 1 3 car maybe", r"a\.txt: line 2"),
        ("1 1 4 1 4 nan 1 3 car 0", r"a\.txt: line 2: .* not finite"),
    ],
)
def test_labeltxt_lines_that_make_no_sense_are_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(f"1 1 4 1 4 3 1 3 car 0\n{line}\n")
    with pytest.raises(ValueError, match=message):
        read_truth(tmp_path, SIZES)


def test_a_mask_of_another_size_is_named(tmp_path: Path) -> None:
    save(tmp_path / "a.png", two_blocks(9, 12))
    with pytest.raises(ValueError, match=r"a\.png: is 12 x 9, but its picture a\.jpg is 12 x 10"):
        read_truth(tmp_path, SIZES)


def test_truth_of_none_of_the_pictures_is_an_error(tmp_path: Path) -> None:
    save(tmp_path / "c.png", two_blocks(9, 12))
    with pytest.raises(ValueError, match=r"the truth of none of the 2 pictures, such as a\.jpg"):
        read_truth(tmp_path, SIZES)
    with pytest.raises(ValueError, match="no such file or folder"):
        read_truth(tmp_path / "nowhere", SIZES)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="neither masks nor labelTxt"):
        read_truth(tmp_path / "empty", SIZES)


def test_a_broken_mask_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG and no more")
    with pytest.raises(ValueError, match=r"a\.png: not a whole picture"):
        read_truth(tmp_path, SIZES)
    (tmp_path / "a.png").rename(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif: not a whole picture"):
        read_truth(tmp_path, SIZES)


def test_masks_and_labels_come_back(tmp_path: Path) -> None:
    mask = Mask.of(two_blocks(10, 12))
    assert mask is not None
    written = Detections(name="sub/a b.jpg", height=10, width=12, instances=(Instance(mask=mask, category="big car"),))
    masks.write(tmp_path / "masks", [written])
    dota.write(tmp_path / "labels", [written])
    sizes = {written.name: (10, 12)}
    [again] = masks.read(tmp_path / "masks", sizes=sizes)
    np.testing.assert_array_equal(again.union_mask(), written.union_mask())
    [boxed] = dota.read(tmp_path / "labels", sizes=sizes)
    assert boxed.instances[0].category == "big-car"
    np.testing.assert_array_equal(boxed.instances[0].obb, written.instances[0].obb)
    with pytest.raises(ValueError, match="no picture has this name"):
        dota.read(tmp_path / "labels", sizes={"other.jpg": (10, 12)})


def test_pixels_of_which_nothing_is_known(tmp_path: Path) -> None:
    labels = two_blocks(10, 12, 7)
    labels[0] = 255
    save(tmp_path / "a.png", labels)
    truth = read_truth(tmp_path, SIZES, ignore=255).pictures["a.jpg"]
    assert truth.objects.union_mask().sum() == 10
    assert truth.ignored_HW is not None
    np.testing.assert_array_equal(truth.ignored_HW, labels == 255)
    [kept] = masks.read(tmp_path, sizes={"a.jpg": (10, 12)}, ignore=255)
    assert kept.union_mask().sum() == 10
