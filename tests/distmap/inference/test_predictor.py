"""What every predictor has: kinds of map, and the one way from raw outputs to the map."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from distmap.inference.predictor import Predictor


class Blurred(Predictor):
    """Coarse map: the raw outputs' maximum over 3 x 3; refined: times the picture."""

    kinds = ("first", "second")

    def coarse_map(self, raw_BKHW: Tensor, kind: str | None = None) -> Tensor:
        return torch.nn.functional.max_pool2d(raw_BKHW, 3, 1, 1)[:, 0]

    def coarse_margin(self) -> int:
        return 1

    def refine(
        self,
        map_BHW: Tensor,
        picture_BCHW: Tensor,
        scale: float,
        valid_BHW: Tensor | None = None,
        kind: str | None = None,
    ) -> Tensor:
        return map_BHW * picture_BCHW[:, 0] * (2 if kind == "second" else 1)


def test_a_kind_is_chosen() -> None:
    predictor = Blurred(8)
    assert (predictor.kind, predictor.follow_edges) == ("first", True)
    chosen = predictor.choose("second", follow_edges=False)
    assert (chosen.kind, chosen.follow_edges) == ("second", False)
    with pytest.raises(ValueError, match="map kind 'third': choose one of first, second"):
        predictor.choose("third", follow_edges=True)


def test_the_map_is_made_at_the_networks_scale_and_refined_at_the_pictures() -> None:
    raw, picture = torch.zeros(1, 1, 4, 4), torch.full((1, 1, 8, 8), 2.0)
    raw[..., 1, 1] = 1
    found = Blurred(4).to_map(raw, picture, 2.0)
    coarse = torch.zeros(1, 1, 4, 4)
    coarse[..., :3, :3] = 1
    expected = 2 * torch.nn.functional.interpolate(coarse, size=(8, 8), mode="bilinear")[:, 0]
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(Blurred(4).to_map(raw, picture, 2.0, kind="second"), 2 * expected)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 4.0, 1.7])
def test_the_map_of_a_part_is_the_part_of_the_map(scale: float) -> None:
    """Where it is further than the margin from the part's border, wherever the part begins in the raw outputs."""
    predictor = Blurred(32)
    side = round(40 * scale)
    raw, picture = torch.rand(1, 1, 40, 40), torch.rand(1, 1, side, side)
    whole = predictor.to_map(raw, picture, scale)
    top, left = round(9 * scale), round(5 * scale) + 1
    rows, columns = int(top / scale), int(left / scale)
    part = predictor.to_map(
        raw[..., rows:, columns:],
        picture[..., top:, left:],
        scale,
        top=top - rows * scale,
        left=left - columns * scale,
    )
    margin = predictor.margin(scale)
    torch.testing.assert_close(part[:, margin:, margin:], whole[:, top + margin :, left + margin :])
