"""Refine the tracking of the canonical moment on the reconstructed surface, as far as that says that it is wrong.

Surfels are bound to the canonical rig's triangles: a tracking error of the canonical moment is passed on to all others.
With many training moments the errors average out. With one moment they do not, but many cameras see it, and the rig can
be fitted to the surface that they reconstruct. The fit has an error, too: no rig has the exact shape of a person. Where
the tracking is good, that error is the larger one. The refinement therefore weighs two explanations of the distances
between rig and surface, and moves the rig the farther, the likelier a tracking error is [reading]. The surface has an
error of its own: it lies outside the true one as a whole while it is young, by half a millimetre and more. Faces look
to the front, so that this looks like a head further forward or turned; both explanations therefore contain an offset.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.field.sdf import SignedDistanceField
from sage_ns.geometry.farthest_points import farthest_first
from sage_ns.rig import FlameParams, HeadModel, pose_vertices

RefineTracking = Literal["auto", "always", "never"]

ERROR_EXPECTED = 0.25
"""Probability of an error of the tracking that is worth a move, before the surface is seen: trackers that refine on all
pixels leave little (docs/lab_notebook.md)."""

_MILLIMETRE, _ROTATION = 1e-3, 2e-2
"""Units of the changes: a millimetre of translation, a degree of the rotations of head and neck."""
_FARTHEST = 2.0
"""Millimetres from the median; what is farther counts as if it were there (Huber's pseudo-values): hair, and shapes
that the rig cannot take."""
_PATCH = 0.03
"""Metres; a rig's misfit is alike within such a distance. Patches of this size count as independent measurements."""
_FEWEST_PATCHES = 12
"""With fewer, six numbers of a rigid motion and the offset explain any surface."""
_ERRORS = (0.05, 1.0)
"""Least and largest size tau of a tracking error, in the units of the changes."""
_MISFITS = (0.1, 2.0)
"""Least and largest misfit s of the patches, millimetres."""
_SIZES = 40
"""Sizes between these limits, at equal ratios."""
_LEAST_MOVE = 1e-5
"""Metres; less is no move."""
_PROBE = 1e-4
"""Change of a motion coefficient for finite differences, metres or radians."""
_ROUNDS = 4
"""Linearisations; the rig moves by a millimetre or two, and the fourth one hardly changes the result."""


@dataclass(frozen=True)
class Refinement:
    """What the surface says about the tracking of a moment."""

    motion: Float[Tensor, "num_coefficients"]
    """motion vector to use"""
    error: float
    """probability that the tracking has an error, 0..1"""
    distance: float
    """mean distance by which the skin moves [metres]; 0 if the tracked motion stays"""

    @property
    def acts(self) -> bool:
        """Whether the rig moves."""
        return self.distance > 0

    def summary(self) -> str:
        """Return one line for the log."""
        done = f"moved by {self.distance / _MILLIMETRE:.2f} mm to the surface" if self.acts else "stays as tracked"
        return f"Canonical moment: the rig {done}; a tracking error is {100 * self.error:.0f} % likely."


@torch.no_grad()
def refined_motion(
    field: SignedDistanceField,
    head_model: HeadModel,
    motion: Float[Tensor, "num_coefficients"],
    expected: float = ERROR_EXPECTED,
) -> Refinement:
    """Move translation, rotation and neck of the rig to the field's surface, as far as a tracking error is likely.

    Distances r between patches of skin and the surface are explained by ``r + J delta = c + e``: a change ``delta ~
    N(0, tau^2)`` of the tracked pose in its units, any offset c of the surface, and a misfit ``e ~ N(0, s^2)`` of the
    patches. Without a tracking error, tau is 0; with one, it is any size of `_ERRORS`, and s any of `_MISFITS`. The
    result is the mean of delta over all of them, each as likely as r makes it (Bayesian model averaging: Hoeting et al.
    1999): small where the misfit is large, or where an error is unlikely. The offset is unknown, and what it explains
    is left out of the likelihood (restricted likelihood: Patterson and Thompson 1971). (Jaw and expression would hardly
    change if they were fitted, too.)

    Args:
        field: signed distance field of the canonical moment.
        head_model: the person's head model.
        motion: tracked motion vector.
        expected: probability of a tracking error before the surface is seen, 0..1; 1 = there is one.
    """
    skin = _skin(head_model).to(motion.device)
    unit = torch.tensor([_MILLIMETRE] * 3 + [_ROTATION] * 6, dtype=torch.float64)

    def posed(delta: Tensor) -> Tensor:
        moved = motion.clone()
        moved[: len(unit)] += (unit * delta).to(motion)
        return pose_vertices(head_model, FlameParams.from_motion_vector(moved[None]))[0][skin]

    delta, error = torch.zeros_like(unit), expected
    patch = _patches(posed(delta).double().cpu()) if len(skin) else torch.empty(0, dtype=torch.int64)
    if len(patch) == 0 or int(patch.max()) + 1 < _FEWEST_PATCHES:
        return Refinement(motion, error, 0.0)
    for _ in range(_ROUNDS):
        distance, jacobian = _linearised(field, posed, delta, unit)
        off = (distance - distance.median()).clamp(-_FARTHEST, _FARTHEST)
        off = _patch_means(off - jacobian @ delta, patch)
        delta, error = _mean_change(off, _patch_means(jacobian, patch), expected)
    shift = torch.linalg.vector_norm(posed(delta) - posed(torch.zeros_like(delta)), dim=-1).mean()
    if shift < _LEAST_MOVE:
        return Refinement(motion, error, 0.0)
    refined = motion.clone()
    refined[: len(unit)] += (unit * delta).to(motion)
    return Refinement(refined, error, float(shift))


def _linearised(
    field: SignedDistanceField, posed: Callable[[Tensor], Tensor], delta: Float[Tensor, "9"], unit: Float[Tensor, "9"]
) -> tuple[Float[Tensor, "num_skin"], Float[Tensor, "num_skin 9"]]:
    """Return the skin's distances from the surface [mm] and their derivatives by the change of the pose."""

    def distances(at: Tensor) -> Tensor:
        return field.evaluate(posed(at)).distance.double().cpu() / _MILLIMETRE

    columns = []
    for index in range(len(unit)):
        probe = torch.zeros_like(delta)
        probe[index] = _PROBE / unit[index]
        columns.append((distances(delta + probe) - distances(delta - probe)) / (2 * probe[index]))
    return distances(delta), torch.stack(columns, dim=1)


def _patches(points: Float[Tensor, "num_skin 3"]) -> Int[Tensor, "num_skin"]:
    """Return the patch of each point: that of the nearest of points that lie at least `_PATCH` apart."""

    def distances_from(index: int) -> Tensor:
        return torch.linalg.vector_norm(points - points[index], dim=-1)

    centers = farthest_first(0, len(points), distances_from, near=_PATCH)
    return torch.cdist(points, points[list(centers)]).argmin(dim=1)


def _patch_means(
    values: Float[Tensor, "num_skin *columns"], patch: Int[Tensor, "num_skin"]
) -> Float[Tensor, "num_patches *columns"]:
    """Return the patches' means, less the mean of these: nothing is left of an offset."""
    number = int(patch.max()) + 1
    total = values.new_zeros(number, *values.shape[1:]).index_add_(0, patch, values)
    size = torch.bincount(patch, minlength=number).reshape(number, *[1] * (values.dim() - 1))
    return (total / size) - (total / size).mean(dim=0)


def _mean_change(
    distance: Float[Tensor, "num_patches"], jacobian: Float[Tensor, "num_patches 9"], expected: float
) -> tuple[Float[Tensor, "9"], float]:
    """Return the mean of the change in its units, and the probability of a tracking error.

    With ``J = U S V^T`` and ``a = U^T r``, a change of size tau and a misfit s make independent ``a_i ~ N(0, s^2 +
    tau^2 S_i^2)``, and the rest of r has variance s^2; the change's mean is ``-V (tau^2 S a / (s^2 + tau^2 S^2))``.
    """
    left, singular, right = torch.linalg.svd(jacobian, full_matrices=False)
    along = left.T @ distance
    rest = (distance.square().sum() - along.square().sum()).clamp_min(0.0)
    others = len(distance) - 1 - len(singular)
    sizes = torch.cat([distance.new_zeros(1), _equal_ratios(_ERRORS)])[:, None, None]
    misfits = _equal_ratios(_MISFITS)[None, :, None]
    variance = misfits.square() + (sizes * singular).square()
    likelihood = -0.5 * (variance.log() + along.square() / variance).sum(dim=-1)
    likelihood -= others * misfits[..., 0].log() + 0.5 * rest / misfits[..., 0].square()
    prior = torch.full_like(likelihood, expected / _SIZES)
    prior[0] = 1.0 - expected
    probability = torch.softmax((likelihood + prior.log()).flatten(), dim=0).reshape(likelihood.shape)
    gain = (probability[..., None] * sizes.square() * singular / variance).sum(dim=(0, 1))
    return -(right.T @ (gain * along)), float(probability[1:].sum())


def _equal_ratios(limits: tuple[float, float]) -> Float[Tensor, "num_sizes"]:
    return torch.logspace(math.log10(limits[0]), math.log10(limits[1]), _SIZES, dtype=torch.float64)


def _skin(head_model: HeadModel) -> Int[Tensor, "num_skin"]:
    """Return the face vertices on the field's surface: no hair, no eyeballs, and no lips, which the field closes."""
    regions = head_model.regions
    chosen = torch.zeros(head_model.num_vertices, dtype=torch.bool)
    chosen[regions.vertices("face").cpu()] = True
    for name in ("eyes", "scalp", "lips"):
        chosen[regions.vertices(name).cpu()] = False
    return chosen.nonzero()[:, 0]
