"""Refine the tracking of the canonical moment on the reconstructed surface, where the surface says that it is wrong.

Surfels are bound to the canonical rig's triangles: a tracking error of the canonical moment is passed on to all others.
With many training moments the errors average out. With one moment they do not, but many cameras see it, and the rig can
be fitted to the surface that they reconstruct. The fit has an error, too: no rig has the exact shape of a person. Where
the tracking is good, that error is the larger one. The refinement therefore weighs two explanations of the distances
between rig and surface, and moves the rig only if there is evidence for a tracking error [reading]. The surface has an
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

ENOUGH_EVIDENCE = 4.0
"""Logarithm of the likelihood ratio from which on the rig is moved: a tracking error explains the surface 50 times as
well as a misfit of the shape alone (docs/lab_notebook.md)."""

_MILLIMETRE, _ROTATION = 1e-3, 2e-2
"""Units of the changes: a millimetre of translation, a degree of the rotations of head and neck."""
_RESIDUAL = 1e-3
"""Metres from the median; larger distances count linearly: hair, and shapes that the rig cannot take."""
_PATCH = 0.03
"""Metres; a rig's misfit is alike within such a distance. Patches of this size count as independent measurements."""
_FEWEST_PATCHES = 12
"""With fewer, six numbers of a rigid motion and the offset explain any surface."""
_PROBE = 1e-4
"""Change of a motion coefficient for finite differences, metres or radians."""
_ROUNDS = 3
"""Linearisations; the rig moves by a millimetre or two, and the second one hardly changes the result."""


@dataclass(frozen=True)
class Refinement:
    """What the surface says about the tracking of a moment."""

    motion: Float[Tensor, "num_coefficients"]
    """motion vector to use: the refined one, or the tracked one if the evidence does not suffice"""
    evidence: float
    """logarithm of the likelihood ratio of the explanation with a tracking error against that without one, >= 0"""
    distance: float
    """mean distance by which the skin moves [metres]; 0 if the tracked motion stays"""

    @property
    def acts(self) -> bool:
        """Whether the rig moves."""
        return self.distance > 0

    def summary(self) -> str:
        """Return one line for the log."""
        done = f"moved by {self.distance / _MILLIMETRE:.2f} mm to the surface" if self.acts else "stays as tracked"
        return f"Canonical moment: the rig {done} (evidence for a tracking error {self.evidence:.1f})."


@torch.no_grad()
def refined_motion(
    field: SignedDistanceField,
    head_model: HeadModel,
    motion: Float[Tensor, "num_coefficients"],
    enough: float = ENOUGH_EVIDENCE,
) -> Refinement:
    """Fit translation, rotation and neck of the rig to the field's surface, if there is evidence for an error.

    Distances r between patches of skin and the surface are explained by ``r + J delta = c + e``: a change ``delta ~
    N(0, tau^2)`` of the tracked pose in its units, any offset c of the surface, and a misfit ``e ~ N(0, s^2)`` of the
    patches. The sizes tau and s maximise the likelihood of what no offset explains (empirical Bayes, restricted
    likelihood: Patterson and Thompson 1971); the evidence is its ratio to the likelihood with tau = 0. The result is
    the posterior mean of delta, which is the smaller, the larger the misfit is. (Jaw and expression would hardly change
    if they were fitted, too.)

    Args:
        field: signed distance field of the canonical moment.
        head_model: the person's head model.
        motion: tracked motion vector.
        enough: evidence from which on the rig is moved.
    """
    skin = _skin(head_model).to(motion.device)
    unit = torch.tensor([_MILLIMETRE] * 3 + [_ROTATION] * 6, dtype=torch.float64)

    def posed(delta: Tensor) -> Tensor:
        moved = motion.clone()
        moved[: len(unit)] += (unit * delta).to(motion)
        return pose_vertices(head_model, FlameParams.from_motion_vector(moved[None]))[0][skin]

    delta, evidence = torch.zeros_like(unit), 0.0
    patch = _patches(posed(delta).double().cpu()) if len(skin) else torch.empty(0, dtype=torch.int64)
    if len(patch) == 0 or int(patch.max()) + 1 < _FEWEST_PATCHES:
        return Refinement(motion, 0.0, 0.0)
    for _ in range(_ROUNDS):
        distance, jacobian = _linearised(field, posed, delta, unit)
        delta, evidence = _most_likely(distance - jacobian @ delta, jacobian, patch)
    if evidence < enough or not bool(delta.any()):
        return Refinement(motion, evidence, 0.0)
    shift = torch.linalg.vector_norm(posed(delta) - posed(torch.zeros_like(delta)), dim=-1).mean()
    refined = motion.clone()
    refined[: len(unit)] += (unit * delta).to(motion)
    return Refinement(refined, evidence, float(shift))


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


def _most_likely(
    distance: Float[Tensor, "num_skin"], jacobian: Float[Tensor, "num_skin 9"], patch: Int[Tensor, "num_skin"]
) -> tuple[Float[Tensor, "9"], float]:
    """Return the posterior mean of the change, in its units, and the evidence for a change.

    With the singular values S of the patches' centred Jacobian and ``a = U^T r``, the likelihood of the ratio rho = tau / s is
    that of independent ``a_i ~ N(0, s^2 (1 + rho^2 S_i^2))``, and of the rest of r with variance s^2. For a given rho
    the best s^2 is known in closed form.
    """
    number = int(patch.max()) + 1
    distance = distance - distance.median()
    weight = 1.0 / (distance.abs() / (_RESIDUAL / _MILLIMETRE)).clamp_min(1.0)  # Huber's
    total = weight.new_zeros(number).index_add_(0, patch, weight)
    mean = weight.new_zeros(number).index_add_(0, patch, weight * distance) / total
    slope = weight.new_zeros(number, jacobian.shape[1]).index_add_(0, patch, weight[:, None] * jacobian)
    slope = slope / total[:, None]
    # Without means, nothing is left of an offset; it takes one of the measurements.
    mean, slope, number = mean - mean.mean(), slope - slope.mean(dim=0), number - 1
    left, singular, right = torch.linalg.svd(slope, full_matrices=False)
    along = left.T @ mean
    rest = (mean.square().sum() - along.square().sum()).clamp_min(1e-12)
    rho = torch.cat([torch.zeros(1), torch.logspace(math.log10(0.01), math.log10(30.0), 120)]).double()[:, None]
    variance = 1.0 + (rho * singular).square()
    misfit = ((along.square() / variance).sum(dim=1) + rest) / number
    likelihood = -0.5 * number * misfit.log() - 0.5 * variance.log().sum(dim=1)
    best = int(likelihood.argmax())
    gain = rho[best].square() * singular / variance[best]
    return -(right.T @ (gain * along)), float(likelihood[best] - likelihood[0])


def _skin(head_model: HeadModel) -> Int[Tensor, "num_skin"]:
    """Return the face vertices on the field's surface: no hair, no eyeballs, and no lips, which the field closes."""
    regions = head_model.regions
    chosen = torch.zeros(head_model.num_vertices, dtype=torch.bool)
    chosen[regions.vertices("face").cpu()] = True
    for name in ("eyes", "scalp", "lips"):
        chosen[regions.vertices(name).cpu()] = False
    return chosen.nonzero()[:, 0]
