"""The direction that a face looks in."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.rig.flame_params import FlameParams


def face_direction(motion: Float[Tensor, "num_coefficients"]) -> Float[Tensor, "3"]:
    """Return the direction that the face looks in: +z, rotated by root and neck of a motion vector."""
    head, neck = axis_angle_to_matrix(torch.stack([motion[FlameParams.ROTATION], motion[FlameParams.NECK]]))
    return head @ neck @ motion.new_tensor([0.0, 0.0, 1.0])
