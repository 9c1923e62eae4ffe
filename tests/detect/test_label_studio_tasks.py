"""Label Studio's exports as people have them."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detect.conversion import format_of_source, read_annotations
from detect.detections import Detections, DetectionSet, Instance
from detect.formats import label_studio
from detect.masks import Mask

RECTANGLE = {"x": 12.5, "y": 20, "width": 25, "height": 20, "rotation": 0}
NUT = [5, 6, 10, 6]
SIZES = {"one.png": (30, 40), "two.png": (30, 40)}


def region(kind: str, value: dict[str, Any], identity: str = "r1", **more: Any) -> dict[str, Any]:
    sides = {"original_width": 40, "original_height": 30, "image_rotation": 0}
    return {"id": identity, "from_name": "label", "to_name": "image", "type": kind, "value": value} | sides | more


BOX = region("rectanglelabels", RECTANGLE | {"rectanglelabels": ["nut"]})


def task(image: str, *results: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    annotations = [{"id": number, "was_cancelled": False, "result": result} for number, result in enumerate(results)]
    return {"id": 1, "data": {"image": image}, "annotations": annotations, "predictions": []} | more


def read(tmp_path: Path, tasks: Any, sizes: dict[str, tuple[int, int]] | None = None) -> DetectionSet:
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    assert format_of_source(path) == "label-studio"
    return read_annotations(path, sizes=sizes)


@pytest.mark.parametrize(
    "image",
    [
        "one.png",
        "/data/upload/3/1a2b3c4d-one.png",
        "/data/upload/3/1a2b3c4d-%6Fne.png",
        "upload/one.png",
        "/data/local-files/?d=pics/one.png",
        "/data/local-files/?d=pics%2Fone.png",
        "/data/local-files/?d=pics%5Cone.png",
        "https://host/data/upload/3/1a2b3c4d-one.png?x=1",
        "s3://bucket/pics/one.png",
        "one.jpg",
    ],
)
def test_pictures_are_found_whatever_they_are_called(tmp_path: Path, image: str) -> None:
    [picture] = read(tmp_path, [task(image, [BOX])], SIZES)
    assert picture.name == "one.png"
    assert [list(item.bbox) for item in picture.instances] == [NUT]


def test_the_whole_name_goes_before_the_one_without_prefix(tmp_path: Path) -> None:
    sizes = SIZES | {"1a2b3c4d-one.png": (30, 40), "my pic.png": (30, 40)}
    tasks = [task("/data/upload/1a2b3c4d-one.png", [BOX]), task("/data/upload/0a2b3c4d-my%20pic.png", [])]
    assert [picture.name for picture in read(tmp_path, tasks, sizes)] == ["1a2b3c4d-one.png", "my pic.png"]


def test_names_without_pictures_to_look_among(tmp_path: Path) -> None:
    uploads = ["/data/upload/3/1a2b3c4d-one.png", "/data/upload/3/5e6f7a8b-two.png", "/data/upload/3/5e6f7a8c-two.png"]
    found = read(tmp_path, [task(name, [BOX]) for name in uploads])
    assert [picture.name for picture in found] == ["one.png", *uploads[1:]]


def test_tasks_without_a_picture(tmp_path: Path) -> None:
    tasks = [task("one.png", [BOX]), task("nowhere.png", [BOX]), task("neither.png", [BOX])]
    found = read(tmp_path, tasks, SIZES)
    assert [picture.name for picture in found] == ["one.png"]
    assert dict(found.left_out) == {"tasks without a picture, such as 2 (nowhere.png)": 2}
    with pytest.raises(ValueError, match=r"no picture for any of 2 tasks: 1 \(nowhere\.png\), 2 \(neither\.png\)"):
        read(tmp_path, tasks[1:], SIZES)
    with pytest.raises(ValueError, match=r"two tasks are of the same picture, 1 and 2: one\.png"):
        read(tmp_path, [task("one.png", []), task("/data/upload/1a2b3c4d-one.png", [])], SIZES)


def test_skipped_work_does_not_count(tmp_path: Path) -> None:
    whole = region("rectanglelabels", RECTANGLE | {"width": 80, "rectanglelabels": ["bolt"]})
    first, second = task("one.png", [BOX], [whole]), task("two.png", [whole])
    first["annotations"][1]["was_cancelled"] = second["annotations"][0]["was_cancelled"] = True
    second["predictions"] = [{"result": [BOX]}]
    found = read(tmp_path, [first, second], SIZES)
    assert [(picture.name, [list(item.bbox) for item in picture.instances]) for picture in found] == [
        ("one.png", [NUT])
    ]
    assert dict(found.left_out) == {"tasks that were skipped": 1}


def test_the_last_of_several_annotations_counts(tmp_path: Path) -> None:
    found = read(tmp_path, [task("one.png", [BOX, BOX | {"id": "r2"}], [], [BOX])], SIZES)
    assert [len(picture.instances) for picture in found] == [1]
    assert dict(found.left_out) == {"annotations of tasks that have a later one": 2}


def test_predictions_count_where_nobody_annotated(tmp_path: Path) -> None:
    scored = BOX | {"score": 0.5}
    [picture] = read(tmp_path, [task("one.png", predictions=[{"result": [scored]}])], SIZES)
    assert [item.score for item in picture.instances] == [0.5]


@pytest.mark.parametrize(("rotation", "box"), [(0, (12, 9, 16, 12)), (90, (14, 7, 12, 16)), (180, (12, 9, 16, 12))])
def test_ellipses_have_a_mask(tmp_path: Path, rotation: float, box: tuple[int, ...]) -> None:
    value = {"x": 50, "y": 50, "radiusX": 20, "radiusY": 20, "rotation": rotation, "ellipselabels": ["nut"]}
    [picture] = read(tmp_path, [task("one.png", [region("ellipselabels", value)])], SIZES)
    [item] = picture.instances
    assert list(item.bbox) == list(box)
    assert item.area == pytest.approx(math.pi * 8 * 6, abs=4)
    assert item.category == "nut"


def test_labels_may_stand_apart_from_shapes(tmp_path: Path) -> None:
    mask = Mask(x=0, y=0, crop_HW=np.ones((5, 5), bool))
    drawn = Detections(name="one.png", height=30, width=40, instances=(Instance(mask=mask),))
    rle = {"format": "rle", "rle": label_studio.encode_brush(drawn, drawn.instances[0])}
    triangle = {"points": [[10, 10], [50, 10], [10, 80]], "closed": True}
    shapes: list[tuple[str, dict[str, Any]]] = [("rectangle", RECTANGLE), ("polygon", triangle), ("brush", rle)]
    result = [region(kind, value, kind) for kind, value in shapes]
    result += [region("labels", value | {"labels": [f"a {kind}"]}, kind) for kind, value in shapes[:2]]
    result += [region("labels", {"labels": ["a brush"]}, "brush")]
    [picture] = read(tmp_path, [task("one.png", result)], SIZES)
    assert [item.category for item in picture.instances] == ["a rectangle", "a polygon", "a brush"]
    assert [item.shape for item in picture.instances] == ["box", "mask", "mask"]
    minimal = [
        {
            "image": "/data/upload/1/1a2b3c4d-one.png",
            "id": 7,
            "box": [RECTANGLE | {"original_width": 40, "original_height": 30}],
            "label": [RECTANGLE | {"labels": ["nut"], "original_width": 40, "original_height": 30}],
            "annotator": 1,
        }
    ]
    [picture] = read(tmp_path, minimal, SIZES)
    assert [(item.category, list(item.bbox)) for item in picture.instances] == [("nut", NUT)]


def test_json_min(tmp_path: Path) -> None:
    sides = {"original_width": 40, "original_height": 30}
    tasks = [
        {
            "image": "/data/upload/1/1a2b3c4d-one.png",
            "id": 1,
            "label": [RECTANGLE | {"rectanglelabels": ["nut"]} | sides],
        },
        {"image": "/data/upload/1/1a2b3c4d-two.png", "id": 2, "quality": ["good"], "annotator": 1},
    ]
    found = read(tmp_path, tasks, SIZES)
    assert [[(item.category, list(item.bbox)) for item in picture.instances] for picture in found] == [
        [("nut", NUT)],
        [],
    ]
    assert dict(found.left_out) == {"values that are no regions": 1}


def test_what_nobody_submitted_or_what_was_turned_is_counted(tmp_path: Path) -> None:
    turned = region("rectanglelabels", RECTANGLE | {"rectanglelabels": ["nut"]}, "t", image_rotation=90)
    tasks = [task("one.png", [BOX, turned]), task("two.png", drafts=[{"id": 1, "result": [BOX]}])]
    found = read(tmp_path, tasks, SIZES)
    assert [len(picture.instances) for picture in found] == [1, 0]
    assert dict(found.left_out) == {
        "regions of pictures that were turned in Label Studio": 1,
        "drafts that were not submitted": 1,
    }


def test_what_is_no_region_is_counted(tmp_path: Path) -> None:
    result = [
        BOX,
        region("choices", {"choices": ["good"]}, "c"),
        region("keypointlabels", {"x": 1, "y": 1, "width": 0.5, "keypointlabels": ["tip"]}, "k"),
        {"type": "relation", "from_id": "r1", "to_id": "k"},
        region("textarea", RECTANGLE | {"text": ["rusty"]}),
        region("rectanglelabels", RECTANGLE | {"x": 10, "rectanglelabels": ["nut", "bolt"]}, "two"),
        region("polygonlabels", {"points": [[110, 110], [120, 110], [110, 120]], "polygonlabels": ["nut"]}, "out"),
    ]
    found = read(tmp_path, [task("one.png", result)], SIZES)
    assert len(found[0].instances) == 2
    assert dict(found.left_out) == {
        "relation": 1,
        "choices": 1,
        "keypointlabels": 1,
        "textarea": 1,
        "labels beyond the first of a region": 1,
        "regions without a pixel inside their picture": 1,
    }


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        (task("one.png") | {"annotations": [3]}, "task 1 is not laid out as Label Studio does it"),
        (task("one.png") | {"annotations": [{"id": 1}]}, "task 1 is not laid out as Label Studio does it"),
        (task("one.png", [BOX | {"meta": 3}]), "task 1, region r1"),
        (task("one.png", [region("ellipselabels", {"x": 1, "y": 1, "radiusX": 0, "radiusY": 1})]), "two radii above 0"),
        (task("one.png", [region("brushlabels", {"rle": [1, 2]})]), "task 1, region r1: the brush run lengths end"),
    ],
)
def test_what_makes_no_sense_is_named(tmp_path: Path, spoilt: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(tmp_path, [spoilt], SIZES)


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.sampled_from([0, -1, 7.5, 2**31, 2**64, 10**400, 1e308, math.inf, math.nan, [], {}, [1], {"a": 1}, "../x.png"]),
)


@given(data=st.data())
def test_spoilt_tasks_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any one value of an export in the place of which something odd stands."""
    ellipse = region("ellipselabels", {"x": 9, "y": 9, "radiusX": 5, "radiusY": 5, "ellipselabels": ["nut"]}, "e")
    polygon = region("polygonlabels", {"points": [[1, 1], [9, 1], [9, 9]], "polygonlabels": ["nut"]}, "p")
    tasks = [task("one.png", [json.loads(json.dumps(BOX)), ellipse, polygon], meta={"width": 40, "height": 30})]
    place: Any = tasks
    while True:
        keys = list(range(len(place))) if isinstance(place, list) else list(place)
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
            place = place[key]
        else:
            place[key] = data.draw(ODD)
            break
    path = tmp_path_factory.mktemp("odd") / "export.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    for sizes in (None, SIZES):
        with contextlib.suppress(ValueError):
            read_annotations(path, source_format="label-studio", sizes=sizes)
