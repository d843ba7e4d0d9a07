"""How surfels change with the expression, beyond what the rig does: what a prior knows of wrinkles, lids and lips."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.avatar.atlas_surfels import PosedPlaces
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.geometry.rotations import quaternion_to_matrix
from sage_ns.geometry.spherical_harmonics import C0
from sage_ns.priors.attributes import COLOUR, LOG_SCALES, OFFSET, OFFSET_UNIT, OPACITY


@dataclass(frozen=True, eq=False)
class ExpressionCorrectives:
    """Changes of some surfels that are linear in the motion vector, through a code of few entries.

    With the motion vectors m and m_0 (canonical moment), the code is ``e = C (m - m_0)``, and each attribute of a
    surfel changes by ``sum_i e_i change_i``. Units and axes are those of `BoundSurfels`.
    """

    rows: Int[Tensor, "num_changed"]
    """Numbers of the surfels."""
    canonical: Float[Tensor, "num_coefficients"]
    """Motion vector at which nothing changes."""
    code: Float[Tensor, "num_expression num_coefficients"]
    """Code per unit of each coefficient: expression and jaw; the others have 0."""
    means: Float[Tensor, "num_expression num_changed 3"]
    log_scales: Float[Tensor, "num_expression num_changed 2"]
    opacity_logits: Float[Tensor, "num_expression num_changed"]
    sh_dc: Float[Tensor, "num_expression num_changed 1 3"]

    def to(self, device: torch.device | str) -> ExpressionCorrectives:
        """Return the same changes on another device."""
        return ExpressionCorrectives(*(getattr(self, field.name).to(device) for field in fields(self)))

    def corrected(self, surfels: BoundSurfels, motion: Float[Tensor, "num_coefficients"]) -> BoundSurfels:
        """Return the surfels as the expression of a motion vector changes them."""
        code = self.code @ (motion - self.canonical)
        own = {name: getattr(surfels, name).detach() for name in BoundSurfels.PARAMETERS}
        for name in ("means", "log_scales", "opacity_logits", "sh_dc"):
            change = torch.einsum("e,e...->...", code, getattr(self, name))
            own[name] = own[name].index_add(0, self.rows, change)
        return BoundSurfels(surfels.triangle, **own)


def bound_correctives(
    changes: Float[Tensor, "num_expression num_changed 9"],
    rows: Int[Tensor, "num_changed"],
    posed: PosedPlaces,
    gain: Float[Tensor, "3"],
    canonical: Float[Tensor, "num_coefficients"],
    code: Float[Tensor, "num_expression num_coefficients"],
) -> ExpressionCorrectives:
    """Return changes of attributes (`sage_ns.priors.attributes`) as changes of the surfels of `bound_to_rig`.

    Args:
        changes: per unit of each entry of the code.
        rows: numbers of the places.
        posed: the places on the rig at the canonical moment.
        gain: factor on the colours of the person.
        canonical, code: see `ExpressionCorrectives`.
    """
    turn, scale = quaternion_to_matrix(posed.places.turn[rows]), posed.frames.scale[rows]
    means = torch.einsum("nij,enj->eni", turn, changes[..., OFFSET]) * OFFSET_UNIT / scale[:, None]
    color = changes[..., None, COLOUR] * gain / C0
    parts = (means, changes[..., LOG_SCALES], changes[..., OPACITY].squeeze(-1), color)
    return ExpressionCorrectives(rows, canonical, code, *(part.detach() for part in parts))
