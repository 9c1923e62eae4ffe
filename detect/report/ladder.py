"""The thresholds that a report's slider stops at."""

from __future__ import annotations

STEPS = 11  # below the run's own threshold, and above it: 23 in all, so that 24 bits hold a mask for each
WIDEST = 10.0  # times the run's own, or a part of it
DIGITS = 3  # that people would type


def threshold_ladder(chosen: float, highest: float) -> tuple[float, ...]:
    """Thresholds in rising order, the chosen one among them to its last digit.

    There are 11 below it, down to a tenth, and 11 above it, up to ten times or to what no map reaches; each as much
    larger than the one before. All but the chosen one are rounded to three digits, fewer where these agree.

    Parameters
    ----------
    chosen
        The run's own, above 0.
    highest
        Greatest value of the maps.

    Examples
    --------
    >>> ladder = threshold_ladder(0.02, 1.0)
    >>> len(ladder), ladder[0], ladder[11], ladder[-1]
    (23, 0.002, 0.02, 0.165)
    """
    top = min(WIDEST * chosen, highest)
    below = {_rounded(chosen * WIDEST ** (-step / STEPS)) for step in range(1, STEPS + 1)}
    above = {_rounded(chosen * (top / chosen) ** (step / (STEPS + 1))) for step in range(1, STEPS + 1) if top > chosen}
    return tuple(sorted({value for value in below if 0 < value < chosen} | {chosen} | {v for v in above if v > chosen}))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
