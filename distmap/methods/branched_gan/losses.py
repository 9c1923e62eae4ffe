"""Every loss of the branched GAN, one pure function each.

Symbols follow "Additive Class Distinction Maps using Branched-GANs" (arXiv 2305.02899): a picture ``x`` of class ``y``
is reconstructed as ``sum_k b_k(x, y)``; branch 1 carries the distinction. All pictures and branches are float tensors,
about [-1, 1]. Every function returns a scalar tensor (mean over the batch unless it says otherwise).

Shape letters: B batch, N branches, C bands, H height, W width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def blend_branches(own_BNCHW: Tensor, other_BNCHW: Tensor, alpha_BN: Tensor) -> Tensor:
    """Reconstruct with branches k >= 2 mixed between the two classes (eq. 4), training only.

    Branch 1 is taken from ``own`` alone; branch k >= 2 is ``alpha_k own_k + (1 - alpha_k) other_k``. Since the
    adversary and the fidelity terms must be met for every alpha, the branches k >= 2 learn to ignore the class.

    Parameters
    ----------
    own_BNCHW, other_BNCHW : branches under the wanted class and under the other one.
    alpha_BN : mixing weights in [0, 1]; the first column is not used.

    Returns
    -------
    The reconstruction, B x C x H x W.
    """
    alpha = alpha_BN[:, 1:, None, None, None].to(own_BNCHW.dtype)
    shared = torch.lerp(other_BNCHW[:, 1:], own_BNCHW[:, 1:], alpha).sum(dim=1)
    return own_BNCHW[:, 0] + shared


def fidelity(reconstructed_BCHW: Tensor, real_BCHW: Tensor) -> Tensor:
    """Same-class reconstruction against the picture: L1 + L2 (eq. 5)."""
    difference = reconstructed_BCHW - real_BCHW
    return difference.abs().mean() + difference.square().mean()


def gradient_fidelity(reconstructed_BCHW: Tensor, real_BCHW: Tensor) -> Tensor:
    """L1 + L2 of the difference of the pictures' forward differences, along both axes (eq. 6).

    The mean runs over the pixels of each axis and the two axes are added.
    """
    difference = reconstructed_BCHW - real_BCHW
    along_y = difference.diff(dim=-2)
    along_x = difference.diff(dim=-1)
    return along_y.abs().mean() + along_x.abs().mean() + along_y.square().mean() + along_x.square().mean()


def focused_fidelity(reconstructed_BCHW: Tensor, real_BCHW: Tensor, branch1_BCHW: Tensor) -> Tensor:
    """L1 where the distinction is strong (eq. 7): pixels whose abs(b_1) exceeds its mean over that branch.

    The mean is taken per picture over bands and pixels; the result averages over the chosen values only and is zero
    where no value exceeds the mean (a constant branch). The choice itself carries no gradient.
    """
    strength = branch1_BCHW.detach().abs()
    chosen = (strength > strength.mean(dim=(1, 2, 3), keepdim=True)).to(reconstructed_BCHW.dtype)
    return ((reconstructed_BCHW - real_BCHW).abs() * chosen).sum() / chosen.sum().clamp(min=1)


def overlap(branches_BNCHW: Tensor) -> Tensor:
    """Specialisation (eq. 8, first part): mean over pixels of ``sum_{i<j} abs(b_i) abs(b_j)``."""
    strength = branches_BNCHW.abs()
    total = strength.sum(dim=1)
    return 0.5 * (total.square() - strength.square().sum(dim=1)).mean()


def energy_imbalance(branches_BNCHW: Tensor) -> Tensor:
    """Specialisation (eq. 8, second part): variance, over the branches k >= 2, of their mean energies.

    Zero where they carry the same energy, and with fewer than two such branches.
    """
    if branches_BNCHW.shape[1] < 3:
        return branches_BNCHW.new_zeros(())
    energy_BN = branches_BNCHW[:, 1:].square().mean(dim=(2, 3, 4))
    return energy_BN.var(dim=1, unbiased=False).mean()


def sparsity(branch1_BCHW: Tensor) -> Tensor:
    """L1 of branch 1 (eq. 9).

    Put on the branch under the picture's own class, it says: where nothing is to change, branch 1 is empty, so
    that as the other class it holds the change alone.
    """
    return branch1_BCHW.abs().mean()


def locality(swapped_BCHW: Tensor, real_BCHW: Tensor) -> Tensor:
    """L1 between a picture and its counterfactual: what need not change should stay as it is.

    Not in the paper; the L1 on the map of VA-GAN (Baumgartner et al. 2018, eq. 4) serves the same end.
    """
    return (swapped_BCHW - real_BCHW).abs().mean()


def discriminator_logistic(
    real_logits_B: Tensor, fake_logits_B: Tensor, mismatched_logits_B: Tensor | None = None
) -> Tensor:
    """The discriminator's logistic loss: ``softplus(-real) + softplus(fake)`` (StarGAN v2, eq. 1).

    ``mismatched_logits_B``: of real pictures by the head of the class that they are not of. Where they are given they
    count as fakes, too, both kinds by half (Reed et al. 2016, algorithm 1), so that each head learns what its class
    looks like before any counterfactual does.
    """
    fake = F.softplus(fake_logits_B).mean()
    if mismatched_logits_B is not None:
        fake = (fake + F.softplus(mismatched_logits_B).mean()) / 2
    return F.softplus(-real_logits_B).mean() + fake


def generator_nonsaturating(fake_logits_B: Tensor) -> Tensor:
    """The generator's non-saturating adversarial loss: ``softplus(-fake)``."""
    return F.softplus(-fake_logits_B).mean()


def r1_penalty(real_logits_B: Tensor, real_BCHW: Tensor) -> Tensor:
    """R1: half the squared norm of the gradient of the logits with respect to real pictures, mean over the batch.

    ``real_BCHW`` must require gradients (Mescheder et al. 2018, eq. 9).
    """
    (gradient,) = torch.autograd.grad(real_logits_B.sum(), real_BCHW, create_graph=True)
    return 0.5 * gradient.square().sum(dim=(1, 2, 3)).mean()
