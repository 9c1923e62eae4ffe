"""From maps to the page: the same objects as those of the extraction, and nothing written where something is wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import detect
from detect.evaluation import Evaluation
from detect.extraction_settings import extraction_config
from detect.report.glossary import TRUTH, VALIDATION
from detect.report.writing import write_report
from detect.saved_maps import saved_maps
from detect.tables import SCORE_ROWS
from distmap.common.detection_settings import read_detection_settings
from tests.detect.report.conftest import NAMES, THRESHOLD, Case, Map, page_data, write_run


def test_counts_and_boxes_are_those_of_the_extraction(case: Case) -> None:
    data = page_data(case.page)
    assert data["thresholds"][data["chosen"]] == THRESHOLD == case.made.threshold
    assert len(data["cards"]) == len(NAMES) == case.made.pictures
    totals = []
    settings = read_detection_settings(case.run)
    for bit, threshold in enumerate(data["thresholds"]):
        config = extraction_config(settings, threshold=threshold)
        for card, found in zip(data["cards"], detect.extract(_maps(case), config), strict=True):
            assert card["name"] == found.name
            boxes = np.reshape(card["boxes"][bit], (-1, 5))
            assert boxes[:, :4].tolist() == [list(map(int, item.bbox)) for item in found.instances]
            assert card["pixels"][bit] == found.union_mask().sum()
            if bit == data["chosen"]:
                assert card["confidence"] == pytest.approx(found.confidence, abs=1e-4)
        totals.append(sum(len(card["boxes"][bit]) // 5 for card in data["cards"]))
    assert totals[data["chosen"]] == case.made.objects
    assert len(set(totals)) > 5  # the slider does something


def _maps(case: Case) -> list[Map]:
    """In the order in which the report got them."""
    by_name = {item.name: item.map_HW for item in saved_maps(case.maps, [case.images])}
    return [Map(name=card["name"], map_HW=by_name[card["name"]]) for card in page_data(case.page)["cards"]]


def test_scores_are_those_of_evaluate(case: Case) -> None:
    settings = read_detection_settings(case.run)
    found = list(detect.extract(_maps(case), extraction_config(settings)))
    scores = detect.evaluate(found, case.masks, maps=case.maps)
    assert case.made.scores is not None
    assert case.made.scores.to_dict() == scores.to_dict()
    rows = {row[1]: row for row in page_data(case.page)["scores"]["rows"]}
    low, high = scores.intervals["dice"]
    assert rows["dice"][2:4] == [f"{scores.dice:.4g}", f"{low:.3f} to {high:.3f}"]


def test_dice_at_every_threshold(case: Case) -> None:
    data = page_data(case.page)
    chosen = data["chosen"]
    common = sum(card["common"][chosen] for card in data["cards"])
    both = sum(card["pixels"][chosen] + card["true_pixels"] for card in data["cards"])
    assert case.made.scores is not None
    assert 2 * common / both == pytest.approx(case.made.scores.dice)


def test_the_rest_of_the_page(case: Case) -> None:
    data = page_data(case.page)
    assert data["command"] == "detect extract run images --out annotations.json"
    assert data["settings"][0] == ["method", "branched-gan"]
    assert ["losses.blend", "1.0"] in data["settings"]
    assert [curve["name"] for curve in data["curves"]] == ["fidelity"]
    assert ["Trained on", "1 pictures WITH, 2 WITHOUT"] in data["summary"]
    assert data["warnings"] == ["the maps hardly tell <b>validation</b> pictures apart"]
    assert data["calibration"]["rates"] == [0.1, 0.01, 0.001]


def test_every_score_has_a_word_in_the_glossary(case: Case) -> None:
    assert {name for name, _, _ in SCORE_ROWS} == set(TRUTH)
    assert set(TRUTH) <= {field.name for field in dataclasses.fields(Evaluation)}
    assert set(read_detection_settings(case.run).validation_scores) <= set(VALIDATION)
    shown = {name for name, _ in page_data(case.page)["glossary"]}
    rows = {row[1].partition(" ")[0] for row in page_data(case.page)["scores"]["rows"]}
    assert {"dice", "aurc", "dice_at"} <= rows <= shown


def one(tmp_path: Path) -> tuple[Path, list[Map], dict[str, Path]]:
    """A run, a map, and its picture."""
    import cv2

    run = write_run(tmp_path / "run")
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 9), np.uint8))
    return run, [Map(name="a.png", map_HW=np.zeros((8, 9), np.float32))], {"a.png": tmp_path / "a.png"}


def test_a_report_without_truth_and_without_any_object(tmp_path: Path) -> None:
    run, maps, pictures = one(tmp_path)
    made = write_report(run, maps, pictures, tmp_path / "r.html")
    assert (made.pictures, made.objects, made.scores) == (1, 0, None)
    data = page_data(tmp_path / "r.html")
    assert data["scores"] is None
    assert data["cards"][0]["truth"] is None
    assert len(data["thresholds"]) == 12


def test_the_same_report_twice_is_the_same_file(tmp_path: Path) -> None:
    run, maps, pictures = one(tmp_path)
    for name in ("r.html", "s.html"):
        write_report(run, maps, pictures, tmp_path / name)
    assert (tmp_path / "r.html").read_bytes() == (tmp_path / "s.html").read_bytes()


def test_what_is_wrong_writes_nothing(tmp_path: Path) -> None:
    run, maps, pictures = one(tmp_path)
    out = tmp_path / "r.html"
    with pytest.raises(ValueError, match=r"a\.png: two pictures have this name"):
        write_report(run, maps * 2, pictures, out)
    with pytest.raises(ValueError, match=r"a\.png: a map without a picture"):
        write_report(run, maps, {}, out)
    with pytest.raises(ValueError, match=r"a\.png: is not 8 x 8 pixels, as its map is"):
        write_report(run, [Map(name="a.png", map_HW=np.zeros((8, 8), np.float32))], pictures, out)
    with pytest.raises(ValueError, match="there is no map"):
        write_report(run, [], pictures, out)
    with pytest.raises(ValueError, match=r"none\.json: no such file"):
        write_report(run, maps, pictures, out, truth=tmp_path / "none.json")
    with pytest.raises(ValueError, match=r"detector\.json: not there"):
        write_report(tmp_path / "elsewhere", maps, pictures, out)
    assert not out.exists()


def test_what_the_page_may_not_replace(tmp_path: Path) -> None:
    run, maps, pictures = one(tmp_path)
    before = pictures["a.png"].read_bytes()
    with pytest.raises(ValueError, match=r"--out .*run: is a folder"):
        write_report(run, maps, pictures, run)
    (tmp_path / "link.html").symlink_to(pictures["a.png"])
    with pytest.raises(ValueError, match="is one of the pictures"):
        write_report(run, maps, pictures, tmp_path / "link.html")
    assert pictures["a.png"].read_bytes() == before
