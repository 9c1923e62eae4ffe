"""Which patches hold an object, and how they cut it: places worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from detect.detections import Instance
from pipelines.patch_rules import AMBIGUOUS, WITH, WITHOUT, cut_objects, label_patches, patch_corners


def box(left: float, top: float, right: float, bottom: float, *, difficult: bool = False) -> Instance:
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
    return Instance(corners_42=corners, category="car", difficult=difficult)


def diamond(x: float, y: float, radius: float) -> Instance:
    corners = np.array([[x, y - radius], [x + radius, y], [x, y + radius], [x - radius, y]])
    return Instance(corners_42=corners, category="car")


def label(*things: Instance, excluded: tuple[Instance, ...] = (), inside: float = 0.7) -> int:
    """Label of the patch from (100, 100) to (120, 120)."""
    return int(label_patches(np.array([[100, 100]]), 20, things, excluded, inside)[0])


class TestCorners:
    def test_last_is_flush(self) -> None:
        corners = patch_corners(20, 45, 20, 10)
        assert corners.tolist() == [[0, 0], [10, 0], [20, 0], [25, 0]]

    def test_rows_come_one_after_the_other(self) -> None:
        assert patch_corners(30, 30, 20, 10).tolist() == [[0, 0], [10, 0], [0, 10], [10, 10]]

    @pytest.mark.parametrize("size", [(19, 40), (40, 19)])
    def test_none_fits(self, size: tuple[int, int]) -> None:
        assert patch_corners(*size, 20, 10).shape == (0, 2)


class TestLabel:
    @pytest.mark.parametrize(
        ("thing", "expected"),
        [
            (box(105, 105, 115, 110), WITH),  # wholly
            (box(100, 100, 110, 120), WITH),  # wholly, along the edge
            (box(97, 105, 107, 110), WITH),  # 7 of 10 columns
            (box(96, 105, 106, 110), AMBIGUOUS),  # 6 of 10 columns
            (box(90, 105, 100, 110), AMBIGUOUS),  # touches the edge
            (box(119.5, 119.5, 130, 130), AMBIGUOUS),  # touches the corner
            (box(50, 50, 200, 200), AMBIGUOUS),  # larger than the patch
            (box(88, 105, 99.5, 110), WITHOUT),
            (diamond(115, 110, 5), WITH),
            (diamond(120, 110, 5), AMBIGUOUS),  # half
            (diamond(118, 110, 5), WITH),  # 1 - (3/5)^2 / 2 = 0.82
            (diamond(119, 110, 5), AMBIGUOUS),  # 1 - (4/5)^2 / 2 = 0.68
            (diamond(123, 123, 5), WITHOUT),  # its box radiuses in, its outline does not
            (box(105, 105, 115, 110, difficult=True), AMBIGUOUS),
        ],
    )
    def test_one_object(self, thing: Instance, expected: int) -> None:
        assert label(thing) == expected

    def test_one_that_is_inside_is_enough(self) -> None:
        whole, cut, hard = box(105, 105, 115, 110), box(96, 105, 106, 110), box(101, 101, 104, 104, difficult=True)
        for others in ((cut,), (hard,), (cut, hard)):
            assert label(whole, *others) == label(*others, whole) == WITH

    def test_excluded_leaves_it_open(self) -> None:
        whole, beside, edge = box(105, 105, 115, 110), box(130, 105, 140, 110), box(120, 105, 130, 110)
        assert label(whole, excluded=(beside,)) == WITH
        assert label(whole, excluded=(edge,)) == AMBIGUOUS
        assert label(excluded=(edge,)) == AMBIGUOUS
        assert label(excluded=(beside,)) == WITHOUT

    def test_fraction_inside_may_be_chosen(self) -> None:
        half = box(95, 105, 105, 110)
        assert [label(half, inside=fraction) for fraction in (0.5, 0.51, 1)] == [WITH, AMBIGUOUS, AMBIGUOUS]
        assert label(box(100, 100, 110, 120), inside=1) == WITH

    def test_corners_in_a_wrong_order(self) -> None:
        crossed = Instance(corners_42=np.array([[105.0, 105], [115, 110], [115, 105], [105, 110]]), category="car")
        assert label(crossed) == WITH

    def test_every_patch_by_itself(self) -> None:
        corners = np.array([[0, 0], [100, 100], [110, 100], [140, 100]])
        labels = label_patches(corners, 20, [box(102, 102, 112, 112)], [box(150, 110, 170, 120)], 0.7)
        assert labels.tolist() == [WITHOUT, WITH, AMBIGUOUS, AMBIGUOUS]

    def test_nothing_at_all(self) -> None:
        assert label() == WITHOUT
        assert label_patches(np.empty((0, 2), np.int64), 20, [box(0, 0, 5, 5)], [], 0.7).shape == (0,)


class TestCut:
    def test_whole_objects_are_moved(self) -> None:
        (shown,) = cut_objects([diamond(110.123, 110, 5)], 100, 97, 20, 0.7)
        assert shown.obb.tolist() == [[10.12, 8], [15.12, 13], [10.12, 18], [5.12, 13]]
        assert (shown.category, shown.difficult) == ("car", False)

    def test_what_is_left_of_cut_objects(self) -> None:
        things = [box(97, 105, 107, 110), box(94, 115, 104, 130), box(119, 119, 130, 130)]
        shown = cut_objects(things, 100, 100, 20, 0.7)
        assert [item.bbox for item in shown] == [(0, 5, 7, 5), (0, 15, 4, 5), (19, 19, 1, 1)]
        assert [item.difficult for item in shown] == [False, True, True]

    def test_oriented_objects_stay_rectangles(self) -> None:
        # A square on its corner loses a tip: no rectangle around the rest is smaller than the square.
        (shown,) = cut_objects([diamond(117, 110, 5)], 100, 100, 20, 0.7)
        sides = np.linalg.norm(np.diff(shown.obb, axis=0, append=shown.obb[:1]), axis=1)
        assert shown.area == pytest.approx(50, abs=0.1)
        assert sides[0] * sides[1] == pytest.approx(50, abs=0.1)
        assert not shown.difficult

    def test_what_only_touches_is_left_out(self) -> None:
        assert cut_objects([box(90, 100, 100, 110), box(200, 200, 210, 210)], 100, 100, 20, 0.7) == []

    def test_difficult_stays_difficult(self) -> None:
        (shown,) = cut_objects([box(105, 105, 110, 110, difficult=True)], 100, 100, 20, 0.7)
        assert shown.difficult
