"""YOLO folders as programs write them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import cv2
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detect.conversion import format_of_source, read_annotations
from detect.detections import DetectionSet, Instance
from detect.formats import yolo, yolo_folder, yolo_seg
from detect.masks import Mask, mask_of_polygons

YAML = "nc: 2\nnames: ['bolt', 'nut']\n"
NUT, BOLT = "1 0.5 0.5 0.25 0.2\n", "0 0.25 0.5 0.1 0.2\n"  # 15, 12, 10, 6 and 8, 12, 4, 6 in 40 x 30


def lay_out(folder: Path, files: Mapping[str, str | None]) -> Path:
    """Text files, and pictures of 40 x 30 pixels where there is no text."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            assert cv2.imwrite(str(path), np.zeros((30, 40), np.uint8))
        else:
            path.write_text(text, encoding="utf-8")
    return folder


Said: TypeAlias = Mapping[str, Sequence[tuple[str, Sequence[float]]]]


def said(found: DetectionSet) -> Said:
    return {
        picture.name: [(item.category, [round(value, 6) for value in item.bbox]) for item in picture.instances]
        for picture in found
    }


A_NUT, A_BOLT = [("nut", [15, 12, 10, 6])], [("bolt", [8, 12, 4, 6])]
ROBOFLOW = {
    "data.yaml": "train: ../train/images\n" + YAML,
    "README.dataset.txt": "# Small parts on a table, version 2 of it > noon\nMade up.\n",
    "README.roboflow.txt": "\nSmall parts\n===========\n",
    "train/images/1.png": None,
    "train/labels/1.txt": NUT,
    "valid/images/1.png": None,
    "valid/labels/1.txt": BOLT,
    "test/images/1.png": None,
}
LAYOUTS: dict[str, tuple[Mapping[str, str | None], str, Said]] = {
    "roboflow": (
        ROBOFLOW,
        ".",
        {"train/images/1.png": A_NUT, "valid/images/1.png": A_BOLT, "test/images/1.png": []},
    ),
    "ultralytics": (
        {
            "data.yml": "names:\n  0: bolt\n  1: nut\n",
            "images/train/1.png": None,
            "images/val/1.png": None,
            "labels/train/1.txt": NUT,
            "labels/val/1.txt": BOLT,
        },
        "images",
        {"train/1.png": A_NUT, "val/1.png": A_BOLT},
    ),
    "labelimg": (
        {"a.png": None, "a.txt": NUT, "b.png": None, "b.txt": BOLT, "classes.txt": "bolt\nnut\n"},
        ".",
        {"a.png": A_NUT, "b.png": A_BOLT},
    ),
    "cvat": (
        {
            "obj.data": "classes = 2\nnames = data/obj.names\n",
            "obj.names": "bolt\nnut\n",
            "train.txt": "data/obj_train_data/a.png\n",
            "obj_train_data/a.png": None,
            "obj_train_data/a.txt": NUT,
        },
        ".",
        {"obj_train_data/a.png": A_NUT},
    ),
    "label studio": (
        {
            "images/a.png": None,
            "labels/a.txt": NUT,
            "classes.txt": "bolt\nnut\n",
            "notes.json": '{"categories": [{"id": 0, "name": "bolt"}, {"id": 1, "name": "nut"}]}',
        },
        "images",
        {"a.png": A_NUT},
    ),
    "notes only": (
        {
            "images/a.png": None,
            "labels/a.txt": NUT,
            "notes.json": '{"categories": [{"id": 0, "name": "bolt"}, {"id": 1, "name": "nut"}]}',
        },
        ".",
        {"images/a.png": A_NUT},
    ),
    "flat labels": (
        {"data.yaml": YAML, "images/x/a.png": None, "images/b.png": None, "labels/a.txt": NUT, "labels/b.txt": ""},
        ".",
        {"images/b.png": [], "images/x/a.png": A_NUT},
    ),
}


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_layouts(tmp_path: Path, name: str) -> None:
    files, images, expected = LAYOUTS[name]
    folder = lay_out(tmp_path, files)
    assert format_of_source(folder) == "yolo"
    found = read_annotations(folder, images=folder / images)
    assert said(found) == {key: expected[key] for key in sorted(expected)}
    assert [(item.name, item.number) for item in found.categories] == [("bolt", 0), ("nut", 1)]
    assert not found.left_out
    if images != ".":
        in_all = said(read_annotations(folder))
        assert list(in_all.values()) == list(said(found).values())


