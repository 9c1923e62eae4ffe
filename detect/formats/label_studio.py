"""Label Studio tasks with predictions, to be corrected by hand there.

Regions: polygons for objects of one part without holes, brush strokes (Label Studio's own run lengths) for the others,
rectangles for boxes; a polygon marked "oriented box" for oriented boxes that are not rectangles. Coordinates are
percentages of the picture.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.categories import with_those_of
from detect.detections import Category, Detections, DetectionSet, Instance
from detect.formats.label_studio_tasks import Region, Task, joined, listed_in, pair_tasks, read_tasks
from detect.masks import Mask, Polygon, mask_of_polygons, outlines
from distmap.common.files import write_json
from distmap.common.memory import check_memory

_ORIENTED, _DIFFICULT = "oriented box", "difficult"
_FURTHEST = 100_000  # percent of the picture: what lies beyond is no outline
_WORD_BITS = 8
_RUN_BITS = (3, 4, 8, 16)


def write(path: Path, pictures: Iterable[Detections], *, categories: Sequence[Category | str] = ()) -> None:
    """Write one task a picture, `data.image` its name, with one prediction.

    The labelling interface needs tags named `label` on an image named `image`. What Label Studio has no place for, the
    number and the confidence of the picture and the list of categories, stands in `meta` (the list in that of the first
    task). The score of a prediction, by which Label Studio can order the tasks, is the picture's confidence, else the
    mean score of its objects.

    Parameters
    ----------
    categories
        Those that the data set lists.
    """
    listed = [{"name": item.name, "id": item.number} for item in with_those_of((), categories)]
    tasks: list[dict[str, Any]] = []
    for picture in pictures:
        polygons = iter(outlines([item.mask for item in picture.instances if item.mask is not None]))
        regions = []
        for number, item in enumerate(picture.instances, start=1):
            regions.append(_region(picture, item, None if item.mask is None else next(polygons), f"object-{number}"))
        scores = [item.score for item in picture.instances if item.score is not None]
        rating = sum(scores) / len(scores) if scores and picture.confidence is None else picture.confidence
        prediction: dict[str, Any] = {"model_version": "distmap", "result": regions}
        tasks.append(
            {
                "data": {"image": picture.name},
                "meta": {"width": picture.width, "height": picture.height}
                | ({} if picture.number is None else {"picture": picture.number})
                | ({} if picture.confidence is None else {"confidence": picture.confidence})
                | ({"categories": listed} if listed and not tasks else {}),
                "predictions": [prediction | ({} if rating is None else {"score": rating})],
            }
        )
    write_json(path, tasks)


def _region(picture: Detections, item: Instance, parts: list[Polygon] | None, identity: str) -> dict[str, Any]:
    notes = [_DIFFICULT] if item.difficult else []
    if parts is None:
        box = _rectangle(item, picture)
        kind, value = ("rectanglelabels", box) if box else ("polygonlabels", _points(item.obb, picture))
        notes += [_ORIENTED] if item.corners_42 is not None else []
    elif len(parts) == 1 and len(parts[0]) == 1:
        kind, value = "polygonlabels", _points(parts[0][0], picture)
    else:
        kind, value = "brushlabels", {"format": "rle", "rle": encode_brush(picture, item)}
    region = {
        "id": identity,
        "from_name": "label",
        "to_name": "image",
        "type": kind,
        "original_width": picture.width,
        "original_height": picture.height,
        "image_rotation": 0,
        "value": value | {kind: [item.category]},
    }
    region |= {} if item.score is None else {"score": item.score}
    return region | ({"meta": {"text": notes}} if notes else {})


def _points(ring: NDArray[np.float64], picture: Detections) -> dict[str, Any]:
    return {"points": (ring * [100 / picture.width, 100 / picture.height]).tolist(), "closed": True}


def _rectangle(item: Instance, picture: Detections) -> dict[str, Any] | None:
    """A box as Label Studio has it, turned clockwise around its first corner; None where it is no rectangle."""
    first, second, third, fourth = item.obb
    across, down = second - first, fourth - first
    size = max(float(np.abs(across).sum()), float(np.abs(down).sum()), 1e-9)
    turning = float(across[0] * down[1] - across[1] * down[0])
    if abs(float(across @ down)) > 1e-9 * size**2 or np.abs(second + down - third).max() > 1e-9 * size or turning < 0:
        return None
    return {
        "x": float(first[0]) * 100 / picture.width,
        "y": float(first[1]) * 100 / picture.height,
        "width": math.hypot(*across) * 100 / picture.width,
        "height": math.hypot(*down) * 100 / picture.height,
        "rotation": math.degrees(math.atan2(across[1], across[0])) % 360,
    }


def encode_brush(picture: Detections, item: Instance) -> list[int]:
    """Label Studio's run lengths (those of the `rle-pack` package) of the picture's RGBA brush layer, as bytes."""
    layer_HW = np.zeros((picture.height, picture.width), bool)
    if item.mask is not None:
        item.mask.draw(layer_HW)
    flat = layer_HW.ravel()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    lengths = np.diff(starts, append=flat.size) * 4
    bits = [f"{flat.size * 4:032b}{_WORD_BITS - 1:05b}", *(f"{size - 1:04b}" for size in _RUN_BITS)]
    longest = 1 << _RUN_BITS[-1]
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        word = "1" * _WORD_BITS if flat[start] else "0" * _WORD_BITS
        for done in range(0, length, longest):
            run = min(longest, length - done)
            index = next(place for place, size in enumerate(_RUN_BITS) if run <= 1 << size)
            bits.append(f"1{index:02b}{run - 1:0{_RUN_BITS[index]}b}{word}")
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def decode_brush(content: Sequence[int], height: int, width: int) -> Mask | None:
    """Pixels of Label Studio's run lengths: where the brush layer is not transparent. None where there are none."""
    text = bin(int.from_bytes(bytes([1, *content]), "big"))[3:]
    place = 0

    def take(bits: int) -> int:
        nonlocal place
        place += bits
        if place > len(text):
            raise ValueError("the brush run lengths end too early")
        return int(text[place - bits : place], 2)

    total = take(32)
    if total != height * width * 4:
        raise ValueError(f"the brush layer has {total // 4} pixels, the picture {width} x {height}")
    word = take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    check_memory(2 * total, f"a brush layer of {width} x {height} pixels")
    layer, filled = np.zeros(total, np.uint8), 0
    while filled < total:
        repeated, size = take(1), sizes[take(2)]
        run = take(size) + 1
        values = [take(word)] * run if repeated else [take(word) for _ in range(run)]
        layer[filled : filled + run] = values[: total - filled]
        filled += run
    return Mask.of(layer.reshape(height, width, 4)[..., 3])


