"""The branched GAN: a picture reconstructed as a sum of branches, the first of which holds the distinction.

``losses`` has the equations, ``settings`` their weights, ``method`` the step, ``predictor`` the map.
"""

from __future__ import annotations

from distmap.methods.branched_gan.method import BranchedGan

__all__ = ["BranchedGan"]
