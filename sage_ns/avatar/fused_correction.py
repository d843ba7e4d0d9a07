"""Compiled `SurfelCorrection` of carried surfels in single precision on the CPU; the torch code is its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from sage_ns.geometry.deformation_gradient import FLAT, mean_rotation, triangle_sides
from sage_ns.geometry.stretch_curvature import MAX_STRETCH
from sage_ns.geometry.triangles import TriangleFrames
from sage_ns.system.parallel import even_bounds, run_chunks, scratch

_SMALLEST_CHUNK = 2048


class FusedDeformation:
    """Deformation around each surfel under a motion, by kernels over triangles, vertices and surfels.

    Args:
        vertices: canonical vertices, metres.
        triangles: triangles of the mesh.
        frames: canonical frames of the triangles.
        areas: areas of the triangles [square metres].
        shares: weight of each triangle in the means at its three corners.
        triangle: triangle that each surfel is bound to.
        corners: vertices of the triangle nearest to each surfel, which holds its anchor.
        barycentric: barycentric coordinates of the anchor.
        from_anchor: offset from the anchor to the origin of the bound triangle [metres].
    """

    def __init__(
        self,
        vertices: Float[Tensor, "num_vertices 3"],
        triangles: Int[Tensor, "num_triangles 3"],
        frames: TriangleFrames,
        areas: Float[Tensor, "num_triangles"],
        shares: Float[Tensor, "num_triangles 3"],
        triangle: Int[Tensor, "num_surfels"],
        corners: Int[Tensor, "num_surfels 3"],
        barycentric: Float[Tensor, "num_surfels 3"],
        from_anchor: Float[Tensor, "num_surfels 3"],
    ) -> None:
        order = triangles.reshape(-1).argsort(stable=True)
        counts = torch.bincount(triangles.reshape(-1), minlength=len(vertices))
        offsets = torch.cat([torch.zeros_like(counts[:1]), counts.cumsum(0)])
        around = (torch.div(order, 3, rounding_mode="floor"), shares.reshape(-1)[order])
        self._canonical = _arrays(
            triangles,
            torch.stack(triangle_sides(vertices, triangles, frames), dim=-1),
            frames.rotation,
            frames.quaternion,
            frames.scale,
        )
        self._areas = areas
        self._around = _arrays(offsets, *around)
        self._surfels = _arrays(corners, barycentric, triangle)
        (self._from_anchor,) = _arrays(from_anchor)

    def __call__(self, vertices: Float[Tensor, "num_vertices 3"], frames: TriangleFrames) -> dict[str, Tensor]:
        """Return the fields of `SurfelDeformation` by name."""
        canonical_scale = self._canonical[-1]
        num_triangles, num_vertices, num = len(canonical_scale), len(vertices), len(self._from_anchor)
        positions, origin, rotation, scale = _arrays(vertices, frames.origin, frames.rotation, frames.scale)
        table, relative = scratch("deformations", (num_triangles, 10)), scratch("turns", (num_triangles, 4))
        blended = scratch("blended deformations", (num_vertices, 10))
        from sage_ns.avatar._numba_correction import blend_vertices, deform_surfels, deform_triangles

        limits = np.float32(FLAT), np.float32(MAX_STRETCH)
        run_chunks(
            deform_triangles,
            even_bounds(num_triangles, _SMALLEST_CHUNK),
            *(positions, *self._canonical, rotation, scale, *limits, table, relative),
        )
        mean = mean_rotation(torch.from_numpy(table[:, :4]), self._areas).numpy()
        run_chunks(blend_vertices, even_bounds(num_vertices, _SMALLEST_CHUNK), table, mean, *self._around, blended)
        shapes = {"to_canonical": (4,), "rotation": (4,), "squared_stretch": (3, 3), "scale_ratio": (1,)}
        shapes |= {"pivot": (3,), "zoom": (1,), "target": (3,)}
        result = {name: torch.empty(num, *shape) for name, shape in shapes.items()}
        run_chunks(
            deform_surfels,
            even_bounds(num, _SMALLEST_CHUNK),
            *(blended, positions, *self._surfels, relative, origin, scale, canonical_scale, self._from_anchor),
            *_arrays(*result.values()),
        )
        return result


class FusedCorrection(torch.autograd.Function):
    """Means, quaternions and scales of placed surfels -> corrected ones; all other inputs are constants."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Correct surfels; ``tensors``: these three, a mask, and the deformation without ratio and curvatures."""
        from sage_ns.avatar._numba_correction import correct

        means, quaternions, scales, corrected, *deformation = _arrays(*tensors)
        num = len(means)
        results = [torch.empty(num, columns) for columns in (3, 4, 2)]
        factors, in_plane = np.empty((num, 2), np.float32), np.empty((num, 2), np.float32)
        run_chunks(
            correct,
            even_bounds(num, _SMALLEST_CHUNK),
            *(corrected, means, quaternions, scales, *deformation, np.float32(MAX_STRETCH)),
            *(*_arrays(*results), factors, in_plane),
        )
        ctx.constants = (corrected, deformation[1], deformation[4], factors, in_plane)
        return tuple(results)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of means, quaternions and scales."""
        from sage_ns.avatar._numba_correction import correct_backward

        results = [torch.empty_like(gradient) for gradient in gradients]
        bounds = even_bounds(len(gradients[0]), _SMALLEST_CHUNK)
        run_chunks(correct_backward, bounds, *ctx.constants, *_arrays(*gradients), *_arrays(*results))
        return (*results, *(None for _ in range(7)))


def can_fuse(*tensors: Tensor) -> bool:
    """Return whether all tensors are single precision on the CPU."""
    return all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)


def _arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors)
