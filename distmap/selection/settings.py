"""How many pictures decide what is chosen without labels of pixels, and when one choice is better than another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt, Le

from distmap.common.kinds import Count, NonNegative, Radius


@dataclass(frozen=True, kw_only=True)
class SelectionSettings:
    """How weights, kind of map and threshold are chosen."""

    choice_views: Count = 200
    """Views of pictures of each class to choose weights by; each picture is seen in all its symmetries."""
    threshold_views: Count = 200
    """The same for the threshold; more would hardly move it."""
    least_pictures: Count = 60
    """Pictures of each class at least, where there are as many."""
    strength_fraction: Annotated[float, Gt(0), Le(1)] = 0.01
    """Fraction of a map's pixels, the strongest ones, that its strength is the mean of."""
    tie: NonNegative = 0.02
    """Differences of AUROC up to this say nothing: as much as a hundred pictures leave uncertain."""
    edge_contrast: NonNegative = 4.0
    """How much more pictures must vary where maps have edges than usually, for edges to be followed; the generated set
    ``effect`` has 2.4, cars 9 to 10, tumours 28 to 31."""
    edge_radius: Radius = 2
    """Radius of the squares whose variance is compared, in pixels of the network."""
    edge_saturation: Annotated[float, Gt(0)] = 0.05
    """Map at which half of what is compared is reached."""
