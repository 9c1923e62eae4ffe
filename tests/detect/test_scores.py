"""Scores against scikit-learn, pycocotools, hand-worked cases and slow independent versions."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sklearn.metrics import average_precision_score, roc_auc_score

from detect.detections import Detections, Instance
from detect.formats import coco
from detect.masks import Mask
from detect.scores import model
from detect.scores.bootstrap import ratio_interval
from detect.scores.coco import coco_scores
from detect.scores.curves import free_response, object_precision_recall, pixel_precision_recall, write_curves
from detect.scores.dota import average_precision, dota_scores
from detect.scores.objects import centre_hits, count_mae
from detect.scores.pixels import Locality, Overlap, ncc
from detect.scores.ranking import Ranking
from detect.scores.regions import aupro

# Few distinct values, so that ties come up all the time.
values = st.lists(st.integers(0, 6), max_size=30).map(lambda items: np.array(items, np.float32) / 4)


@given(values.filter(len), values)
def test_ranking_equals_scikit_learn(true: NDArray[np.float32], false: NDArray[np.float32]) -> None:
    ranking = Ranking(true, false)
    labels = [1] * len(true) + [0] * len(false)
    scores = np.concatenate([true, false])
    assert ranking.average_precision() == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    if len(false):
        assert ranking.auroc() == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    dice = [2 * np.sum(true >= t) / (len(true) + np.sum(scores >= t)) for t in np.unique(scores)]
    best = ranking.best_dice()
    assert best is not None
    assert best[0] == pytest.approx(max(dice))
    assert 2 * np.sum(true >= best[1]) / (len(true) + np.sum(scores >= best[1])) == pytest.approx(best[0])


def test_ranking_by_hand() -> None:
    ranking = Ranking(np.array([3.0, 1.0]), np.array([2.0]))
    # Thresholds 3, 1: precision 1, 2/3; each adds half the recall.
    assert ranking.average_precision() == pytest.approx((1 + 2 / 3) / 2)
    assert ranking.auroc() == 0.5
    assert ranking.best_dice() == pytest.approx((4 / 5, 1.0))


def test_ranking_without_items_is_undefined() -> None:
    none, some = np.zeros(0), np.ones(2)
    assert Ranking(none, some).average_precision() is None
    assert Ranking(none, some).best_dice() is None
    assert Ranking(some, none).auroc() is None
    assert Ranking(none, some).auroc() is None


def test_overlap_by_hand_and_pooled() -> None:
    found, true = np.array([[1, 1, 0, 0]], bool), np.array([[0, 1, 1, 1]], bool)
    overlap = Overlap.of(found, true)
    assert (overlap.dice, overlap.iou) == (2 / 5, 1 / 4)
    pooled = overlap + Overlap.of(np.zeros((1, 4), bool), np.ones((1, 4), bool))
    assert (pooled.dice, pooled.iou) == (2 / 9, 1 / 8)
    assert Overlap().dice is None
    assert Overlap().iou is None
    assert Overlap(found=3).dice == 0


def test_ncc_is_a_correlation(rng: np.random.Generator) -> None:
    effect = rng.random((6, 7)) > 0.5
    assert ncc(3 * effect - 0.2, effect) == pytest.approx(1)
    assert ncc(-1.0 * effect, effect) == pytest.approx(-1)
    other = rng.random((6, 7))
    assert ncc(other, effect) == pytest.approx(np.corrcoef(other.ravel(), effect.ravel())[0, 1])
    assert ncc(np.zeros((6, 7)), effect) is None


def test_locality_by_hand() -> None:
    locality = Locality.of(np.array([[4.0, -1, 1, 0]]), np.array([[True, False, False, False]]))
    assert locality.ratio == pytest.approx((2 / 3) / 4)
    both = locality + Locality.of(np.array([[2.0, 4]]), np.array([[True, False]]))
    assert both.ratio == pytest.approx((6 / 4) / (6 / 2))
    assert Locality().ratio is None


def test_model_scores_take_the_side_the_truth_says() -> None:
    models = [
        {"psnr_with": 40.0, "psnr_without": 1.0, "flips_to_without": 1.0, "flips_to_with": 0.0, "residual": 0.2},
        {"psnr_with": 1.0, "psnr_without": 30.0, "flips_to_without": 1.0, "flips_to_with": 0.0, "residual": 0.4},
    ]
    assert model.psnr(models, [True, False]) == 35
    assert model.flip_rate(models, [True, False]) == 0.5
    assert model.residual(models) == pytest.approx(0.3)
    assert model.psnr([{}, {}], [True, False]) is None


# --- boxes ---

boxes = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 12), st.integers(1, 12))
found_objects = st.builds(
    lambda box, score, category: Instance(box=box, score=score / 4, category=category),
    boxes,
    st.integers(0, 4),
    st.sampled_from("ab"),
)
true_objects = st.builds(
    lambda box, crowd, category: Instance(box=box, crowd=crowd, category=category),
    boxes,
    st.sampled_from([False, False, False, True]),
    st.sampled_from("abc"),
)


def picture(items: Sequence[Instance], name: str = "a") -> Detections:
    return Detections(name=name, height=40, width=40, instances=tuple(items))


def pycocotools_says(found: Sequence[Detections], truth: Sequence[Detections], shape: str) -> dict[str, float | None]:
    """The plain way: both sides as COCO files, default parameters, the numbers of summarize()."""
    categories = sorted({item.category for picture in [*found, *truth] for item in picture.instances})
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for side in (truth, found):
            dataset = COCO()
            dataset.dataset = coco.document(side, categories=categories)
            for annotation in dataset.dataset["annotations"]:
                if shape == "bbox":
                    annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
            dataset.createIndex()
            sides.append(dataset)
        evaluation = COCOeval(sides[0], sides[1], shape)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        ap, ap50 = evaluation.stats[:2]
        evaluation.params.iouThrs = np.array([0.25])
        evaluation.evaluate()
        evaluation.accumulate()
        precision = evaluation.eval["precision"][0, :, :, 0, 2]
        ap25 = np.mean(precision[precision > -1]) if (precision > -1).any() else -1
    return {"ap": ap, "ap50": ap50, "ap25": ap25}


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.lists(found_objects, max_size=6), st.lists(true_objects, max_size=6)), min_size=1, max_size=3)
)
def test_coco_scores_equal_pycocotools(sides: list[tuple[list[Instance], list[Instance]]]) -> None:
    found = [picture(items, str(i)) for i, (items, _) in enumerate(sides)]
    truth = [picture(items, str(i)) for i, (_, items) in enumerate(sides)]
    scores = coco_scores(found, truth)
    for name, value in pycocotools_says(found, truth, "bbox").items():
        own = getattr(scores, name)
        assert (-1 if own is None else own) == value, name


def test_coco_mask_scores_equal_pycocotools(rng: np.random.Generator) -> None:
    sides = []
    for _ in range(2):
        pictures = []
        for name in "abc":
            items = []
            for _ in range(8):
                x, y = rng.integers(0, 30, 2).tolist()
                crop = rng.random((8, 8)) < 0.8
                crop[0], crop[:, 0] = True, True
                crop[-1], crop[:, -1] = True, True
                items.append(Instance(mask=Mask(x=x, y=y, crop_HW=crop), score=float(rng.random())))
            pictures.append(picture(items, name))
        sides.append(pictures)
    scores = coco_scores(sides[0], sides[1], shape="segm")
    expected = pycocotools_says(sides[0], sides[1], "segm")
    assert {name: getattr(scores, name) for name in expected} == expected
    assert scores.ap25 is not None
    assert 0 < scores.ap25 < 1


def test_coco_scores_count_every_object_of_a_full_picture() -> None:
    items = [Instance(box=(x * 10, y * 10, 8, 8), score=0.5) for x in range(15) for y in range(15)]
    many = Detections(name="a", height=150, width=150, instances=tuple(items))
    assert coco_scores([many], [many]).ap == 1


def test_coco_scores_without_truth_are_undefined() -> None:
    assert coco_scores([picture([Instance(box=(1, 1, 2, 2), score=1)])], [picture([])]).ap50 is None
    assert coco_scores([picture([])], [picture([Instance(box=(1, 1, 2, 2))])]).ap50 == 0


def test_categories_may_be_ignored() -> None:
    found = [picture([Instance(box=(1, 1, 4, 4), score=1, category="a"), Instance(box=(9, 9, 4, 4), score=1)])]
    truth = [picture([Instance(box=(1, 1, 4, 4), category="b"), Instance(box=(9, 9, 4, 4), category="c")])]
    assert coco_scores(found, truth).ap50 == 0
    assert coco_scores(found, truth, use_categories=False).ap50 == 1
    assert dota_scores(found, truth).mean == 0
    assert dota_scores(found, truth, use_categories=False).mean == 1


def test_means_run_over_the_categories_that_count() -> None:
    """Of three categories a is found, b is not, c is found without being true."""
    a, b, c = (Instance(box=(x, 1, 4, 4), category=name) for x, name in ((1, "a"), (9, "b"), (20, "c")))
    found, truth = [picture([a, c])], [picture([a, b])]
    for counted, mean in ((None, 0.5), ({"a"}, 1), ({"a", "c"}, 1), ({"b"}, 0), ({"a", "b"}, 0.5), ({"c"}, None)):
        boxes, oriented = coco_scores(found, truth, counted=counted), dota_scores(found, truth, counted=counted)
        assert oriented.mean == mean
        assert boxes.ap50 == (None if mean is None else pytest.approx(mean))
        assert {name: item.ap50 for name, item in boxes.per_category.items()} == {
            "a": pytest.approx(1),
            "b": 0,
            "c": None,
        }
        assert oriented.per_category == {"a": 1, "b": 0}
    hits = centre_hits(found, truth, counted={"a", "b"})
    assert (hits.hits, hits.found, hits.true) == (1, 1, 2)
    assert {name: item.f1 for name, item in hits.per_category.items()} == {"a": 1, "b": 0, "c": 0}
    assert list(centre_hits(found, truth, use_categories=False).per_category) == ["object"]
    assert list(coco_scores(found, truth, use_categories=False).per_category) == ["object"]


# --- centres and counts ---


def test_a_truth_box_counts_once() -> None:
    truth = [picture([Instance(box=(0, 0, 10, 10)), Instance(box=(20, 20, 10, 10))])]
    found = [picture([Instance(box=(2, 2, 4, 4), score=0.9), Instance(box=(3, 3, 4, 4), score=0.8)])]
    counts = centre_hits(found, truth)
    assert (counts.hits, counts.found, counts.true) == (1, 2, 2)
    assert counts.f1 == 0.5
    assert centre_hits([picture([])], [picture([])]).f1 is None


def test_a_centre_takes_the_nearest_free_box() -> None:
    truth = [picture([Instance(box=(0, 0, 10, 10)), Instance(box=(4, 0, 10, 10))])]
    found = [picture([Instance(box=(5, 1, 8, 8), score=0.9), Instance(box=(3, 1, 8, 8), score=0.8)])]
    assert centre_hits(found, truth).hits == 2


def test_centres_must_fall_into_the_oriented_box() -> None:
    diamond = Instance(corners_42=np.array([[10.0, 0], [20, 10], [10, 20], [0, 10]]))
    corner, middle = Instance(box=(1, 1, 2, 2), score=1), Instance(box=(9, 9, 2, 2), score=1)
    assert centre_hits([picture([corner])], [picture([diamond])]).hits == 0
    assert centre_hits([picture([middle])], [picture([diamond])]).hits == 1


def test_count_error_by_hand() -> None:
    one, two = Instance(box=(0, 0, 1, 1)), Instance(box=(2, 2, 1, 1))
    assert count_mae([picture([one]), picture([])], [picture([one, two]), picture([one, two])]) == 1.5
    assert count_mae([], []) is None


# --- DOTA ---


def quad(x: float, y: float, width: float, height: float, angle: float = 0.0) -> NDArray[np.float64]:
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    placed: NDArray[np.float64] = corners @ turn + [x, y]
    return placed


def test_dota_by_hand() -> None:
    """Four detections: a hit, its duplicate, one on a difficult object, a miss; two objects to find."""
    truth = [
        picture(
            [
                Instance(corners_42=quad(10, 10, 8, 4)),
                Instance(corners_42=quad(30, 10, 8, 4), difficult=True),
                Instance(corners_42=quad(10, 30, 8, 4)),
            ]
        )
    ]
    found = [
        picture(
            [
                Instance(corners_42=quad(10, 10, 8, 4), score=0.9),
                Instance(corners_42=quad(10, 10, 8, 4.4), score=0.8),
                Instance(corners_42=quad(30, 10, 8, 4), score=0.7),
                Instance(corners_42=quad(10, 30, 8, 4), score=0.6),
            ]
        )
    ]
    # Recall 0.5 at precision 1, recall 1 at precision 2/3.
    assert dota_scores(found, truth).mean == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)
    assert dota_scores(found, truth, rule="area").mean == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_overlap_must_exceed_the_threshold() -> None:
    truth = [picture([Instance(corners_42=quad(10, 10, 8, 8))])]
    half = [picture([Instance(corners_42=quad(10, 8, 8, 4), score=1)])]
    assert dota_scores(half, truth).mean == 0
    assert dota_scores(half, truth, overlap=0.49).mean == 1


def test_categories_absent_from_one_side() -> None:
    truth = [picture([Instance(box=(1, 1, 5, 5), category="a"), Instance(box=(9, 9, 5, 5), category="b")])]
    found = [picture([Instance(box=(1, 1, 5, 5), category="a"), Instance(box=(9, 9, 5, 5), category="c")])]
    scores = dota_scores(found, truth)
    assert scores.per_category == {"a": 1, "b": 0}
    assert scores.mean == 0.5
    difficult = [picture([Instance(box=(1, 1, 5, 5), difficult=True)])]
    assert dota_scores(found, difficult).mean is None


def test_recall_of_three_tenths_misses_the_point_03() -> None:
    """0.1 three times is 0.30000000000000004, and DOTA's recall points are made so."""
    hits = np.array([True] * 3 + [False] * 7)
    assert average_precision(hits, ~hits, 10) == pytest.approx(3 / 11)


