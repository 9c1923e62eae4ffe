"""Kinds of numbers that settings have, checked where a configuration is read."""

from __future__ import annotations

import math
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

Count = Annotated[int, Ge(1), Le(10**9)]
Channels = Annotated[int, Ge(1), Le(4096)]
"""Of a layer of a network."""
BatchSize = Annotated[int, Ge(2), Le(4096)]
Radius = Annotated[int, Ge(1), Le(256)]
"""In pixels of the network; what maps are made with takes longer and more memory with it."""
Sigma = Annotated[float, Ge(0), Le(100)]
"""The same."""
NonNegative = Annotated[float, Ge(0), Lt(math.inf)]
Positive = Annotated[float, Gt(0), Lt(math.inf)]
Fraction = Annotated[float, Ge(0), Lt(1)]
"""0 included, 1 not."""
UpToOne = Annotated[float, Ge(0), Le(1)]
