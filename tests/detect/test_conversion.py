"""Categories, numbers and names survive conversions; what does not is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image
from pycocotools.coco import COCO

from detect.cli import main
from detect.conversion import convert, format_of_source, read_annotations, write_annotations
from detect.detections import Detections, DetectionSet, Instance
from detect.extraction import ExtractionConfig
from detect.formats import FORMATS, yolo_folder
from detect.job import extract_and_write
from detect.losses import describe, without_place

CATEGORIES = [(1, "person"), (8, "car"), (3, "bus")]


def content(images: dict[int, str], objects: list[tuple[int, int]], categories: Any = CATEGORIES) -> dict[str, Any]:
    """COCO JSON of pictures of 40 x 30, by id, and of objects of a picture and a category."""
    return {
        "images": [{"id": number, "file_name": name, "width": 40, "height": 30} for number, name in images.items()],
        "annotations": [
            {
                "id": index,
                "image_id": image,
                "category_id": category,
                "bbox": [index, 2, 9, 7],
                "area": 63,
                "iscrowd": 0,
            }
            for index, (image, category) in enumerate(objects, start=1)
        ],
        "categories": [{"id": number, "name": name, "supercategory": f"of {name}"} for number, name in categories],
    }


def save(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A picture without objects, and a category without objects."""
    return save(tmp_path / "in.json", content({632: "val/c.png", 7: "val/d.png"}, [(632, 3), (632, 1)]))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("val/c.png", "val/d.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(tmp_path / "images" / name), np.zeros((30, 40), np.uint8))
    return tmp_path / "images"


def listed(found: DetectionSet) -> list[tuple[int | None, str]]:
    return [(item.number, item.name) for item in found.categories]


@pytest.mark.parametrize("middle", ["coco", "label-studio"])
def test_categories_and_numbers_survive(tmp_path: Path, source: Path, middle: str) -> None:
    convert(source, tmp_path / "middle.json", target_format=middle)
    convert(tmp_path / "middle.json", tmp_path / "out.json")
    again, before = json.loads((tmp_path / "out.json").read_text()), json.loads(source.read_text())
    assert [(item["id"], item["name"]) for item in again["categories"]] == CATEGORIES
    assert [(item["id"], item["file_name"]) for item in again["images"]] == [(632, "val/c.png"), (7, "val/d.png")]
    assert [item["category_id"] for item in again["annotations"]] == [3, 1]
    if middle == "coco":
        assert again["categories"] == before["categories"]


@pytest.mark.parametrize("name", ["yolo", "yolo-obb", "yolo-seg"])
def test_yolo_keeps_all_categories_in_their_order(tmp_path: Path, source: Path, images: Path, name: str) -> None:
    convert(source, tmp_path / "yolo", target_format=name)
    assert yaml.safe_load((tmp_path / "yolo/data.yaml").read_text())["names"] == {0: "person", 1: "car", 2: "bus"}
    found = convert(tmp_path / "yolo", tmp_path / "out.json", images=images)
    assert listed(found) == [(0, "person"), (1, "car"), (2, "bus")]
    convert(tmp_path / "out.json", tmp_path / "again", target_format=name)
    lines = [(tmp_path / folder / "labels/val/c.txt").read_text().splitlines() for folder in ("yolo", "again")]
    assert [[line[0] for line in of_file] for of_file in lines] == [["2", "0"], ["2", "0"]]


def test_two_splits_in_one_folder_agree(tmp_path: Path) -> None:
    train = save(tmp_path / "train.json", content({1: "train/a.png", 2: "train/b.png"}, [(1, 1), (2, 8)]))
    fewer = save(tmp_path / "val.json", content({1: "val/c.png"}, [(1, 3), (1, 1)], [(1, "person"), (3, "bus")]))
    for one in (train, fewer):
        convert(one, tmp_path / "yolo", target_format="yolo")
    classes = yolo_folder.class_names(tmp_path / "yolo")
    assert classes is not None
    assert dict(classes.names) == {0: "person", 1: "car", 2: "bus"}
    lines = {name: (tmp_path / f"yolo/labels/{name}.txt").read_text() for name in ("train/a", "train/b", "val/c")}
    said = {name: [classes.names[int(line[0])] for line in text.splitlines()] for name, text in lines.items()}
    assert said == {"train/a": ["person"], "train/b": ["car"], "val/c": ["bus", "person"]}
    before = (tmp_path / "yolo/data.yaml").read_text()
    more = save(tmp_path / "test.json", content({1: "test/e.png"}, [(1, 5)], [(5, "tram")]))
    with pytest.raises(ValueError, match=r"data\.yaml: lists the classes .*person.*, not tram; write into another"):
        convert(more, tmp_path / "yolo", target_format="yolo")
    assert (tmp_path / "yolo/data.yaml").read_text() == before
    assert not (tmp_path / "yolo/labels/test").exists()
    with pytest.raises(ValueError, match=r"data\.yaml: lists the classes"):
        extract_and_write([], ExtractionConfig(threshold=1.0), out=tmp_path / "yolo", target_format="yolo")


@pytest.mark.parametrize("name", ["yolo", "yolo-obb", "yolo-seg", "dota", "dota-task1", "dota-task2", "masks"])
def test_labels_that_are_there_are_not_replaced_unasked(tmp_path: Path, name: str) -> None:
    """Two splits whose pictures have the same names."""
    train = save(tmp_path / "train.json", content({1: "1.png", 2: "2.png"}, [(1, 1), (2, 8)]))
    val = save(tmp_path / "val.json", content({1: "1.png"}, [(1, 3), (1, 1)]))
    out = tmp_path / "out"
    convert(train, out, target_format=name)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    convert(train, out, target_format=name)  # the same again
    if name == "masks":
        val = save(tmp_path / "val.json", content({1: "1.png"}, []))
    with pytest.raises(ValueError, match=r"1.*|Task.*: is there already and says something else; .* --overwrite"):
        convert(val, out, target_format=name)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    convert(val, out, target_format=name, overwrite=True)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} != before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("classes.txt", "bus\ncar\nperson\n"),
        ("obj.names", "bus\ncar\nperson\n"),
        ("set.yaml", "names: [bus, car, person]"),
    ],
)
def test_class_numbers_of_a_folder_stay_true_whatever_file_names_them(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / "yolo/labels").mkdir(parents=True)
    (tmp_path / "yolo" / file).write_text(text)
    (tmp_path / "yolo/labels/old.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    convert(save(tmp_path / "a.json", content({1: "a.png"}, [(1, 1)])), tmp_path / "yolo", target_format="yolo")
    classes = yolo_folder.class_names(tmp_path / "yolo")
    assert classes is not None
    said = {name: (tmp_path / f"yolo/labels/{name}.txt").read_text().split()[0] for name in ("old", "a")}
    assert {name: classes.names[int(number)] for name, number in said.items()} == {"old": "bus", "a": "person"}


def test_labels_without_class_names_are_not_mixed_with_others(tmp_path: Path) -> None:
    (tmp_path / "yolo/labels").mkdir(parents=True)
    (tmp_path / "yolo/labels/old.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(ValueError, match="yolo: holds labels whose classes no file names"):
        convert(save(tmp_path / "a.json", content({1: "a.png"}, [(1, 1)])), tmp_path / "yolo", target_format="yolo")


def test_what_a_folder_of_masks_lacks_is_told(tmp_path: Path, images: Path) -> None:
    (tmp_path / "masks").mkdir()
    Image.new("L", (40, 30)).save(tmp_path / "masks" / "d.gif")
    with pytest.raises(ValueError, match=r"masks: holds no mask"):
        convert(tmp_path / "masks", tmp_path / "out.json", source_format="masks", images=images)
    Image.new("L", (40, 30), 255).save(tmp_path / "masks" / "c.png")
    (tmp_path / "masks" / "Thumbs.db").write_bytes(b"x")
    found = convert(tmp_path / "masks", tmp_path / "out.json", source_format="masks", images=images)
    assert dict(found.left_out) == {
        "pictures without a mask": 1, "files of a kind that masks are not read from": 1
    }  # fmt: skip


def test_results_have_the_numbers_of_the_truth(tmp_path: Path) -> None:
    truth = save(tmp_path / "truth.json", content({632: "val/c.png", 9: "val/d.png"}, [(632, 8), (632, 1)]))
    found = content(
        {1: "c.png", 2: "val/new.png"}, [(1, 2), (1, 1), (2, 1), (1, 3)], [(1, "person"), (2, "car"), (3, "tram")]
    )
    found["annotations"] = [item | {"score": 0.9} for item in found["annotations"]]
    source = save(tmp_path / "found.json", found)
    result = convert(source, tmp_path / "r.json", target_format="coco-results", pictures=truth)
    numbers = [(item["image_id"], item["category_id"]) for item in json.loads((tmp_path / "r.json").read_text())]
    assert numbers == [(632, 8), (632, 1)]
    assert result.left_out == {
        "pictures that truth.json does not have (val/new.png)": 1,
        "objects of categories that truth.json does not have (tram)": 1,
    }
    COCO(str(truth)).loadRes(str(tmp_path / "r.json"))
    convert(truth, tmp_path / "own.json", target_format="coco-results")
    assert [item["image_id"] for item in json.loads((tmp_path / "own.json").read_text())] == [632, 632]
    convert(source, tmp_path / "renumbered.json", pictures=truth)
    renumbered = json.loads((tmp_path / "renumbered.json").read_text())
    assert [item["id"] for item in renumbered["images"]] == [632, 633]
    assert [(item["id"], item["name"]) for item in renumbered["categories"]] == [*CATEGORIES, (9, "tram")]
    with pytest.raises(ValueError, match=r"--pictures .*: numbers pictures of coco and coco-results, not of yolo"):
        convert(source, tmp_path / "yolo", target_format="yolo", pictures=truth)
    other = save(tmp_path / "other.json", content({1: "elsewhere.png"}, []))
    with pytest.raises(ValueError, match=r"other\.json: has none of the 2 pictures, such as c\.png"):
        convert(source, tmp_path / "r2.json", target_format="coco-results", pictures=other)


@pytest.mark.parametrize("given", ["bus, person", "names.txt", "data.yaml", "list.json"])
def test_a_list_of_categories_is_fixed(tmp_path: Path, source: Path, given: str) -> None:
    (tmp_path / "names.txt").write_text("bus\nperson\n", encoding="utf-8")
    (tmp_path / "data.yaml").write_text("names: [bus, person]\n", encoding="utf-8")
    save(tmp_path / "list.json", content({}, [], [(4, "bus"), (2, "person")]))
    fixed: str | Path = given if "," in given else tmp_path / given
    save(source, content({1: "a.png"}, [(1, 1), (1, 8), (1, 3), (1, 8)]))
    found = convert(source, tmp_path / "yolo", target_format="yolo", categories=fixed)
    assert found.left_out == {"objects of categories that are not listed (car)": 2}
    assert yaml.safe_load((tmp_path / "yolo/data.yaml").read_text())["names"] == {0: "bus", 1: "person"}
    convert(source, tmp_path / "out.json", categories=fixed)
    numbers = [(item["id"], item["name"]) for item in json.loads((tmp_path / "out.json").read_text())["categories"]]
    assert numbers == ([(4, "bus"), (2, "person")] if given == "list.json" else [(1, "bus"), (2, "person")])


@pytest.mark.parametrize("given", ["", ",", "a,a"])
def test_a_list_that_is_none_is_named(tmp_path: Path, source: Path, given: str) -> None:
    with pytest.raises(ValueError, match="give each name once"):
        convert(source, tmp_path / "out.json", categories=given)


def test_numbers_of_classes_without_names_may_be_named(tmp_path: Path, images: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/c.txt").write_text("1 0.5 0.5 0.2 0.2\n", encoding="utf-8")
    found = read_annotations(tmp_path / "labels", images=images)
    assert dict(found.left_out) == {yolo_folder.UNNAMED: 1}
    found = convert(tmp_path / "labels", tmp_path / "out.json", images=images, categories="bolt,nut", strict=True)
    assert found[0].instances[0].category == "nut"


def test_categories_of_one_name_become_one(tmp_path: Path) -> None:
    source = save(tmp_path / "in.json", content({1: "a.png"}, [(1, 1)], [(0, "nut"), (1, "nut"), (2, "bolt")]))
    found = convert(source, tmp_path / "out.json")
    assert listed(found) == [(1, "nut"), (2, "bolt")]
    assert found.left_out == {"categories that share the name of another": 1}


def test_roboflow_coco(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    save(folder / "train/_annotations.coco.json", content({0: "1.jpg"}, [(0, 8)]))
    save(folder / "valid/_annotations.coco.json", content({0: "1.jpg"}, [(0, 3)]))
    assert format_of_source(folder) == "coco"
    found = convert(folder, tmp_path / "out.json")
    assert [(picture.name, picture.instances[0].category) for picture in found] == [
        ("train/1.jpg", "car"),
        ("valid/1.jpg", "bus"),
    ]
    assert listed(found) == CATEGORIES
    assert len(COCO(str(tmp_path / "out.json")).imgs) == 2
    save(folder / "valid/_annotations.coco.json", content({0: "1.jpg"}, [], [(1, "tram")]))
    with pytest.raises(ValueError, match=r"valid/_annotations\.coco\.json: lists other categories than"):
        convert(folder, tmp_path / "out.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="is a folder without"):
        read_annotations(tmp_path / "empty", source_format="coco")


def test_the_last_line_says_what_was_left_out(tmp_path: Path, source: Path) -> None:
    def run(*arguments: object) -> tuple[int, list[str]]:
        result = CliRunner().invoke(main, ["convert", *map(str, arguments)])
        return result.exit_code, result.output.splitlines()

    assert run(source, tmp_path / "a.json") == (
        0,
        [f"2 objects in 2 pictures: {tmp_path / 'a.json'}", "left out: nothing"],
    )
    status, lines = run(source, tmp_path / "y", "--format", "yolo", "--categories", "person,car")
    assert (status, lines[-1]) == (
        0,
        "left out: 1 objects of categories that are not listed (bus); yolo has no place for 2 numbers of pictures",
    )
    status, lines = run(source, tmp_path / "s", "--format", "yolo", "--categories", "person,car", "--strict")
    assert status == 2
    assert lines == [
        f"error: {source}: --strict, and left out would be 1 objects of categories that are not listed (bus)"
    ]
    assert not (tmp_path / "s").exists()
    status, lines = run(source, tmp_path / "g.geojson", "--json", "--strict")
    assert status == 0
    assert json.loads(lines[-1])["left_out"] == {}
    assert json.loads(lines[-1])["without_place"] == {
        "categories without objects": 1,
        "pictures without objects": 1,
        "numbers of pictures": 2,
    }


@pytest.mark.parametrize("name", ["masks", "dota", "yolo"])
def test_names_that_lead_out_are_told(tmp_path: Path, name: str) -> None:
    found = convert(
        save(tmp_path / "in.json", content({1: "..\\a.png"}, [(1, 1)])), tmp_path / "x/out", target_format=name
    )
    told = without_place(found, name)
    assert told["names that lead out of the folder (such as ../a.png: a.png)"] == 1


def test_every_format_has_its_losses(tmp_path: Path, source: Path) -> None:
    found = read_annotations(source)
    for name in FORMATS:
        without_place(found, name)
    assert without_place(found, "coco") == {}
    assert describe(without_place(found, "dota")) == "1 categories without objects, 2 numbers of pictures"
    assert describe({}) == "nothing"


def test_a_confidence_survives_or_is_told(tmp_path: Path) -> None:
    thing = Instance(box=(1, 1, 4, 4), score=0.5)
    found = [
        Detections(name=f"{index}.png", height=9, width=9, instances=(thing,), confidence=index / 4) for index in (1, 3)
    ]
    write_annotations(tmp_path / "a.json", found, target_format="coco")
    kept = {"coco": "b.json", "label-studio": "tasks.json", "geojson": "a.geojson", "gpkg": "a.gpkg"}
    for name in FORMATS:
        out = tmp_path / kept.get(name, name)
        told = without_place(convert(tmp_path / "a.json", out, target_format=name), name)
        assert told.get("confidences of pictures") == (None if name in kept else 2)
        if name in kept:
            assert [picture.confidence for picture in read_annotations(out)] == [0.25, 0.75]
