"""What the pictures of the canonical moment show of points on the head's surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.avatar.light import RoomLight
from sage_ns.capture.shot import Shot
from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.raster.cameras import pixel_rays, project
from sage_ns.rig.warp import meeting_points

_BEHIND = 0.006
"""Metres by which a point may lie behind what its view shows of the tracked mesh: that is off by a millimetre."""
_BESIDE_AN_EDGE = 0.02
"""Metres of depth between neighbouring pixels from which on they show different parts."""
_INSIDE = 0.98
"""Of the soft mask; at its fringe the background shines through."""
_FACING = 0.35
"""Cosine between normal and direction to the camera below which a picture shows a point too slantingly."""


@dataclass(frozen=True)
class SeenColors:
    """Colours of points, and where there are any."""

    color: Float[Tensor, "num_points 3"]
    seen: Bool[Tensor, "num_points"]


class SurfaceColors:
    """Looks points of the canonical surface up in the pictures that show them.

    Args:
        views: pictures that show the head of the canonical moment.
        vertices: the tracked mesh at that moment, metres; it tells what hides what.
        triangles: its triangles.
        light: light of the room in the pictures; None = there is none to take away.
    """

    def __init__(
        self,
        views: Sequence[Shot],
        vertices: Float[Tensor, "num_vertices 3"],
        triangles: Int[Tensor, "num_triangles 3"],
        light: RoomLight | None = None,
    ) -> None:
        self.device = vertices.device
        self.light = light
        self.views = [view.to(self.device) for view in views]
        caster = TriangleMesh(vertices, triangles)
        self._solid = [_solid_depth(view, caster, vertices, triangles) for view in self.views]
        self._images = [view.picture.permute(2, 0, 1)[None] for view in self.views]
        self._masks = [_steady_foreground(view) for view in self.views]

    def look_up(
        self,
        points: Float[Tensor, "num_points 3"],
        normals: Float[Tensor, "num_points 3"],
        directions: Float[Tensor, "num_points 3"],
    ) -> SeenColors:
        """Colour of each point, without the light of the room, in the picture taken most nearly along its gaze.

        So highlights stay where they were seen. Points that are hidden from all cameras, lie at the rim of the
        silhouette or of what hides something else, or are only seen slantingly, have none; nor do those that only
        pictures taken at more than a right angle to the gaze show.

        Args:
            points: metres, canonical world.
            normals: unit, outward.
            directions: of the gaze, unit.
        """
        best = torch.full((len(points),), -1.0, device=self.device)
        color = torch.zeros_like(points)
        for view, solid, image, mask in zip(self.views, self._solid, self._images, self._masks, strict=True):
            seen = project(points, view.camera)
            gaze = F.normalize(points - view.camera.center, dim=-1)
            shown = seen.inside & (-(gaze * normals).sum(dim=-1) > _FACING)
            shown &= seen.depth < solid[seen.row, seen.column] + _BEHIND
            shown &= mask[seen.row, seen.column, 0] > _INSIDE
            alike = torch.where(shown, (gaze * directions).sum(dim=-1), -1.0)
            better = alike > best
            best = torch.where(better, alike, best)
            color = torch.where(better[:, None], self._unlit(_bilinear(image, seen.pixels), normals, view), color)
        return SeenColors(color, best > 0.0)

    def _unlit(self, colors: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"], view: Shot) -> Float[Tensor, "n 3"]:
        """Divide by the light of the room, which fell on the skin as the head was turned in that picture."""
        if self.light is None:
            return colors
        turned = normals if view.skull is None else normals @ view.skull[:3, :3].T
        return colors / self.light(turned)


def _steady_foreground(view: Shot) -> Float[Tensor, "h w 1"]:
    """Coverage of what moves with the skull."""
    return view.foreground if view.steady is None else view.foreground * view.steady


def _solid_depth(view: Shot, caster: TriangleMesh, vertices: Tensor, triangles: Tensor) -> Float[Tensor, "h w"]:
    """Camera depth of the mesh at each pixel [metres], the nearest of its neighbours; 0 at edges and off the mesh."""
    origins, directions = (rays.reshape(-1, 3) for rays in pixel_rays(view.camera))
    hits = caster.first_hits(origins, directions).triangle
    met = hits >= 0
    # The directions' camera depth is 1, so lengths along them are camera depths.
    depth = torch.zeros(len(hits), device=vertices.device)
    depth[met] = meeting_points(origins[met], directions[met], vertices, triangles, hits[met])
    depth = depth.reshape(1, 1, view.camera.height, view.camera.width)
    nearest = -F.max_pool2d(-depth, 3, stride=1, padding=1)
    farthest = F.max_pool2d(depth, 3, stride=1, padding=1)
    return torch.where((farthest - nearest < _BESIDE_AN_EDGE) & (nearest > 0), nearest, 0.0)[0, 0]


def _bilinear(image: Float[Tensor, "1 3 h w"], pixels: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
    x, y = 2 * pixels[:, 0] / image.shape[3] - 1, 2 * pixels[:, 1] / image.shape[2] - 1
    grid = torch.stack([x, y], dim=-1)[None, None]
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)[0, :, 0].T
