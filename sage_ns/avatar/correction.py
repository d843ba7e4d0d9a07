"""Surfel correction (Sec. IV-B): discs stretch, turn and shrink as the skin around them does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.avatar.fused_correction import FusedCorrection, FusedDeformation, can_fuse
from sage_ns.avatar.kept import asks_for_gradients
from sage_ns.avatar.surface_blend import OverNeighbours, OverSurface
from sage_ns.geometry.deformation_gradient import TriangleDeformations, mean_rotation, triangle_deformations
from sage_ns.geometry.mesh_queries import barycentric_to_points, nearest_triangles
from sage_ns.geometry.rotations import quaternion_conjugate, quaternion_multiply, quaternion_to_matrix
from sage_ns.geometry.stretch_curvature import (
    aligned_disc,
    along_turned_axes,
    in_tangent_plane,
    shortened_by_bending,
    transported_disc,
    triangle_curvatures,
)
from sage_ns.geometry.triangles import TriangleFrames, triangle_areas, triangle_frames
from sage_ns.raster import Surfels
from sage_ns.rig import HeadModel, rebinding_labels

CorrectionSource = Literal["similarity", "gradient", "transport", "carried"]
"""What a surfel is corrected by:

- `similarity`: J_j of Eq. 14 is the similarity transform of neighbour j's triangle, as in the paper. Its stretch is
  isotropic, so that only sizes change.
