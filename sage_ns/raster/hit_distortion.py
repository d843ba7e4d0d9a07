"""Distortion over the depths of the ray's hits, as 2DGS computes it, from sums that every backend can blend.

Eq. 2 is ``sum_ij w_i w_j |z_i - z_j|``. Over centre depths, surfels come in order and one pass computes it. Hits come
in another order at each pixel. 2DGS (Huang et al. 2024, appendix) therefore squares the difference and takes depths in
normalised device coordinates, which are a linear function of the inverse depth q = 1 / z. This sum needs no order:

    sum_ij w_i w_j (q_i - q_j)^2 = 2 (A S_2 - S_1^2),  A = sum w_i,  S_k = sum w_i (q_i - q_0)^k  for any q_0

Small differences of depth are z_i - z_j = z^2 (q_j - q_i). The buffer holds the sum times z^4 / 1 cm, z the rendered
depth, which is a constant here: ``sum_ij w_i w_j (z_i - z_j)^2 / 1 cm`` [metres]. Two layers that are 1 cm apart count
as much as in Eq. 2, nearer ones less, farther ones more.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

UNIT = 0.01
"""Metres; the distance at which the squared distortion equals that of Eq. 2."""


def spread_of_moments(
    alpha: Float[Tensor, "*image 1"], first: Float[Tensor, "*image 1"], second: Float[Tensor, "*image 1"]
) -> Float[Tensor, "*image 1"]:
    """Return sum_ij w_i w_j (q_i - q_j)^2 = 2 (alpha second - first^2) [1 / square metres].

    Args:
        alpha: sum_i w_i.
        first, second: sum_i w_i (q_i - q_0) and sum_i w_i (q_i - q_0)^2. The nearer q_0 is to the inverse depths, the
            more digits of the difference are correct.
    """
    return 2.0 * (alpha * second - first.square())


def hit_distortion(
    spread: Float[Tensor, "height width 1"], depth: Float[Tensor, "height width 1"]
) -> Float[Tensor, "height width 1"]:
    """Return sum_ij w_i w_j (z_i - z_j)^2 / `UNIT` [metres] from the spread of inverse depths.

    Args:
        spread: sum_ij w_i w_j (q_i - q_j)^2 [1 / square metres]; rounding may have made it negative.
        depth: rendered depth [metres]; no gradient reaches it, so that the loss does not move the surface as a whole.
    """
    return spread.clamp_min(0.0) * (depth.detach() ** 4 / UNIT)
