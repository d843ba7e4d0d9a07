"""Splitting of surfels where expressions stretch the skin, at a constant number (EAvatar, arXiv 2508.13537).

A surfel that a single moment has taught is one disc; an expression that stretches the skin to twice its length needs
two. As many surfels that hardly show in the pictures give up their rows, so that no tensor changes its size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.avatar.growth.ops import SurfelRows, overwrite
from sage_ns.geometry.rotations import quaternion_to_matrix

SHARE = 0.05
"""Largest share of the surfels that are split."""
LEAST_STRETCH, LEAST_DISPLACEMENT = 1.3, 0.006
"""Stretch, and metres beyond the skull's motion, above which a surfel may be split. EAvatar's threshold, 0.2 in its
units, is about six millimetres."""
APART, SHRINK = 0.5, 1.6
"""Standard deviations from the old centre to the new ones, and divisor of the scales, which is 3DGS'."""


@dataclass(frozen=True, eq=False)
class Split:
    """Which surfels are split, and whose rows the second halves take; both ascending, equally many."""

    parents: Int[Tensor, "num_split"]
    replaced: Int[Tensor, "num_split"]


def choose_split(
    stretch: Float[Tensor, "num_surfels"],
    displacement: Float[Tensor, "num_surfels"],
    weight: Float[Tensor, "num_surfels"],
    may_split: Bool[Tensor, "num_surfels"],
) -> Split:
    """Choose the surfels to split, and as many to give up.

    Of the surfels that stretch or move by more than the thresholds, those that stretch most are split [reading]: all of
    a chin moves, but what one disc cannot show is where neighbours move differently. Given up are the surfels of the
    lowest weight among those that neither stretch nor move so far: skin that pictures of one moment hardly show may be
    what an expression uncovers.

    Args:
        stretch: largest stretch over the driving bank.
        displacement: largest displacement beyond the skull's motion over the bank [metres].
        weight: sum of the blending weights in the training pictures.
        may_split: surfels that lie on skin and are in training.
    """
    moves = (stretch > LEAST_STRETCH) | (displacement > LEAST_DISPLACEMENT)
    candidates, spare = moves & may_split, ~moves
    count = min(int(SHARE * len(stretch)), int(candidates.sum()), int(spare.sum()))
    parents = torch.where(candidates, stretch, -torch.inf).topk(count).indices
    replaced = torch.where(spare, weight, torch.inf).topk(count, largest=False).indices
    return Split(parents.sort().values, replaced.sort().values)


@torch.no_grad()
def split_in_place(rows: SurfelRows, chosen: Split, direction: Float[Tensor, "num_surfels 2"]) -> None:
    """Replace each parent by two discs, one in its own row and one in that of a surfel that is given up.

    ``mu +- APART sigma_d d``, with the unit vector d in the tangent plane and sigma_d = the disc's standard deviation
    along it; ``s / SHRINK``; ``1 - (1 - o)^0.5``, so that two discs one behind the other cover what the parent covered.
    Everything else of a row is the parent's. Moments of both rows start at 0. Number and order of rows do not change.

    Args:
        rows: rows to edit; with networks, whose details then carry the change of opacity and size.
        chosen: see `choose_split`.
        direction: d in the tangent axes of each surfel.
    """
    tensors = {**rows.parameters, **rows.buffers}
    halves = {name: tensor.detach()[chosen.parents].clone() for name, tensor in tensors.items()}
    axes = quaternion_to_matrix(F.normalize(halves["quaternions"], dim=-1))[..., :2]
    along = direction[chosen.parents].to(axes)
    sigma = torch.linalg.vector_norm(along * halves["log_scales"].exp(), dim=-1, keepdim=True)
    offset = APART * sigma * (axes @ along[..., None])[..., 0]
    thinner = _halved(halves["opacity_logits"]) - halves["opacity_logits"]
    smaller = -torch.log(torch.tensor(SHRINK)).to(axes)
    halves["opacity_logits"] = halves["opacity_logits"] + thinner
    halves["log_scales"] = halves["log_scales"] + smaller
    if "detail_opacity" in halves:
        halves["detail_opacity"] = halves["detail_opacity"] + thinner
        halves["detail_shape"][:, 6] += smaller  # the logarithm of the size, before it is bounded
    center = halves["means"]
    for which, sign in ((chosen.parents, 1.0), (chosen.replaced, -1.0)):
        mask = torch.zeros(rows.num_rows, dtype=torch.bool, device=which.device).index_fill(0, which, True)
        overwrite(rows, mask, {**halves, "means": center + sign * offset}, fresh=rows.parameters)
    rows.edited()


def _halved(logits: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Return the logits of ``1 - (1 - o)^0.5``, with log (1 - o)^0.5 = log sigmoid(-x) / 2."""
    log_through = 0.5 * F.logsigmoid(-logits)
    return torch.log(-torch.expm1(log_through)) - log_through
