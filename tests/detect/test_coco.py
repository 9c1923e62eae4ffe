"""COCO files: exact round trips, and pycocotools as the reader that decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools.coco import COCO

from detect.conversion import convert
from detect.detections import Detections, Instance
from detect.formats import coco, dota, yolo, yolo_obb
from detect.masks import Mask
from detect.truth import read_truth

BoolArray = NDArray[np.bool_]

objects = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=10)).filter(np.any)
places = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
shared_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)


def picture_of(*crops: BoolArray, name: str = "a.png", size: tuple[int, int] = (40, 40)) -> Detections:
    instances = []
    for crop in crops:
        mask = Mask.of(crop)
        assert mask is not None
        instances.append(Instance(mask=mask, score=0.75, category="thing"))
    return Detections(name=name, height=size[0], width=size[1], instances=tuple(instances))


def document() -> dict[str, Any]:
    """A small sound file: one picture, one block of 3 x 2 at (1, 1)."""
    return {
        "images": [{"id": 7, "file_name": "a.png", "width": 10, "height": 8}],
        "annotations": [{"id": 3, "image_id": 7, "category_id": 2, "bbox": [1, 1, 3, 2], "area": 6, "iscrowd": 0}],
        "categories": [{"id": 2, "name": "thing"}],
    }


def save(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


@shared_folder
@given(st.lists(st.tuples(objects, places), min_size=1, max_size=12))
def test_round_trip_keeps_every_mask_and_area(tmp_path: Path, shapes: list[tuple[BoolArray, Any]]) -> None:
    crops = [np.pad(crop, ((top, 0), (left, 0))) for crop, (top, left, _, _) in shapes]
    # The picture ends at the first object's last pixel in some examples, so objects touch every border.
    height = max(crop.shape[0] for crop in crops) + shapes[0][1][2]
    width = max(crop.shape[1] for crop in crops) + shapes[0][1][3]
    picture = picture_of(*crops, size=(height, width))
    path = tmp_path / "a.json"
    coco.write(path, [picture])
    [again] = coco.read(path)
    reference = COCO(str(path))
    for before, after, annotation in zip(
        picture.instances, again.instances, reference.dataset["annotations"], strict=True
    ):
        assert before.mask is not None
        assert after.mask is not None
        assert after.mask.box == before.mask.box
        np.testing.assert_array_equal(after.mask.crop_HW, before.mask.crop_HW)
        assert after.area == before.area == annotation["area"]
        assert tuple(annotation["bbox"]) == before.mask.box
        canvas = np.zeros((height, width), np.uint8)
        before.mask.draw(canvas)
        np.testing.assert_array_equal(reference.annToMask(annotation), canvas)
        assert after.score == 0.75
        np.testing.assert_array_equal(after.obb, before.obb)


def test_polygons_but_run_lengths_for_holes(tmp_path: Path) -> None:
    ring = np.ones((4, 4), bool)
    ring[1:3, 1:3] = False
    parts = np.zeros((3, 9), bool)
    parts[:, :3] = parts[:, 6:] = True
    path = tmp_path / "a.json"
    coco.write(path, [picture_of(ring, parts)])
    first, second = json.loads(path.read_text())["annotations"]
    assert first["segmentation"].keys() == {"size", "counts"}
    assert len(second["segmentation"]) == 2
    assert second["bbox"] == [0, 0, 9, 3]
    assert second["area"] == 18


def test_boxes_without_a_mask_stay_boxes(tmp_path: Path) -> None:
    corners = np.array([[2.5, 1], [6, 4.25], [4, 6], [0.1, 3]])
    boxed = Instance(corners_42=corners, category="small vehicle", difficult=True)
    path = tmp_path / "a.json"
    coco.write(path, [Detections(name="ä b.png", height=9, width=9, instances=(boxed,))])
    [annotation] = json.loads(path.read_text())["annotations"]
    assert annotation["segmentation"] == [[2.5, 1, 6, 4.25, 4, 6, 0.1, 3]]
    assert annotation["attributes"]["shape"] == "oriented box"
    [picture] = coco.read(path)
    [again] = picture.instances
    assert picture.name == "ä b.png"
    assert again.mask is None
    assert again.difficult
    assert again.category == "small vehicle"
    np.testing.assert_array_equal(again.obb, corners)
    assert again.bbox == (0.1, 1, 5.9, 5)


def test_an_upright_box_comes_back_upright(tmp_path: Path) -> None:
    box = Instance(box=(0.1, 1, 5.3, 2.25), score=0.5)
    path = tmp_path / "a.json"
    coco.write(path, [Detections(name="a.png", height=9, width=9, instances=(box,))])
    [annotation] = json.loads(path.read_text())["annotations"]
    right = 0.1 + 5.3
    assert annotation["segmentation"] == [[0.1, 1, right, 1, right, 3.25, 0.1, 3.25]]
    assert annotation["attributes"]["shape"] == "box"
    assert annotation["area"] == pytest.approx(5.3 * 2.25)
    [again] = coco.read(path)[0].instances
    assert (again.mask, again.corners_42, again.bbox, again.score) == (None, None, box.bbox, 0.5)


@pytest.mark.parametrize("mark", [None, "round", "mask", 7])
def test_four_corners_of_other_programs_are_a_mask(tmp_path: Path, mark: Any) -> None:
    content = document()
    content["annotations"][0] |= {"segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]], "attributes": {"shape": mark}}
    [item] = coco.read(save(tmp_path / "a.json", content))[0].instances
    assert item.mask is not None
    assert item.mask.box == (1, 1, 3, 2)


BOXES = {
    # Upright, partly outside, wholly outside, without width, without height, a point.
    "yolo": [
        "0 0.5 0.5 0.2 0.25", "0 0.05 0.95 0.3 0.3", "0 1.5 1.5 0.1 0.1", "0 0.5 0.5 0 0.2", "0 0.5 0.5 0.2 0",
        "0 1 1 0 0",
    ],
    "yolo-obb": [
        "0 0.5 0.2 0.8 0.5 0.5 0.8 0.2 0.5", "0 -0.2 0.4 0.3 0.4 0.3 1.3 -0.2 1.3", "0 2 2 3 2 3 3 2 3",
        "0 0.1 0.1 0.9 0.9 0.9 0.9 0.1 0.1", "0 1 1 1 1 1 1 1 1",
    ],
    "dota": [
        "2.5 1 6 4.25 4 6 0.1 3 car 0", "-3 -3 5 -2 4 4 -4 3 car 1", "40 40 50 40 50 50 40 50 car 0",
        "3 2 3 2 3 7 3 7 car 0", "20 8 20 8 20 8 20 8 car 0",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", BOXES)
def test_boxes_of_other_formats_are_polygons_to_pycocotools(tmp_path: Path, name: str) -> None:
    labels = tmp_path / ("labels" if name == "dota" else "yolo/labels")
    labels.mkdir(parents=True)
    (labels / "p.txt").write_text("\n".join(BOXES[name]))
    source = labels if name == "dota" else labels.parent
    path, sizes = tmp_path / "a.json", {"p.png": (16, 20)}
    images = tmp_path / "images"
    images.mkdir()
    assert cv2.imwrite(str(images / "p.png"), np.zeros((16, 20), np.uint8))
    [before] = convert(source, path, source_format=name, images=images)
    reference = COCO(str(path))
    for item, annotation in zip(before.instances, reference.dataset["annotations"], strict=True):
        mask, canvas = item.pixels(16, 20), np.zeros((16, 20), np.uint8)
        if mask is not None:
            mask.draw(canvas)
        np.testing.assert_array_equal(reference.annToMask(annotation), canvas)
        assert annotation["area"] == pytest.approx(item.area)
    assert reference.annToMask(reference.dataset["annotations"][0]).any()

    [after] = coco.read(path)
    for one, two in zip(before.instances, after.instances, strict=True):
        assert (two.mask, two.shape, two.bbox, two.difficult) == (None, one.shape, one.bbox, one.difficult)
        np.testing.assert_array_equal(two.obb, one.obb)
    known = read_truth(path, sizes)
    assert not known.has_masks
    # The same lines, to the last bit, whether they came by COCO or not.
    write = {"dota": dota.write, "yolo": yolo.write, "yolo-obb": yolo_obb.write}[name]
    write(tmp_path / "direct", [before])
    write(tmp_path / "by-coco", [after])
    files = [file.relative_to(tmp_path / "direct") for file in (tmp_path / "direct").rglob("*.txt")]
    assert len(files) == 1
    for file in files:
        assert (tmp_path / "by-coco" / file).read_text() == (tmp_path / "direct" / file).read_text()


def test_results_lists_have_no_polygon_of_a_box(tmp_path: Path) -> None:
    box = Instance(box=(1, 1, 3, 2), score=0.5, category="thing")
    picture = picture_of(np.ones((2, 3), bool))
    both = Detections(name="a.png", height=40, width=40, instances=(*picture.instances, box))
    coco.write(tmp_path / "a.json", [both])
    coco.write_results(tmp_path / "results.json", [both])
    first, second = json.loads((tmp_path / "results.json").read_text())
    assert first["segmentation"] == [[0, 0, 0, 2, 3, 2, 3, 0]]
    assert second == {"image_id": 1, "category_id": 1, "bbox": [1, 1, 3, 2], "score": 0.5}
    _, again = coco.read_results(tmp_path / "results.json", tmp_path / "a.json")[0].instances
    assert (again.mask, again.bbox) == (None, (1, 1, 3, 2))


def test_pictures_without_objects_and_model_scores_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    empty = Detections(
        name="none.png", height=4, width=5, model={"psnr_with": 31.5, "score": 0.25}, confidence=0.1 + 0.2
    )
    coco.write(path, [empty], categories=["car"])
    [again] = coco.read(path)
    assert again.model == empty.model
    assert again.confidence == 0.1 + 0.2
    [image] = json.loads(path.read_text())["images"]
    assert image["confidence"] == 0.1 + 0.2
    assert "confidence" not in coco.document([Detections(name="a.png", height=4, width=5)])["images"][0]
    assert COCO(str(path)).loadCats(1)[0]["name"] == "car"


def test_results_list_goes_both_ways(tmp_path: Path) -> None:
    picture = picture_of(np.ones((2, 3), bool), np.eye(3, dtype=bool))
    coco.write(tmp_path / "truth.json", [picture])
    coco.write_results(tmp_path / "results.json", [picture])
    COCO(str(tmp_path / "truth.json")).loadRes(str(tmp_path / "results.json"))
    [again] = coco.read_results(tmp_path / "results.json", tmp_path / "truth.json")
    np.testing.assert_array_equal(again.union_mask(), picture.union_mask())
    assert [item.score for item in again.instances] == [0.75, 0.75]
    with pytest.raises(ValueError, match=r"results\.json: a results list has no pictures"):
        coco.read(tmp_path / "results.json")


def test_a_small_file_reads_as_it_says(tmp_path: Path) -> None:
    [picture] = coco.read(save(tmp_path / "a.json", document()))
    assert (picture.name, picture.height, picture.width) == ("a.png", 8, 10)
    assert [item.bbox for item in picture.instances] == [(1, 1, 3, 2)]
    assert picture.instances[0].mask is None
    assert picture.instances[0].category == "thing"


@pytest.mark.parametrize(
    "change",
    [
        {"segmentation": []},
        {"segmentation": [[0.5, 0.5, 20, 0.5, 20, 5]]},  # reaches outside
        {"segmentation": {"size": [8, 10], "counts": [80]}},  # no pixel, but a box
        {"bbox": [-3, -3, 40, 40]},
        {"bbox": [1, 1, 0, 0]},
        {"score": None, "iscrowd": 1, "attributes": None, "note": {"a": 1}},
        {"bbox": None, "segmentation": [[0, 0, 5, 0, 5, 5]]},
    ],
)
def test_valid_but_unusual_annotations_are_accepted(tmp_path: Path, change: dict[str, Any]) -> None:
    content = document()
    content["annotations"][0] |= change
    [picture] = coco.read(save(tmp_path / "a.json", content))
    assert len(picture.instances) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 99}, "annotation 3: no image has the id 99"),
        ({"category_id": 99}, "annotation 3: no category has the id 99"),
        ({"bbox": [1, 1, float("nan"), 2]}, "annotation 3: bbox .* not finite"),
        ({"bbox": [1, 1, -3, 2]}, "annotation 3: bbox .* width >= 0"),
        ({"bbox": [1, 1, 3]}, "annotation 3: bbox"),
        ({"bbox": "1 1 3 2"}, "annotation 3: bbox"),
        ({"bbox": []}, "annotation 3: has no bbox and no segmentation"),
        ({"segmentation": [[1, 1, 2, 2]]}, "annotation 3: a polygon has 4 numbers"),
        ({"segmentation": [[1, 1, 2, 2, 3, 3, 4]]}, "annotation 3: a polygon has 7 numbers"),
        ({"segmentation": [1, 1, 2, 2, 3, 3]}, "annotation 3: polygon 1 is no list"),
        ({"segmentation": {"size": [9, 10], "counts": [90]}}, "annotation 3: RLE size"),
        ({"segmentation": {"size": [8, 10], "counts": [3, 4]}}, "annotation 3: RLE counts add up to 7"),
        ({"segmentation": {"size": [8, 10]}}, "annotation 3: RLE counts"),
        ({"score": 3}, "annotation 3: score 3"),
        ({"attributes": {"obb": [1, 2]}}, "annotation 3: attributes.obb has 2"),
    ],
)
def test_annotations_that_make_no_sense_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    content = document()
    content["annotations"][0] |= change
    with pytest.raises(ValueError, match=rf"a\.json: {message}"):
        coco.read(save(tmp_path / "a.json", content))


@pytest.mark.parametrize("section", ["images", "annotations", "categories"])
def test_a_missing_section_is_named(tmp_path: Path, section: str) -> None:
    content = document()
    del content[section]
    with pytest.raises(ValueError, match=rf"a\.json: not COCO JSON, it has no list '{section}'"):
        coco.read(save(tmp_path / "a.json", content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": None}, "image 7 .* has width None"),
        ({"height": 0}, "image 7 .* height 0"),
        ({"width": -4}, "image 7 .* width -4"),
        ({"file_name": None}, "image 7 has no 'file_name'"),
        ({"confidence": 1.5}, r"image 7 \(a.png\): confidence 1\.5 is not within 0\.\.1"),
        ({"confidence": -0.1}, r"confidence -0\.1 is not"),
        ({"confidence": float("nan")}, "confidence nan is not"),
        ({"confidence": float("inf")}, "confidence inf is not"),
        ({"confidence": "0.5"}, "confidence '0.5' is not"),
        ({"confidence": [0.5]}, r"confidence \[0\.5\] is not"),
        ({"id": None}, r"image None has no 'id'"),
    ],
)
def test_images_that_make_no_sense_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    content = document()
    content["images"][0] |= change
    with pytest.raises(ValueError, match=message):
        coco.read(save(tmp_path / "a.json", content))


def test_sizes_may_come_from_elsewhere(tmp_path: Path) -> None:
    content = document()
    del content["images"][0]["width"], content["images"][0]["height"]
    [picture] = coco.read(save(tmp_path / "a.json", content), sizes={"a.png": (8, 10)})
    assert (picture.height, picture.width) == (8, 10)


def test_an_image_twice_is_named(tmp_path: Path) -> None:
    content = document()
    content["images"].append({"id": 8, "file_name": "a.png", "width": 10, "height": 8})
    with pytest.raises(ValueError, match=r"image 8 \(a\.png\) is there twice"):
        coco.read(save(tmp_path / "a.json", content))


def test_what_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"a\.json: not a JSON file"):
        coco.read(path)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    class Failing(list[Detections]):
        def __iter__(self) -> Any:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        coco.write(tmp_path / "a.json", Failing())
    assert list(tmp_path.iterdir()) == []
