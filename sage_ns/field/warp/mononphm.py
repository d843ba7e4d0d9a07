"""Backward warp by MonoNPHM's deformation network, from a user's checkpoint and tracking (method Sec. 7)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.field.warp.backward import WarpedPoints
from sage_ns.field.warp.mononphm_network import DeformationNetwork
from sage_ns.geometry.rigid import moved_points, rigid_inverse

_UNITS = 4.0
"""MonoNPHM's tracker multiplies metres of FLAME's head space by this."""
_ITERATIONS = 5
"""Steps of the fixed point that undoes the canonical moment's own, small expression."""


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """A frame as MonoNPHM's tracker fits it."""

    code: Float[Tensor, "num_codes"]
    """Identity (z_geo), then expression (z_exp)."""
    rotation: Float[Tensor, "3 3"]
    translation: Float[Tensor, "3"]
    scale: Float[Tensor, ""]
    """``x_n = scale R (4 x) + t``: from metres of the head's own space to NPHM's space."""

    def to(self, other: Tensor) -> TrackedFrame:
        """Return the frame on another tensor's device and in its type."""
        return TrackedFrame(*(getattr(self, name).to(other) for name in ("code", "rotation", "translation", "scale")))


class MonoNphmWarp:
    """Posed world -> head's own space -> NPHM's space -> neutral head -> the canonical moment, back by the same steps.

    With the similarity ``S_t x = scale_t R_t (4 x) + t_t`` of frame t and the offsets ``o_t`` of its expression,
    ``n = S_t x + o_t(S_t x)`` is the neutral place. The canonical moment 0 has an expression, too: its place y solves
    ``y + o_0(y) = n``, by the iteration ``y <- n - o_0(y)``, which converges for the slight expression of a canonical
    moment. Then ``x_c = S_0^-1 y``, and ``J = dS_0^-1 (I + do_0)^-1 (I + do_t) dS_t``.

    MonoNPHM's tracker knows the head in its own space (FLAME's, from metrical-tracker); its cameras carry the motion of
    the head. The skull's motion takes posed points there.

    Args:
        network: the deformation network.
        frame, canonical: the tracker's fits of the two moments.
        skull: rigid motion, canonical point -> posed point, metres.
        head_space: rigid motion, point of the head's own space -> canonical world; None for captures in which both are
            the same, such as those converted from metrical-tracker's output.
    """

    follows_parts = True

    def __init__(
        self,
        network: DeformationNetwork,
        frame: TrackedFrame,
        canonical: TrackedFrame,
        skull: Float[Tensor, "4 4"],
        head_space: Float[Tensor, "4 4"] | None = None,
    ) -> None:
        self.skull = skull.detach()
        self._network, self._frame, self._canonical = network, frame, canonical
        self._out = torch.eye(4, dtype=skull.dtype, device=skull.device) if head_space is None else head_space.detach()
        self._into = rigid_inverse(self.skull @ self._out)

    def __call__(self, points: Float[Tensor, "num_points 3"]) -> WarpedPoints:
        """Return canonical places and Jacobians of ``points`` [metres, posed world]."""
        network, frame, canonical = self._network.to(points), self._frame.to(points), self._canonical.to(points)
        linear, posed = self._into_nphm(points, frame)
        offset, bend = network.with_jacobian(posed, frame.code)
        place = self._undone(posed + offset, posed, network, canonical)
        _, own_bend = network.with_jacobian(place, canonical.code)
        one = torch.eye(3, dtype=points.dtype, device=points.device)
        back, moved = self._out_of_nphm(place, canonical)
        return WarpedPoints(moved, back @ _inverse(one + own_bend) @ (one + bend) @ linear)

    @torch.no_grad()
    def places(self, points: Float[Tensor, "num_points 3"]) -> Float[Tensor, "num_points 3"]:
        """Return the canonical places of ``points`` [metres, posed world]."""
        network, frame, canonical = self._network.to(points), self._frame.to(points), self._canonical.to(points)
        _, posed = self._into_nphm(points, frame)
        neutral = posed + network(posed, frame.code)
        return self._out_of_nphm(self._undone(neutral, posed, network, canonical), canonical)[1]

    def _into_nphm(self, points: Tensor, frame: TrackedFrame) -> tuple[Tensor, Tensor]:
        linear = _UNITS * frame.scale * frame.rotation
        return linear @ self._into[:3, :3].to(points), moved_points(self._into, points) @ linear.mT + frame.translation

    def _out_of_nphm(self, points: Tensor, frame: TrackedFrame) -> tuple[Tensor, Tensor]:
        back = frame.rotation.mT / (_UNITS * frame.scale)
        own = (points - frame.translation) @ back.mT
        return self._out[:3, :3].to(points) @ back, moved_points(self._out, own)

    @torch.no_grad()
    def _undone(self, neutral: Tensor, start: Tensor, network: DeformationNetwork, canonical: TrackedFrame) -> Tensor:
        place = start
        for _ in range(_ITERATIONS):
            place = neutral - network(place, canonical.code)
        return place


def _inverse(matrix: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3 3"]:
    """Return inverses by Cramer's rule: torch's solvers wait for the device."""
    first, second, third = matrix.unbind(-1)
    rows = [torch.linalg.cross(second, third), torch.linalg.cross(third, first), torch.linalg.cross(first, second)]
    determinant = (first * rows[0]).sum(dim=-1)
    return torch.stack(rows, dim=1) / determinant[:, None, None]
