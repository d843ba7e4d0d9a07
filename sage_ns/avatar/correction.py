"""Surfel correction (Sec. IV-B): discs stretch, turn and shrink like the skin around them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.avatar.control import ControlBlend
from sage_ns.avatar.fused_correction import FusedCorrection, FusedDeformation, can_fuse
from sage_ns.avatar.kept import requires_gradients
from sage_ns.avatar.surface_blend import NeighbourBlend, SurfaceBlend
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

CorrectionSource = Literal["similarity", "gradient", "transport", "carried", "controlled"]
"""Deformation that a surfel is corrected by:

- `similarity`: J_j of Eq. 14 is the similarity transform of neighbour j's triangle, as in the paper. Its stretch is
  isotropic; only sizes change.
- `gradient`: J_j is the deformation gradient of that triangle (as in SurFhead); the update is that of the paper.
- `transport`: the gradient, blended at the surfel's point on the rig, maps the disc; normal and centre do not change.
- `carried`: as `transport`, and centre and normal also follow the blended map of the surface. The default: on unseen
  moments it has the best SSIM of the first four, without spikes or smears at the corners of the mouth
  (`python -m sage_ns.bench.correction`).
- `controlled`: as `transport`, and surfels near those that the driving bank moves far follow them (EAvatar), see
  `control.ControlBlend`.
"""

_MAX_DISTANCE = 1.0
"""In triangle scales; a surfel farther from its triangle counts as hair (as in the supervision of the field)."""


@dataclass(frozen=True)
class SurfelDeformation:
    """Deformation around each surfel under one motion; independent of learned values; see `SurfelCorrection.at`."""

    to_canonical: Float[Tensor, "num_surfels 4"]
    """Quaternion, inverse rotation of the bound triangle's frame since the canonical moment."""
    rotation: Float[Tensor, "num_surfels 4"]
    """Quaternion, from placed axes to corrected axes."""
    squared_stretch: Float[Tensor, "num_surfels 3 3"]
    """S in canonical world axes, divided by (k_t / k_0)^2 of the bound triangle."""
    curvatures: Float[Tensor, "2 num_surfels 3 3"] | None
    """At the canonical moment and under this motion, both in canonical world axes; 1 / metres."""
    scale_ratio: Float[Tensor, "num_surfels 1"]
    """k_t / k_0 of the bound triangle."""
    pivot: Float[Tensor, "num_surfels 3"]
    """World point that moves to `target`; offsets of placed centres are relative to it; metres."""
    zoom: Float[Tensor, "num_surfels 1"]
    """Factor on the distance from the pivot."""
    target: Float[Tensor, "num_surfels 3"]
    """New position of the pivot, metres."""


