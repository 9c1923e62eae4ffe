"""Every loss against a value worked out by hand, and where its gradient goes."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from distmap.methods.branched_gan import losses


def picture(rows: list[list[float]]) -> Tensor:
    """One picture of one band."""
    return torch.tensor(rows, dtype=torch.float64)[None, None]


def branches(*values: float) -> Tensor:
    """One 1 x 1 picture's branches, B x N x C x H x W."""
    return torch.tensor(values, dtype=torch.float64).reshape(1, -1, 1, 1, 1)


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [
        ([9.0, 1.0, 1.0], 1 + 2 + 3),  # all from the wanted class; the first column is not used
        ([9.0, 0.0, 0.0], 1 + 20 + 30),  # branches 2 and 3 from the other class
        ([9.0, 0.5, 0.5], 1 + 11 + 16.5),
        ([0.0, 1.0, 0.0], 1 + 2 + 30),
        ([0.0, 0.25, 0.75], 1 + (0.5 + 15) + (2.25 + 7.5)),
    ],
)
def test_blend_branches(alpha: list[float], expected: float) -> None:
    own, other = branches(1, 2, 3), branches(10, 20, 30)
    blended = losses.blend_branches(own, other, torch.tensor([alpha]))
    assert blended.shape == (1, 1, 1, 1)
    assert blended.item() == pytest.approx(expected)


