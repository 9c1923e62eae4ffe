"""What the discriminator and the classifiers see: shifted, brightened, recoloured, differentiable, reproducible."""

from __future__ import annotations

import torch
from scipy.ndimage import gaussian_filter

from distmap.data.augment import augment, degrade, mix_bands


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_off_changes_nothing() -> None:
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(augment(x, 0.0, 0.0, rng()), x)


def test_shifts_by_whole_pixels_within_reach() -> None:
    side, reach = 16, 4
    ramp = torch.arange(side * side, dtype=torch.float32).reshape(1, 1, side, side).repeat(50, 1, 1, 1)
    moved = augment(ramp, 0.25, 0.0, rng())
    seen = set()
    for picture in moved[:, 0]:
        centre = int(picture[8, 8])
        down, right = centre // side - 8, centre % side - 8
        seen.add((down, right))
        assert max(abs(down), abs(right)) <= reach
        inside = picture[4:12, 4:12]  # the border may be mirrored
        assert torch.equal(inside, ramp[0, 0, 4 + down : 12 + down, 4 + right : 12 + right])
    assert len(seen) > 20


def test_contrast_and_brightness_are_one_line_a_picture() -> None:
    x = torch.rand(20, 2, 4, 4)
    out = augment(x, 0.0, 0.2, rng())
    for before, after in zip(x, out, strict=True):
        contrast = (after.max() - after.min()) / (before.max() - before.min())
        brightness = (after - contrast * before).flatten()
        assert abs(contrast - 1) <= 0.2 + 1e-5
        torch.testing.assert_close(brightness, brightness[:1].expand_as(brightness), atol=1e-5, rtol=0)
        assert brightness.abs().max() <= 0.2 + 1e-5


def test_the_same_rng_gives_the_same_result() -> None:
    x = torch.rand(4, 1, 16, 16)
    assert torch.equal(augment(x, 0.125, 0.2, rng(3)), augment(x, 0.125, 0.2, rng(3)))
    assert not torch.equal(augment(x, 0.125, 0.2, rng(3)), augment(x, 0.125, 0.2, rng(4)))


def test_gradients_pass() -> None:
    x = torch.rand(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: augment(p, 0.125, 0.2, rng()), (x,))


def test_largest_shift_of_the_smallest_picture() -> None:
    x = torch.rand(2, 1, 16, 16)
    assert augment(x, 0.99, 0.2, rng()).shape == x.shape


def test_one_band_keeps_its_colour() -> None:
    x = torch.rand(3, 1, 4, 4)
    assert torch.equal(mix_bands(x, 0.5, rng()), x)
    assert torch.equal(mix_bands(x.repeat(1, 3, 1, 1), 0, rng()), x.repeat(1, 3, 1, 1))


def test_bands_are_mixed_alike_over_a_picture() -> None:
    x = torch.rand(5, 3, 6, 6)
    mixed = mix_bands(x, 0.3, rng())
    for before, after in zip(x.flatten(2), mixed.flatten(2), strict=True):
        matrix = torch.linalg.lstsq(before.T, after.T).solution
        torch.testing.assert_close(matrix.T @ before, after, atol=1e-4, rtol=0)
        assert not torch.allclose(matrix, torch.eye(3), atol=0.05)
    assert torch.equal(mix_bands(x, 0.3, rng(3)), mix_bands(x, 0.3, rng(3)))


def test_mixing_grey_pictures_keeps_them_grey_without_noise() -> None:
    grey = torch.rand(4, 1, 5, 5).repeat(1, 3, 1, 1)
    torch.testing.assert_close(mix_bands(grey, 1e-6, rng()), grey, atol=1e-4, rtol=0)


def test_degraded_pictures_are_blurred_by_a_gaussian() -> None:
    x = torch.zeros(1, 2, 21, 21)
    x[0, :, 10, 10] = torch.tensor([1.0, 3.0])
    sigma = 1.5 * float(torch.rand((2, 1, 1), generator=rng(4))[0])
    slow = torch.from_numpy(gaussian_filter(x[0, 0].numpy(), sigma, radius=5, mode="nearest"))
    out = degrade(x, 1.5, 0.0, rng(4))
    torch.testing.assert_close(out[0, 0], slow, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(out[0, 1], 3 * slow, atol=1e-6, rtol=1e-4)
    assert out.shape == x.shape


def test_degraded_pictures_are_each_blurred_by_another_sigma_and_even_ones_stay() -> None:
    x = torch.full((6, 1, 16, 16), 0.3)
    torch.testing.assert_close(degrade(x, 2.0, 0.0, rng()), x)
    x[:, :, 8, 8] = 1.0
    assert len(set(degrade(x, 2.0, 0.0, rng())[:, 0, 8, 8].tolist())) == 6


def test_degraded_pictures_have_noise_of_their_own_strength() -> None:
    x = torch.zeros(40, 1, 64, 64)
    strengths = degrade(x, 0.0, 0.2, rng()).std(dim=(1, 2, 3))
    of_each = 0.2 * torch.rand((2, 40, 1), generator=rng())[1, :, 0]
    torch.testing.assert_close(strengths, of_each, atol=0.005, rtol=0.05)


def test_degrading_by_0_changes_nothing() -> None:
    x = torch.rand(3, 2, 9, 7)
    assert torch.equal(degrade(x, 0.0, 0.0, rng()), x)
