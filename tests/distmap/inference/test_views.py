"""Views of a picture are turned back before they are averaged."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from distmap.config import resolve
from distmap.inference.views import over_symmetries, painted
from distmap.networks.generators import Generator
from distmap.networks.localizer import Locator


@pytest.mark.parametrize(("symmetry", "count"), [("none", 1), ("mirror", 2), ("all", 8)])
def test_every_view_comes_back_to_its_place(symmetry: str, count: int) -> None:
    x = torch.rand(2, 3, 6, 6)
    seen: list[Tensor] = []

    def look(view: Tensor) -> Tensor:
        seen.append(view)
        return view[:, :2] * 3

    torch.testing.assert_close(over_symmetries(x, symmetry, look), x[:, :2] * 3)
    assert len({tuple(view.flatten().tolist()) for view in seen}) == count


def test_a_mean_is_taken() -> None:
    x = torch.zeros(1, 1, 2, 2)
    columns = torch.tensor([[0.0, 1], [0, 1]]).expand(1, 1, 2, 2)
    assert over_symmetries(x, "none", lambda _: columns)[0, 0].tolist() == [[0, 1], [0, 1]]
    assert over_symmetries(x, "mirror", lambda _: columns)[0, 0].tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_painted_holds_branches_and_places_in_order() -> None:
    config = resolve(overrides={"image_size": 32, "generator": {"width": 8, "max_width": 16, "branches": 2}})
    generator, locator = Generator(config.generator, 3).eval(), Locator(config.locator, 3).eval()
    x = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        everything = painted(generator, locator, x)
        features = generator.encode(x)
        assert everything.shape == (2, 2 * 2 * 3 + 1, 32, 32)
        for label in (0, 1):
            branches = generator.paint(features, torch.tensor([label, label]))
            torch.testing.assert_close(everything[:, 6 * label : 6 * label + 3], branches[:, 0])
            torch.testing.assert_close(everything[:, 6 * label + 3 : 6 * label + 6], branches[:, 1])
        assert everything[:, -1].mean() == pytest.approx(float(locator.places(x).mean()), abs=0.05)
