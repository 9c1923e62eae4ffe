"""Nobody trains on what is scored: by lot or by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.quality.splits import Drawn, Named, SplitGroups

PATIENTS = [f"p{number:02}" for number in range(9)]


def test_drawn_is_the_stated_shuffle_of_the_sorted_groups() -> None:
    order = sorted(PATIENTS)
    np.random.default_rng(7).shuffle(order)
    assert order != sorted(PATIENTS)
    split = Drawn(train_from=2).apply(PATIENTS[::-1])
    assert split.test == tuple(order[:2])
    assert split.train == tuple(order[2:])


def test_drawn_in_the_middle_leaves_those_before_out() -> None:
    scored = Drawn(train_from=3).apply(PATIENTS).test
    split = Drawn(first=3, train_from=5).apply(PATIENTS)
    assert len(split.test) == 2
    assert not {*split.train, *split.test} & set(scored)
    assert {*split.train, *split.test, *scored} == set(PATIENTS)


@given(st.lists(st.text(min_size=1), min_size=8, unique=True), st.integers(0, 3), st.integers(1, 4))
def test_drawn_splits_share_no_group(groups: list[str], first: int, count: int) -> None:
    split = Drawn(first=first, train_from=first + count).apply([*groups, *groups])
    assert not set(split.train) & set(split.test)
    assert len(split.test) == count
    assert len(split.train) == len(groups) - first - count


def test_drawn_needs_enough_groups() -> None:
    with pytest.raises(ValueError, match="no group is left to train on"):
        Drawn(train_from=9).apply(PATIENTS)
    with pytest.raises(ValueError, match="no group is left to be scored"):
        Drawn(first=2, train_from=2).apply(PATIENTS)


def test_named_takes_prefixes_and_leaves_others_out() -> None:
    split = Named(train=("a_", "b_1"), test=("c_",)).apply(["a_1", "a_2", "b_1", "b_2", "c_9", "d_1", "a_1"])
    assert split == SplitGroups(train=("a_1", "a_2", "b_1"), test=("c_9",))


def test_named_refuses_a_group_on_both_sides() -> None:
    with pytest.raises(ValueError, match="group a_1: trains and is scored"):
        Named(train=("a_",), test=("a_1", "b_")).apply(["a_1", "a_2", "b_1"])


def test_named_refuses_an_empty_side() -> None:
    with pytest.raises(ValueError, match="to be scored"):
        Named(train=("a_",), test=("z_",)).apply(["a_1"])
