"""Pixels that hold nothing."""

from __future__ import annotations

import numpy as np

from distmap.common.nodata import fill_nearest


def test_nothing_is_filled_by_the_nearest() -> None:
    values = np.arange(20).reshape(4, 5, 1)
    valid = np.zeros((4, 5), bool)
    valid[1:3, 1:3] = True
    np.testing.assert_array_equal(
        fill_nearest(values, valid)[..., 0],
        [[6, 6, 7, 7, 7], [6, 6, 7, 7, 7], [11, 11, 12, 12, 12]] * 1 + [[11, 11, 12, 12, 12]],
    )
    valid[1, 1] = False  # no rectangle any more
    filled = fill_nearest(values, valid)[..., 0]
    np.testing.assert_array_equal(filled[valid], values[..., 0][valid])
    assert (filled[0, 3], filled[3, 0], filled[3, 4]) == (7, 11, 12)
    np.testing.assert_array_equal(fill_nearest(values, np.ones((4, 5), bool)), values)
