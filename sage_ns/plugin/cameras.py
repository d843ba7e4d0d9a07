"""Convert nerfstudio's cameras to the rasteriser's."""

from __future__ import annotations

from copy import deepcopy

from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from sage_ns.geometry.rigid import rigid_inverse
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import orbit


def pinhole_camera(camera: Cameras) -> PinholeCamera:
    """Convert a single nerfstudio camera (batch shape () or (1,)) to the rasteriser's camera."""
    camera = camera.reshape((1,))
    return PinholeCamera.from_opengl(
        camera.camera_to_worlds[0],
        float(camera.fx[0, 0]),
        float(camera.fy[0, 0]),
        float(camera.cx[0, 0]),
        float(camera.cy[0, 0]),
        int(camera.width[0, 0]),
        int(camera.height[0, 0]),
    )


def orbited(camera: Cameras, target: Float[Tensor, "3"], angle: float) -> Cameras:
    """Return a single camera moved about the vertical axis through ``target`` [metres] by ``angle`` [radians]."""
    camera = deepcopy(camera.reshape((1,)))
    pinhole = pinhole_camera(camera)
    moved = orbit(pinhole, target.to(pinhole.intrinsics), angle)
    # Both poses map the same world to their camera: what lies between them moves the old camera to the new place.
    motion = rigid_inverse(moved.T_camera_world) @ pinhole.T_camera_world
    poses = camera.camera_to_worlds
    turned = motion[:3, :3].to(poses) @ poses
    turned[..., 3] += motion[:3, 3].to(poses)
    camera.camera_to_worlds = turned
    return camera
