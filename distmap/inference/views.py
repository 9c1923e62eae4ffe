"""What the networks of a run give of pictures, averaged over the symmetries of the data."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from distmap.data.batches import symmetries
from distmap.data.folders import WITH, WITHOUT
from distmap.networks.generators import Generator
from distmap.networks.localizer import Locator


def over_symmetries(x_BCHW: Tensor, symmetry: str, look: Callable[[Tensor], Tensor]) -> Tensor:
    """Mean over the views that leave the label alone, each turned back: B x K x H x W of a ``look`` that gives that."""
    views = symmetries(symmetry)
    total = None
    for turns, mirror in views:
        view = torch.rot90(x_BCHW, turns, (2, 3))
        seen = look(view.flip(-1) if mirror else view)
        seen = torch.rot90(seen.flip(-1) if mirror else seen, -turns, (2, 3))
        total = seen if total is None else total + seen
    assert total is not None
    return total / len(views)


def painted(generator: Generator, locator: Locator, x_BCHW: Tensor) -> Tensor:
    """Everything that the map is made of, B x (2NC + 1) x H x W: the branches as WITHOUT, then as WITH, each with its C
    bands, then the locator's logit at each place."""
    features = generator.encode(x_BCHW)
    # Not len(), which would make the size of the batch a constant of an exported graph.
    labels_B = torch.full((x_BCHW.shape[0],), WITHOUT, device=x_BCHW.device)
    without = generator.paint(features, labels_B)
    with_ = generator.paint(features, torch.full_like(labels_B, WITH))
    place = F.interpolate(locator.places(x_BCHW)[:, None], x_BCHW.shape[2:], mode="bilinear")
    return torch.cat([without.flatten(1, 2), with_.flatten(1, 2), place], dim=1)
