"""COCO JSON: polygons with several parts, RLE where an object has holes, scores, oriented boxes; and result lists.

The confidence of a picture is `confidence` in its entry of `images`.

An object without a mask is the polygon of its box's four corners, since readers expect a shape of every object;
`attributes.shape` ("box" or "oriented box") says that it is no mask.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.categories import default_if_none, numbers, picture_numbers, with_those_of
from detect.detections import MOST_COORDINATE, MOST_PIXELS, Category, Detections, DetectionSet, Instance
from detect.formats import coco_categories
from detect.masks import Mask, mask_of_polygons, mask_of_run_lengths, outlines, run_lengths
from detect.rasters import side_length
from distmap.common.checked_files import shortened
from distmap.common.files import read_json, write_json

Sizes = Mapping[str, tuple[int, int]]
"""Height and width of pictures, by name."""


def write(path: Path, pictures: Iterable[Detections], *, categories: Sequence[Category | str] = ()) -> None:
    """Write COCO JSON that pycocotools loads unchanged.

    Parameters
    ----------
    categories
        Those that the file lists even where no object has them, in this order.
    """
    write_json(path, document(pictures, categories=categories))


def write_results(path: Path, pictures: Iterable[Detections], *, categories: Sequence[Category | str] = ()) -> None:
    """Write COCO's results list (image_id, category_id, bbox, segmentation, score); ids as `write` numbers them.

    Objects without a mask have no segmentation there.
    """
    results = []
    for item in document(pictures, categories=categories)["annotations"]:
        result = {key: item[key] for key in ("image_id", "category_id", "bbox")} | {"score": item.get("score", 1.0)}
        shape = {} if "shape" in item["attributes"] else {"segmentation": item["segmentation"]}
        results.append(result | shape)
    write_json(path, results)


def document(pictures: Iterable[Detections], *, categories: Sequence[Category | str] = ()) -> dict[str, Any]:
    """The content of a COCO JSON file as Python objects.

    Pictures and categories have their own numbers where they have one, else those that follow, from 1.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    names: list[str] = []
    pictures = list(pictures)
    for image_id, picture in zip(picture_numbers(pictures), pictures, strict=True):
        image: dict[str, Any] = {
            "id": image_id,
            "file_name": picture.name,
            "width": picture.width,
            "height": picture.height,
        }
        image |= {"confidence": picture.confidence} if picture.confidence is not None else {}
        model = {key: value for key, value in picture.model.items() if math.isfinite(value)}
        image |= {"model": model} if model else {}
        images.append(image | ({"group": picture.group} if picture.group is not None else {}))
        shapes = _segmentations(picture)
        for instance, shape, obb_42 in zip(picture.instances, shapes, picture.oriented_boxes(), strict=True):
            names.append(instance.category)
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image_id} | _annotation(instance, shape, obb_42)
            )
    listed = default_if_none(with_those_of(pictures, categories))
    ids = numbers(listed)
    for annotation, name in zip(annotations, names, strict=True):
        annotation["category_id"] = ids[name]
    return {
        "info": {"description": "objects found by detect"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": ids[item.name], "name": item.name, "supercategory": item.parent} for item in listed],
    }


def _annotation(instance: Instance, segmentation: Any, obb_42: NDArray[np.float64]) -> dict[str, Any]:
    corners = _plain(obb_42.ravel().tolist())
    attributes: dict[str, Any] = {"obb": corners}
    if instance.mask is None:
        attributes["shape"] = instance.shape
    if instance.difficult:
        attributes["difficult"] = 1
    annotation = {
        "category_id": 0,
        "bbox": _plain(instance.bbox),
        "area": _plain([instance.area])[0],
        "segmentation": [corners] if instance.mask is None else segmentation,
        "iscrowd": int(instance.crowd),
        "attributes": attributes,
    }
    return annotation if instance.score is None else annotation | {"score": instance.score}


def _segmentations(picture: Detections) -> list[Any]:
    """For each object: polygons; RLE where it has holes or is a crowd; None where it has no mask."""
    from pycocotools import mask as coco

    masks = [instance.mask for instance in picture.instances if instance.mask is not None]
    polygons = iter(outlines(masks))
    result: list[Any] = []
    for instance in picture.instances:
        if instance.mask is None:
            result.append(None)
            continue
        parts = next(polygons)
        if instance.crowd or any(len(part) > 1 for part in parts):
            counts = run_lengths(instance.mask, picture.height, picture.width)
            size = [picture.height, picture.width]
            rle = coco.frPyObjects({"size": size, "counts": counts}, picture.height, picture.width)
            result.append({"size": size, "counts": rle["counts"].decode("ascii")})
        else:
            result.append([part[0].astype(int).ravel().tolist() for part in parts])
    return result


def _plain(values: Iterable[float]) -> list[float]:
    # 12 for 12.0: shorter files, same numbers.
    return [int(value) if value == int(value) else value for value in values]


def read(path: Path, *, sizes: Sizes | None = None) -> DetectionSet:
    """Read COCO JSON.

    Parameters
    ----------
    sizes
        Height and width of the pictures, for a file that does not say them.

    Raises
    ------
    ValueError
        Not COCO JSON, or an image or annotation that makes no sense; names the file and the id.
    """
    content = read_json(path)
    if isinstance(content, list):
        raise ValueError(f"{path}: a results list has no pictures; read it together with the COCO file of the pictures")
    return _parse(path, content, sizes or {})


def read_categories(path: Path) -> set[str]:
    """Names that a COCO JSON lists, those that no object has too."""
    return set(_categories(path, read_json(path)).values())


def _categories(path: Path, content: Any) -> dict[Any, str]:
    """Names by id."""
    categories: dict[Any, str] = {}
    for item in _section(path, content, "categories"):
        categories[_key(path, "category", item, "id")] = str(_key(path, "category", item, "name"))
    return categories


def _parse(path: Path, content: Any, sizes: Sizes) -> DetectionSet:
    images = _section(path, content, "images")
    annotations = _section(path, content, "annotations")
    categories = _categories(path, content)
    pictures: dict[Any, tuple[dict[str, Any], int, int]] = {}
    names: set[str] = set()
    for image in images:
        image_id, name = _key(path, "image", image, "id"), str(_key(path, "image", image, "file_name"))
        if image_id in pictures or name in names:
            raise ValueError(f"{path}: image {image_id} ({name}) is there twice")
        names.add(name)
        said = {"height": image.get("height"), "width": image.get("width")}
        if name in sizes and said == {"height": None, "width": None}:
            said["height"], said["width"] = sizes[name]
        height, width = side_length(said["height"]), side_length(said["width"])
        if height is None or width is None:
            raise ValueError(f"{path}: image {image_id} ({name}) has width {said['width']} and height {said['height']}")
        if height * width > MOST_PIXELS:
            raise ValueError(
                f"{path}: image {image_id} ({name}) claims {width} x {height}, more than any picture has; "
                f"at most {MOST_PIXELS} pixels"
            )
        _check_share(f"{path}: image {image_id} ({name})", "confidence", image.get("confidence"))
        pictures[image_id] = (image, height, width)
    found: dict[Any, list[Instance]] = {image_id: [] for image_id in pictures}
    for annotation in annotations:
        place = f"{path}: annotation {annotation.get('id', '?')}"
        image_id = _key(path, "annotation", annotation, "image_id")
        if image_id not in pictures:
            raise ValueError(f"{place}: no image has the id {image_id}")
        _, height, width = pictures[image_id]
        found[image_id].append(_instance(place, annotation, categories, height, width))
    found_pictures = tuple(
        Detections(
            name=str(image["file_name"]).replace("\\", "/"),
            height=height,
            width=width,
            instances=tuple(found[image_id]),
            model=_numbers(image.get("model")),
            group=None if image.get("group") is None else str(image["group"]),
            number=image_id if type(image_id) is int else None,
            confidence=None if image.get("confidence") is None else float(image["confidence"]),
        )
        for image_id, (image, height, width) in pictures.items()
    )
    used = {annotation["category_id"] for annotation in annotations}
    listed = coco_categories.listed(path, content, used)
    same = len(content["categories"]) - len(listed)
    left_out = {"categories that share the name of another": same} if same else {}
    return DetectionSet(pictures=found_pictures, categories=listed, left_out=left_out)


def read_results(path: Path, pictures: Path) -> DetectionSet:
    """Read COCO's results list together with the COCO JSON that numbers its pictures and categories."""
    results = read_json(path)
    reference = read_json(pictures)
    if not isinstance(results, list):
        raise ValueError(f"{path}: holds no list of results")
    if not isinstance(reference, dict):
        raise ValueError(f"{pictures}: holds no COCO images")
    return _parse(path, reference | {"annotations": results}, {})


def read_numbers(path: Path, sizes: Sizes) -> DetectionSet:
    """Names and numbers of the pictures and categories of COCO JSON, without its objects."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds no COCO images")
    return _parse(path, content | {"annotations": []}, sizes)


def _section(path: Path, content: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(content, dict) or not isinstance(content.get(name), list):
        raise ValueError(f"{path}: not COCO JSON, it has no list {name!r}")
    section: list[dict[str, Any]] = content[name]
    if not all(isinstance(item, dict) for item in section):
        raise ValueError(f"{path}: {name!r} must hold objects only")
    return section


def _key(path: Path, kind: str, item: dict[str, Any], key: str) -> Any:
    value = item.get(key)
    if value is None or isinstance(value, (list, dict)):
        raise ValueError(f"{path}: {kind} {item.get('id', '?')} has no {key!r}")
    return value


def _numbers(values: Any) -> dict[str, float]:
    if not isinstance(values, dict):
        return {}
    return {key: float(value) for key, value in values.items() if isinstance(value, (int, float))}


def _check_share(place: str, name: str, value: Any) -> None:
    if value is not None and not (isinstance(value, (int, float)) and 0 <= value <= 1):
        raise ValueError(f"{place}: {name} {shortened(value)} is not within 0..1")


def _floats(place: str, name: str, values: Any) -> list[float]:
    if not isinstance(values, list) or not all(isinstance(value, (int, float)) for value in values):
        raise ValueError(f"{place}: {name} {shortened(values)} is no list of numbers")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{place}: {name} {shortened(values)} holds numbers that are not finite")
    if max(map(abs, values), default=0) > MOST_COORDINATE:
        raise ValueError(f"{place}: {name} reaches beyond {MOST_COORDINATE:.0f} pixels, where no picture has anything")
    return [float(value) for value in values]


def _instance(
    place: str, annotation: dict[str, Any], categories: Mapping[Any, str], height: int, width: int
) -> Instance:
    category_id = annotation.get("category_id")
    if isinstance(category_id, (list, dict)) or category_id not in categories:
        raise ValueError(f"{place}: no category has the id {category_id}")
    attributes = annotation.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    box = None
    if annotation.get("bbox"):
        values = _floats(place, "bbox", annotation["bbox"])
        if len(values) != 4 or min(values[2:]) < 0:
            raise ValueError(f"{place}: bbox {values} is not [x, y, width >= 0, height >= 0]")
        box = (values[0], values[1], values[2], values[3])
    shape = attributes.get("shape")
    corners = None
    if attributes.get("obb") and shape != "box":
        corners = np.array(_floats(place, "attributes.obb", attributes["obb"]))
        if corners.size != 8:
            raise ValueError(f"{place}: attributes.obb has {corners.size} numbers, expected 8")
        corners = corners.reshape(4, 2)
    boxed = shape in ("box", "oriented box")
    mask = None if boxed else _mask(place, annotation.get("segmentation"), height, width)
    if mask is None and box is None and corners is None:
        raise ValueError(f"{place}: has no bbox and no segmentation with a pixel inside the picture")
    score = annotation.get("score")
    _check_share(place, "score", score)
    return Instance(
        mask=mask,
        box=box,
        corners_42=corners,
        score=None if score is None else float(score),
        category=categories[category_id],
        difficult=bool(attributes.get("difficult", False)),
        crowd=bool(annotation.get("iscrowd", 0)),
    )


def _mask(place: str, segmentation: Any, height: int, width: int) -> Mask | None:
    if not segmentation:
        return None
    if isinstance(segmentation, dict):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        if size != [height, width]:
            raise ValueError(f"{place}: RLE size {size} differs from the picture's [{height}, {width}]")
        if not isinstance(counts, (str, list)):
            raise ValueError(f"{place}: RLE counts must be text or a list of numbers")
        try:
            return mask_of_run_lengths(segmentation)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{place}: {error}") from None
    if not isinstance(segmentation, list):
        raise ValueError(f"{place}: segmentation must be polygons or RLE")
    rings = [_floats(place, "polygon", ring) for ring in segmentation]
    for ring in rings:
        if len(ring) < 6 or len(ring) % 2:
            raise ValueError(f"{place}: a polygon has {len(ring)} numbers, expected x y pairs of 3 corners or more")
    try:
        return mask_of_polygons(rings, height, width)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
