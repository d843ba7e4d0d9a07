"""Moments by their motion alone: how strong the expression is, and how far the mouth opens.

Both are measured on the tracked rig with the head at rest, so that they are the same for every row of a benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.rig import FlameParams
from sage_ns.rig.openings import Opening, mouth_opening

HARDEST_SHARE = 0.25
"""Share of the moments that count as the hardest."""

OPEN_MOUTH = 3e-3
"""Metres by which the lips part more than at rest in a moment with an open mouth."""


@dataclass(frozen=True)
class Moment:
    """What the motion says of one moment."""

    strength: float
    """millimetres, see `MomentRuler.strength`"""
    mouth_open: bool | None
    """None if the rig has no lips"""


class MomentRuler:
    """Measures moments on the rig of one person.

    Args:
        rig: the tracked rig.
    """

    def __init__(self, rig: PersonalRig) -> None:
        self._rig = rig

    def measure(self, motion: Float[Tensor, "num_coefficients"]) -> Moment:
        """Return strength and mouth of the moment with this motion vector."""
        vertices = self._face_at(motion)
        gap = self._lip_gap(vertices)
        open_mouth = None if gap is None or self._gap_at_rest is None else gap - self._gap_at_rest > OPEN_MOUTH
        return Moment(self._strength(vertices), open_mouth)

    def strength(self, motion: Float[Tensor, "num_coefficients"]) -> float:
        """Return the strength of the expression in millimetres.

        This is the root mean square, over the vertices of face and eyeballs (all vertices if the rig has no such
        region), of their distance from the resting face: no expression, jaw closed, eyes straight. Translation,
        rotation and neck do not count.
        """
        return self._strength(self._face_at(motion))

    def _strength(self, vertices: Float[Tensor, "num_vertices 3"]) -> float:
        distance = (vertices - self._rest)[self._counted].norm(dim=-1)
        return float(1000.0 * distance.square().mean().sqrt())

    def _face_at(self, motion: Float[Tensor, "num_coefficients"]) -> Float[Tensor, "num_vertices 3"]:
        still = motion.detach().clone()
        still[FlameParams.HEAD] = 0.0
        still[FlameParams.NECK] = 0.0
        return self._rig.vertices(still)

    @cached_property
    def _rest(self) -> Float[Tensor, "num_vertices 3"]:
        template = self._rig.v_template
        return self._rig.vertices(
            template.new_zeros(FlameParams.EXPRESSION.start + self._rig.head_model.num_expression)
        )

    @cached_property
    def _counted(self) -> Tensor:
        regions = self._rig.head_model.regions
        found = torch.cat([regions.vertices("face"), regions.vertices("eyes")]).unique()
        return found if len(found) else torch.arange(self._rig.head_model.num_vertices, device=found.device)

    @cached_property
    def _lips(self) -> Opening | None:
        return mouth_opening(self._rig.head_model.to("cpu"))

    @cached_property
    def _gap_at_rest(self) -> float | None:
        return self._lip_gap(self._rest)

    def _lip_gap(self, vertices: Float[Tensor, "num_vertices 3"]) -> float | None:
        """Return the mean distance [metres] between facing points of the lips; None if the rig has no lips."""
        if self._lips is None:
            return None
        upper, lower = (
            vertices[torch.from_numpy(rim).to(vertices.device)] for rim in (self._lips.upper, self._lips.lower)
        )
        return float((upper - lower).norm(dim=-1).mean())


def hardest_moments(strengths: Mapping[int, float]) -> frozenset[int]:
    """Return the timesteps with the strongest expressions: a quarter of them, rounded up.

    Args:
        strengths: strength of the expression by timestep. Of equal strengths the earlier timestep counts first.
    """
    ordered = sorted(strengths, key=lambda timestep: (-strengths[timestep], timestep))
    return frozenset(ordered[: -int(-len(ordered) * HARDEST_SHARE // 1)])
