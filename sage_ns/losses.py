"""Losses as short pure functions, and the table that gives each its name in config, log and checkpoint.

Weights are in :class:`sage_ns.model.LossWeights`; a loss whose weight is 0 is not computed.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.image import ssim
from sage_ns.raster import Buffers


def l1(rendered: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"]) -> Float[Tensor, ""]:
    """Mean absolute colour difference (first part of Eq. 12)."""
    return torch.nn.functional.l1_loss(rendered, truth)


def dissimilarity(rendered: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"]) -> Float[Tensor, ""]:
    """``1 - SSIM`` with 3DGS' 11x11 Gaussian window (second part of Eq. 12)."""
    return 1.0 - ssim(rendered, truth)


def depth_distortion(buffers: Buffers) -> Float[Tensor, ""]:
    """``mean over pixels of sum_ij w_i w_j |z_i - z_j|`` [metres] (Eq. 2): surfels of a ray gather at one depth."""
    return buffers.distortion.mean()


def normal_consistency(buffers: Buffers) -> Float[Tensor, ""]:
    """``mean over pixels of sum_i w_i (1 - n_i . N)`` (Eq. 3), N = normal of the rendered depth map.

    ``buffers.normal`` is ``sum_i w_i n_i``, so the sum over surfels is ``alpha - normal . N``.
    """
    agreement = (buffers.normal * buffers.normal_from_depth).sum(dim=-1, keepdim=True)
    return (buffers.alpha - agreement).mean()


def silhouette(alpha: Float[Tensor, "h w 1"], mask: Float[Tensor, "h w 1"]) -> Float[Tensor, ""]:
    """``mean |alpha - mask|`` (L_mask of Eq. 12): coverage equals the soft foreground mask."""
    return torch.nn.functional.l1_loss(alpha, mask)


def position_hinge(
    local_means: Float[Tensor, "num_surfels 3"], reach: Float[Tensor, "num_surfels"]
) -> Float[Tensor, ""]:
    """``mean_i max(|mu_i| - reach_i, 0)`` in triangle scales (GaussianAvatars; theirs has reach 1 everywhere).

    ``reach`` is larger where hair may stand off the rig, see :func:`sage_ns.avatar.initialise.surfel_reach`.
    """
    return torch.relu(torch.linalg.vector_norm(local_means, dim=-1) - reach).mean()


def scale_hinge(
    log_scales: Float[Tensor, "num_surfels 2"], limit: float | Float[Tensor, "num_surfels 1"]
) -> Float[Tensor, ""]:
    """``mean_i | max(s_i - limit_i, 0) |_2`` in triangle scales (GaussianAvatars; theirs is 0.6 everywhere)."""
    excess = torch.relu(log_scales.exp() - limit)
    # The norm's gradient at 0 is not defined; nearly all surfels sit there.
    return (excess.square().sum(dim=-1) + 1e-12).sqrt().mean() - 1e-6
