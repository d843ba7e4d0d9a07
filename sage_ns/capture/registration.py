"""Pictures of a turning head as views of its canonical moment: a head that turns left is a camera that moves right.

A picture of another moment shows what moves with the skull exactly as a camera at a head-relative place would have seen
it at the canonical moment. With these views, whatever needs many cameras works with one camera and a turning head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.selection import angles
from sage_ns.capture.shot import Shot
from sage_ns.geometry.farthest_points import farthest_first
from sage_ns.geometry.rigid import moved_points, rigid_inverse
from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import pixel_rays
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.rig.skull import skull_motions

_STEADY = 0.001
"""Metres; what deviates more from the skull's motion does not count as moving with it. Tracking is no better."""
_FRINGE = 0.01
"""Metres around moving skin, within which a picture's hair and outline may move with it."""
_NEAR = 0.17
"""Radians (10 degrees); a view so near to another one shows nothing new."""


@dataclass(frozen=True, eq=False)
class Registration:
    """Motion of a skull since the canonical moment, and what does not follow it.

    Args:
        model: head model of the capture.
        canonical: parameters of the canonical moment; one row.
    """

    model: HeadModel
    canonical: FlameParams

    def motion(self, params: FlameParams) -> Float[Tensor, "num_timesteps 4 4"]:
        """Return the skull's rigid motion from the canonical moment's world to that of each moment [metres]."""
        there, here = (skull_motions(self.model, each) for each in (params, self.canonical))
        return there @ rigid_inverse(here)

    def view(self, shot: Shot, params: FlameParams, steady: Float[Tensor, "h w 1"] | None = None) -> Shot:
        """Return a picture of another moment as a view of the canonical moment, with what of it stays valid.

        Args:
            shot: the picture, on the CPU.
            params: parameters of its moment; one row.
            steady: what `steady_pixels` returns for the picture, if the caller knows it.
        """
        motion = self.motion(params)[0]
        steady = self.steady_pixels(shot.camera, params) if steady is None else steady
        steady = steady if shot.steady is None else torch.minimum(steady, shot.steady)
        return replace(shot, camera=moved(shot.camera, motion), motion=None, steady=steady, skull=motion)

    def head_center(self) -> Float[Tensor, "3"]:
        """Return the mean of the vertices at the canonical moment [metres]."""
        return pose_vertices(self.model, self.canonical)[0].mean(dim=0)

    def steady_pixels(self, camera: PinholeCamera, params: FlameParams) -> Float[Tensor, "h w 1"]:
        """Return 1 where a picture shows what moves with the skull, 0 on other skin and close to it.

        Args:
            camera: of the picture.
            params: parameters of its moment; one row.
        """
        triangles = self.model.triangles
        posed, rest = (pose_vertices(self.model, each)[0] for each in (params, self.canonical))
        motion = self.motion(params)[0]
        off = (posed - moved_points(motion, rest)).norm(dim=-1)
        steady = off[triangles].amax(dim=-1) < _STEADY
        origins, directions = (rays.reshape(-1, 3) for rays in pixel_rays(camera))
        hit = TriangleMesh(posed, triangles).first_hits(origins, directions).triangle
        shape = 1, 1, camera.height, camera.width
        moving = ((hit >= 0) & ~steady[hit.clamp_min(0)]).float().reshape(shape)
        depth = (posed.mean(dim=0) - camera.center).norm()
        reach = int((_FRINGE * camera.intrinsics[0, 0] / depth).ceil().clamp(1, 64))
        around = F.max_pool2d(moving, 2 * reach + 1, stride=1, padding=reach)
        on_mesh = (hit >= 0).reshape(shape)
        return torch.where(on_mesh, 1.0 - moving, 1.0 - around)[0, 0, :, :, None]


def moved(camera: PinholeCamera, motion: Float[Tensor, "4 4"]) -> PinholeCamera:
    """Return the camera that sees a head before a rigid ``motion`` as ``camera`` sees it afterwards."""
    return replace(camera, T_camera_world=camera.T_camera_world @ motion)


def spread_views(centers: Float[Tensor, "n 3"], head: Float[Tensor, "3"], num_first: int, most: int) -> tuple[int, ...]:
    """Return indices of at most ``most`` views: the first ones, then each time the one farthest in direction.

    Views within ten degrees of a chosen one are left out.

    Args:
        centers: camera centres of the views of the canonical moment [metres]; at least one.
        head: centre of the head [metres].
        num_first: number of views at the start that stay in any case, at least 1.
        most: largest number of views.
    """
    directions = F.normalize(centers - head, dim=-1)
    first = range(min(num_first, most))
    return farthest_first(first, min(most, len(centers)), lambda row: angles(directions, directions[row]), _NEAR)