def slow_dota(
    found: Sequence[Detections], truth: Sequence[Detections], rule: str, horizontal: bool
) -> dict[str, float]:
    """The development kit's algorithm once more, without arrays: shapely polygons, one pair at a time."""

    def iou(a: Instance, b: Instance) -> float:
        if horizontal:
            ax, ay, aw, ah = a.bbox
            bx, by, bw, bh = b.bbox
            x1, y1, x2, y2 = int(bx), int(by), int(bx + bw), int(by + bh)
            wide = min(ax + aw, x2) - max(ax, x1) + 1
            high = min(ay + ah, y2) - max(ay, y1) + 1
            common = max(wide, 0) * max(high, 0)
            return common / ((aw + 1) * (ah + 1) + (x2 - x1 + 1) * (y2 - y1 + 1) - common)
        p, q = shapely.Polygon(a.obb), shapely.Polygon(b.obb)
        common = p.intersection(q).area
        return common / (p.area + q.area - common)

    result = {}
    for name in sorted({item.category for picture in truth for item in picture.instances}):
        true = [[item for item in picture.instances if item.category == name] for picture in truth]
        positives = sum(not item.difficult for items in true for item in items)
        if not positives:
            continue
        detections = [
            (index, item) for index, picture in enumerate(found) for item in picture.instances if item.category == name
        ]
        detections.sort(key=lambda pair: -(pair[1].score or 0))
        taken: list[Instance] = []
        hits = alarms = 0
        curve = []
        for index, item in detections:
            best, partner = -1.0, None
            for candidate in true[index]:
                overlap = iou(item, candidate)
                if overlap > best:
                    best, partner = overlap, candidate
            if best > 0.5 and partner is not None:
                if not partner.difficult:
                    if any(partner is other for other in taken):
                        alarms += 1
                    else:
                        hits += 1
                        taken.append(partner)
            else:
                alarms += 1
            curve.append((hits / positives, hits / max(hits + alarms, 2.2e-16)))
        if rule == "voc07":
            points = [max([p for r, p in curve if r >= t], default=0) for t in np.arange(0, 1.1, 0.1)]
            result[name] = sum(points) / 11
        else:
            area, before = 0.0, 0.0
            for place, (recall, _) in enumerate(curve):
                area += (recall - before) * max(p for _, p in curve[place:])
                before = recall
            result[name] = area
    return result


