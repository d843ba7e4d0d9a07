"""Dynamic wrinkles: compressed skin folds, and folds are dark (method Sec. VIII); two rules to recognise them."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.geometry.triangles import triangle_areas
from sage_ns.raster import Buffers

_FAR_APART = 0.01
"""Metres of distortion at which the dimming of its full strength is reached."""


def wrinkle_shade(
    canonical: Float[Tensor, "num_vertices 3"],
    posed: Float[Tensor, "num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
    is_skin: Bool[Tensor, "num_triangles"],
    strength: float,
) -> Float[Tensor, "num_triangles"]:
    """Return the factor on the colour of each triangle's surfels: ``1 - strength * max(0, 1 - A_t / A_0)``.

    [reading] The paper's rule is `with_rendered_wrinkles`. Its two quantities are mostly noise here, and darkening by
    them reduces quality (docs/lab_notebook.md). Skin folds where it is compressed:
    the measure used here is the share of its canonical area that a triangle has lost.

    Args:
        canonical, posed: vertices of the rig at the canonical moment and under a motion, metres.
        triangles: triangles of the rig.
        is_skin: triangles that can fold.
        strength: 0 = no darkening; 1 = skin compressed to no area is black.
    """
    before = triangle_areas(canonical, triangles)
    lost = 1.0 - triangle_areas(posed, triangles) / before.clamp_min(1e-12)
    return 1.0 - strength * torch.where(is_skin & (before > 0), lost.clamp(0.0, 1.0), 0.0)


def with_rendered_wrinkles(buffers: Buffers, darkening: float, dimming: float) -> Buffers:
    """Return the buffers with colours that are darker where the rendered surface creases: the paper's rule.

    Surfels with a high normal error are darkened, and those with a high distortion dimmed. The colour of a pixel is
    ``sum_i w_i c_i f_i`` with ``f_i = (1 - darkening e_i) (1 - dimming d_i)``; e_i = 1 - n_i . N is the normal error,
    and d_i the distance of the surfel from the others of the ray. [reading] Surfels of one pixel have nearly one
    colour, so f is computed from the means of e_i and d_i at the pixel, which the rasteriser returns. High is what lies
    above the mean over the picture: all of a head has some error, and the head as a whole is not to be darkened. f is 1
    where the depth map has no normal: at the silhouette and beside gaps, where nothing can be said.

    Args:
        buffers: rendering at any resolution.
        darkening: strength by the normal error above its mean; errors are 0 (parallel) to 1 (at a right angle).
        dimming: strength by the distortion above its mean, with the full effect from 1 cm on.
    """
    share = buffers.alpha.clamp_min(1e-6)
    agreement = (buffers.normal * buffers.normal_from_depth).sum(dim=-1, keepdim=True)
    known = (buffers.normal_from_depth != 0).any(dim=-1, keepdim=True)

    def above_mean(values: Tensor) -> Tensor:
        mean = torch.where(known, values, 0.0).sum() / known.sum().clamp_min(1)
        return (values - mean).clamp(0.0, 1.0)

    error = above_mean((1.0 - agreement / share).clamp(0.0, 1.0))
    apart = above_mean(buffers.distortion / share.square() / _FAR_APART)
    factor = ((1.0 - darkening * error) * (1.0 - dimming * apart)).clamp_min(0.0)
    return replace(buffers, color=buffers.color * torch.where(known, factor, 1.0))
