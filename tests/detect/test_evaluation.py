"""`evaluate` as a whole: values worked out by hand, and pycocotools on the same files."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sklearn.metrics import average_precision_score, roc_auc_score

from detect.conversion import convert, listed_categories, write_annotations
from detect.detections import Detections, Instance
from detect.evaluation import Evaluation, evaluate, group_of
from detect.extraction import ExtractionConfig, find_objects
from detect.formats import coco, dota, masks
from detect.masks import Mask
from detect.rasters import write_map
from detect.truth import Truth, TruthSet

Picture = NDArray[np.float32]


def block(x: int, y: int, width: int, height: int, score: float | None = None) -> Instance:
    return Instance(mask=Mask(x=x, y=y, crop_HW=np.ones((height, width), bool)), score=score)


def noisy_set(
    rng: np.random.Generator, count: int = 6
) -> tuple[list[Detections], list[Detections], dict[str, Picture]]:
    """Found objects, true objects and maps of pictures that hold 0 to 3 blocks and faint noise."""
    found, true, maps = [], [], {}
    for index in range(count):
        name = f"p{index % 2}_{index}.png"
        blocks = [
            block(*(int(v) for v in rng.integers(0, 40, 2)), *(int(v) for v in rng.integers(4, 12, 2)))
            for _ in range(index % 4)
        ]
        truth = Detections(name=name, height=56, width=60, instances=tuple(blocks))
        map_HW = truth.union_mask() * rng.uniform(0.3, 1, (56, 60)) + rng.random((56, 60)) ** 2 * 0.6
        maps[name] = np.asarray(cv2.GaussianBlur(map_HW, (0, 0), 1), np.float32)
        instances = find_objects(maps[name], ExtractionConfig(threshold=0.45))
        found.append(Detections(name=name, height=56, width=60, instances=instances))
        true.append(truth)
    return found, true, maps


def save(folder: Path, found: list[Detections], true: list[Detections], maps: dict[str, Picture]) -> None:
    coco.write(folder / "found.json", found)
    masks.write(folder / "masks", true)
    for name, map_HW in maps.items():
        write_map(folder / "maps" / Path(name).with_suffix(".tiff"), map_HW)


def test_pixel_scores_equal_scikit_learn_over_all_pictures(tmp_path: Path, rng: np.random.Generator) -> None:
    found, true, maps = noisy_set(rng)
    save(tmp_path, found, true, maps)
    scores = evaluate(tmp_path / "found.json", tmp_path / "masks", maps=tmp_path / "maps", group=r"^(p\d)_")
    truth = np.concatenate([picture.union_mask().ravel() for picture in true])
    values = np.concatenate([maps[picture.name].ravel() for picture in true])
    drawn = np.concatenate([picture.union_mask().ravel() for picture in found])
    assert scores.pixel_ap == pytest.approx(average_precision_score(truth, values))
    assert scores.pixel_auroc == pytest.approx(roc_auc_score(truth, values))
    assert scores.dice == pytest.approx(2 * (truth & drawn).sum() / (truth.sum() + drawn.sum()))
    assert scores.iou == pytest.approx((truth & drawn).sum() / (truth | drawn).sum())
    assert scores.locality == pytest.approx(
        values[~truth & np.repeat([picture.instances != () for picture in true], 56 * 60)].mean() / values[truth].mean()
    )
    assert scores.dice_oracle is not None
    assert scores.dice is not None
    assert scores.dice_oracle >= scores.dice
    correlations = [
        np.corrcoef(maps[picture.name].ravel(), picture.union_mask().ravel())[0, 1]
        for picture in true
        if picture.instances
    ]
    assert scores.ncc == pytest.approx(np.mean(correlations))
    assert set(scores.dice_groups) == {"p0", "p1"}
    values_of_groups = [value for value in scores.dice_groups.values() if value is not None]
    assert scores.dice_per_group == pytest.approx(np.mean(values_of_groups))
    peaks = [maps[picture.name].max() for picture in true]
    assert scores.image_auroc == pytest.approx(roc_auc_score([picture.instances != () for picture in true], peaks))


def test_object_scores_equal_pycocotools_on_the_written_files(tmp_path: Path, rng: np.random.Generator) -> None:
    found, true, maps = noisy_set(rng, 12)
    save(tmp_path, found, true, maps)
    [truths] = [[*evaluate_truth(tmp_path / "masks", found)]]
    coco.write(tmp_path / "truth.json", truths)
    by_masks = evaluate(tmp_path / "found.json", tmp_path / "masks")
    by_coco = evaluate(tmp_path / "found.json", tmp_path / "truth.json")
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(COCO(str(tmp_path / "truth.json")), COCO(str(tmp_path / "found.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    for scores in (by_masks, by_coco):
        assert scores.ap == evaluation.stats[0]
        assert scores.ap50 == evaluation.stats[1]
        assert 0 < (scores.ap or 0) < 1


def evaluate_truth(folder: Path, pictures: list[Detections]) -> list[Detections]:
    return list(masks.read(folder, sizes={picture.name: (picture.height, picture.width) for picture in pictures}))


def test_ignored_pixels_count_neither_way(tmp_path: Path) -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[4:12, 4:12], labels[5:11, 5:11] = 255, 3
    (tmp_path / "masks").mkdir()
    Image.fromarray(labels).save(tmp_path / "masks" / "a.png")
    found = [Detections(name="a.png", height=20, width=20, instances=(block(4, 4, 8, 8, 0.9),))]
    maps = {"a.png": np.where(labels > 0, 1, 0.1).astype(np.float32)}
    scores = evaluate(found, tmp_path / "masks", maps=maps, ignore=255, bootstrap=0)
    assert (scores.dice, scores.pixel_ap, scores.pixel_auroc) == (1, 1, 1)
    assert scores.ncc == pytest.approx(1)
    assert scores.locality == pytest.approx(0.1)
    true_HW = labels == 3
    assert evaluate(found, tmp_path / "masks", maps=maps, bootstrap=0).dice == 1  # all that is not 0 is an object
    Image.fromarray((true_HW * 3).astype(np.uint8)).save(tmp_path / "masks" / "a.png")
    assert evaluate(found, tmp_path / "masks", maps=maps, bootstrap=0).dice == pytest.approx(2 * 36 / (36 + 64))


def test_a_perfect_result_scores_one(tmp_path: Path) -> None:
    true = [
        Detections(name="a.png", height=20, width=20, instances=(block(1, 1, 5, 4), block(10, 9, 6, 6))),
        Detections(name="b.png", height=20, width=20),
    ]
    found = [
        Detections(name="a.png", height=20, width=20, instances=(block(1, 1, 5, 4, 0.9), block(10, 9, 6, 6, 0.6))),
        Detections(name="b.png", height=20, width=20),
    ]
    save(tmp_path, found, true, {picture.name: picture.union_mask().astype(np.float32) for picture in true})
    scores = evaluate(tmp_path / "found.json", tmp_path / "masks", maps=tmp_path / "maps").to_dict()
    ones = ("pixel_ap", "pixel_auroc", "dice", "dice_oracle", "iou", "ap", "ap50", "ap25", "ap_dota", "centre_f1")
    assert {name: scores[name] for name in ones} == dict.fromkeys(ones, 1.0)
    assert scores["ncc"] == pytest.approx(1)
    assert scores["image_auroc"] == 1
    assert scores["count_mae"] == 0
    assert scores["locality"] == 0
    assert scores["psnr"] is None


def boxed(category: str, *lefts: float, score: float | None = None) -> tuple[Instance, ...]:
    """Upright boxes of 6 x 4 at the top of the picture."""
    return tuple(Instance(box=(left, 2, 6, 4), category=category, score=score) for left in lefts)


def street(*instances: Instance) -> list[Detections]:
    return [Detections(name="a.png", height=20, width=60, instances=instances)]


def test_means_run_over_the_categories_that_were_looked_for(tmp_path: Path) -> None:
    """Three cars, all found; two trucks that nobody looked for, and four found cars that are none."""
    coco.write(tmp_path / "truth.json", street(*boxed("car", 0, 10, 20), *boxed("truck", 30, 40)))
    coco.write(tmp_path / "found.json", street(*boxed("car", 0, 10, 20, score=1), *boxed("car", 52, score=0.5)))
    scores = evaluate(tmp_path / "found.json", tmp_path / "truth.json")
    assert (scores.categories, scores.objects_found, scores.objects_true) == ("matched", 4, 3)
    assert (scores.ap, scores.ap50, scores.ap25) == pytest.approx((1, 1, 1))
    assert (scores.ap_dota, scores.ap_dota_area, scores.ap_dota_horizontal) == (1, 1, 1)
    assert (scores.centre_f1, scores.count_mae) == (2 * 3 / (4 + 3), 1)
    assert scores.curves["objects_free_response"].y.tolist() == [1, 1]
    assert scores.curves["objects_precision_recall"].x.tolist() == [1, 1]
    assert scores.ap_dota_categories == {"car": 1, "truck": 0}
    assert scores.to_dict()["per_category"] == {
        "car": {
            "looked_for": True,
            "objects_found": 4,
            "objects_true": 3,
            "ap": pytest.approx(1),
            "ap50": pytest.approx(1),
            "ap25": pytest.approx(1),
            "mask_ap50": None,
            "ap_dota": 1,
            "centre_f1": 2 * 3 / (4 + 3),
        },
        "truck": {
            "looked_for": False,
            "objects_found": 0,
            "objects_true": 2,
            "ap": 0,
            "ap50": 0,
            "ap25": 0,
            "mask_ap50": None,
            "ap_dota": 0,
            "centre_f1": 0,
        },
    }

    everything = evaluate(tmp_path / "found.json", tmp_path / "truth.json", all_categories=True)
    assert (everything.objects_found, everything.objects_true, everything.count_mae) == (4, 5, 1)
    assert (everything.ap, everything.ap50, everything.ap_dota) == pytest.approx((0.5, 0.5, 0.5))
    assert everything.centre_f1 == 2 * 3 / (4 + 5)
    assert everything.curves["objects_free_response"].y.tolist() == [3 / 5, 3 / 5]
    assert [item["looked_for"] for item in everything.per_category.values()] == [True, True]
    # A map knows no category: all of the truth is there to be found. 4 boxes found, 5 true, 3 of them both.
    assert scores.dice == everything.dice == 2 * 3 / (4 + 5)


def test_a_listed_category_was_looked_for_even_where_nothing_was_found(tmp_path: Path) -> None:
    truth, found = tmp_path / "truth.json", tmp_path / "found.json"
    coco.write(truth, street(*boxed("car", 0), *boxed("truck", 30, 40), *boxed("bus", 50)))
    coco.write(found, street(*boxed("car", 0, score=1)), categories=["truck", "plane"])
    scores = evaluate(found, truth)
    assert scores.ap50 == pytest.approx(0.5)
    assert scores.objects_true == 3
    looked_for = {name: item["looked_for"] for name, item in scores.per_category.items()}
    assert looked_for == {"bus": False, "car": True, "plane": True, "truck": True}
    assert (scores.per_category["plane"]["objects_true"], scores.per_category["plane"]["ap50"]) == (0, None)
    # The objects alone say less: of a sequence only `car` is known.
    assert evaluate(coco.read(found), truth).ap50 == pytest.approx(1)
    assert evaluate(coco.read(found), truth, categories=["car", "truck"]).ap50 == pytest.approx(0.5)


def test_where_no_name_is_known_all_categories_count() -> None:
    truth = TruthSet(
        pictures={item.name: Truth(objects=item) for item in street(*boxed("car", 0), *boxed("truck", 30))},
        source="coco",
    )
    scores = evaluate(street(), truth)
    assert (scores.categories, scores.objects_true, scores.ap50, scores.count_mae) == ("matched", 2, 0, 2)
    assert [item["looked_for"] for item in scores.per_category.values()] == [True, True]


def test_a_category_asked_for_is_scored_alone(tmp_path: Path) -> None:
    truth, found = tmp_path / "truth.json", tmp_path / "found.json"
    coco.write(truth, street(*boxed("car", 0, 10), *boxed("truck", 30, 40)))
    coco.write(found, street(*boxed("car", 0, score=1), *boxed("truck", 30, score=1), *boxed("truck", 52, score=0.5)))
    both, alone = evaluate(found, truth), evaluate(found, truth, categories=["truck"])
    assert (both.objects_found, both.objects_true) == (3, 4)
    assert (alone.objects_found, alone.objects_true, alone.centre_f1) == (2, 2, 0.5)
    assert list(alone.per_category) == ["truck"]
    assert alone.per_category["truck"] == both.per_category["truck"]
    assert alone.ap50 == alone.per_category["truck"]["ap50"]


def test_categories_that_share_no_name_are_one(tmp_path: Path) -> None:
    coco.write(tmp_path / "truth.json", street(*boxed("car", 0), *boxed("truck", 30)))
    found = street(*boxed("object", 0, 30, score=1))
    scores = evaluate(found, tmp_path / "truth.json")
    assert (scores.categories, scores.objects_true, scores.ap50) == ("ignored", 2, 1)
    assert list(scores.per_category) == ["object"]
    whole = scores.per_category["object"]
    assert (whole["looked_for"], whole["objects_true"], whole["ap50"], whole["centre_f1"]) == (True, 2, 1, 1)
    assert evaluate(found, tmp_path / "truth.json", all_categories=True).to_dict() == scores.to_dict()
    # One category of the truth, asked for by its own name: what was found is scored against it.
    alone = evaluate(found, tmp_path / "truth.json", categories=["truck"])
    assert (alone.categories, alone.objects_found, alone.objects_true) == ("ignored", 2, 1)
    # A category that the truth does not have: everything found is a false alarm.
    none = evaluate(found, tmp_path / "truth.json", categories=["bus"])
    assert (none.objects_found, none.objects_true, none.centre_f1, none.count_mae) == (2, 0, 0, 2)


def many_categories(rng: np.random.Generator) -> tuple[list[Detections], list[Detections]]:
    """Found and true masks of three categories; found: a and b, moved a little; true: b and c more often than a."""
    found, true = [], []
    for index in range(6):
        sides: tuple[list[Instance], list[Instance]] = ([], [])
        for x in range(0, 60, 15):
            for y in range(0, 45, 15):
                category = str(rng.choice(["a", "b", "b", "c", "c"]))
                shift = int(rng.integers(0, 4))
                sides[1].append(dataclasses.replace(block(x, y, 9, 8), category=category))
                if rng.random() < 0.8:
                    guess = category if category != "c" else "a"
                    moved = block(x + shift, y, 9, 8, float(rng.random()))
                    sides[0].append(dataclasses.replace(moved, category=guess))
        found.append(Detections(name=f"{index}.png", height=60, width=80, instances=tuple(sides[0])))
        true.append(Detections(name=f"{index}.png", height=60, width=80, instances=tuple(sides[1])))
    return found, true


def pycocotools_alone(truth: Path, found: Path, category: str, shape: str) -> tuple[float, float]:
    """AP and AP50 of one category, by pycocotools on the files."""
    with contextlib.redirect_stdout(io.StringIO()):
        sides = COCO(str(truth)), COCO(str(found))
        evaluation = COCOeval(*sides, shape)
        evaluation.params.catIds = sides[0].getCatIds(catNms=[category])
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


def test_each_category_equals_pycocotools_on_it_alone(tmp_path: Path, rng: np.random.Generator) -> None:
    found, true = many_categories(rng)
    truth_file, found_file = tmp_path / "truth.json", tmp_path / "found.json"
    # The same names in both, so that ids agree; nothing of c is found and nobody looks for it in the second file.
    coco.write(truth_file, true, categories=["a", "b", "c"])
    coco.write(found_file, found, categories=["a", "b", "c"])
    coco.write(tmp_path / "two.json", found)
    whole, two = evaluate(found_file, truth_file), evaluate(tmp_path / "two.json", truth_file)
    for scores in (whole, two):
        assert list(scores.per_category) == ["a", "b", "c"]
        for name, item in scores.per_category.items():
            assert (item["ap"], item["ap50"]) == pycocotools_alone(truth_file, found_file, name, "bbox")
            assert item["mask_ap50"] == pycocotools_alone(truth_file, found_file, name, "segm")[1]
            assert item["ap_dota"] == scores.ap_dota_categories[name]
    assert two.per_category["c"]["looked_for"] is False
    assert 0 < two.per_category["a"]["ap50"] < two.per_category["b"]["ap50"] < 1

    def mean(scores: Evaluation, name: str) -> float:
        items = [item for item in scores.per_category.values() if item["looked_for"] and item["objects_true"]]
        return float(np.mean([item[name] for item in items]))

    for scores in (whole, two):
        for name in ("ap", "ap50", "ap25", "mask_ap50", "ap_dota"):
            assert getattr(scores, name) == pytest.approx(mean(scores, name), abs=1e-12)
    assert two.ap50 == pytest.approx((whole.ap50 or 0) * 3 / 2)
    everything = evaluate(tmp_path / "two.json", truth_file, all_categories=True)
    assert everything.to_dict() == whole.to_dict()


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("coco", {"car", "bus"}),
        ("coco-results", set()),
        ("dota", set()),
        ("dota-task1", {"car", "bus"}),
        ("dota-task2", {"car", "bus"}),
        ("yolo", {"car", "bus"}),
        ("yolo-obb", {"car", "bus"}),
        ("label-studio", set()),
        ("geojson", set()),
    ],
)
def test_categories_that_a_file_lists(tmp_path: Path, name: str, listed: set[str]) -> None:
    out = tmp_path / "out.json"
    write_annotations(out, street(*boxed("car", 0)), target_format=name, categories=["bus"])
    assert listed_categories(out, source_format=name) == listed


def test_a_yolo_folder_looks_for_what_its_data_yaml_names(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    assert cv2.imwrite(str(images / "a.png"), np.zeros((20, 60), np.uint8))
    coco.write(tmp_path / "truth.json", street(*boxed("car", 0), *boxed("truck", 30), *boxed("bus", 40)))
    write_annotations(tmp_path / "yolo", street(*boxed("car", 0)), target_format="yolo", categories=["truck"])
    scores = evaluate(tmp_path / "yolo", tmp_path / "truth.json", images=images)
    assert scores.objects_true == 2
    assert scores.ap50 == pytest.approx(0.5)
    (tmp_path / "yolo" / "data.yaml").unlink()
    # Without names the categories are numbers, which the truth does not know.
    assert evaluate(tmp_path / "yolo", tmp_path / "truth.json", images=images).categories == "ignored"


def test_pictures_without_truth_are_left_out_and_counted(tmp_path: Path) -> None:
    pictures = [Detections(name=f"{name}.png", height=9, width=9, instances=(block(1, 1, 3, 3, 1.0),)) for name in "ab"]
    save(tmp_path, pictures, pictures[:1], {})
    scores = evaluate(tmp_path / "found.json", tmp_path / "masks")
    assert (scores.pictures, scores.pictures_without_truth) == (1, 1)
    assert scores.dice == 1
    assert scores.pixel_ap is None


def test_boxes_as_truth_score_pixels_against_filled_boxes(tmp_path: Path) -> None:
    item = Instance(corners_42=np.array([[2.0, 2], [6, 2], [6, 8], [2, 8]]), category="car")
    dota.write(tmp_path / "labels", [Detections(name="a.png", height=12, width=12, instances=(item,))])
    found = [Detections(name="a.png", height=12, width=12, instances=(block(2, 2, 4, 2, 0.9),))]
    scores = evaluate(found, tmp_path / "labels")
    assert (scores.truth, scores.pixel_truth, scores.categories) == ("dota", "boxes", "ignored")
    assert scores.dice == pytest.approx(2 * 8 / (8 + 24))
    assert scores.centre_f1 == 1
    assert scores.ap25 == pytest.approx(1)
    assert scores.ap50 == 0
    other = evaluate(found, tmp_path / "labels", categories=["bus"])
    assert other.objects_true == 0
    assert other.ap50 is None


def test_model_scores_come_from_the_annotations(tmp_path: Path) -> None:
    model = {"psnr_with": 40.0, "psnr_without": 20.0, "flips_to_with": 0, "flips_to_without": 1, "residual": 0.1}
    true = [Detections(name="a.png", height=9, width=9, instances=(block(1, 1, 3, 3),))]
    found = [Detections(name="a.png", height=9, width=9, model=model)]
    save(tmp_path, found, true, {})
    scores = evaluate(tmp_path / "found.json", tmp_path / "masks")
    assert (scores.psnr, scores.flip_rate, scores.residual) == (40, 1, 0.1)


def judged(confidences: list[float | None]) -> tuple[list[Detections], list[Detections]]:
    """Found and true: half of the object found, nothing where nothing is, an object missed."""
    found = [(block(1, 1, 2, 4, 0.9),), (), ()]
    true = [(block(1, 1, 4, 4),), (), (block(2, 2, 3, 3),)]
    names = ["half.png", "nothing.png", "missed.png"]
    return (
        [
            Detections(name=name, height=9, width=9, instances=items, confidence=confidence)
            for name, items, confidence in zip(names, found, confidences, strict=True)
        ],
        [Detections(name=name, height=9, width=9, instances=items) for name, items in zip(names, true, strict=True)],
    )


def test_risk_against_coverage_by_hand(tmp_path: Path) -> None:
    """Dice of 16/24, 1 and 0, the surest first: 1, 0, 16/24."""
    save(tmp_path, *judged([0.25, 0.75, 0.5]), {})
    scores = evaluate(tmp_path / "found.json", tmp_path / "masks")
    content = scores.to_dict()["risk_coverage"]
    json.dumps(content, allow_nan=False)
    assert content["coverage"] == pytest.approx([1 / 3, 2 / 3, 1])
    assert content["risk"] == pytest.approx([0, 1 / 2, 4 / 9])
    assert content["aurc"] == pytest.approx((0 + 1 / 2 + 4 / 9) / 3)
    assert content["aurc_random"] == pytest.approx(4 / 9)
    assert content["aurc_best"] == pytest.approx((0 + 1 / 6 + 4 / 9) / 3)
    assert content["dice_at"] == pytest.approx({"1.0": 5 / 9, "0.9": 5 / 9, "0.8": 5 / 9, "0.5": 1 / 2})
    assert scores.curves["risk_coverage"].y.tolist() == content["risk"]


def test_risk_needs_confidences_and_masks(tmp_path: Path) -> None:
    for found, true in (judged([0.25, None, 0.5]), judged([None, None, None])):
        masks.write(tmp_path / "masks", true)
        scores = evaluate(found, tmp_path / "masks")
        assert scores.risk_coverage is None
        assert "risk_coverage" not in scores.curves
        assert scores.to_dict()["risk_coverage"] is None
    found, true = judged([0.25, 0.75, 0.5])
    assert evaluate(found, tmp_path / "masks").risk_coverage is not None
    dota.write(tmp_path / "labels", true)
    assert evaluate(found, tmp_path / "labels").risk_coverage is None


def test_nothing_anywhere_gives_null_and_no_nan(tmp_path: Path) -> None:
    empty = [Detections(name="a.png", height=9, width=9)]
    save(tmp_path, empty, empty, {"a.png": np.zeros((9, 9), np.float32)})
    scores = evaluate(tmp_path / "found.json", tmp_path / "masks", maps=tmp_path / "maps", group="a").to_dict()
    json.dumps(scores, allow_nan=False)
    assert scores["pixel_ap"] is None
    assert scores["dice"] is None
    assert scores["dice_per_group"] is None
    assert scores["ap50"] is None
    assert scores["count_mae"] == 0


def test_maps_must_be_there_and_fit(tmp_path: Path) -> None:
    pictures = [Detections(name="a.png", height=9, width=9, instances=(block(1, 1, 3, 3, 1.0),))]
    save(tmp_path, pictures, pictures, {"b.png": np.zeros((9, 9), np.float32)})
    with pytest.raises(ValueError, match=r"a\.png: has no map in .*maps \(1 of 1"):
        evaluate(tmp_path / "found.json", tmp_path / "masks", maps=tmp_path / "maps")
    with pytest.raises(ValueError, match=r"a\.png: its map is 8 x 9, the picture 9 x 9"):
        evaluate(tmp_path / "found.json", tmp_path / "masks", maps={"a.png": np.zeros((9, 8), np.float32)})


def test_groups_come_from_the_stem() -> None:
    assert group_of("with/TCGA_07_13.png", r"^(.*)_\d+$") == "TCGA_07"
    assert group_of("scene3/tile1.png", r"^scene\d") == "scene3"
    with pytest.raises(ValueError, match=r"a\.png: --group 'x' does not match"):
        group_of("a.png", "x")
    with pytest.raises(ValueError, match="is no regular expression"):
        group_of("a.png", "(")


def test_the_documented_example_runs(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (root / "docs" / "howto" / "objects.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "example.py").write_text(code)
    runpy.run_path(str(tmp_path / "example.py"))
    [picture] = coco.read(tmp_path / "found.json")
    assert [list(item.bbox) for item in picture.instances] == [[30, 10, 15, 10]]


def test_paths_may_be_text(tmp_path: Path) -> None:
    pictures = [Detections(name="a.png", height=9, width=9, instances=(block(1, 1, 3, 3, 1.0),))]
    save(tmp_path, pictures, pictures, {"a.png": pictures[0].union_mask().astype(np.float32)})
    convert(str(tmp_path / "found.json"), str(tmp_path / "again.json"))
    scores = evaluate(str(tmp_path / "again.json"), str(tmp_path / "masks"), maps=str(tmp_path / "maps"))
    assert (scores.pixel_ap, scores.dice, scores.ap_dota_area) == (1, 1, 1)


def test_groups_of_the_pictures_serve_where_no_pattern_is_given(tmp_path: Path) -> None:
    found = [
        Detections(name=f"{name}.png", height=9, width=9, instances=(block(1, 1, 3, 3, 1.0),), group=name[0])
        for name in ("a1", "a2", "b1")
    ]
    save(tmp_path, found, found, {})
    assert evaluate(tmp_path / "found.json", tmp_path / "masks").dice_groups == {"a": 1.0, "b": 1.0}
    no_picture = coco.document([])
    (tmp_path / "none.json").write_text(json.dumps(no_picture))
    with pytest.raises(ValueError, match=r"none\.json: holds no picture"):
        evaluate(tmp_path / "none.json", tmp_path / "masks")