- `gradient`: J_j is the deformation gradient of that triangle (SurFhead's), the update is the paper's.
- `transport`: the disc is mapped by the gradient blended at its place on the rig; its normal and centre stay.
- `carried`: the same, and centre and normal follow the blended map of the surface, too. The default: on unseen moments
  it has the best SSIM of all, and leaves neither spikes nor smears at the corners of the mouth
  (`python -m sage_ns.bench.correction`).
"""

_ON_SURFACE = 1.0
"""Triangle scales; a surfel farther from its triangle is hair (as in the field's supervision)."""


@dataclass(frozen=True)
class SurfelDeformation:
    """What one motion does around each surfel; depends on nothing that is learned. See :meth:`SurfelCorrection.at`."""

    to_canonical: Float[Tensor, "num_surfels 4"]
    """Quaternion that undoes the turn of the bound triangle's frame."""
    rotation: Float[Tensor, "num_surfels 4"]
    """Quaternion, placed axes to corrected axes."""
    squared_stretch: Float[Tensor, "num_surfels 3 3"]
    """S in canonical world axes, relative to the bound triangle's own (k_t / k_0)^2."""
    curvatures: Float[Tensor, "2 num_surfels 3 3"] | None
    """At the canonical and at this moment, both in canonical world axes; 1 / metres."""
    scale_ratio: Float[Tensor, "num_surfels 1"]
    """k_t / k_0 of the bound triangle."""
    pivot: Float[Tensor, "num_surfels 3"]
    """World point that `placed - pivot` is measured from, metres."""
    zoom: Float[Tensor, "num_surfels 1"]
    """Factor on the distance from the pivot."""
    target: Float[Tensor, "num_surfels 3"]
    """Where the pivot goes, metres."""


class SurfelCorrection:
    """Corrects placed surfels for what their triangle's similarity transform cannot say.

    Placed surfels ride on their triangle by rotation and one scale. Here the gradient of the rig's deformation, blended
    over the triangles around so that it is continuous across their borders, gives the stretch in the surfel's tangent
    plane (Eq. 14), and the change of the surface's curvature (Eq. 15) shortens discs where it bends (Eq. 16).

    Everything is measured per triangle and then blended by fixed weights; both depend on the motion alone, so that
    :meth:`at` may be kept for as long as the motion is. Left alone are surfels on hair triangles, those farther than a
    triangle scale from their triangle and, with sources that average over neighbours, those that have none.

    Args:
        means: canonical centres of the surfels [metres], for instance `surfels.centers(frames)`.
        triangle: that they are bound to.
        head_model: of the rig.
        vertices: of the rig at the canonical moment [metres].
        source: see `CorrectionSource`.
        gamma: of Eq. 16; 0 leaves curvature out, which moves PSNR by 0.02 dB at most and gains in SSIM.
    """

    def __init__(
        self,
        means: Float[Tensor, "num_surfels 3"],
        triangle: Int[Tensor, "num_surfels"],
        head_model: HeadModel,
        vertices: Float[Tensor, "num_vertices 3"],
        source: CorrectionSource = "carried",
        gamma: float = 0.0,
    ) -> None:
        means, vertices = means.detach(), vertices.detach()
        self.source, self.gamma = source, gamma
        self.triangles, self.triangle = head_model.triangles, triangle
        self.canonical = vertices
        self.frames = triangle_frames(vertices, self.triangles)
        own = self.frames[triangle]
        near = (means - own.origin).norm(dim=-1) <= _ON_SURFACE * own.scale
        corrected = near & ~head_model.regions.triangle_mask("hair", self.triangles)[triangle]

        labels = rebinding_labels(head_model)
        self.anchor, self.barycentric = _places(means, triangle, vertices, self.triangles, labels)
        anchors = barycentric_to_points(vertices, self.triangles, self.anchor, self.barycentric)
        self._from_anchor = own.origin - anchors
        areas = triangle_areas(vertices, self.triangles)
        if source in ("similarity", "gradient"):
            self._blend = OverNeighbours(means, own.scale, triangle, labels[triangle], corrected)
        else:
            self._blend = OverSurface(self.triangles, areas, self.anchor, self.barycentric, len(vertices))
        self.corrected: Bool[Tensor, "num_surfels"] = corrected & self._blend.defined
        self._curvature = self._blended(triangle_curvatures(vertices, self.triangles, self.frames)) if gamma else None
        self._areas = areas
        self._fused: FusedDeformation | None = None
        if isinstance(self._blend, OverSurface) and source == "carried" and not gamma and can_fuse(means, vertices):
            self._fused = FusedDeformation(
                vertices,
                self.triangles,
                self.frames,
                areas,
                self._blend.shares,
                triangle,
                self._blend.corners,
                self.barycentric,
                self._from_anchor,
            )

    def at(self, vertices: Float[Tensor, "num_vertices 3"], frames: TriangleFrames) -> SurfelDeformation | None:
        """What a motion does to the surfels; None at the canonical moment, where nothing is corrected.

        With vertices that require gradients the deformation carries them. It is never None then: at the canonical
        moment nothing is corrected, but the correction begins as soon as the vertices move.

        Args:
            vertices: of the rig under that motion [metres].
            frames: its triangle frames.
        """
        followed = asks_for_gradients(vertices)
        if not followed and self._is_canonical(vertices):
            return None
        if not followed and self._fused is not None and can_fuse(vertices):
            return SurfelDeformation(**self._fused(vertices, frames), curvatures=None)
        deformations = triangle_deformations(self.canonical, vertices, self.triangles, self.frames, frames)
        turned = quaternion_multiply(frames.quaternion, quaternion_conjugate(self.frames.quaternion))
        to_canonical = quaternion_conjugate(turned)[self.triangle]
        ratios = frames.scale / self.frames.scale
        ratio = ratios[self.triangle, None]
        if self.source == "similarity":
            stretch = ratios[:, None, None] ** 2 * torch.eye(3, dtype=ratios.dtype, device=ratios.device)
        else:
            stretch = deformations.squared_stretch
        stretch = self._blended(stretch)
        curvatures = self._curvatures(vertices, frames, deformations) if self.gamma else None
        own = frames[self.triangle]
        result = SurfelDeformation(
            to_canonical=to_canonical,
            rotation=torch.eye(4, dtype=ratio.dtype, device=ratio.device)[0].expand_as(to_canonical),
            squared_stretch=stretch / ratio[..., None] ** 2,
            curvatures=curvatures,
            scale_ratio=ratio,
            pivot=own.origin,
            zoom=torch.ones_like(ratio),
            target=own.origin,
        )
        if self.source in ("similarity", "gradient"):
            return result
        blended = self._blended_rotation(deformations.rotation)
        result = replace(result, rotation=quaternion_multiply(blended, to_canonical))
        if self.source == "transport":
            return result
        # x' = y' + m R (x - y), written for the placed point: x - y = (k_0 / k_t) R_0 R_t^T (placed - T_t) + T_0 - y.
        # Zero where no blend is defined: there the root has no gradient, and nothing is corrected.
        size = stretch.diagonal(dim1=-2, dim2=-1).mean(dim=-1, keepdim=True).clamp_min(1e-12).sqrt()
        anchors = barycentric_to_points(vertices, self.triangles, self.anchor, self.barycentric)
        target = anchors + size * _rotated(blended, self._from_anchor)
        return replace(result, zoom=size / ratio, target=target)

    def _is_canonical(self, vertices: Float[Tensor, "num_vertices 3"]) -> bool:
        """Whether these are the canonical vertices: the same tensor, or on the CPU, where to compare costs no wait, an
        equal one."""
        return vertices is self.canonical or (vertices.device.type == "cpu" and torch.equal(vertices, self.canonical))

    def apply(self, placed: Surfels, deformation: SurfelDeformation | None) -> Surfels:
        """Placed surfels, corrected. Gradients reach means, quaternions and scales; factors and turns are constants
        to the surfels, and functions of the motion where the deformation carries gradients."""
        if deformation is None:
            return placed
        if self._fused is not None and can_fuse(placed.means) and not deformation.target.requires_grad:
            each = deformation
            constants = (each.to_canonical, each.rotation, each.squared_stretch, each.pivot, each.zoom, each.target)
            corrected = FusedCorrection.apply(
                placed.means, placed.quaternions, placed.scales, self.corrected, *constants
            )
            return replace(placed, **dict(zip(("means", "quaternions", "scales"), corrected, strict=True)))
        factors, turn = self._update(placed, deformation)
        half = (0.5 * turn)[:, None]
        zero = torch.zeros_like(half)
        in_plane = torch.cat([half.cos(), zero, zero, half.sin()], dim=-1)
        quaternions, means = placed.quaternions, placed.means
        if self.source == "carried":
            quaternions = quaternion_multiply(deformation.rotation, quaternions)
            moved = deformation.zoom * _rotated(deformation.rotation, means - deformation.pivot) + deformation.target
            means = torch.where(self.corrected[:, None], moved, means)
        quaternions = quaternion_multiply(quaternions, in_plane)
        chosen = self.corrected[:, None]
        return replace(
            placed,
            means=means,
            quaternions=torch.where(chosen, quaternions, placed.quaternions),
            scales=torch.where(chosen, placed.scales * factors, placed.scales),
        )

    def _update(
        self, placed: Surfels, deformation: SurfelDeformation
    ) -> tuple[Float[Tensor, "num_surfels 2"], Float[Tensor, "num_surfels"]]:
        """Factors on scales, and turn about the normal [rad]."""
        # Brought back to the canonical moment, surfels no longer depend on the motion: as constants they keep their own
        # gradients out of factors and turn, and take none from the motion.
        canonical = quaternion_multiply(deformation.to_canonical, placed.quaternions).detach()
        scales = (placed.scales / deformation.scale_ratio).detach()
        first, second = quaternion_to_matrix(canonical)[..., :2].unbind(-1)
        stretch = in_tangent_plane(deformation.squared_stretch, first, second)
        disc = transported_disc if self.source in ("transport", "carried") else aligned_disc
        factors, turn = disc(stretch, scales)
        if deformation.curvatures is not None:
            before, after = in_tangent_plane(deformation.curvatures, first, second)
            no_turn = torch.zeros_like(turn)
            factors = factors * shortened_by_bending(
                along_turned_axes(before, no_turn),
                scales,
                along_turned_axes(after, turn),
                scales * deformation.scale_ratio * factors,
                self.gamma,
            )
        if self.source == "transport":
            # The part of the blended rotation that is about the surfel's own normal: its twist.
            posed = quaternion_multiply(quaternion_conjugate(deformation.to_canonical), canonical)
            normal = quaternion_to_matrix(posed)[..., 2]
            twist = (deformation.rotation[:, 1:] * normal).sum(-1)
            turn = turn + 2 * torch.atan2(twist, deformation.rotation[:, 0])
        return factors, turn

    def _blended(self, values: Float[Tensor, "num_triangles *channels"]) -> Float[Tensor, "num_surfels *channels"]:
        return self._blend(values.flatten(1)).unflatten(-1, values.shape[1:])

    def _blended_rotation(self, rotation: Float[Tensor, "num_triangles 4"]) -> Float[Tensor, "num_surfels 4"]:
        # A quaternion and its negative are the same rotation: bring all to one side before blending.
        away = rotation @ mean_rotation(rotation.detach(), self._areas) < 0
        rotation = torch.where(away[:, None], -rotation, rotation)
        return F.normalize(self._blended(rotation), dim=-1)

    def _curvatures(
        self, vertices: Tensor, frames: TriangleFrames, deformations: TriangleDeformations
    ) -> Float[Tensor, "2 num_surfels 3 3"]:
        back = quaternion_to_matrix(quaternion_conjugate(deformations.rotation))
        posed = back @ triangle_curvatures(vertices, self.triangles, frames) @ back.mT
        assert self._curvature is not None
        return torch.stack([self._curvature, self._blended(posed)])


def _places(
    means: Float[Tensor, "num_surfels 3"],
    triangle: Int[Tensor, "num_surfels"],
    vertices: Float[Tensor, "num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
    labels: Int[Tensor, "num_triangles"],
) -> tuple[Int[Tensor, "num_surfels"], Float[Tensor, "num_surfels 3"]]:
    """Where on the rig each surfel is nearest to: triangle and barycentric coordinates.

    Only on the part of the head that it is bound to: lips that touch open, and take their own surfels along.
    """
    anchor, barycentric = triangle.clone(), torch.zeros_like(means)
    own = labels[triangle]
    for label in own.unique():
        chosen, allowed = own == label, (labels == label).nonzero().flatten()
        closest = nearest_triangles(means[chosen], vertices, triangles[allowed])
        anchor[chosen], barycentric[chosen] = allowed[closest.triangle], closest.barycentric
    return anchor, barycentric


def _rotated(quaternion: Float[Tensor, "n 4"], vector: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Vectors turned by unit quaternions: v + 2 w (q x v) + 2 q x (q x v)."""
    axis = quaternion[:, 1:]
    twice = 2 * torch.linalg.cross(axis, vector)
    return vector + quaternion[:, :1] * twice + torch.linalg.cross(axis, twice)
