"""Small rigid corrections of the tracked head, one for each training moment, learned late in phase 1."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sage_ns.avatar.surfels import take_sizes
from sage_ns.geometry.rotations import axis_angle_to_matrix, axis_angle_to_quaternion, quaternion_multiply
from sage_ns.raster import PinholeCamera, Surfels
from sage_ns.raster.cameras import project

_UNITS = (math.radians(1.0),) * 3 + (0.001,) * 3
"""Radians and metres of one unit of the parameters: a degree and a millimetre, about what trackers are off by."""
_STRONG_EDGE = 0.15
"""Change of brightness from pixel to pixel that counts as a full edge."""


class FramePoses(nn.Module):
    """Turns about the middle of the head and shifts, in the world, one for each recorded moment.

    The mean over all moments is taken away (the gauge): what all share is the avatar's own place. It counts as a
    constant when gradients are taken, so that a step has a gradient for its own moment alone, and
    `sage_ns.training.row_adam.RowAdam` leaves the others as they are.

    Args:
        num_timesteps: number of recorded moments.
    """

    def __init__(self, num_timesteps: int) -> None:
        super().__init__()
        self.twist = nn.Parameter(torch.zeros(num_timesteps, 6))

    def moved(
        self, surfels: Surfels, row: int, center: Float[Tensor, "3"], sharpness: Float[Tensor, "num_surfels"]
    ) -> Surfels:
        """Return the surfels where a moment's correction puts them.

        Args:
            surfels: placed as tracked.
            row: of the moment.
            center: middle of the head [metres].
            sharpness: share of each surfel's gradient that reaches the correction. Shading must not pull: a head that
                is lit from the left would be shifted to explain the light.
        """
        turn, shift = self._step(row)
        rotation = axis_angle_to_matrix(turn)
        relative = surfels.means - center
        # The surfels themselves learn as ever; only what reaches the correction is weighed.
        for_surfels = relative @ rotation.detach().T + center + shift.detach()
        for_pose = relative.detach() @ rotation.T + shift
        means = for_surfels + sharpness[:, None] * (for_pose - for_pose.detach())
        quaternions = quaternion_multiply(
            axis_angle_to_quaternion(turn.detach()).expand(len(means), 4), surfels.quaternions
        )
        return replace(surfels, means=means, quaternions=quaternions)

    def penalty(self, row: int) -> Float[Tensor, ""]:
        """Return the mean square of a moment's correction in units: trackers are not far off."""
        return self._relative(row).square().mean()

    @torch.no_grad()
    def corrections(self) -> Float[Tensor, "num_timesteps 6"]:
        """Return turns [radians] and shifts [metres] of all moments."""
        return (self.twist - self.twist.mean(dim=0)) * self.twist.new_tensor(_UNITS)

    def _step(self, row: int) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
        values = self._relative(row) * self.twist.new_tensor(_UNITS)
        return values[:3], values[3:]

    def _relative(self, row: int) -> Float[Tensor, "6"]:
        return self.twist[row] - self.twist.detach().mean(dim=0)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        take_sizes(self, ("twist",), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)


@torch.no_grad()
def edge_sharpness(
    surfels: Surfels, camera: PinholeCamera, picture: Float[Tensor, "h w 3"]
) -> Float[Tensor, "num_surfels"]:
    """Return 0..1 for each surfel: how strong an edge of the picture it falls on.

    Args:
        surfels: placed in the world.
        camera: of the picture.
        picture: 0..1, over any background of one colour.
    """
    brightness = picture.mean(dim=-1)[None, None]
    across = F.pad(brightness[..., 1:] - brightness[..., :-1], (0, 1)).abs()
    down = F.pad(brightness[..., 1:, :] - brightness[..., :-1, :], (0, 0, 0, 1)).abs()
    edges = F.max_pool2d((across + down) / _STRONG_EDGE, 3, stride=1, padding=1).clamp_max(1.0)[0, 0]
    at = project(surfels.means, camera)
    return torch.where(at.inside, edges[at.row, at.column], 0.0)
