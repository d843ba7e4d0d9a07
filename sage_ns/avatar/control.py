"""Control surfels: those that expressions move far take their neighbours along (EAvatar, arXiv 2508.13537)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

LEAST_DISPLACEMENT = 0.009
"""Metres beyond the skull's motion above which a surfel is a control; EAvatar's threshold, 0.3 in its units."""
_REACH, _SPREAD = 3.0, 1.5
"""Largest distance of a control from a surfel that follows it, and sigma of the weights, in median spacings."""
_NEIGHBOURS = 16
"""Largest number of controls of a surfel; the nearest are used."""


class ControlBlend:
    """Moves the surfels around control surfels by what their own triangles miss of the controls' motion.

    EAvatar adds ``sum_i w_ij (x_i(t) - x_i(0))`` over the controls i near surfel j to its place. Here surfels ride on
    triangles already. With M_j = the motion of j's own triangle, the residual of a control is what j's triangle would
    have done differently with it, ``r_ij = x_i(t) - M_j(x_i(0))``, and j moves by ``sum_i w_ij r_ij`` [reading]. M_j is
    a similarity and the weights add up to 1; the sum is therefore ``sum_i w_ij x_i(t) - M_j(sum_i w_ij x_i(0))``. It is
    0 wherever the surface moves as one piece.

    ``w_ij = exp(-|x_j - x_i|^2 / sigma^2)``, normalised, over the nearest 16 controls of the same part of the head
    within three median spacings. Lists and weights are made once, on the CPU.

    Args:
        means: canonical centres [metres].
        label: controls act on surfels of equal labels, which separate parts that touch, such as the lips.
        is_skin: surfels that may be controls or follow them.
        displacement: largest displacement beyond the skull's motion over a driving bank [metres]; None = no controls.
    """

    rows: Int[Tensor, "num_followers"]
    """Surfels that follow controls."""

    def __init__(
        self,
        means: Float[Tensor, "num_surfels 3"],
        label: Int[Tensor, "num_surfels"],
        is_skin: Bool[Tensor, "num_surfels"],
        displacement: Float[Tensor, "num_surfels"] | None,
    ) -> None:
        self._means = means
        none = torch.zeros_like(is_skin)
        self.controls = none if displacement is None else is_skin & (displacement > LEAST_DISPLACEMENT)
        self.rows, self._index, self._weights = self._listed(means, label, is_skin & ~self.controls)
        self._middle = (self._weights[..., None] * means[self._index]).sum(dim=1)

    def _listed(
        self, means: Float[Tensor, "num_surfels 3"], label: Int[Tensor, "num_surfels"], others: Bool[Tensor, "n"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the followers, and the surfels that they follow with their weights."""
        from scipy.spatial import KDTree

        there = self.controls.nonzero()[:, 0].cpu()
        rows = others.nonzero()[:, 0].cpu()
        if len(there) == 0 or len(rows) == 0:
            return rows[:0].to(means.device), rows.new_zeros(0, 1).to(means.device), means.new_zeros(0, 1)
        points = means.cpu().double()
        skin = points[torch.cat([there, rows])].numpy()
        spacing = float(np.median(KDTree(skin).query(skin, k=2)[0][:, 1]))
        count = min(_NEIGHBOURS, len(there))
        apart, found = KDTree(points[there].numpy()).query(points[rows].numpy(), k=count)
        distance = torch.from_numpy(apart.reshape(-1, count))
        index = there[torch.from_numpy(found.reshape(-1, count))]
        near = (distance <= (_REACH + 1e-6) * spacing) & (label.cpu()[index] == label.cpu()[rows, None])
        follows = near.any(dim=1)
        weights = torch.exp(-((distance / (_SPREAD * spacing)) ** 2)) * near
        weights = weights[follows] / weights[follows].sum(dim=1, keepdim=True)
        return rows[follows].to(means.device), index[follows].to(means.device), weights.to(means)

    def shift(
        self, carried: Callable[[Float[Tensor, "n 3"], Int[Tensor, "n"]], Float[Tensor, "n 3"]]
    ) -> Float[Tensor, "num_surfels 3"]:
        """Return by how much each surfel moves in addition to its triangle's motion [metres]; 0 for all but followers.

        Args:
            carried: returns where the motions of the triangles of given surfels take given canonical points.
        """
        everyone = torch.arange(len(self._means), device=self._means.device)
        moved = carried(self._means, everyone)
        followed = (self._weights[..., None] * moved[self._index]).sum(dim=1)
        missed = followed - carried(self._middle, self.rows)
        return torch.zeros_like(moved).index_copy(0, self.rows, missed)
