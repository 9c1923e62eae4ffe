"""Randomness that depends on (seed, stream, step) alone."""

from __future__ import annotations

import itertools

import torch

from distmap.data import seeding
from distmap.data.seeding import seeded_networks, step_rng


def test_draws_depend_on_seed_stream_and_step() -> None:
    drawn = {
        key: tuple(torch.rand(3, generator=step_rng(*key)).tolist()) for key in itertools.product((0, 1, 2), repeat=3)
    }
    assert len(set(drawn.values())) == 27
    assert tuple(torch.rand(3, generator=step_rng(1, 2, 0)).tolist()) == drawn[1, 2, 0]


def test_networks_depend_on_seed_and_stream() -> None:
    def weights(seed: int, stream: int) -> torch.Tensor:
        with seeded_networks(seed, stream):
            return torch.nn.Linear(3, 3).weight.detach()

    first = weights(0, 3)
    torch.rand(5)
    assert torch.equal(first, weights(0, 3))
    assert not torch.equal(first, weights(1, 3))
    assert not torch.equal(first, weights(0, 5))


def test_global_state_is_left_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    with seeded_networks(1, 1):
        torch.rand(100)
    step_rng(1, 1, 1)
    assert torch.equal(torch.rand(2), expected)


def test_no_two_ends_share_a_stream() -> None:
    single = (
        *(seeding.SPLIT, seeding.BATCHES, seeding.NETWORKS, seeding.STEPS),
        *(seeding.JUDGE, seeding.LOCALIZER, seeding.PICTURE_GUIDE),
    )
    assert single == (1, 2, 3, 4, 5, 6, 7)
    rounds = {seeding.STUDENT + number for number in range(100)}
    members = {seeding.LOCALIZER + number * seeding.MEMBER_STRIDE for number in range(1, 100)}
    assert not set(single) & rounds
    assert not (set(single) | rounds) & members
