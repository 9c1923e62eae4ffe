"""Every format both ways: nothing is lost that the format can say, and what is wrong is named."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detect.conversion import convert, format_of_source, read_annotations, write_annotations
from detect.detections import Detections, Instance
from detect.formats import (
    FOLDER_FORMATS,
    FORMATS,
    coco,
    dota,
    dota_submission,
    geojson,
    gpkg,
    label_studio,
    yolo,
    yolo_obb,
)
from detect.formats.geo import Georeference, read_georeference
from detect.masks import Mask, mask_of_outlines, outlines

BoolArray = NDArray[np.bool_]

shapes = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)).filter(np.any)
corners = st.lists(st.floats(0, 300), min_size=8, max_size=8)
in_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)

UTM = Georeference(transform=(0.5, 0.0, 512345.5, 0.0, -0.5, 5412345.25), crs="EPSG:32632")


def masked(*crops: BoolArray, name: str = "a b.png", size: tuple[int, int] = (31, 37)) -> Detections:
    instances = []
    for number, crop in enumerate(crops):
        mask = Mask.of(crop)
        assert mask is not None
        category = "small car" if number % 2 else "bus"
        instances.append(Instance(mask=mask, score=0.25, category=category, difficult=number == 2))
    return Detections(name=name, height=size[0], width=size[1], instances=tuple(instances))


def all_kinds() -> Detections:
    """A block, a ring, two parts, a pixel, the whole picture; a box, a rectangle on its corner, and a crooked box."""
    ring, parts, pixel = np.ones((5, 6), bool), np.zeros((4, 9), bool), np.zeros((31, 37), bool)
    ring[1:3, 2:4] = False
    parts[:, :3] = parts[2:, 6:] = pixel[30, 36] = True
    picture = masked(np.pad(np.ones((3, 4), bool), ((2, 0), (5, 0))), ring, parts, pixel, np.ones((31, 37), bool))
    boxes = (
        Instance(box=(1.5, 2.25, 10, 4.5), score=0.5, category="bus"),
        Instance(corners_42=np.array([[10.0, 0], [20, 10], [10, 20], [0, 10]]), score=0.75, category="bus"),
        Instance(corners_42=np.array([[1.0, 1], [9, 2], [10, 7], [0, 6]]), score=1.0, difficult=True),
    )
    return Detections(name="a b.png", height=31, width=37, instances=picture.instances + boxes, confidence=0.375)


def assert_same(before: Detections, after: Detections) -> None:
    assert (after.name, after.height, after.width) == (before.name, before.height, before.width)
    assert after.confidence == before.confidence
    for one, two in zip(before.instances, after.instances, strict=True):
        assert (two.category, two.difficult, two.score) == (one.category, one.difficult, one.score)
        assert two.shape == one.shape
        if one.mask is not None and two.mask is not None:
            assert two.mask.box == one.mask.box
            np.testing.assert_array_equal(two.mask.crop_HW, one.mask.crop_HW)
        np.testing.assert_allclose(two.obb, one.obb, atol=1e-6)
        np.testing.assert_allclose(two.bbox, one.bbox, atol=1e-6)


LOSSLESS: dict[str, tuple[str, Callable[[Path], Sequence[Detections]], Callable[..., None]]] = {
    "coco": ("a.json", coco.read, coco.write),
    "geojson": ("a.geojson", geojson.read, geojson.write),
    "gpkg": ("a.gpkg", gpkg.read, gpkg.write),
    "label-studio": ("tasks.json", label_studio.read, label_studio.write),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_every_kind_of_object_comes_back(tmp_path: Path, name: str) -> None:
    file, read, write = LOSSLESS[name]
    write(tmp_path / file, [all_kinds()])
    assert format_of_source(tmp_path / file) == name
    [again] = read(tmp_path / file)
    assert_same(all_kinds(), again)


@pytest.mark.parametrize("name", ["geojson", "label-studio"])
@in_folder
@given(drawn=st.lists(st.tuples(shapes, st.integers(0, 20), st.integers(0, 20)), max_size=5))
def test_masks_come_back_exactly(tmp_path: Path, name: str, drawn: list[tuple[BoolArray, int, int]]) -> None:
    picture = masked(*(np.pad(crop, ((top, 0), (left, 0))) for crop, top, left in drawn))
    file, read, write = LOSSLESS[name]
    write(tmp_path / file, [picture])
    again = read(tmp_path / file)
    for before, after in zip([picture] if drawn or again else [], again, strict=True):
        assert_same(before, after)


@in_folder
@given(crop=shapes)
def test_outlines_with_holes_rasterise_to_the_same_mask(crop: BoolArray) -> None:
    mask = Mask.of(np.pad(crop, ((4, 0), (7, 0))))
    assert mask is not None
    again = mask_of_outlines(outlines([mask])[0], 40, 40)
    assert again is not None
    assert again.box == mask.box
    np.testing.assert_array_equal(again.crop_HW, mask.crop_HW)


@in_folder
@given(values=corners)
def test_dota_keeps_corners_to_the_last_bit(tmp_path: Path, values: list[float]) -> None:
    box = Instance(corners_42=np.array(values).reshape(4, 2), category="car", difficult=True)
    dota.write(tmp_path, [Detections(name="p.png", height=300, width=300, instances=(box,))])
    [picture] = dota.read(tmp_path, sizes={"p.png": (300, 300)})
    np.testing.assert_array_equal(picture.instances[0].obb, box.obb)
    assert picture.instances[0].difficult


@in_folder
@given(values=corners, size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)))
def test_yolo_obb_keeps_corners_to_its_ten_digits(tmp_path: Path, values: list[float], size: tuple[int, int]) -> None:
    box = Instance(corners_42=np.array(values).reshape(4, 2) / 300 * size[::-1], category="car", score=0.125)
    picture = Detections(name="p.png", height=size[0], width=size[1], instances=(box,))
    for scores in (False, True):
        yolo_obb.write(tmp_path, [picture], scores=scores)
        [again] = yolo_obb.read(tmp_path, sizes={"p.png": size})
        np.testing.assert_allclose(again.instances[0].obb, box.obb, atol=max(size) * 1e-10)
        assert again.instances[0].score == (0.125 if scores else None)


def test_yolo_says_boxes_as_shares_of_the_picture(tmp_path: Path) -> None:
    box = Instance(box=(10, 20, 30, 40), category="car")
    picture = Detections(name="sub/p.png", height=200, width=100, instances=(box,))
    yolo.write(tmp_path, [picture, Detections(name="q.png", height=5, width=5)], categories=["bus"])
    assert (tmp_path / "labels/sub/p.txt").read_text() == "1 0.25 0.2 0.3 0.2\n"
    assert (tmp_path / "labels/q.txt").read_text() == ""
    assert yolo.read_names(tmp_path) == {0: "bus", 1: "car"}
    [again, empty] = yolo.read(tmp_path, sizes={"sub/p.png": (200, 100), "q.png": (5, 5)})
    assert again.instances[0].bbox == pytest.approx((10, 20, 30, 40))
    assert again.instances[0].category == "car"
    assert empty.instances == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.1", "4 fields"),
        ("0 0.5 0.5 0.1 x", "is not a class number and 4 numbers"),
        ("0 0.5 0.5 nan 0.1", "not finite"),
        ("0 0.5 0.5 -0.1 0.1", "width >= 0"),
        ("7 0.5 0.5 0.1 0.1", "data.yaml names no class 7"),
    ],
)
def test_yolo_lines_that_make_no_sense_are_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "data.yaml").write_text("names: [car]\n")
    (tmp_path / "labels/p.txt").write_text(f"0 0.5 0.5 0.1 0.1\n{line}\n")
    with pytest.raises(ValueError, match=rf"p\.txt: line 2: .*{message}"):
        yolo.read(tmp_path, sizes={"p.png": (10, 10)})
    (tmp_path / "data.yaml").write_text("train: x\n")
    with pytest.raises(ValueError, match=r"data\.yaml: no class names"):
        yolo.read(tmp_path, sizes={"p.png": (10, 10)})


@pytest.mark.parametrize("task", [1, 2])
def test_dota_submissions(tmp_path: Path, task: dota_submission.Task) -> None:
    objects = (
        Instance(corners_42=np.array([[1.0, 2], [5, 2], [5, 8.5], [1, 8.5]]), score=0.5, category="small vehicle"),
        Instance(box=(0, 0, 2, 3), category="plane"),
    )
    dota_submission.write(
        tmp_path, [Detections(name="P1.png", height=20, width=20, instances=objects)], categories=["ship"], task=task
    )
    assert (tmp_path / f"Task{task}_ship.txt").read_text() == ""
    line = (tmp_path / f"Task{task}_small-vehicle.txt").read_text()
    assert line == ("P1 0.5 1 2 5 2 5 8.5 1 8.5\n" if task == 1 else "P1 0.5 1 2 5 8.5\n")
    [again] = dota_submission.read(tmp_path, sizes={"P1.png": (20, 20)})
    assert {item.category: item.bbox for item in again.instances} == {
        "small-vehicle": (1, 2, 4, 6.5),
        "plane": (0, 0, 2, 3),
    }
    with pytest.raises(ValueError, match="no picture is called P1"):
        dota_submission.read(tmp_path, sizes={"P2.png": (20, 20)})
    (tmp_path / "Task1_ship.txt").write_text("P1 0.5 1 2 3\n")
    with pytest.raises(ValueError, match=r"Task1_ship\.txt: line 1: expected a picture, a score and 8"):
        dota_submission.read(tmp_path, sizes={"P1.png": (20, 20)})


def test_dota_submissions_take_no_spaces(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a b\.png: the DOTA server takes no spaces"):
        dota_submission.write(tmp_path, [all_kinds()])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["geojson", "gpkg"])
def test_objects_lie_on_the_ground_and_come_back(tmp_path: Path, suffix: str) -> None:
    picture = all_kinds()
    module: Any = geojson if suffix == "geojson" else gpkg
    path = tmp_path / f"a.{suffix}"
    module.write(path, [picture], georeferences={picture.name: UTM})
    import pyogrio  # type: ignore[import-untyped]
    import shapely

    meta, _, geometry, _ = pyogrio.raw.read(path)
    assert meta["crs"] == "EPSG:32632"
    block = shapely.from_wkb(geometry[0])
    # Half a metre a pixel, north up: the block of 4 x 3 pixels at (5, 2).
    assert block.bounds == (512348.0, 5412342.75, 512350.0, 5412344.25)
    [again] = module.read(path, georeferences={picture.name: UTM})
    assert_same(picture, again)


def test_pictures_of_two_systems_do_not_mix(tmp_path: Path) -> None:
    pictures = [masked(np.ones((2, 2), bool), name=name) for name in ("a.tif", "b.tif")]
    with pytest.raises(ValueError, match=r"a\.tif is in EPSG:32632, b\.tif in plain pixels"):
        geojson.write(tmp_path / "a.geojson", pictures, georeferences={"a.tif": UTM})
    assert list(tmp_path.iterdir()) == []


def test_georeferences_come_from_geotiffs(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    transform = rasterio.Affine(*UTM.transform)
    profile = {"driver": "GTiff", "height": 4, "width": 5, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", crs=UTM.crs, transform=transform, **profile) as target:
        target.write(np.zeros((1, 4, 5), np.uint8))
    assert read_georeference(path) == UTM
    points = np.array([[0.0, 0], [5, 4], [2.5, 1]])
    np.testing.assert_allclose(UTM.to_world(points), [transform * tuple(point) for point in points])
    np.testing.assert_allclose(UTM.to_pixels(UTM.to_world(points)), points, atol=1e-9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a JSON file"),
        ('{"type": "Feature"}', "no list 'features'"),
        ('{"features": [{"geometry": {"type": "Point", "coordinates": [1, 2]}}]}', "feature 1 is no polygon"),
        ('{"features": [{"geometry": null}]}', "feature 1 is no polygon"),
        (
            '{"features": [{"geometry": {"type": "Polygon", "coordinates": [[[0,0],[1,1]]]}}]}',
            "feature 1 is no polygon",
        ),
        (
            '{"features": [{"geometry": {"type": "Polygon", "coordinates": [[[0,0],[1,0],[1,1],[0,0]]]}}]}',
            "no property 'picture'",
        ),
    ],
)
def test_geojson_that_makes_no_sense_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"a\.geojson: .*{message}"):
        geojson.read(path)


@pytest.mark.parametrize("confidence", [1.5, "much", [1]])
def test_a_confidence_that_is_none_is_named(tmp_path: Path, confidence: Any) -> None:
    path = tmp_path / "a.geojson"
    geojson.write(path, [masked(np.ones((2, 2), bool))])
    content = json.loads(path.read_text())
    assert content["features"][0]["properties"]["picture_confidence"] is None
    assert geojson.read(path)[0].confidence is None
    content["features"][0]["properties"]["picture_confidence"] = confidence
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"a\.geojson: feature 1: "):
        geojson.read(path)


def test_polygons_of_other_programs_are_taken_for_the_only_picture(tmp_path: Path) -> None:
    ring = [[1, 1], [4, 1], [4, 3], [1, 3], [1, 1]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": None}
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    [picture] = geojson.read(path, sizes={"p.png": (9, 9)})
    assert [item.bbox for item in picture.instances] == [(1, 1, 3, 2)]


def test_a_file_that_is_no_geopackage_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.gpkg").write_text("nothing")
    with pytest.raises(ValueError, match=r"a\.gpkg: not a readable GeoPackage"):
        gpkg.read(tmp_path / "a.gpkg")


def test_label_studio_reads_its_own_exports(tmp_path: Path) -> None:
    """A task as Label Studio exports it: an annotation by hand beats the prediction; the rectangle is turned."""
    common = {"original_width": 200, "original_height": 100, "image_rotation": 0, "from_name": "l", "to_name": "i"}
    turned = {"x": 50, "y": 20, "width": 10, "height": 10, "rotation": 90, "rectanglelabels": ["car"]}
    straight = {"x": 50, "y": 20, "width": 10, "height": 10, "rotation": 0, "rectanglelabels": ["bus"]}
    task = {
        "data": {"image": "/data/local-files/?d=scenes/p%201.png"},
        "annotations": [
            {
                "result": [
                    {"id": "x", "type": "rectanglelabels", "value": value} | common for value in (turned, straight)
                ]
            }
        ],
        "predictions": [{"result": []}],
    }
    path = tmp_path / "export.json"
    path.write_text(json.dumps([task]))
    [picture] = label_studio.read(path)
    assert (picture.name, picture.height, picture.width) == ("scenes/p 1.png", 100, 200)
    first, second = picture.instances
    # 20 x 10 pixels from (100, 20), turned clockwise: 10 to the left and 20 down.
    np.testing.assert_allclose(first.obb, [[100, 20], [100, 40], [90, 40], [90, 20]], atol=1e-9)
    assert second.bbox == (100, 20, 20, 10)


@pytest.mark.parametrize("confidence", [None, 0.25])
def test_label_studio_orders_tasks_by_the_confidence(tmp_path: Path, confidence: float | None) -> None:
    """What a person has annotated is no longer what the confidence was of."""
    path = tmp_path / "tasks.json"
    boxes = tuple(Instance(box=(1, 1, 2, 2), score=score) for score in (0.5, 1.0))
    label_studio.write(path, [Detections(name="a.png", height=9, width=9, instances=boxes, confidence=confidence)])
    [task] = json.loads(path.read_text())
    assert task["predictions"][0]["score"] == (0.75 if confidence is None else confidence)
    assert label_studio.read(path)[0].confidence == confidence
    path.write_text(json.dumps([task | {"annotations": task["predictions"]}]))
    assert label_studio.read(path)[0].confidence is None
    path.write_text(json.dumps([task | {"meta": task["meta"] | {"confidence": 2}}]))
    with pytest.raises(ValueError, match=r"tasks\.json: task 1 .*meta\.confidence 2 is not within 0\.\.1"):
        label_studio.read(path)


def test_label_studio_brush_run_lengths_by_hand() -> None:
    """The layer of one row of 3 pixels, the middle one on: header, then runs of 4, 4 and 4 values."""
    mask = Mask(x=1, y=0, crop_HW=np.ones((1, 1), bool))
    picture = Detections(name="a", height=1, width=3, instances=(Instance(mask=mask),))
    bits = f"{12:032b}" + f"{7:05b}" + "0010" + "0011" + "0111" + "1111"
    for word in ("00000000", "11111111", "00000000"):
        bits += "1" + "00" + "011" + word
    bits += "0" * (-len(bits) % 8)
    expected = [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]
    assert label_studio.encode_brush(picture, picture.instances[0]) == expected
    # The same with single values instead of runs, as the encoder in the browser may write them.
    literal = bits[:53] + "0" + "01" + f"{11:04b}" + "0" * 32 + "1" * 32 + "0" * 32
    literal += "0" * (-len(literal) % 8)
    again = label_studio.decode_brush([int(literal[i : i + 8], 2) for i in range(0, len(literal), 8)], 1, 3)
    assert again is not None
    assert again.box == mask.box


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({}, "no list of Label Studio tasks"),
        ([{"data": {}}], "task 1 has no data.image"),
        ([{"data": {"image": "a.png"}}], "task 1: the size of a.png is not known"),
        ([{"data": {"image": "a.png"}}, {"data": {"image": "a.png"}}], "two tasks"),
    ],
)
def test_label_studio_tasks_that_make_no_sense_are_named(tmp_path: Path, tasks: Any, message: str) -> None:
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(tasks))
    with pytest.raises(ValueError, match=message):
        label_studio.read(path)


def test_convert_goes_between_all_formats(tmp_path: Path) -> None:
    """From COCO to every format and back: the boxes stay; the categories stay where the format says them."""
    (tmp_path / "images").mkdir()
    for name in ("one.png", "two.png"):
        assert cv2.imwrite(str(tmp_path / "images" / name), np.zeros((40, 50), np.uint8))
    blocks = [Mask(x=3, y=4, crop_HW=np.ones((5, 6), bool)), Mask(x=20, y=30, crop_HW=np.ones((2, 9), bool))]
    pictures = [
        Detections(
            name="one.png",
            height=40,
            width=50,
            instances=tuple(Instance(mask=mask, score=0.5, category=f"c{x}") for x, mask in enumerate(blocks)),
        ),
        Detections(name="two.png", height=40, width=50),
    ]
    coco.write(tmp_path / "in.json", pictures)
    for name in FORMATS:
        out = tmp_path / f"out-{name}"
        convert(tmp_path / "in.json", out, target_format=name)
        source = None if name == "gpkg" else name
        back = out.rename(out.with_suffix(".gpkg")) if name == "gpkg" else out
        again = convert(
            back,
            tmp_path / "back.json",
            source_format=source,
            images=tmp_path / "images",
            pictures=tmp_path / "in.json",
        )
        assert [picture.name for picture in again] == ["one.png", "two.png"], name
        assert again[1].instances == ()
        boxes = sorted(item.bbox for item in again[0].instances)
        np.testing.assert_allclose(boxes, [(3, 4, 6, 5), (20, 30, 9, 2)], atol=1e-6, err_msg=name)
        categories = sorted(item.category for item in again[0].instances)
        assert categories == (["object", "object"] if name == "masks" else ["c0", "c1"]), name
        if name not in ("coco-results", "geojson", "gpkg"):
            found = format_of_source(back)
            assert found == name
    assert len(coco.read(tmp_path / "back.json")) == 2


def test_formats_that_cannot_be_told_or_are_not_known(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot tell the format from this name; say --format"):
        convert(tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match="no such file or folder"):
        convert(tmp_path / "nowhere", tmp_path / "out.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no annotation file that is known"):
        convert(tmp_path / "empty", tmp_path / "out.json")
    (tmp_path / "p.txt").write_text("1 1 2 1 2 2 1 2 car 0\n")
    with pytest.raises(ValueError, match="give --images"):
        convert(tmp_path, tmp_path / "out.json")
    with pytest.raises(ValueError, match="'paper' is none of coco"):
        read_annotations(tmp_path, source_format="paper")
    with pytest.raises(ValueError, match="'paper' is none of coco"):
        write_annotations(tmp_path / "x", [], target_format="paper")
    with pytest.raises(ValueError, match="is a folder, give the name of a file"):
        write_annotations(tmp_path, [], target_format="coco")


def test_geopackage_needs_pyogrio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpkg.write(tmp_path / "a.gpkg", [all_kinds()])
    monkeypatch.setitem(sys.modules, "pyogrio", None)
    line = r"^needs pyogrio; install it with pip install 'distmap\[scenes\]'$"
    with pytest.raises(ValueError, match=line):
        gpkg.write(tmp_path / "b.gpkg", [all_kinds()])
    with pytest.raises(ValueError, match=line):
        gpkg.read(tmp_path / "a.gpkg")
    assert not (tmp_path / "b.gpkg").exists()


@pytest.mark.parametrize("name", sorted(FOLDER_FORMATS))
def test_nothing_is_written_outside_the_folder(tmp_path: Path, name: str) -> None:
    box = Instance(box=(1, 1, 3, 3))
    called = ["../up.png", "..\\back.png", str(tmp_path / "elsewhere" / "absolute.png"), "x/../../deep.png"]
    pictures = [Detections(name=item, height=9, width=9, instances=(box,)) for item in called]
    write_annotations(tmp_path / "in" / "out", pictures, target_format=name)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert all(path.is_relative_to(tmp_path / "in" / "out") for path in files)


@pytest.mark.parametrize("category", ["../car", "a/b", "/car", "a\\..\\b", "con\0"])
def test_a_category_decides_no_folder(tmp_path: Path, category: str) -> None:
    picture = Detections(name="a.png", height=9, width=9, instances=(Instance(box=(1, 1, 3, 3), category=category),))
    with pytest.raises(ValueError, match="no file"):
        dota_submission.write(tmp_path / "out", [picture])
    assert not list(tmp_path.rglob("Task*"))
