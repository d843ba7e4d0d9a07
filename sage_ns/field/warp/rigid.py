"""Backward warp of a head that only turns: the inverse of the skull's motion."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from sage_ns.field.warp.backward import WarpedPoints, rigid_inverse


class RigidWarp:
    """``x_c = R^T (x - t)`` with the skull's motion ``[R | t]`` since the canonical moment; the Jacobian is exact.

    Rendering through this warp equals rendering the canonical head with a camera that moves around it. It is right for
    skull and hair, and wrong for what moves against the skull: jaw, lips, lids, neck.

    Args:
        skull: rigid motion, canonical point -> posed point, metres.
    """

    follows_parts = False

    def __init__(self, skull: Float[Tensor, "4 4"]) -> None:
        self.skull = skull.detach()
        self._rotation, self._offset = rigid_inverse(self.skull)

    def __call__(self, points: Float[Tensor, "num_points 3"]) -> WarpedPoints:
        """Return canonical places and Jacobians of ``points`` [metres, posed world]."""
        return WarpedPoints(self.places(points), self._rotation.to(points).expand(len(points), 3, 3))

    def places(self, points: Float[Tensor, "num_points 3"]) -> Float[Tensor, "num_points 3"]:
        """Return the canonical places of ``points`` [metres, posed world]."""
        return points @ self._rotation.to(points).mT + self._offset.to(points)
