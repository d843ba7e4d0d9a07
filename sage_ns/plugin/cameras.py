"""Convert nerfstudio's cameras to the rasteriser's."""

from __future__ import annotations

from nerfstudio.cameras.cameras import Cameras

from sage_ns.raster import PinholeCamera


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
