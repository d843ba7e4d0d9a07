"""What a posed head should look like where the canonical one was seen (method Eq. 20)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.avatar.canonical import Canonical
from sage_ns.avatar.light import RoomLight, smooth_normals
from sage_ns.capture.shot import Shot
from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.geometry.triangles import TriangleFrames, triangle_frames
from sage_ns.raster import Buffers, PinholeCamera
from sage_ns.raster.cameras import pixel_rays
from sage_ns.rig import HeadModel
from sage_ns.rig.warp import meeting_points, to_canonical
from sage_ns.system.devices import kept_rows, sent
from sage_ns.training.config import AppearanceSource, SelfSuperviseConfig
from sage_ns.training.surface_colors import SurfaceColors

_ABOUT_THE_MESH = 0.012
"""Metres before and behind the tracked mesh within which a bent ray looks for the field's surface."""
_IN_FRONT = 0.01
"""Metres; what is drawn this far before the mesh is hair."""
_OFF_THE_MESH, _SAME_SIDE = 0.003, 0.5
"""Metres between tracked mesh and the surface that a ray came out at, at most; cosine of their normals, at least."""
_REACHED = 0.9
"""Coverage from which on a bent ray has met the surface."""


@dataclass(frozen=True)
class Expected:
    """Pixels of a posed rendering, and the colours that they should have."""

    pixel: Int[Tensor, "num_rays"]
    """Flat index."""
    color: Float[Tensor, "num_rays 3"]
    """0..1."""
    valid: Bool[Tensor, "num_rays"]
    """Which of them count; on the CPU all, see `sage_ns.system.devices.kept_rows`."""

    def joined(self, other: Expected) -> Expected:
        """These pixels and others of the same rendering."""
        return Expected(
            torch.cat([self.pixel, other.pixel]),
            torch.cat([self.color, other.color]),
            torch.cat([self.valid, other.valid]),
        )


