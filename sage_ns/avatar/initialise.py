"""Initial surfels: drawn by area, spread into the volume of the hair, coloured from the pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.avatar.evidence import nearest_seen, part_labels
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.capture.shot import Shot
from sage_ns.geometry.rotations import quaternion_multiply
from sage_ns.geometry.spherical_harmonics import C0
from sage_ns.geometry.triangles import TriangleFrames, triangle_areas, triangle_frames
from sage_ns.raster.cameras import project
from sage_ns.rig import HeadModel, sample_binding

_DOUBLING_HEIGHT = 0.01
"""Height of the volume for hair at which a triangle gets twice the surfels, metres."""

_FACED = 0.03
"""Weight of a point in all pictures together, below which they show it too slantingly for a colour."""

# Turns z, the normal of a surfel, onto y, the normal of the triangle in its local frame.
_NORMAL_TO_Y = (0.7071067811865476, -0.7071067811865476, 0.0, 0.0)


_HAIRLESS = ("face", "lips", "nose", "eye_region", "left_eye_region", "right_eye_region", "eyes")


def carries_hair(head_model: HeadModel) -> Bool[Tensor, "num_triangles"]:
    """Return which triangles may carry hair: all but the face; none if the head model has no regions."""
    triangles, regions = head_model.triangles, head_model.regions
    if not regions:
        return torch.zeros(triangles.shape[0], dtype=torch.bool, device=triangles.device)
    hairless = torch.stack([regions.triangle_mask(name, triangles) for name in _HAIRLESS]).any(dim=0)
    return ~hairless | regions.triangle_mask("forehead", triangles)


def surfel_reach(head_model: HeadModel, frames: TriangleFrames, hair_reach: float) -> Float[Tensor, "num_triangles"]:
    """Return the distance from the triangle at which the position loss begins, in triangle scales.

    1 as in GaussianAvatars; on scalp and neck at least ``hair_reach`` [metres], to leave room for hair.
    """
    reach = torch.ones_like(frames.scale)
    hair = carries_hair(head_model)
    reach[hair] = torch.clamp(hair_reach / frames.scale[hair].clamp_min(1e-6), min=1.0)
    return reach


def initialise_surfels(
    head_model: HeadModel,
    vertices: Float[Tensor, "num_vertices 3"],
    num_surfels: int,
    sh_degree: int,
    views: Sequence[Shot],
    hair_reach: float,
    generator: torch.Generator,
) -> BoundSurfels:
    """Draw surfels on the posed rig.

    Triangles are drawn by area, with higher densities on the face and near the cameras (method Sec. 1). On scalp and
    neck, surfels are spread outward within the visual hull of all silhouettes, to at most ``hair_reach`` [metres];
    triangles with more room get more surfels, of which hair is formed. Colours come from the pictures; places that none
    shows take those of places nearby on the same part of the head.

    Args:
        head_model: head model of the rig.
        vertices: vertices of the rig at the canonical moment [metres].
        num_surfels: number of surfels to draw.
        sh_degree: degree of the view-dependent colour.
        views: pictures of that moment; without any, surfels are on the surface and mid-grey.
        hair_reach: largest height of hair above the rig [metres].
        generator: source of all randomness.
    """
    hair = carries_hair(head_model)

    def room(points: Tensor, normals: Tensor, triangle: Tensor) -> Tensor:
        return room_in_silhouettes(points, normals, hair[triangle], views, hair_reach)

    centers = torch.stack([view.camera.center for view in views]) if views else torch.zeros(0, 3)
    spread = spread_surfels(head_model, vertices, num_surfels, centers, room, generator)
    colors, seen = _seen_colors(spread.centers, spread.normals, views)
    labels = part_labels(head_model)[spread.triangle]
    return spread.bound(colors[nearest_seen(spread.centers, labels, seen, generator)], 0.6, sh_degree)


@dataclass(frozen=True, eq=False)
class SpreadSurfels:
    """Surfels drawn on a posed rig, before they have colours."""

    triangle: Int[Tensor, "num_surfels"]
    centers: Float[Tensor, "num_surfels 3"]
    """Metres, world."""
    normals: Float[Tensor, "num_surfels 3"]
    """Of the triangles, unit."""
    height: Float[Tensor, "num_surfels"]
    """Above the rig [metres]; 0 for skin."""
    local_means: Float[Tensor, "num_surfels 3"]
    quaternions: Float[Tensor, "num_surfels 4"]
    scales: Float[Tensor, "num_surfels"]
    """In triangle scales."""

    def bound(
        self, colors: Float[Tensor, "num_surfels 3"], opacity: float | Float[Tensor, "num_surfels"], sh_degree: int
    ) -> BoundSurfels:
        """Return the surfels with colours and opacities, both in 0..1."""
        num = len(self.triangle)
        return BoundSurfels(
            triangle=self.triangle,
            means=self.local_means,
            quaternions=self.quaternions,
            log_scales=self.scales.log()[:, None].repeat(1, 2),
            opacity_logits=torch.logit(torch.as_tensor(opacity) * torch.ones(num)),
            sh_dc=((colors - 0.5) / C0)[:, None],
            sh_rest=torch.zeros(num, (sh_degree + 1) ** 2 - 1, 3),
        )


def spread_surfels(
    head_model: HeadModel,
    vertices: Float[Tensor, "num_vertices 3"],
    num_surfels: int,
    camera_centers: Float[Tensor, "num_cameras 3"],
    room: Callable[[Tensor, Tensor, Tensor], Tensor],
    generator: torch.Generator,
) -> SpreadSurfels:
    """Draw surfels on the posed rig by area, and spread those of hair outward.

    Args:
        head_model: head model of the rig.
        vertices: vertices of the rig at the canonical moment [metres].
        num_surfels: number of surfels to draw.
        camera_centers: places are drawn more densely where they face these [metres]; with none, by area and part alone.
        room: returns the height of the hair above points [n, 3] with normals [n, 3] on triangles [n] [metres].
        generator: source of all randomness.
    """
    triangles = head_model.triangles
    frames = triangle_frames(vertices, triangles)
    height = room(frames.origin, frames.normal, torch.arange(len(triangles)))
    density = 1.0 + height / _DOUBLING_HEIGHT
    binding = sample_binding(vertices, head_model, num_surfels, camera_centers, generator, density=density)
    bound = binding.triangle

    corners = vertices[triangles[bound]]
    on_surface = (corners * binding.barycentric[..., None]).sum(dim=1)
    normals = frames.rotation[bound, :, 1]
    height = room(on_surface, normals, bound)
    # More surfels near the outer surface of the hair, which is the visible part.
    height = height * torch.rand(height.shape, generator=generator).sqrt()
    world = on_surface + height[:, None] * normals

    scale = frames.scale[bound]
    local_means = torch.einsum("nji,nj->ni", frames.rotation[bound], world - frames.origin[bound]) / scale[:, None]
    spin = torch.rand(num_surfels, generator=generator) * torch.pi
    spin_quaternion = torch.stack([spin.cos(), torch.zeros_like(spin), torch.zeros_like(spin), spin.sin()], dim=-1)
    quaternions = quaternion_multiply(torch.tensor(_NORMAL_TO_Y).expand(num_surfels, 4), spin_quaternion)

    # One standard deviation covers the surfel's share of its triangle; hair surfels share a volume and are wider.
    per_triangle = torch.bincount(bound, minlength=triangles.shape[0])[bound]
    spacing = (triangle_areas(vertices, triangles)[bound] / per_triangle).sqrt() / scale
    spacing = (0.7 * spacing * (1.0 + (height > 0))).clamp(0.02, 1.0)
    return SpreadSurfels(bound, world, normals, height, local_means, quaternions, spacing)


def initialise_gaussians(num_triangles: int, sh_degree: int, generator: torch.Generator) -> BoundSurfels:
    """Put one 3D Gaussian on every triangle, as GaussianAvatars does.

    At the triangle's centre, as large as the triangle's scale, round, of opacity 0.1 and nearly mid-grey: the
    coefficients of the mean colour are drawn from 0..1/255.

    Args:
        num_triangles: number of triangles of the rig.
        sh_degree: degree of the view-dependent colour.
        generator: source of the colours.
    """
    return BoundSurfels(
        triangle=torch.arange(num_triangles),
        means=torch.zeros(num_triangles, 3),
        quaternions=torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(num_triangles, 1),
        log_scales=torch.zeros(num_triangles, 3),
        opacity_logits=torch.logit(torch.full((num_triangles,), 0.1)),
        sh_dc=torch.rand(num_triangles, 1, 3, generator=generator) / 255,
        sh_rest=torch.zeros(num_triangles, (sh_degree + 1) ** 2 - 1, 3),
    )


def _in_all_silhouettes(points: Float[Tensor, "n 3"], views: Sequence[Shot]) -> Bool[Tensor, "n"]:
    """Return which points are foreground in all pictures that contain them and show what moves with the skull."""
    allowed = torch.ones(points.shape[0], dtype=torch.bool)
    for view in views:
        at = project(points, view.camera)
        shown = at.inside if view.steady is None else at.inside & (view.steady[at.row, at.column, 0] > 0.5)
        allowed &= ~shown | (view.foreground[at.row, at.column, 0] > 0.5)
    return allowed


def room_in_silhouettes(
    points: Float[Tensor, "n 3"],
    normals: Float[Tensor, "n 3"],
    hair: Bool[Tensor, "n"],
    views: Sequence[Shot],
    hair_reach: float,
    num_levels: int = 16,
) -> Float[Tensor, "n"]:
    """Return the height of the visual hull along the normal [metres], at most ``hair_reach``; 0 where no hair grows."""
    room = torch.zeros(points.shape[0])
    if not views or hair_reach <= 0:
        return room
    step = hair_reach / num_levels
    still_inside = hair.clone()
    for level in range(1, num_levels + 1):
        candidates = torch.nonzero(still_inside)[:, 0]
        lifted = points[candidates] + level * step * normals[candidates]
        allowed = _in_all_silhouettes(lifted, views)
        still_inside[candidates[~allowed]] = False
        room[candidates[allowed]] = level * step
    return room


def _seen_colors(
    points: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"], views: Sequence[Shot]
) -> tuple[Float[Tensor, "n 3"], Bool[Tensor, "n"]]:
    """Return the mean colour of the points in the pictures, weighted by the squared cosine of the viewing angle; and
    which points are in any picture."""
    total = torch.full((points.shape[0], 3), 0.5e-3)
    weight = torch.full((points.shape[0], 1), 1e-3)
    for view in views:
        at = project(points, view.camera)
        towards = torch.nn.functional.normalize(view.camera.center - points, dim=-1)
        frontal = (normals * towards).sum(dim=-1).clamp_min(0.0).square()
        seen = (frontal * at.inside * view.foreground[at.row, at.column, 0])[:, None]
        if view.steady is not None:
            seen = seen * view.steady[at.row, at.column]
        total += seen * view.picture[at.row, at.column]
        weight += seen
    return (total / weight).clamp(0.02, 0.98), weight[:, 0] > _FACED
