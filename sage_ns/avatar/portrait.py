"""Default camera: in front of the face, upright."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.raster import PinholeCamera
from sage_ns.rig.front import face_direction

HEAD_FRACTION = 0.65
"""Share of the height of the picture that the head fills."""

FIELD_OF_VIEW = math.radians(30)
"""Vertical, as of a portrait lens. A wider angle would bring the camera closer and enlarge the nose."""


def portrait_distance(vertices: Float[Tensor, "num_vertices 3"], width: int = 1, height: int = 1) -> float:
    """Return the distance [metres] at which the head fills `HEAD_FRACTION` of a picture, in height and in width."""
    low, high = vertices.aminmax(dim=0)
    across, up = float((high - low)[0]), float((high - low)[1])
    return max(up, across * height / width) / HEAD_FRACTION / (2 * math.tan(FIELD_OF_VIEW / 2))


def portrait_camera(
    vertices: Float[Tensor, "num_vertices 3"], motion: Float[Tensor, "num_coefficients"], width: int, height: int
) -> PinholeCamera:
    """Return a camera of ``width`` x ``height`` pixels in front of the face.

    Args:
        vertices: vertices of the head, posed by ``motion`` [metres].
        motion: motion vector, which gives the direction of the face.
    """
    low, high = vertices.aminmax(dim=0)
    center = (low + high) / 2
    back = torch.nn.functional.normalize(face_direction(motion), dim=0)
    right = torch.nn.functional.normalize(torch.linalg.cross(back.new_tensor([0.0, 1.0, 0.0]), back), dim=0)
    position = center + portrait_distance(vertices, width, height) * back
    camera_to_world = torch.stack([right, torch.linalg.cross(back, right), back, position], dim=-1)
    focal = height / (2 * math.tan(FIELD_OF_VIEW / 2))
    return PinholeCamera.from_opengl(camera_to_world, focal, focal, width / 2, height / 2, width, height)
