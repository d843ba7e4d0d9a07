"""One camera of a rig as a file states it, and all cameras of a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from sage_ns.raster import PinholeCamera
from sage_ns.tracking.cameras.lens import NO_LENS, Lens


@dataclass(frozen=True, eq=False)
class RigCamera:
    """A camera and its picture. Axes are OpenCV's: x right, y down, z forward."""

    name: str
    """Of the camera, or of its picture where the file names pictures only."""
    focal: tuple[float, float]
    """fx, fy [pixels]."""
    center: tuple[float, float]
    """cx, cy [pixels] from the upper left corner; pixel centres at +0.5."""
    size: tuple[int, int] | None
    """Width and height [pixels] of the pictures that focal length and centre belong to; None = not stated."""
    world_to_camera: Float[np.ndarray, "4 4"]
    """In the units of the file."""
    source: str
    """File and place in it, for messages."""
    lens: Lens = NO_LENS
    picture: Path | None = None
    """None = the file states no picture: it is the one that the camera's name says."""
    mask: Path | None = None
    """Soft mask, 255 = person."""

    @property
    def position(self) -> Float[np.ndarray, "3"]:
        """Centre of the camera, in the units of the file."""
        return -self.world_to_camera[:3, :3].T @ self.world_to_camera[:3, 3]

    @property
    def direction(self) -> Float[np.ndarray, "3"]:
        """Unit vector along which the camera looks."""
        return self.world_to_camera[2, :3]

    def pinhole(self, size: tuple[int, int]) -> PinholeCamera:
        """Return the camera without its lens, for pictures of a size (width, height) [pixels]."""
        return PinholeCamera(
            torch.from_numpy(self.world_to_camera).float(),
            torch.tensor([[self.focal[0], 0, self.center[0]], [0, self.focal[1], self.center[1]], [0, 0, 1]]).float(),
            *size,
        )


@dataclass(frozen=True, eq=False)
class CameraRig:
    """All cameras that a file states."""

    cameras: tuple[RigCamera, ...]
    metres_per_unit: float | None
    """None = the file does not state its unit, or has none: the size of the head then says it."""
    source: str
    """The file, for messages."""
    kind: str
    """What the file is, in words, for the report."""
