"""What the scores of validation pictures say against the maps."""

from __future__ import annotations

import pytest

from distmap.selection.warnings import warnings

GOOD = {"auroc": 0.95, "flip_rate": 0.9, "psnr": 35.0, "background": 0.2, "taken": 0.05}


def test_good_scores_need_no_warning() -> None:
    assert warnings(GOOD, 0.002) == []


@pytest.mark.parametrize(
    ("sign", "words"),
    [
        ({"auroc": 0.55}, "hardly tell validation pictures apart (AUROC 0.55, 0.5 is chance)"),
        ({"flip_rate": 0.1}, "only 10% of the validation pictures change class in their counterfactual"),
        ({"psnr": 12.0}, "reconstructed badly (12.0 dB)"),
        ({"background": 1.2}, "changed as much as pictures WITH (120%)"),
    ],
)
def test_each_bad_score_has_its_line(sign: dict[str, float], words: str) -> None:
    (line,) = warnings(GOOD | sign, 0.002)
    assert words in line
    assert "\n" not in line


def test_a_folder_that_is_not_free_of_the_thing_is_named() -> None:
    (line,) = warnings(GOOD, 0.021)
    assert line.startswith("2.10% of the pixels of validation pictures WITHOUT reach the threshold, and 5.00% of those")


@pytest.mark.parametrize("missing", ["flip_rate", "psnr"])
def test_scores_that_a_method_does_not_have_are_passed_over(missing: str) -> None:
    assert warnings({name: score for name, score in GOOD.items() if name != missing}, 0) == []
