"""Blocks that several networks are made of."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from distmap.networks.blocks import StyledBlock, StyledNorm, level_widths


def test_level_widths() -> None:
    assert level_widths(32, 100, 3) == [32, 64, 100, 100]


def test_styled_norm_by_hand() -> None:
    norm = StyledNorm(1, 2).eval()
    norm.norm.running_mean, norm.norm.running_var = torch.tensor([3.0]), torch.tensor([4.0])
    with torch.no_grad():
        norm.affine.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        norm.affine.bias.zero_()
    # (7 - 3) / 2 = 2; gain 1 + 0.5, bias -1
    assert norm(torch.full((1, 1, 1, 1), 7.0), torch.tensor([[0.5, -1.0]])).item() == pytest.approx(2.0, abs=1e-4)


def test_a_decoder_level_sees_what_is_below_enlarged_and_laid_next_to_what_is_beside() -> None:
    torch.manual_seed(0)
    block = StyledBlock(4, 3, 5, 2).eval()
    below, beside, style = torch.rand(4, 4, 3, 2), torch.rand(2, 3, 6, 4), torch.rand(4, 2)  # two styles a picture
    twice = torch.cat([beside, beside])
    large = below.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    normed = torch.cat([block.norm_below(large, style), block.norm_beside(twice, style)], dim=1)
    weight = torch.cat([block.conv_below.weight, block.conv_beside.weight], dim=1)
    h = F.conv2d(F.leaky_relu(normed, 0.2), weight, block.conv_below.bias)
    h = block.conv(F.leaky_relu(block.norm(h, style), 0.2))
    straight = torch.cat([block.shortcut_below.weight, block.shortcut_beside.weight], dim=1)
    expected = (F.conv2d(torch.cat([large, twice], dim=1), straight) + h) * 2**-0.5
    torch.testing.assert_close(block(below, beside, style), expected)
