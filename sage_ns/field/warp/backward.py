"""What the volume renderer needs of a warp from a posed moment back to the canonical one (method Sec. 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class WarpedPoints:
    """Points of the posed world at their places in the canonical world."""

    canonical: Float[Tensor, "num_points 3"]
    """Metres."""
    jacobian: Float[Tensor, "num_points 3 3"]
    """J = d canonical / d posed."""

    def carried(self, directions: Float[Tensor, "num_points 3"]) -> Float[Tensor, "num_points 3"]:
        """Return ``J d``: how fast the canonical place moves when a posed point moves along ``d``."""
        return torch.einsum("nij,nj->ni", self.jacobian, directions)

    def pulled_back(self, gradients: Float[Tensor, "num_points 3"]) -> Float[Tensor, "num_points 3"]:
        """Return ``J^T g``: the gradient by the posed point of a function with gradient ``g`` by the canonical one."""
        return torch.einsum("nji,nj->ni", self.jacobian, gradients)


class BackwardWarp(Protocol):
    """Map from the world of one posed moment to the canonical world. A constant: it has no parameters in training.

    On CUDA, no call waits for the device.
    """

    @property
    def skull(self) -> Float[Tensor, "4 4"]:
        """Rigid motion of the skull since the canonical moment: canonical point -> posed point."""
        ...

    @property
    def follows_parts(self) -> bool:
        """Whether the map follows what moves against the skull: jaw, lids, neck."""
        ...

    def __call__(self, points: Float[Tensor, "num_points 3"]) -> WarpedPoints:
        """Return canonical places and Jacobians of ``points`` [metres, posed world]."""
        ...

    def places(self, points: Float[Tensor, "num_points 3"]) -> Float[Tensor, "num_points 3"]:
        """Return the canonical places alone [metres], which may cost less."""
        ...


def rigid_inverse(motion: Float[Tensor, "4 4"]) -> tuple[Float[Tensor, "3 3"], Float[Tensor, "3"]]:
    """Return rotation and offset of the inverse of a rigid motion: ``x -> R^T x - R^T t``."""
    rotation = motion[:3, :3].mT
    return rotation, -(rotation @ motion[:3, 3])
