"""Backward warp by the rig: a blend of the motions of the nearest triangles (method Sec. 7)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sage_ns.field.warp.backward import WarpedPoints
from sage_ns.geometry.nearest_points import NearestPoints
from sage_ns.geometry.rigid import rigid_inverse
from sage_ns.geometry.triangles import TriangleFrames

NEIGHBOURS = 3
"""Triangles that are blended."""
REACH, _FADE = 0.03, 0.01
"""Metres from the rig beyond which points follow the skull, and the way over which the rig's motion fades out."""
_CORE = 0.001
"""Metres; within it of a triangle's centre, the triangle's weight stays as it is."""
_MOST_STRETCH = 2.0
"""Largest change of scale: the motion of a fold, as in the lids, says nothing about the room before it."""


class RigWarp:
    """``x_c = sum_k w_k A_k(x)`` over the three triangles k whose posed centres are nearest to x.

    ``A_k(x) = s_k R_0k R_tk^T (x - T_tk) + T_0k`` with ``s_k = k_0k / k_tk``: from the posed frame of the triangle to
    its canonical one, as `sage_ns.rig.warp.to_canonical`. ``w_k`` is in proportion to ``1 / (d_k^2 + 1 mm^2)`` with the
    distance ``d_k`` of the centre (the rule of Portrait-4D's GenHead, there with vertices). Between 2 and 3 cm from the
    rig the blend passes over into the rigid motion of the skull, which is exact for hair.

    ``J = sum_k w_k s_k R_0k R_tk^T``. The derivative of the weights is left out: it is large where triangles of
    different motion meet, not continuous where neighbours change, and makes the normals that J returns worse
    (docs/lab_notebook.md, "The field and rays of other moments").

    Args:
        posed, canonical: frames of the rig's triangles at the two moments.
        skull: rigid motion, canonical point -> posed point, metres.

    Raises:
        ValueError: fewer than three triangles.
    """

    follows_parts = True

    def __init__(self, posed: TriangleFrames, canonical: TriangleFrames, skull: Float[Tensor, "4 4"]) -> None:
        self.skull = skull.detach()
        stretch = (canonical.scale / posed.scale).clamp(1 / _MOST_STRETCH, _MOST_STRETCH)
        linear = stretch[:, None, None] * canonical.rotation @ posed.rotation.mT
        offset = canonical.origin - torch.einsum("nij,nj->ni", linear, posed.origin)
        back = rigid_inverse(self.skull).to(offset)
        # One row per triangle, and the skull's as the last: its linear part and its offset.
        triangles = torch.cat([linear.flatten(1), offset], dim=-1)
        self._maps = torch.cat([triangles, torch.cat([back[:3, :3].flatten(), back[:3, 3]])[None]]).detach()
        self._nearest = NearestPoints(posed.origin, NEIGHBOURS, REACH)

    @torch.no_grad()
    def __call__(self, points: Float[Tensor, "num_points 3"]) -> WarpedPoints:
        """Return canonical places and Jacobians of ``points`` [metres, posed world]."""
        near = self._nearest(points)
        weight = 1 / (near.distance.square() + _CORE**2)
        share = ((REACH - near.distance[:, :1]) / _FADE).clamp(0.0, 1.0)
        share = share * share * (3 - 2 * share)
        weight = share * weight / weight.sum(dim=-1, keepdim=True).clamp_min(1e-12)
        last = torch.full_like(near.index[:, :1], len(self._maps) - 1)
        rows, shares = torch.cat([near.index, last], dim=-1), torch.cat([weight, 1 - share], dim=-1)
        maps = F.embedding_bag(rows, self._maps.to(points), per_sample_weights=shares, mode="sum")
        jacobian = maps[:, :9].reshape(-1, 3, 3)
        return WarpedPoints(torch.einsum("nij,nj->ni", jacobian, points) + maps[:, 9:], jacobian)

    def places(self, points: Float[Tensor, "num_points 3"]) -> Float[Tensor, "num_points 3"]:
        """Return the canonical places of ``points`` [metres, posed world]."""
        return self(points).canonical