def test_blend_draws_apart_for_each_picture() -> None:
    own = torch.ones(2, 2, 1, 1, 1)
    other = torch.full((2, 2, 1, 1, 1), 5.0)
    blended = losses.blend_branches(own, other, torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    assert blended.flatten().tolist() == [2.0, 6.0]


def test_a_single_branch_is_not_blended() -> None:
    assert losses.blend_branches(branches(3), branches(7), torch.tensor([[0.2]])).item() == 3


def test_blend_takes_nothing_from_the_other_class_in_branch_1() -> None:
    own, other = (branches(1, 2, 3).requires_grad_() for _ in range(2))
    losses.blend_branches(own, other, torch.tensor([[0.5, 0.25, 1.0]])).sum().backward()  # type: ignore[no-untyped-call]
    assert own.grad is not None
    assert other.grad is not None
    assert own.grad.flatten().tolist() == [1, 0.25, 1]
    assert other.grad.flatten().tolist() == [0, 0.75, 0]


def test_fidelity() -> None:
    # differences 0, 1, -2, 0.5: L1 = 3.5 / 4, L2 = 5.25 / 4
    made, real = picture([[0, 1], [-1, 0.5]]), picture([[0, 0], [1, 0]])
    assert losses.fidelity(made, real).item() == pytest.approx((3.5 + 5.25) / 4)


def test_gradient_fidelity() -> None:
    made, real = picture([[1, 2, 4], [0, 2, 2]]), picture([[0, 0, 0], [0, 0, 0]])
    # along y: -1, 0, -2; along x: 1, 2 and 2, 0
    along_y, along_x = (1 + 0 + 2) / 3 + (1 + 0 + 4) / 3, (1 + 2 + 2 + 0) / 4 + (1 + 4 + 4 + 0) / 4
    assert losses.gradient_fidelity(made, real).item() == pytest.approx(along_y + along_x)


def test_gradient_fidelity_ignores_a_constant_shift() -> None:
    real = torch.rand(2, 3, 5, 4, dtype=torch.float64)
    assert losses.gradient_fidelity(real + 0.3, real).item() == pytest.approx(0, abs=1e-12)


def test_focused_fidelity_looks_only_where_branch_1_is_strong() -> None:
    branch = picture([[0, 0.1], [-0.8, 0.9]])  # the mean of abs is 0.45: the lower two are chosen
    made, real = picture([[5, 5], [0.5, -0.25]]), picture([[0, 0], [0, 0]])
    assert losses.focused_fidelity(made, real, branch).item() == pytest.approx((0.5 + 0.25) / 2)


def test_focused_fidelity_takes_the_mean_for_each_picture() -> None:
    strong, weak = picture([[1, 0]]), picture([[0, 0.01]])
    made = torch.cat([picture([[2, 7]]), picture([[7, 4]])])
    assert losses.focused_fidelity(made, torch.zeros_like(made), torch.cat([strong, weak])).item() == 3


def test_focused_fidelity_of_a_constant_branch_is_zero() -> None:
    made = picture([[1, 2]])
    assert losses.focused_fidelity(made, torch.zeros_like(made), picture([[0.5, 0.5]])).item() == 0


def test_no_gradient_through_the_choice_of_focused_fidelity() -> None:
    branch = picture([[0, 0.1], [-0.8, 0.9]]).requires_grad_()
    made = picture([[5, 5], [0.5, -0.25]]).requires_grad_()
    losses.focused_fidelity(made, torch.zeros_like(made), branch).backward()  # type: ignore[no-untyped-call]
    assert branch.grad is None
    assert made.grad is not None
    assert made.grad.flatten().tolist() == [0, 0, 0.5, -0.5]


def test_overlap() -> None:
    # 1*2 + 1*3 + 2*3, whatever the signs
    assert losses.overlap(branches(1, -2, 3)).item() == pytest.approx(11)
    assert losses.overlap(branches(4)).item() == 0


def test_overlap_of_branches_that_share_no_pixel_is_zero() -> None:
    apart = torch.zeros(1, 3, 1, 1, 3)
    for k in range(3):
        apart[0, k, 0, 0, k] = k + 1
    assert losses.overlap(apart).item() == 0


def test_overlap_agrees_with_the_sum_over_pairs() -> None:
    b = torch.randn(2, 4, 3, 5, 6, dtype=torch.float64)
    pairs = sum(((b[:, i] * b[:, j]).abs() for i in range(4) for j in range(i)), torch.zeros(()))
    assert losses.overlap(b).item() == pytest.approx(pairs.mean().item())


def test_energy_imbalance() -> None:
    # energies of branches 2, 3: 4 and 16; mean 10, variance 36. Branch 1 is left out.
    assert losses.energy_imbalance(branches(100, 2, -4)).item() == pytest.approx(36)
    assert losses.energy_imbalance(branches(100, 3, -3)).item() == 0


@pytest.mark.parametrize("values", [[1.0], [1.0, 5.0]])
def test_energy_imbalance_needs_three_branches(values: list[float]) -> None:
    assert losses.energy_imbalance(branches(*values)).item() == 0


def test_energy_is_compared_within_a_picture() -> None:
    balanced_each = torch.cat([branches(0, 1, 1), branches(0, 9, 9)])
    assert losses.energy_imbalance(balanced_each).item() == 0


def test_sparsity_and_locality() -> None:
    assert losses.sparsity(picture([[1, -3], [0, 0]])).item() == 1
    assert losses.locality(picture([[1, -3], [0, 0]]), picture([[0, 1], [0, 0]])).item() == (1 + 4) / 4


def test_adversary() -> None:
    real, fake = torch.tensor([0.0, 2.0]), torch.tensor([0.0, -1.0])
    expected = (math.log(2) + math.log1p(math.exp(-2))) / 2 + (math.log(2) + math.log1p(math.exp(-1))) / 2
    assert losses.discriminator_logistic(real, fake).item() == pytest.approx(expected, rel=1e-6)
    generator = (math.log(2) + math.log1p(math.exp(1))) / 2
    assert losses.generator_nonsaturating(fake).item() == pytest.approx(generator, rel=1e-6)


def test_mismatched_pictures_are_half_of_the_fakes() -> None:
    real, fake, mismatched = torch.tensor([2.0]), torch.tensor([-1.0]), torch.tensor([0.5])
    fakes = (math.log1p(math.exp(-1)) + math.log1p(math.exp(0.5))) / 2
    expected = math.log1p(math.exp(-2)) + fakes
    assert losses.discriminator_logistic(real, fake, mismatched).item() == pytest.approx(expected, rel=1e-6)


def test_adversary_does_not_overflow() -> None:
    far = torch.tensor([1e4, -1e4])
    assert losses.discriminator_logistic(far, far).item() == pytest.approx(1e4)


def test_r1_of_a_linear_function_is_half_its_squared_norm() -> None:
    slope = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    real = torch.randn(3, 1, 2, 2, requires_grad=True)
    logits = (real * slope).sum(dim=(1, 2, 3)) + 7
    assert losses.r1_penalty(logits, real).item() == pytest.approx(0.5 * (1 + 4 + 0.25 + 9))


def test_r1_can_be_trained_through() -> None:
    weight = torch.tensor(3.0, requires_grad=True)
    real = torch.ones(2, 1, 1, 1, requires_grad=True)
    losses.r1_penalty((weight * real).sum(dim=(1, 2, 3)), real).backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(3)  # of 0.5 w²


SMOOTH: dict[str, tuple[Callable[..., Tensor], tuple[tuple[int, ...], ...]]] = {
    "blend_branches": (lambda a, b: losses.blend_branches(a, b, torch.full((2, 3), 0.3)), ((2, 3, 1, 2, 2),) * 2),
    "fidelity": (losses.fidelity, ((2, 1, 3, 3),) * 2),
    "gradient_fidelity": (losses.gradient_fidelity, ((2, 1, 3, 3),) * 2),
    "overlap": (losses.overlap, ((2, 3, 1, 2, 2),)),
    "energy_imbalance": (losses.energy_imbalance, ((2, 4, 1, 2, 2),)),
    "sparsity": (losses.sparsity, ((2, 1, 3, 3),)),
    "locality": (losses.locality, ((2, 1, 3, 3),) * 2),
    "discriminator_logistic": (losses.discriminator_logistic, ((4,), (4,))),
    "generator_nonsaturating": (losses.generator_nonsaturating, ((4,),)),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    loss, shapes = SMOOTH[name]
    generator = torch.Generator().manual_seed(0)
    inputs = tuple(torch.randn(s, dtype=torch.float64, generator=generator).requires_grad_() for s in shapes)
    assert torch.autograd.gradcheck(loss, inputs)
