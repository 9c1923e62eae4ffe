"""Pieces of what is sure, pasted onto pictures WITHOUT, and their labels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from distmap.data.folders import WITH, WITHOUT
from distmap.data.pasting import PasteSettings, paste

SIZE = 24
ALL = PasteSettings(fraction=1.0)


def batch(pairs: int = 1) -> tuple[Tensor, Tensor]:
    """Pictures WITH, whose pixels are 1 in a block that is sure and 0.5 elsewhere, then pictures WITHOUT, all -1."""
    planes = torch.zeros(2 * pairs, 4, SIZE, SIZE)
    planes[:pairs, :2] = 0.5
    planes[:pairs, :2, 5:12, 8:18] = 1.0
    planes[:pairs, 2, 5:12, 8:18] = 1.0
    planes[:pairs, 3, 5:12, 8:18] = 1.0  # the rest is ignored
    planes[pairs:, :2] = -1.0
    planes[pairs:, 3] = 1.0
    return planes, torch.tensor([WITH] * pairs + [WITHOUT] * pairs)


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_fraction_of_0_changes_nothing() -> None:
    planes, labels = batch(3)
    assert torch.equal(paste(planes, labels, PasteSettings(fraction=0.0), rng(0)), planes)


def test_what_is_sure_and_nothing_else_is_pasted_and_labelled() -> None:
    planes, labels = batch()
    before = planes.clone()
    covered, decoys = [], 0
    for seed in range(60):
        with_, without = paste(planes, labels, ALL, rng(seed))
        assert torch.equal(with_, planes[0])
        assert (without[3] == 1).all()  # of the outline all is known
        labelled = without[2] == 1
        decoys += int(not labelled.any())
        # A decoy of the only picture WITHOUT looks like what it covers.
        for band in without[:2]:
            assert torch.equal(band, torch.where(labelled, 1.0, -1.0))
        covered.append(int(labelled.sum()))
    assert torch.equal(planes, before)
    assert 0 < max(covered) <= 70
    assert len(set(covered)) > 20  # of many shapes
    assert decoys / 60 == pytest.approx(ALL.decoys, abs=0.15)


def test_a_decoy_is_a_piece_of_another_picture_without() -> None:
    planes, labels = batch(2)
    planes[3, :2] = -0.25
    seen = set()
    for seed in range(80):
        changed = paste(planes, labels, ALL, rng(seed))[2]
        for value in set(changed[0].flatten().tolist()):
            seen.add(value)
            assert (changed[2][changed[0] == value] == (1 if value == 1 else 0)).all()
    assert seen == {-1.0, -0.25, 1.0}


def test_pieces_go_on_at_the_opposite_border() -> None:
    planes, labels = batch()
    rows = torch.zeros(SIZE, dtype=torch.bool)
    for seed in range(80):
        rows |= (paste(planes, labels, ALL, rng(seed))[1, 2] == 1).any(dim=1)
    assert rows.all()


def test_where_nothing_is_sure_or_no_picture_has_the_thing_nothing_is_pasted() -> None:
    planes, labels = batch()
    planes[0, 2] = 0
    assert torch.equal(paste(planes, labels, ALL, rng(1)), planes)
    planes, _ = batch()
    assert torch.equal(paste(planes, torch.tensor([WITHOUT, WITHOUT]), ALL, rng(1)), planes)


def test_the_rng_decides() -> None:
    planes, labels = batch(4)
    first, again, other = (paste(planes, labels, PasteSettings(fraction=0.7), rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_settings_say_how_many_decoys_there_are_and_how_large_pieces() -> None:
    planes, labels = batch()
    none = PasteSettings(fraction=1.0, decoys=0.0)
    assert all((paste(planes, labels, none, rng(seed))[1, 2] == 1).any() for seed in range(20))
    only = PasteSettings(fraction=1.0, decoys=1.0)
    assert all((paste(planes, labels, only, rng(seed))[1, 2] == 0).all() for seed in range(20))
    # 70 pixels are sure: a piece of a tenth of the root of that is a pixel.
    small = PasteSettings(fraction=1.0, decoys=0.0, least_side=0.1, greatest_side=0.1)
    assert {int((paste(planes, labels, small, rng(seed))[1, 2] == 1).sum()) for seed in range(20)} == {1}