class AppearanceConsistency:
    """Draws pixels of a posed rendering, and finds on the canonical head the colours that they should have.

    Each pixel's ray is cast at the posed mesh, mapped to the canonical head with the triangle that it meets, and
    followed to the surface of the frozen field. [reading] The colour of that point is looked up in the pictures of the
    canonical moment (source "pictures"), or rendered with the canonical appearance as the paper does (source "field"):
    the pictures are sharper. Rays that meet hair, leave the surface, or end at a point that no picture shows are left
    out.

    Args:
        canonical: field and appearance; no gradient reaches them.
        head_model: the personal rig's.
        vertices: of the rig at the canonical moment, metres.
        views: pictures that show the head of that moment.
        num_rays: pixels per step.
        source: where colours come from.
        everywhere: share of the drawn pixels that follow no error.
        light: light of the room, which falls on a posed head from another side.
    """

    def __init__(
        self,
        canonical: Canonical,
        head_model: HeadModel,
        vertices: Float[Tensor, "num_vertices 3"],
        views: Sequence[Shot],
        num_rays: int,
        source: AppearanceSource,
        everywhere: float = SelfSuperviseConfig.appearance_everywhere,
        light: RoomLight | None = None,
    ) -> None:
        self.canonical = canonical
        self.everywhere = everywhere
        self.num_rays = num_rays
        self.source = source
        self.triangles = head_model.triangles
        self.frames = triangle_frames(vertices, self.triangles)
        self._mesh = TriangleMesh(vertices, self.triangles)
        self.light = light
        self.colors = SurfaceColors(views, vertices, self.triangles, light)
        self.is_hair = head_model.regions.triangle_mask("hair", head_model.triangles)

    @torch.no_grad()
    def __call__(
        self,
        camera: PinholeCamera,
        vertices: Float[Tensor, "num_vertices 3"],
        posed: TriangleFrames,
        buffers: Buffers,
        generator: torch.Generator,
    ) -> Expected:
        """Colours that pixels of a posed rendering should have.

        Args:
            camera: of the rendering.
            vertices, posed: the rig at its moment.
            buffers: the rendering.
            generator: source of all randomness, on the CPU.
        """
        weight = _sampling_weight(buffers, self.everywhere)
        pixel = _drawn(weight, torch.rand(self.num_rays, generator=generator, dtype=torch.float64))
        origins, directions = (rays.reshape(-1, 3)[pixel] for rays in pixel_rays(camera))
        self._mesh.move(vertices)
        triangle = self._mesh.first_hits(origins, directions).triangle
        met = triangle.clamp_min(0)
        depth = meeting_points(origins, directions, vertices, self.triangles, met)
        valid = (triangle >= 0) & ~self.is_hair[met] & ((posed.normal[met] * directions).sum(dim=-1) < 0)
        valid &= buffers.depth_median.reshape(-1)[pixel] > depth - _IN_FRONT
        depth = torch.where(valid, depth, 0.0)  # rays that miss, or graze a triangle, may have no number there
        rows = kept_rows(valid)
        pixel, triangle, directions, valid = pixel[rows], met[rows], directions[rows], valid[rows]
        start, gaze = to_canonical(
            origins[rows] + depth[rows, None] * directions,
            F.normalize(directions, dim=-1),
            posed[triangle],
            self.frames[triangle],
        )
        jitter = sent(torch.rand(len(pixel), generator=generator), start.device)
        seen = self.canonical.renderer(
            self.canonical.field,
            self.canonical.radiance,
            start - _ABOUT_THE_MESH * gaze,
            gaze,
            jitter,
            reach=(torch.zeros_like(jitter), torch.full_like(jitter, 2 * _ABOUT_THE_MESH)),
        )
        alpha = seen.alpha.clamp_min(1e-3)
        surface = start + (seen.depth / alpha - _ABOUT_THE_MESH) * gaze
        pictured = self.colors.look_up(surface, F.normalize(seen.normal, dim=-1), gaze)
        color = pictured.color if self.source == "pictures" else seen.color / alpha
        if self.light is not None:
            color = color * self.light(smooth_normals(vertices, self.triangles)[triangle])
        # A bent ray may end on the other lip, or in a fold of the lid: neither its place nor its normal is this skin's.
        skin = self.frames.normal[triangle]
        height = ((surface - start) * skin).sum(dim=-1).abs()
        valid = valid & pictured.seen & (seen.alpha[:, 0] > _REACHED) & (height < _OFF_THE_MESH)
        valid &= (F.normalize(seen.normal, dim=-1) * skin).sum(dim=-1) > _SAME_SIDE
        rows = kept_rows(valid)
        return Expected(pixel[rows], color[rows], valid[rows])


def _sampling_weight(buffers: Buffers, everywhere: float) -> Float[Tensor, "num_pixels"]:
    """Probability, not normalised, that a pixel is drawn: high where normals disagree with depth and surfels spread.

    The share ``everywhere`` is the same at all pixels of the head.
    """
    inside = buffers.alpha.reshape(-1)
    agreement = (buffers.normal * buffers.normal_from_depth).sum(dim=-1).reshape(-1)
    parts = (inside - agreement).clamp_min(0.0), buffers.distortion.reshape(-1)
    error = sum(part / part.mean().clamp_min(1e-9) for part in parts)
    assert isinstance(error, Tensor)
    even = inside / inside.mean().clamp_min(1e-9)
    return (1 - everywhere) * error / error.mean().clamp_min(1e-9) + everywhere * even + 1e-6


def _drawn(weight: Float[Tensor, "num_pixels"], uniform: Float[Tensor, "num_rays"]) -> Int[Tensor, "num_rays"]:
    """Flat pixel indices, drawn in proportion to ``weight`` by inverting its sum at ``uniform`` numbers of 0..1.

    ``torch.multinomial`` takes a generator of the weight's own device alone; the draws have to be the same on all.
    """
    summed = weight.double().cumsum(dim=0)
    place = sent(uniform, weight.device) * summed[-1]
    return torch.searchsorted(summed, place, right=True).clamp_max(len(weight) - 1)