@pytest.mark.parametrize("rule", ["voc07", "area"])
@pytest.mark.parametrize("kind", ["oriented", "horizontal"])
@pytest.mark.parametrize("seed", range(6))
def test_dota_scores_equal_a_slow_version(rule: str, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for index in range(4):
        quads = [quad(*rng.uniform([10, 10, 6, 6, 0], [90, 90, 25, 25, 3]).tolist()) for _ in range(12)]
        names = rng.choice(["car", "lorry", "bus"], 12)
        truth.append(
            picture(
                [
                    Instance(corners_42=q, category=n, difficult=bool(rng.random() < 0.2))
                    for q, n in zip(quads, names, strict=True)
                ],
                str(index),
            )
        )
        items = []
        for q, n in zip(quads + quads[:5], [*names, *names[:5]], strict=True):
            moved = q + rng.normal(0, 2.5, 2)
            items.append(Instance(corners_42=moved, category=n, score=float(rng.integers(0, 9)) / 8))
        items.append(Instance(corners_42=quad(50, 50, 9, 9), category="tram", score=0.5))
        found.append(picture(items, str(index)))
    scores = dota_scores(found, truth, boxes=kind, rule=rule)  # type: ignore[arg-type]
    expected = slow_dota(found, truth, rule, kind == "horizontal")
    assert scores.per_category == pytest.approx(expected, abs=1e-9)
    assert scores.mean == pytest.approx(sum(expected.values()) / len(expected), abs=1e-9)
    assert 0.05 < (scores.mean or 0) < 0.99


# --- AUPRO, intervals, curves ---


def slow_aupro(regions: list[NDArray[np.float32]], background: NDArray[np.float32], limit: float) -> float:
    """Every distinct value as a threshold, one after the other; trapezoids up to the limit."""
    points = [(0.0, 0.0)]
    for threshold in sorted({*background.tolist(), *np.concatenate(regions).tolist()}, reverse=True):
        rate = float(np.mean(background >= threshold))
        points.append((rate, float(np.mean([np.mean(region >= threshold) for region in regions]))))
    area = 0.0
    for (x1, y1), (x2, y2) in itertools.pairwise(points):
        if x1 >= limit:
            break
        if x2 > limit:
            y2 = y1 + (y2 - y1) * (limit - x1) / (x2 - x1)
            x2 = limit
        area += (x2 - x1) * (y1 + y2) / 2
    return area / limit


@settings(max_examples=200)
@given(st.lists(values.filter(len), min_size=1, max_size=4), values.filter(len), st.sampled_from([0.05, 0.3, 0.5, 1.0]))
def test_aupro_equals_a_slow_version(
    regions: list[NDArray[np.float32]], background: NDArray[np.float32], limit: float
) -> None:
    assert aupro(regions, background, limit=limit) == pytest.approx(slow_aupro(regions, background, limit), abs=1e-9)


@given(st.lists(values.filter(len), min_size=1, max_size=4), values.filter(len))
def test_aupro_to_the_end_is_a_weighted_auroc(
    regions: list[NDArray[np.float32]], background: NDArray[np.float32]
) -> None:
    weights = np.concatenate([*(np.full(len(region), 1 / len(region)) for region in regions), np.ones(len(background))])
    labels = [1] * sum(map(len, regions)) + [0] * len(background)
    expected = roc_auc_score(labels, np.concatenate([*regions, background]), sample_weight=weights)
    assert aupro(regions, background, limit=1.0) == pytest.approx(expected, abs=1e-9)


def test_aupro_without_regions_is_undefined() -> None:
    assert aupro([], np.ones(3)) is None
    assert aupro([np.ones(3)], np.zeros(0)) is None


def test_intervals_cover_the_mean_as_often_as_they_say() -> None:
    covered = 0
    for seed in range(200):
        sample = np.random.default_rng(seed).normal(3, 1, 60)
        ends = ratio_interval(sample, np.ones(60), samples=300, seed=seed)
        assert ends is not None
        covered += ends[0] <= 3 <= ends[1]
    assert 0.88 <= covered / 200 <= 0.99


def test_groups_are_drawn_together() -> None:
    sample = np.repeat([0.0, 1.0, 0.0, 1.0], 50)
    alone = ratio_interval(sample, np.ones(200))
    together = ratio_interval(sample, np.ones(200), groups=[str(index // 50) for index in range(200)])
    assert alone is not None
    assert together == (0.0, 1.0)
    assert alone[1] - alone[0] < 0.2


def test_intervals_need_two_units_and_a_ratio() -> None:
    assert ratio_interval([1], [1]) is None
    assert ratio_interval([0, 0], [0, 0]) is None
    assert ratio_interval([1, 1, 1], [1, 1, 1], groups=["a", "a", "a"]) is None


def test_curves_by_hand(tmp_path: Path) -> None:
    truth = [picture([Instance(box=(0, 0, 10, 10)), Instance(box=(20, 20, 10, 10))]), picture([])]
    found = [
        picture([Instance(box=(2, 2, 4, 4), score=0.9), Instance(box=(23, 23, 4, 4), score=0.5)]),
        picture([Instance(box=(3, 3, 4, 4), score=0.7), Instance(box=(5, 5, 4, 4), score=0.5)]),
    ]
    froc = free_response(found, truth)
    assert froc.thresholds.tolist() == [0.9, 0.7, 0.5]
    assert froc.x.tolist() == [0, 0.5, 1]
    assert froc.y.tolist() == [0.5, 0.5, 1]
    objects = object_precision_recall(found, truth)
    assert objects.x.tolist() == [0.5, 0.5, 1]
    assert objects.y.tolist() == [1, 0.5, 0.5]
    pixels = pixel_precision_recall(Ranking(np.array([3.0, 1.0]), np.array([2.0])))
    assert pixels.x.tolist() == [0.5, 1]
    assert pixels.y.tolist() == [1, pytest.approx(2 / 3)]
    empty = pixel_precision_recall(Ranking(np.zeros(0), np.ones(2)))
    write_curves(tmp_path / "curves", {"froc": froc, "objects": objects, "empty": empty})
    assert json.loads((tmp_path / "curves" / "curves.json").read_text())["froc"]["y"] == [0.5, 0.5, 1]
    assert (tmp_path / "curves" / "froc.png").read_bytes()[:4] == b"\x89PNG"


def test_long_pixel_curves_are_thinned(rng: np.random.Generator) -> None:
    curve = pixel_precision_recall(Ranking(rng.normal(1, 1, 20000), rng.normal(0, 1, 20000)))
    assert 900 <= curve.x.size <= 1000
    assert curve.x[-1] == 1
    assert np.all(np.diff(curve.x) > 0)