def test_a_split_by_itself_finds_its_class_names(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, ROBOFLOW) / "valid"
    assert said(read_annotations(folder / "labels", images=folder / "images")) == {"1.png": A_BOLT}
    assert said(read_annotations(folder)) == {"images/1.png": A_BOLT}


def test_splits_do_not_lend_each_other_labels(tmp_path: Path) -> None:
    files = {"data.yaml": YAML, "train/images/1.png": None, "train/labels/1.txt": NUT, "valid/images/1.png": None}
    found = read_annotations(lay_out(tmp_path, files))
    assert said(found) == {"train/images/1.png": A_NUT, "valid/images/1.png": []}
    (tmp_path / "valid/labels").mkdir()
    (tmp_path / "train/labels/1.txt").rename(tmp_path / "valid/labels/2.txt")
    with pytest.raises(ValueError, match=r"valid/labels/2\.txt: no picture has this name"):
        read_annotations(tmp_path)
    assert said(yolo.read(tmp_path, sizes={"valid/images/1.png": (30, 40)}, partial=True)) == {"valid/images/1.png": []}


def test_labels_of_which_several_fit_are_named(tmp_path: Path) -> None:
    files = {"labels/x/1.txt": NUT, "labels/y/1.txt": NUT}
    with pytest.raises(ValueError, match=r"1\.png: labels/x/1\.txt and labels/y/1\.txt both fit"):
        yolo.read(lay_out(tmp_path, files), sizes={"1.png": (30, 40)})
    (tmp_path / "labels/y/1.txt").unlink()
    with pytest.raises(ValueError, match=r"labels/x/1\.txt: fits both a/1\.png and b/1\.png"):
        yolo.read(tmp_path, sizes={"a/1.png": (30, 40), "b/1.png": (30, 40)})


@pytest.mark.parametrize("name", ["README.txt", "classes.txt", "train.txt", "requirements.txt"])
def test_stray_text_is_passed_over(tmp_path: Path, name: str) -> None:
    found = read_annotations(
        lay_out(tmp_path, {"a.png": None, "a.txt": NUT, name: "torch\nnumpy\n"}), source_format="yolo"
    )
    assert [len(picture.instances) for picture in found] == [1]
    assert found.left_out.get("text files that hold no labels", 0) == (name == "requirements.txt")
    assert (yolo_folder.UNNAMED in found.left_out) == (name != "classes.txt")


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ("0 0.5 0.5 0.2 0.2", "yolo"),
        ("0 0.5 0.5 0.2 0.2 0.9", "yolo"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2", "yolo-obb"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2", "yolo-seg"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n0 0.1 0.1 0.2 0.1 0.2 0.2", "yolo-seg"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n0 0.5 0.5 0.2 0.2", "yolo-seg"),
        ("1 1 9 1 9 5 1 5 car 0", "dota"),
        ("imagesource:GoogleEarth\ngsd:0.1\n1 1 9 1 9 5 1 5 car", "dota"),
        ("10 10 90 10 90 50 10 50 3 0", "dota"),
        ("only words and more words stand here in this line", None),
        ("", None),
    ],
)
def test_the_variant_is_told_from_lines(tmp_path: Path, lines: str, kind: str | None) -> None:
    files = lay_out(tmp_path, {"README.txt": "a b c d e f g h i\n", "p.txt": lines})
    assert yolo_folder.variant(yolo_folder.label_files(files).values()) == kind


def test_dota_and_yolo_mixed_is_named(tmp_path: Path) -> None:
    lay_out(tmp_path, {"a.txt": "1 1 9 1 9 5 1 5 car 0\n", "b.txt": NUT})
    with pytest.raises(ValueError, match=r"a\.txt holds labels of DOTA, .*b\.txt of YOLO; say which with --from"):
        format_of_source(tmp_path)


def test_polygons_are_masks(tmp_path: Path) -> None:
    outside = "0 1.5 1.5 1.6 1.5 1.6 1.6\n"
    triangle = "1 0.25 0.2 0.75 0.2 0.25 0.8\n"
    found = read_annotations(lay_out(tmp_path, {"data.yaml": YAML, "a.png": None, "a.txt": BOLT + triangle + outside}))
    [box, polygon] = found[0].instances
    assert (box.shape, polygon.shape, polygon.category) == ("box", "mask", "nut")
    expected = mask_of_polygons([[10, 6, 30, 6, 10, 24]], 30, 40)
    assert expected is not None
    assert polygon.mask is not None
    np.testing.assert_array_equal(polygon.mask.crop_HW, expected.crop_HW)
    assert dict(found.left_out) == {"objects without a pixel inside their picture": 1}


