"""3D Gaussians as discs, for formats and programs that have discs only: the shortest axis becomes the normal."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sage_ns.geometry.rotations import quaternion_multiply

# Rotations of the local axes that move x, y or z to the place of z.
_AXIS_TO_NORMAL = ((0.5, 0.5, 0.5, 0.5), (0.5, -0.5, -0.5, -0.5), (1.0, 0.0, 0.0, 0.0))


def as_discs(
    log_scales: Float[Tensor, "num_splats 3"], quaternions: Float[Tensor, "num_splats 4"]
) -> tuple[Float[Tensor, "num_splats 2"], Float[Tensor, "num_splats 4"], Float[Tensor, "num_splats"]]:
    """Return scales along the two longer axes, rotations whose z axis is the shortest, and relative thicknesses.

    The axes are permuted cyclically, which keeps the frame right-handed. A thickness is the shortest scale relative to
    the second.
    """
    # Of equally short axes the last one is chosen: surfels that this package wrote keep their rotation.
    shortest = 2 - log_scales.flip(-1).argmin(dim=-1)
    order = (shortest[:, None] + torch.tensor([1, 2, 0], device=shortest.device)) % 3
    turned = log_scales.gather(1, order)
    turn = quaternions.new_tensor(_AXIS_TO_NORMAL)[shortest]
    thickness = (turned[:, 2] - turned[:, :2].amin(dim=-1)).exp()
    turned_quaternions = quaternion_multiply(F.normalize(quaternions, dim=-1), turn)
    return turned[:, :2].contiguous(), turned_quaternions, thickness