def read(path: Path, *, sizes: Mapping[str, tuple[int, int]] | None = None) -> DetectionSet:
    """Read an export, JSON or JSON-MIN: of each task the last annotation that was not skipped, else a prediction.

    Tasks that a person skipped are left out, since nobody knows what their pictures hold.

    Parameters
    ----------
    sizes
        Height and width of pictures. Tasks take these names, as `detect.formats.label_studio_tasks.pair_tasks` finds
        them, and tasks without a picture are left out.

    Raises
    ------
    ValueError
        Not Label Studio tasks, a region that makes no sense, or pictures were given and no task has one; names the
        file, the task and the region.
    """
    tasks = read_tasks(path)
    left_out: Counter[str] = Counter()
    pictures = []
    for name, task in pair_tasks(path, tasks, sizes, left_out).items():
        if task.skipped:
            left_out["tasks that were skipped"] += 1
        else:
            pictures.append(_picture(f"{path}: task {task.number}", task, name, sizes or {}, left_out))
    return DetectionSet(pictures=tuple(pictures), categories=listed_in(tasks), left_out=left_out)


def _picture(
    place: str, task: Task, name: str, sizes: Mapping[str, tuple[int, int]], left_out: Counter[str]
) -> Detections:
    left_out.update(task.left_out)
    regions = joined(place, task.result, left_out)
    height, width = sizes.get(name, task.size)
    if regions and regions[0].size != (None, None):
        height, width = regions[0].size
    if height is None or width is None:
        raise ValueError(f"{place}: the size of {name} is not known, give the folder of its pictures")
    instances = []
    for region in regions:
        try:
            instance = _instance(region, height, width)
        except (KeyError, TypeError, AttributeError, IndexError, ValueError, OverflowError) as error:
            raise ValueError(f"{place}, region {region.identity}: {error!s}") from None
        if instance is None:
            left_out["regions without a pixel inside their picture"] += 1
        else:
            instances.append(instance)
    return Detections(
        name=name,
        height=height,
        width=width,
        instances=tuple(instances),
        number=task.picture,
        confidence=task.confidence,
    )


