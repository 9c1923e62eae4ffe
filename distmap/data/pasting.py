"""Cutting out what a map is sure of and pasting it elsewhere: there its outline is known.

Maps are vague about outlines, and a network that is told nothing of them learns round ones. Onto pictures WITHOUT,
pieces of any shape are pasted, of what is sure in pictures WITH (Dwibedi et al. 2017, "Cut, Paste and Learn").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from distmap.common.kinds import Positive, UpToOne
from distmap.data.folders import WITH, WITHOUT


@dataclass(frozen=True, kw_only=True)
class PasteSettings:
    """What is pasted onto pictures WITHOUT."""

    fraction: UpToOne = 0.9
    """Of the pictures WITHOUT, onto which a piece is pasted."""
    decoys: UpToOne = 0.2
    """Of the pieces, that are cut from pictures WITHOUT, so that a seam alone does not give the thing away."""
    least_side: Positive = 0.4
    """Of a piece, over the root of the area of all that is sure in its picture."""
    greatest_side: Positive = 1.6
    """The same."""


def paste(planes_BKHW: Tensor, labels_B: Tensor, settings: PasteSettings, rng: torch.Generator) -> Tensor:
    """The batch, with a piece of another of its pictures pasted onto a ``fraction`` of those WITHOUT.

    Planes are a picture's bands, the target (1: the thing) and its weight; the target is 1 where a piece of a picture
    WITH lies, and as it was where it is a decoy. Pieces keep size and direction; they lie anywhere, and go on beyond
    the border at the opposite one. ``rng`` is a CPU generator.
    """
    pasted = planes_BKHW.clone()
    with_, without = (torch.nonzero(labels_B == label).flatten().tolist() for label in (WITH, WITHOUT))
    for index in without if with_ else ():
        chance, kind, *place = torch.rand(4, generator=rng).tolist()
        giver, other = (members[int(_draw(rng) * len(members))] for members in (with_, without))
        if chance >= settings.fraction:
            continue
        shifts = [int(part * side) for part, side in zip(place, planes_BKHW.shape[-2:], strict=True)]
        planes_KHW = torch.roll(planes_BKHW[giver], shifts, (-2, -1))
        piece_HW = _piece(planes_KHW[-2] > 0, settings, rng)
        if kind < settings.decoys:
            planes_KHW = torch.roll(planes_BKHW[other], shifts, (-2, -1))
        pasted[index, :-1] = torch.where(piece_HW, planes_KHW[:-1], pasted[index, :-1])
    return pasted


def _piece(sure_HW: Tensor, settings: PasteSettings, rng: torch.Generator) -> Tensor:
    """What of the sure pixels lies in a rectangle at any angle around one of them; nothing where there are none."""
    sure = torch.nonzero(sure_HW)
    if not len(sure):
        return sure_HW
    row, column = sure[int(_draw(rng) * len(sure))].tolist()
    angle, *sides = torch.rand(3, generator=rng).tolist()
    least, greatest = settings.least_side, settings.greatest_side
    half_height, half_width = (math.sqrt(len(sure)) * (least + (greatest - least) * side) / 2 for side in sides)
    down, across = (torch.arange(length, device=sure_HW.device) for length in sure_HW.shape)
    down, across = (down - row)[:, None], (across - column)[None]
    cosine, sine = math.cos(math.pi * angle), math.sin(math.pi * angle)
    along_HW, beside_HW = down * cosine + across * sine, across * cosine - down * sine
    piece_HW: Tensor = sure_HW & (along_HW.abs() <= half_height) & (beside_HW.abs() <= half_width)
    return piece_HW


def _draw(rng: torch.Generator) -> float:
    return float(torch.rand((), generator=rng))
