"""Which slices are chosen, and what their level tells."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.scans.slices import choose_slices, level_auroc, slice_picture
from pipelines.scans.volumes import Volume


class TestChoice:
    def volume(self, brain_pixels: list[int], tumour_pixels: list[int]) -> Volume:
        def filled(counts: list[int]) -> NDArray[np.bool_]:
            return np.array([np.arange(400).reshape(20, 20) < count for count in counts])

        return Volume(
            picture_ZHWC=filled(brain_pixels).astype(np.uint8)[..., None] * 50, tumour_ZHW=filled(tumour_pixels)
        )

    def test_by_brain_and_tumour(self) -> None:
        volume = self.volume([0, 99, 100, 300, 400, 400, 200, 100, 20], [0, 9, 0, 4, 5, 90, 0, 0, 0])
        chosen = choose_slices("a", volume, min_tumour=5, min_brain=0.25)
        assert [(piece.number, piece.tumour) for piece in chosen] == [
            (2, False), (4, True), (5, True), (6, False), (7, False)
        ]  # fmt: skip
        assert [piece.level for piece in chosen] == [0, 0.4, 0.6, 0.8, 1]

    def test_level_alone(self) -> None:
        # Tenths of 20 slices hold two each: 0..3 without, 4..7 with, 8 and 9 one of each kind.
        volume = self.volume([400] * 20, [0] * 8 + [9] * 8 + [0, 9, 0, 9])
        chosen = choose_slices("a", volume, min_tumour=1, min_brain=0.25)
        # Pairs in order but for ties: of 10 x 10, 2 x 2 are half right.
        assert level_auroc(chosen) == pytest.approx(0.98)
        assert level_auroc([piece for piece in chosen if piece.tumour]) is None


class TestNeighbours:
    def volume(self) -> Volume:
        """Four slices of two bands: band c of slice z is 10 z + c, in every pixel."""
        values_ZHWC = np.broadcast_to(
            np.array([[0, 1], [10, 11], [20, 21], [30, 31]], np.uint8)[:, None, None], (4, 3, 5, 2)
        )
        return Volume(picture_ZHWC=values_ZHWC, tumour_ZHW=np.zeros((4, 3, 5), bool))

    @pytest.mark.parametrize(
        ("number", "neighbours", "bands"),
        [
            (2, 0, [20, 21]),
            (1, 1, [0, 1, 10, 11, 20, 21]),
            (0, 1, [0, 1, 0, 1, 10, 11]),
            (3, 2, [10, 11, 20, 21, 30, 31, 30, 31, 30, 31]),
        ],
    )
    def test_from_the_lowest_up_with_ends_repeated(self, number: int, neighbours: int, bands: list[int]) -> None:
        picture_HWC = slice_picture(self.volume(), number, neighbours)
        assert picture_HWC.shape == (3, 5, len(bands))
        assert picture_HWC[0, 0].tolist() == picture_HWC[2, 4].tolist() == bands