def _instance(region: Region, height: int, width: int) -> Instance | None:
    value = region.value
    common: dict[str, Any] = {
        "score": None if region.score is None else float(region.score),
        "category": region.category,
        "difficult": _DIFFICULT in region.notes,
    }
    scale = np.array([width / 100, height / 100])
    if region.shape == "rectangle":
        x, y = float(value["x"]) * width / 100, float(value["y"]) * height / 100
        wide, high = float(value["width"]) * width / 100, float(value["height"]) * height / 100
        angle = math.radians(value.get("rotation") or 0)
        if angle == 0 and _ORIENTED not in region.notes:
            return Instance(box=(x, y, wide, high), **common)
        across = wide * np.array([math.cos(angle), math.sin(angle)])
        down = high * np.array([-math.sin(angle), math.cos(angle)])
        first = np.array([x, y])
        return Instance(corners_42=np.stack([first, first + across, first + across + down, first + down]), **common)
    if region.shape == "polygon":
        corners = np.array(value["points"], float) * scale
        if _ORIENTED in region.notes:
            return Instance(corners_42=corners.reshape(4, 2), **common)
        if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
            raise ValueError("a polygon needs 3 corners of finite numbers")
        if np.abs(corners / scale).max() > _FURTHEST:
            raise ValueError(f"a polygon reaches beyond {_FURTHEST} percent of the picture")
        mask = mask_of_polygons([corners], height, width)
    elif region.shape == "ellipse":
        numbers = [float(value[key]) for key in ("x", "y", "radiusX", "radiusY")]
        mask = _ellipse(np.array(numbers).reshape(2, 2) * scale, float(value.get("rotation") or 0), height, width)
    else:
        mask = decode_brush(value["rle"], height, width)
    return None if mask is None else Instance(mask=mask, **common)


def _ellipse(numbers_22: NDArray[np.float64], rotation: float, height: int, width: int) -> Mask | None:
    """Pixels whose centres lie within an ellipse: its centre (x, y), its radii (x, y), turned clockwise by degrees."""
    if not (np.isfinite(numbers_22).all() and math.isfinite(rotation)) or numbers_22[1].min() <= 0:
        raise ValueError("an ellipse needs a centre and two radii above 0, in finite numbers")
    (x, y), (radius_x, radius_y) = numbers_22.tolist()
    reach = max(radius_x, radius_y)
    left, top = (max(0, math.floor(value - reach)) for value in (x, y))
    right, bottom = min(width, math.ceil(x + reach)), min(height, math.ceil(y + reach))
    if right <= left or bottom <= top:
        return None
    across_W, down_H1 = np.arange(left, right) + 0.5 - x, (np.arange(top, bottom) + 0.5 - y)[:, None]
    cosine, sine = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    along_HW = (across_W * cosine + down_H1 * sine) / radius_x
    beside_HW = (down_H1 * cosine - across_W * sine) / radius_y
    found = Mask.of(along_HW**2 + beside_HW**2 <= 1)
    return None if found is None else found.moved(left, top)
