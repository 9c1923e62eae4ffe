"""Settings that are tuned on a little truth, from generated maps on which the label-free ones are plainly bad."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detect.detections import Detections, Instance
from detect.extraction import find_objects
from detect.extraction_settings import extraction_config
from detect.masks import Mask
from detect.scores.objects import centre_hits
from detect.truth import Truth, TruthSet
from detect.tuning import TunedScore, Tuning, read_tuned, tune
from distmap.common.detection_settings import DetectionSettings, read_detection_settings, write_detection_settings
from distmap.common.object_size import ObjectSize

# Far too low: the border around the objects is taken too.
LOW = DetectionSettings(threshold=0.1, low_threshold=0.1, false_alarm=0.01)
WRITTEN = Tuning(
    settings=("threshold=0.5", "score=peak", "min_area=20"),
    score="ap50",
    tuned=0.9,
    label_free=0.5,
    held_out=None,
    pictures=4,
)


def generated(
    count: int, *, border: float = 0.15, categories: Sequence[str] = ("object",)
) -> tuple[dict[str, NDArray[np.float32]], TruthSet]:
    """Maps with two blocks of 8 x 8 and a wide border of ``border`` around them, and the blocks as their truth."""
    rng = np.random.default_rng(3)
    maps, pictures = {}, {}
    for index in range(count):
        map_HW = np.zeros((40, 80), np.float32)
        instances: list[Instance] = []
        for left in (8, 48):
            x, y = left + int(rng.integers(0, 8)), 8 + int(rng.integers(0, 16))
            map_HW[y - 6 : y + 14, x - 6 : x + 14] = border
            map_HW[y : y + 8, x : x + 8] = 1
            mask = Mask(x=x, y=y, crop_HW=np.ones((8, 8), bool))
            instances.append(Instance(mask=mask, category=categories[len(instances) % len(categories)]))
        name = f"p{index // 2}_{index}.png"
        maps[name] = map_HW
        pictures[name] = Truth(objects=Detections(name=name, height=40, width=80, instances=tuple(instances)))
    return maps, TruthSet(pictures=pictures, source="masks")


@pytest.mark.parametrize(("score", "before"), [("ap50", 0.0), ("ap25", 0.0), ("dice", 128 / 464), ("centre_f1", None)])
def test_a_threshold_far_too_low(score: TunedScore, before: float | None) -> None:
    """With the border an object has 400 pixels in place of 64; the pictures held out gain as much."""
    maps, truth = generated(6)
    tuning = tune(maps, truth, LOW, score=score)
    assert tuning.score == score
    assert tuning.pictures == 6
    assert tuning.tuned == pytest.approx(1)
    assert tuning.held_out == pytest.approx(1)
    if before is not None:
        assert tuning.label_free == pytest.approx(before)
        assert tuning.settings


def test_the_settings_give_what_is_said(rng: np.random.Generator, tmp_path: Path) -> None:
    """Scored anew with the settings that are written down, beside specks that only a larger least area leaves out."""
    maps, truth = generated(6)
    for map_HW in maps.values():
        for x, y in rng.integers(0, [77, 37], (12, 2)):
            map_HW[y : y + 3, x : x + 2] += 0.9
    detection = dataclasses.replace(LOW, object_size=ObjectSize(area=64, length=8, width=8))
    lines: list[str] = []
    tuning = tune(maps, truth, detection, score="centre_f1", tell=lines.append)
    assert tuning.label_free < tuning.tuned
    assert lines, "each change is told"
    assert all(line.count(": centre_f1 ") == 1 for line in lines)

    def rated(settings: dict[str, Any]) -> float:
        config = extraction_config(detection, overrides=settings)
        found = [
            dataclasses.replace(truth.pictures[name].objects, instances=find_objects(map_HW, config))
            for name, map_HW in maps.items()
        ]
        return centre_hits(found, [truth.pictures[name].objects for name in maps]).f1 or 0

    tuning.write(tmp_path)
    assert rated({}) == pytest.approx(tuning.label_free)
    assert rated(read_tuned(tmp_path)) == pytest.approx(tuning.tuned)


def test_good_settings_stay() -> None:
    maps, truth = generated(4)
    tuning = tune(maps, truth, dataclasses.replace(LOW, threshold=0.5, low_threshold=0.5))
    assert tuning.settings == ()
    assert tuning.label_free == tuning.tuned == pytest.approx(1)
    assert tuning.held_out == pytest.approx(1)


def test_what_is_held_out_takes_no_part() -> None:
    """Borders are stronger in every other group, so what is found on either half does less well on the other."""
    faint, truth = generated(8, border=0.15)
    strong, _ = generated(8, border=0.75)
    names = list(faint)
    groups = [name.partition("_")[0] for name in names]
    maps = {name: (faint if groups[index] in ("p0", "p2") else strong)[name] for index, name in enumerate(names)}
    by_group = tune(maps, truth, LOW, groups=groups)
    assert by_group.tuned == pytest.approx(1)
    assert by_group.held_out is not None
    assert by_group.held_out < 0.75
    by_picture = tune(maps, truth, LOW)
    assert by_picture.held_out == pytest.approx(1), "each half holds both kinds"


def test_a_single_group_cannot_be_held_out() -> None:
    maps, truth = generated(2)
    assert tune(maps, truth, LOW, groups=["one", "one"]).held_out is None


def test_pictures_without_truth_take_no_part() -> None:
    maps, truth = generated(3)
    more = maps | {"unknown.png": np.ones((40, 80), np.float32)}
    assert tune(more, truth, LOW) == tune(maps, truth, LOW)
    with pytest.raises(ValueError, match="the truth knows none of the pictures that have maps"):
        tune({"unknown.png": maps["p0_0.png"]}, truth, LOW)


def test_one_category_of_several() -> None:
    """Where the truth names the category the others do not count; where it does not, all do."""
    maps, truth = generated(4, categories=("car", "bus"))
    assert tune(maps, truth, LOW, score="centre_f1", category="car").label_free == pytest.approx(2 / 3)
    assert tune(maps, truth, LOW, score="centre_f1").label_free == pytest.approx(1)


def test_the_low_threshold_never_rises_above_the_threshold() -> None:
    """Whatever the numbers are: it keeps its ratio without a rounding error that would be refused."""
    maps, truth = generated(1)
    for threshold in np.random.default_rng(0).uniform(0.05, 0.14, 12).tolist():
        tuning = tune(
            maps, truth, DetectionSettings(threshold=threshold, low_threshold=threshold, false_alarm=0.1), score="dice"
        )
        assert tuning.tuned == pytest.approx(1)


def test_no_such_score() -> None:
    maps, truth = generated(1)
    with pytest.raises(ValueError, match="score 'iou' is none of ap50, ap25, centre_f1, dice"):
        tune(maps, truth, LOW, score="iou")  # type: ignore[arg-type]


def test_the_file_beside_the_label_free_settings(tmp_path: Path) -> None:
    write_detection_settings(tmp_path, LOW)
    before = (tmp_path / "detector.json").read_bytes()
    WRITTEN.write(tmp_path)
    assert (tmp_path / "detector.json").read_bytes() == before
    assert read_tuned(tmp_path) == {"threshold": 0.5, "score": "peak", "min_area": 20}
    content = json.loads((tmp_path / "tuned.json").read_text())
    assert content == dataclasses.asdict(WRITTEN) | {"settings": list(WRITTEN.settings)}
    config = extraction_config(read_detection_settings(tmp_path), overrides=read_tuned(tmp_path))
    assert (config.threshold, config.low_threshold, config.score, config.min_area) == (0.5, 0.5, "peak", 20)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "JSON"),
        (r"[]", r"\[\]: Input should be an object"),
        ("{}", "settings is missing"),
        ('{"settings": "neck=0.5"}', "settings 'neck=0.5': Input should be a valid array"),
        ('{"settings": [0.5]}', "settings.0 0.5: Input should be a valid string"),
        ('{"settings": ["nek=0.5"]}', "unknown setting 'nek'"),
        ('{"settings": ["neck=wide"]}', "neck=wide"),
        ('{"settings": ["open_radius=5000"]}', "open_radius is 5000.0, it must be from 0 to 1000"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "tuned.json").write_text(text)
    with pytest.raises(ValueError, match=rf"tuned\.json: .*{message}"):
        read_tuned(tmp_path)


def test_a_run_that_was_never_tuned(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"tuned\.json: not there; `detect tune` makes it"):
        read_tuned(tmp_path)
