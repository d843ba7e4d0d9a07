"""Losses as short pure functions, and the table that gives each its name in config, log and checkpoint."""

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
"""Raw losses by the names of :class:`LossWeights`, each computed when it is called."""

_DEPTH_BEND = 0.002
"""Metres; errors of depth beyond this count linearly."""


@dataclass
class LossWeights:
    """Weight of each loss (Eq. 12 and 21); named as in the log. What weighs 0 is not computed."""

    l1: float = 0.8
    """1 - a, with a = 0.2 as in 3DGS"""
    squared: float = 10.0
    """beside l1: where cameras disagree, on strands of hair, absolute differences ask for the more frequent colour, and
    squared ones for the mean, which is what another camera is nearest to"""
    dissimilarity: float = 0.2
    """a; weighs 1 - SSIM"""
    depth_distortion: float = 1.0
    """per metre of w_i w_j |z_i - z_j|: 1 cm of spread weighs like 0.01 of colour. Hair is a volume: at ten times this
    it is pressed flat, which costs a decibel of novel view"""
    normal_consistency: float = 0.05
    """2DGS' weight"""
    silhouette: float = 1.0
    """keeps surfels from growing over the silhouette where the background's colour would not tell"""
    position_hinge: float = 0.01
    """GaussianAvatars' weight"""
    scale_hinge: float = 1.0
    """GaussianAvatars' weight"""
    surface_distance: float = 2.0
    """per metre, on the field; on the surfels `surfel_share` of it. At ten times this the field follows
    surfels that lie hidden under others, half a millimetre too deep"""
    normal_alignment: float = 0.05
    """that of normal consistency, which asks for the same of the rendered surface"""
    tracked_normal: float = 0.2
    """four times the surfels' say; tracked meshes are off by a millimetre, but their normals are good"""
    eikonal: float = 0.1
    """MonoSDF's weight"""
    smoothness: float = 0.02
    """four times MonoSDF's: fewer rays, more noise"""
    field_color: float = 0.05
    """teaches the appearance; with some hundred rays per step it is too noisy to shape the surface"""
    field_depth: float = 20.0
    """per metre, as the surface's distance from surfels"""
    field_normal: float = 0.02
    """2/5 of MonoSDF's: the surfels' normals are noisier than a network's"""
    field_silhouette: float = 0.02
    """that the field fills the silhouette; gentler than the surfels', its surface is closed"""
    appearance: float = 0.3
    """phase 2 only; at the weight of l1, what the tracked mesh is off by blurs the canonical head"""
    flatness: float = 0.01
    """pushes the smallest eigenvalue to 0; it is met within a few hundred steps at any weight"""


def photometric(rendered: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"], weight: float = 1.0) -> Terms:
    """The losses of a picture: absolute and squared differences and 1 - SSIM, times ``weight`` of the picture."""
    return {
        "l1": lambda: weight * l1(rendered, truth),
        "squared": lambda: weight * squared(rendered, truth),
        "dissimilarity": lambda: weight * dissimilarity(rendered, truth),
    }


def surface(buffers: Buffers) -> Terms:
    """The losses of the surface that surfels draw: depth distortion and normal consistency."""
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


def surface_distance(distance: Float[Tensor, "num_points"], weight: Float[Tensor, "num_points"]) -> Float[Tensor, ""]:
    """``mean_i w_i |f(x_i)|`` [metres] at surfel centres (Eq. 6): surfels lie on the zero level, the two meet.

    [reading] ``weight`` is the surfels' opacity: those that are hardly seen do not say where the surface is.
    """
    return (weight * distance.abs()).mean()


def normal_alignment(
    normals: Float[Tensor, "num_points 3"],
    gradient: Float[Tensor, "num_points 3"],
    weight: Float[Tensor, "num_points"],
) -> Float[Tensor, ""]:
    """``mean_i w_i (1 - |n_i . g_i|)`` (Eq. 7), g = the gradient made unit; either side of a surfel will do.

    ``weight`` as for :func:`surface_distance`.
    """
    direction = torch.nn.functional.normalize(gradient, dim=-1)
    return (weight * (1.0 - (normals * direction).sum(dim=-1).abs())).mean()


def tracked_normal(
    normals: Float[Tensor, "num_points 3"], gradient: Float[Tensor, "num_points 3"]
) -> Float[Tensor, ""]:
    """``mean_i (1 - m_i . g_i)``, m = the outward normal of the tracked mesh [reading].

    Where images do not tell, on smooth cheeks seen at low resolution, the surface runs along the tracked mesh, at
    whatever distance. Unlike a pull to the mesh itself this does not inherit its misplacement.
    """
    return (1.0 - (normals * torch.nn.functional.normalize(gradient, dim=-1)).sum(dim=-1)).mean()


def eikonal(gradients: Float[Tensor, "num_points 3"]) -> Float[Tensor, ""]:
    """``mean (|grad f| - 1)^2`` (part of Eq. 12): the field is a distance."""
    return (torch.linalg.vector_norm(gradients, dim=-1) - 1.0).square().mean()


def smoothness(
    gradient: Float[Tensor, "num_points 3"], gradient_nearby: Float[Tensor, "num_points 3"]
) -> Float[Tensor, ""]:
    """``mean |grad f(x) - grad f(x + eps)|`` (part of Eq. 12): keeps over-cluttered regions calm."""
    return torch.linalg.vector_norm(gradient - gradient_nearby, dim=-1).mean()


def field_color(rendered: Float[Tensor, "num_rays 3"], truth: Float[Tensor, "num_rays 3"]) -> Float[Tensor, ""]:
    """``mean |C^ - C|_1`` (L_C of Eq. 12): the volume rendering shows what the picture shows."""
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

    [reading] ``|D^ - D|^2`` within 2 mm, over twice that; beyond, linear: rays past an edge are off by centimetres, and
    squared they would be all that counts.
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
    """Mean of the smallest eigenvalue's share of the largest (Sec. VII): the predicted matrices become flat."""
    return smallest.mean()
