"""Which pixels become labels, by hand-made maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distmap.data.batches import PictureStore
from distmap.data.folders import list_folders
from distmap.data.scaling import Scaling
from distmap.training.pseudo_labels import PseudoLabelledStore, pseudo_label

SCALING = Scaling(low=(60.0,), high=(250.0,), dtype="uint8")
MAP = np.array([[0.0, 0.09, 0.1], [0.19, 0.2, 0.9]], np.float32)


def test_a_picture_with_is_labelled_where_its_map_is_sure() -> None:
    labels = pseudo_label(MAP, 1, 0.2, 0.1)
    assert labels is not None
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[0, 0, 2], [2, 1, 1]]


def test_a_picture_without_holds_nothing_whatever_its_map_says() -> None:
    labels = pseudo_label(MAP, 0, 0.2, 0.1)
    assert labels is not None
    assert labels.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_a_picture_with_whose_map_is_nowhere_sure_is_left_out() -> None:
    assert pseudo_label(MAP, 1, 0.91, 0.1) is None


def test_nothing_is_ignored_between_equal_thresholds() -> None:
    labels = pseudo_label(MAP, 1, 0.1, 0.1)
    assert labels is not None
    assert labels.tolist() == [[0, 0, 1], [1, 1, 1]]


@pytest.mark.parametrize(("threshold", "low"), [(0.2, 0.3), (0.2, 0.0), (float("nan"), 0.1)])
def test_thresholds_that_make_no_sense_are_refused(threshold: float, low: float) -> None:
    with pytest.raises(ValueError, match=f"thresholds {low} and {threshold}"):
        pseudo_label(MAP, 1, threshold, low)


def test_the_store_adds_target_and_weight_to_the_picture(pictures: tuple[Path, Path]) -> None:
    listed = list_folders(*pictures, None)[:2]
    labels = [np.zeros((32, 32), np.uint8) for _ in listed]
    labels[1][3, 4], labels[1][5, 6] = 1, 2
    store = PseudoLabelledStore(listed, labels, SCALING, 32, 16)
    plain = PictureStore(listed, SCALING, 32, 16)
    assert store[1].shape == (3, 32, 32)
    np.testing.assert_array_equal(store[1][:1], plain[1])
    assert np.argwhere(store[1][1]).tolist() == [[3, 4]]
    assert np.argwhere(store[1][2] == 0).tolist() == [[5, 6]]
    assert not store[0][1].any()
    assert store[0][2].all()
    np.testing.assert_array_equal(store[1][:1], plain[1])  # what the cache holds is the picture alone


def test_labels_of_another_size_are_refused(pictures: tuple[Path, Path]) -> None:
    listed = list_folders(*pictures, None)[:1]
    with pytest.raises(ValueError, match=r"with_00\.png: pseudo-labels of \(31, 32\)"):
        PseudoLabelledStore(listed, [np.zeros((31, 32), np.uint8)], SCALING, 32, 16)