class SurfelCorrection:
    """Correction of placed surfels for stretch, shear and bending of the skin.

    Placed surfels follow the rotation and one scale of their triangle. The correction adds what this similarity
    transform cannot represent: the deformation gradient of the rig, blended over adjacent triangles and therefore
    continuous across their borders, gives the stretch in the tangent plane of the surfel (Eq. 14), and the change of
    the surface's curvature (Eq. 15) shortens discs where the surface bends (Eq. 16).

    All quantities are computed per triangle and then blended with fixed weights. They depend on the motion alone, and
    the result of :meth:`at` may be cached by motion. Not corrected are surfels on hair triangles, surfels farther than
    one triangle scale from their triangle and, with sources that average over neighbours, surfels without neighbours.

    Args:
        means: canonical centres of the surfels [metres], for instance `surfels.centers(frames)`.
        triangle: triangle that each surfel is bound to.
        head_model: head model of the rig.
        vertices: vertices of the rig at the canonical moment [metres].
        source: see `CorrectionSource`.
        gamma: gamma of Eq. 16; 0 ignores curvature, which changes PSNR by at most 0.02 dB and improves SSIM.
        displacement: of each surfel over the driving bank, beyond the skull's motion [metres]; only `controlled` uses
            it. None = no surfel moves far, and none follows another.
    """

    def __init__(
        self,
        means: Float[Tensor, "num_surfels 3"],
        triangle: Int[Tensor, "num_surfels"],
        head_model: HeadModel,
        vertices: Float[Tensor, "num_vertices 3"],
        source: CorrectionSource = "carried",
        gamma: float = 0.0,
        displacement: Float[Tensor, "num_surfels"] | None = None,
    ) -> None:
        means, vertices = means.detach(), vertices.detach()
        self.source, self.gamma = source, gamma
        self.triangles, self.triangle = head_model.triangles, triangle
        self.canonical = vertices
        self.frames = triangle_frames(vertices, self.triangles)
        own = self.frames[triangle]
        near = (means - own.origin).norm(dim=-1) <= _MAX_DISTANCE * own.scale
        corrected = near & ~head_model.regions.triangle_mask("hair", self.triangles)[triangle]

        labels = rebinding_labels(head_model)
        self.anchor, self.barycentric = _nearest_points(means, triangle, vertices, self.triangles, labels)
        anchors = barycentric_to_points(vertices, self.triangles, self.anchor, self.barycentric)
        self._from_anchor = own.origin - anchors
        areas = triangle_areas(vertices, self.triangles)
        if source in ("similarity", "gradient"):
            self._blend = NeighbourBlend(means, own.scale, triangle, labels[triangle], corrected)
        else:
            self._blend = SurfaceBlend(self.triangles, areas, self.anchor, self.barycentric, len(vertices))
        self.corrected: Bool[Tensor, "num_surfels"] = corrected & self._blend.defined
        self._control: ControlBlend | None = None
        if source == "controlled":
            self._control = ControlBlend(means, labels[triangle], self.corrected, displacement)
        self._curvature = self._blended(triangle_curvatures(vertices, self.triangles, self.frames)) if gamma else None
        self._areas = areas
        self._fused: FusedDeformation | None = None
        if isinstance(self._blend, SurfaceBlend) and source == "carried" and not gamma and can_fuse(means, vertices):
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
        """Return the deformation around the surfels under a motion; None at the canonical moment, which has none.

        If the vertices require gradients, the deformation carries them and is never None: at the canonical moment it
        changes no surfel, but it has gradients.

        Args:
            vertices: vertices of the rig under that motion [metres].
            frames: frames of its triangles.
        """
        with_gradients = requires_gradients(vertices)
        if not with_gradients and self._is_canonical(vertices):
            return None
        if not with_gradients and self._fused is not None and can_fuse(vertices):
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
        if self._control is not None:

            def carried(points: Tensor, which: Tensor) -> Tensor:
                start, end, rest = self.frames.origin[triangle[which]], own.origin[which], turned[triangle[which]]
                return end + ratio[which] * _rotated(rest, points - start)

            triangle = self.triangle
            return replace(result, target=own.origin + self._control.shift(carried))
        # x' = y' + m R (x - y), written for the placed point: x - y = (k_0 / k_t) R_0 R_t^T (placed - T_t) + T_0 - y.
        # The stretch is 0 where no blend is defined: the bound keeps the root's gradient finite; nothing is corrected.
        size = stretch.diagonal(dim1=-2, dim2=-1).mean(dim=-1, keepdim=True).clamp_min(1e-12).sqrt()
        anchors = barycentric_to_points(vertices, self.triangles, self.anchor, self.barycentric)
        target = anchors + size * _rotated(blended, self._from_anchor)
        return replace(result, zoom=size / ratio, target=target)

    def _is_canonical(self, vertices: Float[Tensor, "num_vertices 3"]) -> bool:
        """Whether these are the canonical vertices: the same tensor, or on the CPU, where to compare costs no wait, an
        equal one."""
        return vertices is self.canonical or (vertices.device.type == "cpu" and torch.equal(vertices, self.canonical))

    def apply(self, placed: Surfels, deformation: SurfelDeformation | None) -> Surfels:
        """Correct placed surfels. Gradients reach means, quaternions and scales.

        For these gradients, factors and turns are constants; gradients of the deformation also flow through them.
        """
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
        if self._control is not None:
            means = means + (deformation.target - deformation.pivot)
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
        """Return factors on the scales, and the turn about the normal [rad]."""
        # Transformed back to the canonical moment, surfels do not depend on the motion. Detached, they add no gradients
        # of their own to factors and turn, and lose none of the motion's.
        canonical = quaternion_multiply(deformation.to_canonical, placed.quaternions).detach()
        scales = (placed.scales / deformation.scale_ratio).detach()
        first, second = quaternion_to_matrix(canonical)[..., :2].unbind(-1)
        stretch = in_tangent_plane(deformation.squared_stretch, first, second)
        disc = aligned_disc if self.source in ("similarity", "gradient") else transported_disc
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
        if self.source in ("transport", "controlled"):
            # The twist: the part of the blended rotation about the normal of the surfel.
            posed = quaternion_multiply(quaternion_conjugate(deformation.to_canonical), canonical)
            normal = quaternion_to_matrix(posed)[..., 2]
            twist = (deformation.rotation[:, 1:] * normal).sum(-1)
            turn = turn + 2 * torch.atan2(twist, deformation.rotation[:, 0])
        return factors, turn

    def _blended(self, values: Float[Tensor, "num_triangles *channels"]) -> Float[Tensor, "num_surfels *channels"]:
        return self._blend(values.flatten(1)).unflatten(-1, values.shape[1:])

    def _blended_rotation(self, rotation: Float[Tensor, "num_triangles 4"]) -> Float[Tensor, "num_surfels 4"]:
        # A quaternion and its negative are the same rotation: give all consistent signs before blending.
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


def _nearest_points(
    means: Float[Tensor, "num_surfels 3"],
    triangle: Int[Tensor, "num_surfels"],
    vertices: Float[Tensor, "num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
    labels: Int[Tensor, "num_triangles"],
) -> tuple[Int[Tensor, "num_surfels"], Float[Tensor, "num_surfels 3"]]:
    """Return the point of the rig nearest to each surfel: triangle and barycentric coordinates.

    The search covers only the part of the head that the surfel is bound to: touching lips must keep their own surfels.
    """
    anchor, barycentric = triangle.clone(), torch.zeros_like(means)
    own = labels[triangle]
    for label in own.unique():
        chosen, allowed = own == label, (labels == label).nonzero().flatten()
        closest = nearest_triangles(means[chosen], vertices, triangles[allowed])
        anchor[chosen], barycentric[chosen] = allowed[closest.triangle], closest.barycentric
    return anchor, barycentric


def _rotated(quaternion: Float[Tensor, "n 4"], vector: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Rotate vectors by unit quaternions: v + 2 w (q x v) + 2 q x (q x v)."""
    axis = quaternion[:, 1:]
    twice = 2 * torch.linalg.cross(axis, vector)
    return vector + quaternion[:, :1] * twice + torch.linalg.cross(axis, twice)
