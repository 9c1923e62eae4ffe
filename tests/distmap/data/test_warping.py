"""Random warps against what they say they do, and colour jitter by hand."""

from __future__ import annotations

import math

import pytest
import torch

from distmap.data.warping import WarpSettings, colour_jitter, random_affines, warp


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("any_angle", [False, True])
def test_affines_stay_within_their_bounds(any_angle: bool) -> None:
    affines = random_affines(2000, WarpSettings(), any_angle=any_angle, rng=rng())
    assert affines.shape == (2000, 2, 3)
    (a, b), (c, d) = affines[:, 0, :2].T, affines[:, 1, :2].T
    torch.testing.assert_close(a, d)  # a rotation and a scale, nothing else
    torch.testing.assert_close(b, -c)
    scale, angle = torch.hypot(a, c), torch.rad2deg(torch.atan2(c, a))
    assert scale.min() == pytest.approx(math.exp(-0.25), abs=0.01)
    assert scale.max() == pytest.approx(math.exp(0.25), abs=0.01)
    widest = 180 if any_angle else 25
    assert angle.min() == pytest.approx(-widest, abs=1)
    assert angle.max() == pytest.approx(widest, abs=1)
    assert affines[:, :, 2].abs().max() == pytest.approx(0.3, abs=0.01)  # 15 % of a side that is 2 long


def test_warp_shifts_by_whole_pixels() -> None:
    picture = torch.arange(16.0).reshape(1, 1, 4, 4)
    one_left = torch.tensor([[[1.0, 0, 0.5], [0, 1, 0]]])  # a quarter of the side: one pixel
    torch.testing.assert_close(warp(picture, one_left, beyond="zeros")[0, 0, 0], torch.tensor([1.0, 2, 3, 0]))
    torch.testing.assert_close(warp(picture, one_left, beyond="reflection")[0, 0, 0], torch.tensor([1.0, 2, 3, 3]))


def test_warp_turns_a_quarter() -> None:
    picture = torch.rand(1, 2, 5, 5, generator=rng())
    quarter = torch.tensor([[[0.0, -1, 0], [1, 0, 0]]])
    torch.testing.assert_close(warp(picture, quarter, beyond="zeros"), torch.rot90(picture, 1, (2, 3)))


def test_a_crop_shows_a_part_of_the_picture_anywhere_within_it() -> None:
    still = WarpSettings(turn=0, zoom=0, shift=0, light=0)
    affines = random_affines(2000, still, any_angle=False, rng=rng(), shown=0.25)
    torch.testing.assert_close(affines[:, :, :2], 0.25 * torch.eye(2).expand(2000, 2, 2))
    for shifts in affines[:, :, 2].T:  # the picture reaches from -1 to 1, half of the crop is a quarter long
        assert shifts.min() == pytest.approx(-0.75, abs=0.01)
        assert shifts.max() == pytest.approx(0.75, abs=0.01)
    # Zoom, angle and shift are those of the crop.
    affines = random_affines(2000, WarpSettings(), any_angle=False, rng=rng(), shown=0.25)
    assert torch.hypot(*affines[:, :, 0].T).max() == pytest.approx(0.25 * math.exp(0.25), abs=0.01)
    assert affines[:, :, 2].abs().max() == pytest.approx(0.75 + 0.25 * 0.3, abs=0.01)


def test_a_crop_has_the_pixels_of_the_picture() -> None:
    picture = torch.rand(2, 3, 16, 16, generator=rng())
    upper_left, lower_right = torch.tensor([[[0.5, 0, -0.5], [0, 0.5, -0.5]], [[0.5, 0, 0.5], [0, 0.5, 0.5]]])
    crops = warp(picture, torch.stack([upper_left, lower_right]), beyond="zeros", side=8)
    torch.testing.assert_close(crops[0], picture[0, :, :8, :8])
    torch.testing.assert_close(crops[1], picture[1, :, 8:, 8:])
    assert warp(picture, torch.stack([upper_left, lower_right]), beyond="zeros", side=4).shape == (2, 3, 4, 4)


def test_colour_jitter_changes_each_picture_by_its_own_curve() -> None:
    x = torch.linspace(-1, 1, 9).reshape(1, 1, 1, 9).repeat(500, 1, 1, 1)
    jittered = colour_jitter(x, 0.3, rng())
    ends = (jittered[:, 0, 0, 0], jittered[:, 0, 0, -1])  # gamma leaves the ends where they are
    contrast, brightness = (ends[1] - ends[0]) / 2 - 1, (ends[0] + ends[1]) / 2
    for change in (contrast, brightness):
        assert change.min() == pytest.approx(-0.3, abs=0.01)
        assert change.max() == pytest.approx(0.3, abs=0.01)
    middle = ((jittered[:, 0, 0, 4] - brightness) / (1 + contrast) + 1) / 2
    assert middle.min() == pytest.approx(0.5 ** math.exp(0.3), abs=0.01)
    assert middle.max() == pytest.approx(0.5 ** math.exp(-0.3), abs=0.01)
    assert (jittered.diff(dim=-1) > 0).all()  # brighter stays brighter


def test_the_same_rng_gives_the_same_pictures() -> None:
    x = torch.rand(2, 3, 8, 8, generator=rng(1)) * 2 - 1
    assert torch.equal(colour_jitter(x, 0.3, rng()), colour_jitter(x, 0.3, rng()))
    assert not torch.equal(colour_jitter(x, 0.3, rng()), colour_jitter(x, 0.3, rng(1)))
    first, again = (random_affines(3, WarpSettings(), any_angle=True, rng=rng()) for _ in range(2))
    assert torch.equal(first, again)


def test_settings_of_0_leave_pictures_as_they_are() -> None:
    none = WarpSettings(turn=0, zoom=0, shift=0, light=0)
    affines = random_affines(2, none, any_angle=False, rng=rng())
    torch.testing.assert_close(affines, torch.eye(2, 3).expand(2, 2, 3))
    x = torch.rand(2, 3, 8, 8, generator=rng(1)) * 2 - 1
    torch.testing.assert_close(colour_jitter(x, none.light, rng()), x)