@given(crop=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)).filter(np.any))
def test_rings_joined_to_one_are_the_same_pixels(crop: NDArray[np.bool_]) -> None:
    mask = Mask.of(crop)
    assert mask is not None
    ring = yolo_seg.one_ring(Instance(mask=mask).polygons)
    assert len(ring) != 4
    again = mask_of_polygons([ring / [31, 37] * [31, 37]], 37, 31)
    assert again is not None
    assert again.box == mask.box
    np.testing.assert_array_equal(again.crop_HW, mask.crop_HW)


@pytest.mark.parametrize(
    "text",
    ["train: x\n", "names: 3\n", "a: &a [x, x]\nnames: [*a, *a]\n", "names: " + "[" * 5000, "names: {x: y}\n", "\0"],
)
def test_files_that_name_no_classes_are_named(tmp_path: Path, text: str) -> None:
    lay_out(tmp_path, {"data.yaml": text})
    with pytest.raises(ValueError, match=r"data\.yaml: (no class names in it|not a YAML file)"):
        yolo_folder.class_names(tmp_path)


def test_keypoints_are_not_taken_for_polygons(tmp_path: Path) -> None:
    files = {"data.yaml": YAML + "kpt_shape: [2, 2]\n", "a.png": None, "a.txt": "0 0.5 0.5 0.2 0.2 0.4 0.4 0.5 0.5\n"}
    with pytest.raises(ValueError, match=r"data\.yaml: its labels hold keypoints"):
        read_annotations(lay_out(tmp_path, files))


@given(text=st.one_of(st.text(max_size=60), st.text("0123456789. -en\n", max_size=60)))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.txt").write_bytes(text.encode("utf-8", "surrogatepass"))
    for name in ("yolo", "yolo-obb", "yolo-seg", "dota"):
        with contextlib.suppress(ValueError):
            read_annotations(folder, source_format=name, sizes={"a.png": (30, 40)})
    with contextlib.suppress(ValueError):
        format_of_source(folder)


def test_names_are_compared_in_one_unicode_form(tmp_path: Path) -> None:
    composed, decomposed = "\u00e4.png", "a\u0308.txt"
    found = read_annotations(lay_out(tmp_path, {"data.yaml": YAML, composed: None, f"labels/{decomposed}": NUT}))
    assert said(found) == {composed: A_NUT}


@pytest.mark.parametrize(
    ("files", "folder"),
    [
        ({"coco8.yaml": YAML}, "."),
        ({"train/_darknet.labels": "bolt\nnut\n", "valid/_darknet.labels": "bolt\nnut\n"}, "."),
        ({"export/data.yaml": YAML}, "."),
        ({"hyp.yaml": "lr0: 0.01\n", "set.yml": "names:\n  0: bolt\n  1: nut\n"}, "."),
    ],
)
def test_class_names_under_other_file_names(tmp_path: Path, files: Mapping[str, str], folder: str) -> None:
    lay_out(tmp_path, {"images/1.png": None, "labels/1.txt": NUT, **files})
    assert said(read_annotations(tmp_path / folder)) == {"images/1.png": A_NUT}


def test_class_names_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    names = {"train/_darknet.labels": "bolt\nnut\n", "valid/_darknet.labels": "nut\nbolt\n"}
    lay_out(tmp_path, {"images/1.png": None, "labels/1.txt": NUT, **names})
    with pytest.raises(ValueError, match=r"valid/_darknet\.labels: names other classes than .*train/_darknet\.labels"):
        read_annotations(tmp_path)


@pytest.mark.parametrize("line", ["1 20 15 10 6\n", "1 20 15 30 15 30 20 20 20\n"])
def test_pixels_in_the_place_of_fractions_are_told(tmp_path: Path, line: str) -> None:
    lay_out(tmp_path, {"data.yaml": YAML, "images/1.png": None, "labels/1.txt": line})
    kind = "yolo" if len(line.split()) == 5 else "yolo-obb"
    found = read_annotations(tmp_path, source_format=kind)
    assert said(found) == {"images/1.png": []}
    assert dict(found.left_out) == {"objects without a pixel inside their picture": 1}


def test_a_folder_without_label_files_is_an_error(tmp_path: Path) -> None:
    lay_out(tmp_path, {"data.yaml": YAML, "images/1.png": None, "labels/1.json": "[]"})
    with pytest.raises(ValueError, match="holds no label file"):
        read_annotations(tmp_path, source_format="yolo")
