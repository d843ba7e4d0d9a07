"""Losses as short pure functions, and the table of their weights and names in config and log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sage_ns.image import ssim
from sage_ns.raster import Buffers

Terms: TypeAlias = dict[str, Callable[[], Tensor]]
"""Raw losses as functions, by the names of :class:`LossWeights`."""

_DEPTH_BEND = 0.002
"""Metres; larger errors of depth count linearly."""


@dataclass
class LossWeights:
    """Weight of each loss (Eq. 12 and 21), by its name in the log. A loss with weight 0 is not computed."""

    l1: float = 0.8
    """absolute colour difference; 1 - a with a = 0.2, as in 3DGS"""
    squared: float = 10.0
    """squared colour difference, added to l1. Where cameras disagree, as on strands of hair, l1 gives the most frequent
    colour, and this loss gives the mean colour, which is closest to what another camera sees"""
    dissimilarity: float = 0.2
    """1 - SSIM; the a of 3DGS"""
    depth_distortion: float = 1.0
    """w_i w_j |z_i - z_j| in metres: 1 cm of spread counts like 0.01 of colour. Ten times this weight presses hair,
    which is a volume, flat and costs 1 dB of novel-view PSNR"""
    normal_consistency: float = 0.05
    """difference between the surfels' normals and those of the rendered depth; the weight of 2DGS"""
    silhouette: float = 1.0
    """coverage against the mask; keeps surfels inside the silhouette where their colour equals the background's"""
    position_hinge: float = 0.01
    """distance of surfels from their triangle beyond the limit; the weight of GaussianAvatars"""
    scale_hinge: float = 1.0
    """size of surfels beyond the limit; the weight of GaussianAvatars"""
    surface_distance: float = 2.0
    """distance of surfels from the field's surface in metres; acts on the field, and on surfels with `surfel_share` of
    it. With ten times this weight the field follows hidden surfels and lies 0.5 mm too deep"""
    normal_alignment: float = 0.05
    """difference between the normals of surfels and field; weight as for normal_consistency, for renderings"""
    tracked_normal: float = 0.2
    """difference between the normals of tracked mesh and field; four times normal_alignment: tracked meshes are 1 mm
    off, but their normals are good"""
    prior_alignment: float = 1e4
    """square of how far the field's surface has moved from the prior mesh as a whole, and of how much it has grown, in
    metres: a millimetre counts like 0.01 of colour; only with `prior_mesh`"""
    eikonal: float = 0.1
    """deviation of the field's gradient from length 1; the weight of MonoSDF"""
    smoothness: float = 0.02
    """change of the field's gradient between near points; four times the weight of MonoSDF: fewer rays, more noise"""
    field_color: float = 0.05
    """colour of the field's rays; trains the appearance. A few hundred rays per step are too noisy for the surface"""
    field_depth: float = 20.0
    """depth of the field's rays against the surfels' depth, in metres"""
    field_normal: float = 0.02
    """normal of the field's rays against the surfels'; 2/5 of MonoSDF's weight: surfels have noisier normals than a
    network"""
    field_silhouette: float = 0.02
    """coverage of the field's rays against the mask; weaker than silhouette, since the field's surface is closed"""
    appearance: float = 0.3
    """colour of posed heads against the canonical head, phase 2 only. With the weight of l1, errors of the tracked mesh
    blur the canonical head"""
    room_light: float = 1e-3
    """square of the light's coefficients"""
    frame_pose: float = 0.02
    """square of a moment's correction of the tracked head, in degrees and millimetres"""
    exposure: float = 1e-2
    """square of a picture's log gains"""
    flatness: float = 0.01
    """smallest eigenvalue of predicted shapes, which becomes 0 within a few hundred steps at any weight"""


