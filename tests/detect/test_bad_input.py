"""Whatever stands in a file, readers either take it or say in one sentence what is wrong: ValueError, nothing else."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detect.detections import Detections, Instance
from detect.formats import coco, dota, dota_submission, geojson, label_studio, yolo, yolo_obb
from detect.masks import Mask

JUNK: list[Any] = [
    None, True, 0, -1, 7, 1.5, -2.5, float("nan"), float("inf"), 10**30, "", "x", "1", "ä b", [], {}, [[]], [1], [1, 2],
    [[1, 2, 3]], [None], {"a": 1}, {"size": [8, 10], "counts": "zz"}, {"size": [8, 10], "counts": [80, "x"]},
    {"size": [8], "counts": [80]}, [[0, 0, 5, 0, 5, 5]], [[0, 0, 5, 0, 5, float("nan")]], [[1e30, 0, 5, 0, 5, 5]],
]  # fmt: skip


def picture() -> Detections:
    ring = np.ones((5, 5), bool)
    ring[2, 2] = False
    instances = (
        Instance(mask=Mask(x=1, y=1, crop_HW=np.ones((2, 3), bool)), score=0.5, category="car"),
        Instance(mask=Mask(x=3, y=2, crop_HW=ring), score=0.25, category="bus", difficult=True),
        Instance(corners_42=np.array([[1.0, 1], [4, 2], [3, 5], [0, 4]]), category="car"),
    )
    return Detections(name="a.png", height=8, width=10, instances=instances, model={"score": 0.5}, group="g")


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in nested lists and dictionaries."""
    yield path
    if isinstance(content, dict | list):
        for key in content if isinstance(content, dict) else range(len(content)):
            yield from places(content[key], (*path, key))


def spoilt(content: Any, rng: random.Random) -> Any:
    """A copy with one or two values replaced by junk or taken out."""
    content = copy.deepcopy(content)
    for _ in range(rng.randint(1, 2)):
        path = rng.choice([path for path in places(content) if path])
        target = content
        for key in path[:-1]:
            target = target[key]
        if isinstance(target, dict) and rng.random() < 0.3:
            del target[path[-1]]
        else:
            target[path[-1]] = rng.choice(JUNK)
        if not isinstance(content, dict | list) or not content:
            break
    return content


def says_what_is_wrong(read: Callable[[], Any], path: Path) -> bool:
    """Whether reading is refused; a refusal must name the file."""
    try:
        read()
    except ValueError as error:
        message = str(error)
    else:
        return False
    assert str(path) in message
    return True


@pytest.mark.parametrize(
    ("name", "write", "read"),
    [
        ("a.json", coco.write, coco.read),
        ("a.geojson", geojson.write, geojson.read),
        ("tasks.json", label_studio.write, label_studio.read),
    ],
)
def test_spoilt_json(tmp_path: Path, name: str, write: Callable[..., None], read: Callable[..., Any]) -> None:
    path = tmp_path / name
    write(path, [picture()])
    content = json.loads(path.read_text())
    refused = 0
    for seed in range(1500):
        changed = spoilt(content, random.Random(seed))
        path.write_text(json.dumps(changed))
        refused += says_what_is_wrong(lambda: read(path), path)
    assert 150 < refused < 1500


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (dota.write, dota.read),
        (dota_submission.write, dota_submission.read),
        (yolo.write, yolo.read),
        (yolo_obb.write, yolo_obb.read),
    ],
)
def test_spoilt_text(tmp_path: Path, write: Callable[..., None], read: Callable[..., Any]) -> None:
    write(tmp_path, [picture()])
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    sound = {path: path.read_bytes() for path in files}
    refused = 0
    for seed in range(300):
        rng = random.Random(seed)
        path = rng.choice(files)
        content = bytearray(sound[path])
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(content))
            content[place : place + rng.randint(0, 3)] = rng.choice(
                [b"", b" ", b"\n", b"-", b"x", b"nan", b"\xff", b"9"]
            )
            content = content or bytearray(b" ")
        path.write_bytes(content)
        refused += says_what_is_wrong(lambda: read(tmp_path, sizes={"a.png": (8, 10)}), tmp_path)
        path.write_bytes(sound[path])
    assert refused > 30


def test_pictures_that_would_share_a_file_are_refused(tmp_path: Path) -> None:
    twins = [Detections(name=name, height=8, width=10) for name in ("a.png", "a.jpg")]
    with pytest.raises(ValueError, match=r"a\.jpg: a\.txt would be that of another picture too"):
        dota.write(tmp_path / "labels", twins)
    assert list(tmp_path.iterdir()) == []


def test_scores_of_a_model_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    coco.write(path, [Detections(name="a.png", height=8, width=10, model={"psnr_with": float("inf"), "residual": 0.0})])
    assert coco.read(path)[0].model == {"residual": 0.0}


def test_groups_and_polygons_belong_to_the_objects(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    coco.write(path, [picture()])
    [again] = coco.read(path)
    assert again.group == "g"
    block, ring, box = again.instances
    assert [len(part) for part in ring.polygons] == [2]
    assert {tuple(corner) for corner in block.polygons[0][0].tolist()} == {(1, 1), (4, 1), (4, 3), (1, 3)}
    np.testing.assert_array_equal(box.polygons[0][0], box.obb)
