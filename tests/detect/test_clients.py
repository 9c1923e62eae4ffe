"""Programs that people use read the files as they were meant."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from detect.detections import Detections, Instance
from detect.formats import coco, geojson, gpkg, label_studio, masks, yolo, yolo_obb, yolo_seg
from detect.formats.geo import Georeference
from detect.masks import Mask

BOXES = [[2, 3, 9, 7], [10, 20, 12, 6], [35, 30, 5, 4], [0, 0, 1, 1]]
AREAS = [59, 40, 20, 1]


def pictures(folder: Path) -> list[Detections]:
    """Two pictures, and their files in `folder`; the first holds a ring, two parts, a block and a single pixel."""
    ring, parts = np.ones((7, 9), bool), np.zeros((6, 12), bool)
    ring[2:4, 3:5] = False
    parts[:, :4] = parts[2:, 8:] = True
    crops = [ring, parts, np.ones((4, 5), bool), np.ones((1, 1), bool)]
    drawn = [Mask(x=x, y=y, crop_HW=crop) for (x, y, _, _), crop in zip(BOXES, crops, strict=True)]
    found = [
        Detections(
            name="a.png",
            height=40,
            width=50,
            instances=tuple(Instance(mask=mask, score=0.5, category="car") for mask in drawn),
        ),
        Detections(name="b.png", height=30, width=20),
    ]
    folder.mkdir()
    for picture in found:
        assert cv2.imwrite(str(folder / picture.name), np.zeros((picture.height, picture.width, 3), np.uint8))
    return found


def test_supervision_reads_coco_and_yolo(tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision")
    images = tmp_path / "images"
    found = pictures(images)
    coco.write(tmp_path / "a.json", found)
    yolo.write(tmp_path / "yolo", found)
    yolo_obb.write(tmp_path / "obb", found)
    corners = [[x, y, x + width, y + height] for x, y, width, height in BOXES]

    data = supervision.DetectionDataset.from_coco(str(images), str(tmp_path / "a.json"), force_masks=True)
    by_name = {Path(path).name: annotations for path, _, annotations in data}
    assert by_name["a.png"].xyxy.tolist() == corners
    assert data.classes == ["car"]
    assert len(by_name["b.png"]) == 0
    # Run lengths are exact; supervision draws the border of polygons with a pixel more, so only the ring is compared.
    assert int(np.asarray(by_name["a.png"].mask[0]).sum()) == AREAS[0]

    data = supervision.DetectionDataset.from_yolo(
        str(images), str(tmp_path / "yolo" / "labels"), str(tmp_path / "yolo" / "data.yaml")
    )
    by_name = {Path(path).name: annotations for path, _, annotations in data}
    np.testing.assert_allclose(by_name["a.png"].xyxy, corners, atol=1e-4)

    data = supervision.DetectionDataset.from_yolo(
        str(images), str(tmp_path / "obb" / "labels"), str(tmp_path / "obb" / "data.yaml"), is_obb=True
    )
    by_name = {Path(path).name: annotations for path, _, annotations in data}
    expected = [item.obb for item in found[0].instances]
    np.testing.assert_allclose(by_name["a.png"].data["xyxyxyxy"], expected, atol=1e-4)


def test_supervision_reads_polygons_of_yolo(tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision")
    images = tmp_path / "images"
    yolo_seg.write(tmp_path / "yolo", pictures(images))
    data = supervision.DetectionDataset.from_yolo(
        str(images), str(tmp_path / "yolo" / "labels"), str(tmp_path / "yolo" / "data.yaml"), force_masks=True
    )
    by_name = {Path(path).name: annotations for path, _, annotations in data}
    found = by_name["a.png"].xyxy
    assert found.tolist() == [[x, y, x + width, y + height] for x, y, width, height in BOXES]


@pytest.mark.parametrize("opened", ["pillow", "opencv"])
def test_masks_are_pictures_of_0_and_255(tmp_path: Path, opened: str) -> None:
    found = pictures(tmp_path / "images")
    masks.write(tmp_path / "masks", found)
    path = str(tmp_path / "masks" / "a.png")
    values = np.asarray(Image.open(path)) if opened == "pillow" else cv2.imread(path, cv2.IMREAD_UNCHANGED)
    assert values is not None
    np.testing.assert_array_equal(values, found[0].union_mask() * 255)


def test_sahi_reads_coco(tmp_path: Path) -> None:
    sahi = pytest.importorskip("sahi.utils.coco")
    coco.write(tmp_path / "a.json", pictures(tmp_path / "images"))
    data = sahi.Coco.from_coco_dict_or_path(str(tmp_path / "a.json"))
    first, second = data.images
    assert (first.file_name, first.height, first.width) == ("a.png", 40, 50)
    assert [item.bbox for item in first.annotations] == BOXES
    # sahi knows no run lengths: it takes the ring's box, and the polygons of the others.
    assert [item.area for item in first.annotations][1:] == AREAS[1:]
    assert second.annotations == []


def boxes(folder: Path) -> list[Detections]:
    """The upright and the oriented box of each block of `BOXES`, without masks, in one picture and its file."""
    folder.mkdir()
    assert cv2.imwrite(str(folder / "a.png"), np.zeros((40, 50, 3), np.uint8))
    corners = [[[x, y], [x + wide, y], [x + wide, y + high], [x, y + high]] for x, y, wide, high in BOXES]
    upright = [Instance(box=(x, y, wide, high), category="car") for x, y, wide, high in BOXES]
    oriented = [Instance(corners_42=np.array(quad, float), category="car") for quad in corners]
    return [Detections(name="a.png", height=40, width=50, instances=(*upright, *oriented))]


def test_supervision_and_sahi_read_boxes_without_masks(tmp_path: Path) -> None:
    supervision, sahi = pytest.importorskip("supervision"), pytest.importorskip("sahi.utils.coco")
    coco.write(tmp_path / "a.json", boxes(tmp_path / "images"))
    data = supervision.DetectionDataset.from_coco(str(tmp_path / "images"), str(tmp_path / "a.json"), force_masks=True)
    [(_, _, annotations)] = list(data)
    assert annotations.xyxy.tolist() == [[x, y, x + width, y + height] for x, y, width, height in BOXES] * 2
    assert annotations.mask.any(axis=(1, 2)).all()
    [image] = sahi.Coco.from_coco_dict_or_path(str(tmp_path / "a.json")).images
    assert [item.bbox for item in image.annotations] == BOXES * 2
    assert [item.area for item in image.annotations] == [width * height for _, _, width, height in BOXES] * 2


def test_fiftyone_reads_coco(tmp_path: Path) -> None:
    fiftyone = pytest.importorskip("fiftyone.utils.coco")
    coco.write(tmp_path / "a.json", pictures(tmp_path / "images"))
    _, classes, _, images, annotations = fiftyone.load_coco_detection_annotations(str(tmp_path / "a.json"))
    size = images[1]["width"], images[1]["height"]
    found = [item.to_detection(size, classes_map=classes, load_segmentation=True) for item in annotations[1]]
    assert [int(item.mask.sum()) for item in found] == AREAS
    assert {item.label for item in found} == {"car"}
    np.testing.assert_allclose([item.bounding_box for item in found], np.array(BOXES) / [50, 40, 50, 40])


@pytest.mark.parametrize("suffix", ["geojson", "gpkg"])
def test_gdal_reads_geojson_and_geopackage(tmp_path: Path, suffix: str) -> None:
    pyogrio = pytest.importorskip("pyogrio")
    found = pictures(tmp_path / "images")
    place = Georeference(transform=(2.0, 0.0, 600000.0, 0.0, -2.0, 200000.0), crs="EPSG:2056")
    path = tmp_path / f"ä b.{suffix}"
    write = geojson.write if suffix == "geojson" else gpkg.write
    write(path, found, georeferences={picture.name: place for picture in found})
    info = pyogrio.read_info(path)
    assert info["features"] == 4
    assert info["crs"] == "EPSG:2056"
    assert {"picture", "category", "score", "shape"} <= set(info["fields"])
    import shapely

    _, _, geometry, _ = pyogrio.raw.read(path)
    shapes = shapely.from_wkb(geometry)
    assert shapely.is_valid(shapes).all()
    assert shapely.area(shapes).tolist() == [4 * area for area in AREAS]


def test_an_empty_geopackage_is_one(tmp_path: Path) -> None:
    pyogrio = pytest.importorskip("pyogrio")
    gpkg.write(tmp_path / "a.gpkg", [])
    assert pyogrio.read_info(tmp_path / "a.gpkg")["features"] == 0
    assert gpkg.read(tmp_path / "a.gpkg") == []


def test_label_studio_decodes_brush_strokes(tmp_path: Path) -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    label_studio.write(tmp_path / "tasks.json", pictures(tmp_path / "images"))
    [task, _] = json.loads((tmp_path / "tasks.json").read_text())
    strokes = [item for item in task["predictions"][0]["result"] if item["type"] == "brushlabels"]
    layers = [brush.decode_rle(item["value"]["rle"]).reshape(40, 50, 4)[..., 3] for item in strokes]
    assert [int((layer > 0).sum()) for layer in layers] == AREAS[:2]


def test_datumaro_reads_coco_as_cvat_does(tmp_path: Path) -> None:
    datumaro = pytest.importorskip("datumaro")
    found = pictures(tmp_path / "images")
    coco.write(tmp_path / "annotations" / "instances_default.json", found)
    data = datumaro.Dataset.import_from(str(tmp_path), "coco_instances")
    areas = dict.fromkeys(range(1, 5), 0.0)
    for item in data:
        for shape in item.annotations:
            # Parts of one object are polygons of one group; each object comes with its box as well.
            areas[shape.group] += 0 if shape.type.name == "bbox" else float(shape.get_area())
    assert list(areas.values()) == AREAS