def photometric(rendered: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"], weight: float = 1.0) -> Terms:
    """Return the losses of a picture: absolute and squared differences and 1 - SSIM, times ``weight``."""
    return {
        "l1": lambda: weight * l1(rendered, truth),
        "squared": lambda: weight * squared(rendered, truth),
        "dissimilarity": lambda: weight * dissimilarity(rendered, truth),
    }


def surface(buffers: Buffers) -> Terms:
    """Return the losses of the rendered surface: depth distortion and normal consistency."""
    return {
        "depth_distortion": lambda: depth_distortion(buffers),
        "normal_consistency": lambda: normal_consistency(buffers),
    }


def l1(rendered: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"]) -> Float[Tensor, ""]:
    """Mean absolute colour difference (first part of Eq. 12)."""
    return torch.nn.functional.l1_loss(rendered, truth)


def squared(rendered: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"]) -> Float[Tensor, ""]:
    """Mean squared colour difference [reading]; not in the paper's Eq. 12."""
    return torch.nn.functional.mse_loss(rendered, truth)


def dissimilarity(rendered: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"]) -> Float[Tensor, ""]:
    """``1 - SSIM`` with 3DGS' 11x11 Gaussian window (second part of Eq. 12)."""
    return 1.0 - ssim(rendered, truth)


def depth_distortion(buffers: Buffers) -> Float[Tensor, ""]:
    """``mean over pixels of sum_ij w_i w_j |z_i - z_j|`` [metres] (Eq. 2): moves surfels of a ray to one depth."""
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
    log_scales: Float[Tensor, "num_surfels num_axes"], limit: float | Float[Tensor, "num_surfels 1"]
) -> Float[Tensor, ""]:
    """``mean_i | max(s_i - limit_i, 0) |_2`` in triangle scales (GaussianAvatars; theirs is 0.6 everywhere)."""
    excess = torch.relu(log_scales.exp() - limit)
    # The norm's gradient at 0 is not defined; nearly all surfels sit there.
    return (excess.square().sum(dim=-1) + 1e-12).sqrt().mean() - 1e-6


def surface_distance(distance: Float[Tensor, "num_points"], weight: Float[Tensor, "num_points"]) -> Float[Tensor, ""]:
    """``mean_i w_i |f(x_i)|`` [metres] at surfel centres (Eq. 6): moves surfels and zero level together.

    [reading] ``weight`` is the surfels' opacity: transparent surfels do not indicate the surface.
    """
    return (weight * distance.abs()).mean()


def normal_alignment(
    normals: Float[Tensor, "num_points 3"],
    gradient: Float[Tensor, "num_points 3"],
    weight: Float[Tensor, "num_points"],
) -> Float[Tensor, ""]:
    """``mean_i w_i (1 - |n_i . g_i|)`` (Eq. 7), g = the normalised gradient; a surfel may face either side.

    ``weight`` as for :func:`surface_distance`.
    """
    direction = torch.nn.functional.normalize(gradient, dim=-1)
    return (weight * (1.0 - (normals * direction).sum(dim=-1).abs())).mean()


def tracked_normal(
    normals: Float[Tensor, "num_points 3"], gradient: Float[Tensor, "num_points 3"]
) -> Float[Tensor, ""]:
    """``mean_i (1 - m_i . g_i)``, m = the outward normal of the tracked mesh [reading].

    Where images do not determine the surface, as on smooth cheeks at low resolution, it runs parallel to the tracked
    mesh at any distance. Unlike a distance loss to the mesh, this loss does not copy the mesh's offset.
    """
    return (1.0 - (normals * torch.nn.functional.normalize(gradient, dim=-1)).sum(dim=-1)).mean()


def prior_alignment(surface: Float[Tensor, "num_points 3"], prior: Float[Tensor, "num_points 3"]) -> Float[Tensor, ""]:
    """``|mean(x) - mean(y)|^2 + (rms(x) - rms(y))^2`` [square metres], rms = root mean square distance from the mean.

    EAvatar's alignment of a shape with its prior (arXiv 2508.13537): place and size follow the prior, the shape need
    not. Points x of the field's surface correspond to points y of the prior, so that the loss of equal surfaces is 0.
    """
    middles = surface.mean(dim=0), prior.mean(dim=0)
    spreads = [
        (points - middle).square().sum(dim=-1).mean().clamp_min(1e-12).sqrt()
        for points, middle in zip((surface, prior), middles, strict=True)
    ]
    return (middles[0] - middles[1]).square().sum() + (spreads[0] - spreads[1]).square()


def eikonal(gradients: Float[Tensor, "num_points 3"]) -> Float[Tensor, ""]:
    """``mean (|grad f| - 1)^2`` (part of Eq. 12): makes the field a distance."""
    return (torch.linalg.vector_norm(gradients, dim=-1) - 1.0).square().mean()


def smoothness(
    gradient: Float[Tensor, "num_points 3"], gradient_nearby: Float[Tensor, "num_points 3"]
) -> Float[Tensor, ""]:
    """``mean |grad f(x) - grad f(x + eps)|`` (part of Eq. 12): smooths noisy regions."""
    return torch.linalg.vector_norm(gradient - gradient_nearby, dim=-1).mean()


def field_color(rendered: Float[Tensor, "num_rays 3"], truth: Float[Tensor, "num_rays 3"]) -> Float[Tensor, ""]:
    """``mean |C^ - C|_1`` (L_C of Eq. 12): fits the volume rendering to the picture."""
    return (rendered - truth).abs().mean()


def appearance(
    shown: Float[Tensor, "num_rays 3"], expected: Float[Tensor, "num_rays 3"], valid: Bool[Tensor, "num_rays"]
) -> Float[Tensor, ""]:
    """``mean |C_gs(p) - C^(warp(p))|_1`` over the valid rays (Eq. 20): a posed head looks as the canonical one does.

    0 where no ray is valid.
    """
    difference = torch.where(valid[:, None], shown - expected, 0.0).abs()
    return difference.sum() / (3 * valid.sum()).clamp_min(1)


def field_depth(
    depth: Float[Tensor, "num_rays"], target: Float[Tensor, "num_rays"], weight: Float[Tensor, "num_rays"]
) -> Float[Tensor, ""]:
    """Huber's ``|D^ - D|`` [metres], weighted mean over foreground rays (L_D of Eq. 12); D is the surfels' depth.

    [reading] ``|D^ - D|^2 / (2 * 2 mm)`` up to 2 mm, linear beyond: rays past an edge are off by centimetres and would
    dominate a squared loss.
    """
    error = torch.nn.functional.huber_loss(depth, target, reduction="none", delta=_DEPTH_BEND) / _DEPTH_BEND
    return (weight * error).sum() / weight.sum().clamp_min(1.0)


def field_normal(
    normal: Float[Tensor, "num_rays 3"], target: Float[Tensor, "num_rays 3"], weight: Float[Tensor, "num_rays"]
) -> Float[Tensor, ""]:
    """``|N^ - N|_1 + |1 - N^ . N|``, weighted mean over foreground rays (L_N of Eq. 12); N is the surfels' normal."""
    difference = (normal - target).abs().sum(dim=-1) + (1.0 - (normal * target).sum(dim=-1)).abs()
    return (weight * difference).sum() / weight.sum().clamp_min(1.0)


def flatness(smallest: Float[Tensor, "num_surfels"]) -> Float[Tensor, ""]:
    """Mean ratio of the smallest to the largest eigenvalue (Sec. VII): flattens the predicted matrices."""
    return smallest.mean()
