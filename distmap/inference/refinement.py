"""What maps are made with: pure functions on batches of maps, B x H x W, the same for pictures, scenes and graphs.

All work on maps and pictures whose values are float tensors; radii and sigmas are in pixels of what is given.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FLAT = 1e-6  # variance of a picture in [-1, 1] or of a saturated map, below which it is noise of the numbers


def gaussian(x_BHW: Tensor, sigma: float) -> Tensor:
    """Gaussian smoothing; the border is repeated and the kernel ends at 4 sigma, as ``gaussian_reach`` says."""
    if sigma == 0:
        return x_BHW
    radius = gaussian_reach(sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    line = torch.exp(-0.5 * (offsets / sigma) ** 2)
    line = (line / line.sum()).to(x_BHW)
    padded = F.pad(x_BHW[:, None], (radius,) * 4, mode="replicate")
    down = F.conv2d(padded, line[None, None, :, None])
    return F.conv2d(down, line[None, None, None, :])[:, 0]


def gaussian_reach(sigma: float) -> int:
    """How far around a pixel ``gaussian`` looks."""
    return int(4 * sigma + 0.5)


def local_maximum(x_BHW: Tensor, radius: int) -> Tensor:
    """Greatest value within squares of side 2 ``radius`` + 1, of what lies inside."""
    size = 2 * radius + 1
    rows = F.max_pool2d(x_BHW[:, None], (size, 1), stride=1, padding=(radius, 0))
    return F.max_pool2d(rows, (1, size), stride=1, padding=(0, radius))[:, 0]


def box_sum(x_BHW: Tensor, radius: int) -> Tensor:
    """Sum over squares of side 2 ``radius`` + 1, of what lies inside; in float64, at a cost that no radius changes."""
    return _line_sum(_line_sum(x_BHW, radius, dim=-1), radius, dim=-2)


def _line_sum(x: Tensor, radius: int, dim: int) -> Tensor:
    """Sum over 2 ``radius`` + 1 neighbours along one axis, of what lies inside; float64."""
    length = x.shape[dim]
    places = torch.arange(length, device=x.device)
    ends, starts = (places + radius + 1).clamp(max=length), (places - radius).clamp(min=0)
    until = _sum_until(x, dim)
    return until.index_select(dim, ends) - until.index_select(dim, starts)


def _sum_until(x: Tensor, dim: int) -> Tensor:
    """Sum along an axis of all that lies before each of its pixels, and of all; float64."""
    total = torch.cumsum(x.double(), dim)
    return F.pad(total.movedim(dim, -1), (1, 0)).movedim(-1, dim)


def box_mean(x_BHW: Tensor, radius: int) -> Tensor:
    """Mean over squares of side 2 ``radius`` + 1, the border repeated."""
    size = 2 * radius + 1
    mean = F.pad(x_BHW[:, None], (radius,) * 4, mode="replicate")[:, 0]
    for dim in (-1, -2):
        until = _sum_until(mean, dim)
        length = x_BHW.shape[dim]
        mean = ((until.narrow(dim, size, length) - until.narrow(dim, 0, length)) / size).to(x_BHW)
    return mean


def suppress_halos(x_BHW: Tensor, fraction: float, radius: int) -> Tensor:
    """Set to zero what is less than ``fraction`` of the largest value within ``radius``: the blurred rim of something
    stronger is not part of it."""
    if fraction == 0:
        return x_BHW
    return torch.where(x_BHW >= fraction * local_maximum(x_BHW, radius), x_BHW, 0.0)


def guided_filter(x_BHW: Tensor, guide_BHW: Tensor, radius: int, softness: float) -> Tensor:
    """Values as a local linear function of a guide, in squares of side 2 ``radius`` + 1 (He, Sun & Tang 2013, eq. 5, 6
    and 8); edges of the guide weaker than the square root of ``softness`` are smoothed over. Borders are repeated."""
    mean_guide, mean_x = box_mean(guide_BHW, radius), box_mean(x_BHW, radius)
    variance = (box_mean(guide_BHW * guide_BHW, radius) - mean_guide * mean_guide).clamp(min=0.0)
    slope = (box_mean(guide_BHW * x_BHW, radius) - mean_guide * mean_x) / (variance + softness)
    return box_mean(slope, radius) * guide_BHW + box_mean(mean_x - slope * mean_guide, radius)


def follow_edges(map_BHW: Tensor, picture_BHW: Tensor, radius: int, *, saturation: float, softness: float) -> Tensor:
    """Move a map's edges to those of the picture within ``radius`` (guided-filter refinement).

    ``picture_BHW``: mean over the bands of the picture in [-1, 1]. What is filtered is m / (m + ``saturation``), so
    that one bright spot does not outweigh all around it; the result is in the unit of the map again, and nowhere more
    than the map is nearby: a line through a few values overshoots at the brightest and darkest pixels.
    """
    if radius == 0:
        return map_BHW
    saturated = map_BHW / (map_BHW + saturation)
    filtered = guided_filter(saturated, picture_BHW, radius, softness).clamp(min=0.0)
    filtered = torch.minimum(filtered, local_maximum(saturated, radius))
    return saturation * filtered / (1 - filtered)


def normalise_locally(
    map_BHW: Tensor, radius: int, exponent: float, *, mean: float, floor: float, valid_BHW: Tensor | None = None
) -> Tensor:
    """Make a map alike strong everywhere: m (``mean`` / (mean of m around + ``floor``)) ** ``exponent``.

    How much is changed differs with a picture's contrast, and one threshold is to serve all. The mean is that within
    ``radius``, of what lies within the picture and is valid; so one of a picture that the network sees whole is the
    same everywhere, and a scene is normalised location by location.
    """
    if exponent == 0:
        return map_BHW
    if valid_BHW is None:
        rows, columns = (_line_sum(map_BHW.new_ones(length), radius, dim=0) for length in map_BHW.shape[-2:])
        total, count = box_sum(map_BHW, radius), rows[:, None] * columns
    else:
        weight_BHW = valid_BHW.to(map_BHW)
        total, count = box_sum(map_BHW * weight_BHW, radius), box_sum(weight_BHW, radius).clamp(min=1.0)
    around = total.clamp(min=0.0) / count  # rounding may leave less than nothing
    return (map_BHW * (mean / (around + floor)) ** exponent).to(map_BHW)


def shrink(map_BHW: Tensor, noise: float) -> Tensor:
    """Take what is faint for less, as a Wiener filter does: m m / (m + ``noise``). The order of pixels stays."""
    return map_BHW if noise == 0 else map_BHW * map_BHW / (map_BHW + noise)


def resample(x_BKHW: Tensor, height: int, width: int, scale: float, *, top: float = 0.0, left: float = 0.0) -> Tensor:
    """B x K x H x W on another grid, whose pixels are 1 / ``scale`` of one of these and begin ``top`` and ``left`` of
    them inside: area averages where that shrinks, linear interpolation where it enlarges; borders are repeated.
    """
    if scale == 1 and top == left == 0 and (height, width) == x_BKHW.shape[-2:]:
        return x_BKHW
    rows = resampling_weights(x_BKHW.shape[-2], height, scale, top).to(x_BKHW)
    columns = resampling_weights(x_BKHW.shape[-1], width, scale, left).to(x_BKHW)
    return rows @ x_BKHW @ columns.T


def resampling_weights(before: int, after: int, scale: float, start: float = 0.0) -> Tensor:
    """Weights, ``after`` x ``before``, with which ``resample`` takes pixels along one axis; rows add up to 1."""
    pixels = torch.arange(before, dtype=torch.float64)
    first = (torch.arange(after, dtype=torch.float64) + start)[:, None] / scale
    if scale >= 1:
        centre = (first + 0.5 / scale - 0.5).clamp(0, before - 1)
        return (1 - (centre - pixels).abs()).clamp(min=0)
    overlap = torch.minimum(pixels + 1, first + 1 / scale) - torch.maximum(pixels, first)
    weights = overlap.clamp(min=0)
    # Beyond the last pixel its value goes on.
    weights[:, -1] += (first[:, 0] + 1 / scale - before).clamp(min=0, max=1 / scale)
    return weights / weights.sum(dim=1, keepdim=True)


def edge_contrast(map_HW: Tensor, picture_HW: Tensor, radius: int, *, saturation: float) -> float | None:
    """How much a picture varies where its map has edges, over how much it varies usually.

    Variances are those within squares of side 2 ``radius`` + 1; *where* weighs them by that of m / (m +
    ``saturation``), *usually* is their median. In pictures that are texture all over it is small (2.4 for the generated
    set ``effect``), and there edges are not worth following. None where the map is the same everywhere.
    """

    def variance(x_HW: Tensor) -> Tensor:
        x_BHW = x_HW[None].double()
        mean_BHW = box_mean(x_BHW, radius)
        return (box_mean(x_BHW * x_BHW, radius) - mean_BHW * mean_BHW).clamp(min=0.0)[0]

    of_map, of_picture = variance(map_HW / (map_HW + saturation)), variance(picture_HW)
    if float(of_map.max()) < FLAT:
        return None
    usually = max(_median(of_picture), FLAT)
    return float((of_picture * of_map).sum() / of_map.sum()) / usually


def _median(x: Tensor) -> float:
    ordered = x.flatten().sort().values
    middle = (len(ordered) - 1) // 2, len(ordered) // 2
    return float(ordered[list(middle)].mean())
