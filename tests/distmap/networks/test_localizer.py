"""Classifiers that look at each location by itself, and several of them together."""

from __future__ import annotations

import pytest
import torch

from distmap.networks.localizer import Localizer, LocationClassifier


@pytest.mark.parametrize("sharpness", [0.5, 4.0])
def test_a_location_classifier_pools_its_locations(sharpness: float) -> None:
    network = LocationClassifier(2, width=8, sharpness=sharpness).eval()
    x = torch.rand(3, 2, 32, 48)
    logits = network.location_logits(x)
    assert logits.shape == (3, 8, 12)
    expected = (sharpness * logits).exp().mean(dim=(1, 2)).log() / sharpness
    torch.testing.assert_close(network(x), torch.stack([torch.zeros(3), expected], dim=1))


def test_the_location_logits_of_the_localizer_are_the_mean_of_its_members() -> None:
    network = Localizer(2, members=2, width=8, sharpness=1.0).eval()
    x = torch.rand(3, 2, 32, 48)
    first, second = network.members
    assert not torch.allclose(first.location_logits(x), second.location_logits(x))
    torch.testing.assert_close(network.location_logits(x), (first.location_logits(x) + second.location_logits(x)) / 2)


def test_the_first_in_rank_guides_and_those_without_a_vote_say_nothing() -> None:
    network = Localizer(2, members=3, width=8, sharpness=1.0).eval()
    x = torch.rand(3, 2, 32, 48)
    a, _, c = network.members
    network.rank([2, 0, 1], 2)
    assert network.guide is c
    torch.testing.assert_close(network.location_logits(x), (c.location_logits(x) + a.location_logits(x)) / 2)
    again = Localizer(2, members=3, width=8, sharpness=1.0).eval()
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again.location_logits(x), network.location_logits(x))


def test_a_location_of_the_localizer_sees_only_what_is_near() -> None:
    network = Localizer(1, members=3, width=8, sharpness=1.0).eval()
    x = torch.rand(1, 1, 96, 96)
    changed = x.clone()
    changed[..., 60:] = 0
    difference = (network.location_logits(x) - network.location_logits(changed))[0].abs().amax(dim=0)
    assert (difference[:8] == 0).all()
    assert difference[15] > 0
