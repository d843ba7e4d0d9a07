"""The sum of squares that a joint fit minimises, and its normal equations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.tracking.arrow_system import ArrowSystem
from sage_ns.tracking.landmark_rig import LandmarkRig, Unknowns, View
from sage_ns.tracking.least_squares import Step, cauchy_weights
from sage_ns.tracking.placement import facing
from sage_ns.tracking.smoothness import Smoothness

_OUTLIER = 3.0
"""Standard deviations from which on a landmark counts for less (Cauchy's loss)."""
SPREADS = {"jaw": (0.25, 0.03, 0.03), "eyes": (0.3, 0.3, 0.02), "shape": 1.0, "expression": 1.0}
"""Standard deviations of radians and coefficients in people who are photographed."""
_VERGENCE = 0.05
"""Radians: eyes look at one point."""
_AT_ONCE = 8
"""Pictures whose derivatives are computed together; more need memory and gain nothing."""


@dataclass(frozen=True)
class Layout:
    """Where the unknowns of a rig (`Unknowns`) lie in the one vector of all moments: shared ones, then by moments.

    A moment's own unknowns are rotation, translation, jaw, eyes and expression, in this order.
    """

    unknowns: Unknowns

    own_rotation = slice(0, 3)
    own_pose = slice(0, 6)
    own_jaw = slice(6, 9)
    own_eyes = slice(9, 15)
    own_expression = slice(15, None)

    @cached_property
    def shared(self) -> Int[Tensor, "s"]:
        """Places of focal length and shape in the vector of a rig."""
        part = self.unknowns
        return torch.tensor([part.focal, *range(part.shape.start, part.shape.stop)])

    @cached_property
    def own(self) -> Int[Tensor, "m"]:
        """Places of a moment's own unknowns in the vector of a rig."""
        part = self.unknowns
        slices = (part.rotation, part.translation, part.jaw, part.eyes, part.expression)
        return torch.tensor([place for each in slices for place in range(each.start, each.stop)])

    def flat(self, vectors: Float[Tensor, "t num_unknowns"]) -> Float[Tensor, "n"]:
        """Return vectors of a rig as one; shared unknowns are those of the first."""
        return torch.cat([vectors[0, self.shared], vectors[:, self.own].flatten()])

    def parts(self, flat: Float[Tensor, "n"]) -> tuple[Float[Tensor, "s"], Float[Tensor, "t m"]]:
        """Return shared unknowns, and those of the moments."""
        count = len(self.shared)
        return flat[:count], flat[count:].reshape(-1, len(self.own))

    def vectors(self, flat: Float[Tensor, "n"]) -> Float[Tensor, "t num_unknowns"]:
        """Return the vector of the rig at each moment."""
        shared, own = self.parts(flat)
        vectors = own.new_empty(len(own), len(self.unknowns))
        vectors[:, self.shared], vectors[:, self.own] = shared, own
        return vectors


@dataclass(frozen=True, eq=False)
class JointProblem:
    """Residuals, in this order: landmarks, priors of the shared unknowns, priors of each moment, smoothness."""

    rig: LandmarkRig
    moments: Int[Tensor, "n"]
    """Of each picture."""
    views: View
    """Camera of each picture, stacked."""
    detected: Float[Tensor, "n 478 2"]
    root: Float[Tensor, "n 478"]
    """Square roots of the landmarks' weights, relative to their error in pixels."""
    free: Bool[Tensor, "num_unknowns"]
    """Unknowns of the rig that are searched for."""
    focal_spread: float
    """Standard deviation of the log of the focal length's factor; 0 = the factor is 1."""
    agreement: float
    """Pictures that make the same errors: the prior of the shape counts as often as they do."""
    smoothness: Smoothness | None
    expected: Float[Tensor, "num_shape"] | None = None
    """Identity that the prior pulls to; None = the mean person."""

    @cached_property
    def layout(self) -> Layout:
        """Order of the unknowns."""
        return Layout(self.rig.unknowns)

    def residuals(self, flat: Float[Tensor, "n"]) -> Float[Tensor, "num_residuals"]:
        """Return all residuals."""
        pixels = self._over_pictures(flat, self.rig.pixels)
        pulls = (pixels - self.detected) * self.root[..., None]
        return torch.cat([pulls.flatten(), self.priors(flat)])

    def priors(self, flat: Float[Tensor, "n"]) -> Float[Tensor, "num_priors"]:
        """Return the residuals after those of landmarks: linear in the unknowns."""
        shared, own = self.layout.parts(flat)
        smooth = own.new_zeros(0) if self.smoothness is None else self.smoothness.residuals(own)
        off = shared if self.expected is None else shared - F.pad(self.expected, (1, 0))
        return torch.cat([self._shared_prior * off, (own @ self._own_prior.T).flatten(), smooth])

    def faced(self, flat: Float[Tensor, "n"], trust: Float[Tensor, "478"], units: Float[Tensor, "n"]) -> JointProblem:
        """Return the problem with landmarks weighed as the heads stand: less where the skin turns away from the camera.

        Args:
            flat: where the heads stand.
            trust: weights of the landmarks.
            units: standard deviation of a landmark in each picture, pixels.
        """
        vectors, views = self.layout.vectors(flat)[self.moments], zip(*self.views, strict=True)
        seen = torch.stack([facing(self.rig, x, View(*view)) for x, view in zip(vectors, views, strict=True)])
        return replace(self, root=(trust * seen).sqrt() / units[:, None])

    def weights(self, residuals: Float[Tensor, "num_residuals"]) -> Float[Tensor, "num_residuals"]:
        """Return robust weights of landmarks (Cauchy) and of quick movements; 1 for priors."""
        pulls, *priors, smooth = self._split(residuals)
        robust = cauchy_weights(pulls.norm(dim=-1), _OUTLIER)[..., None].expand_as(pulls)
        calm = smooth if self.smoothness is None else self.smoothness.weights(smooth)
        return torch.cat([robust.flatten(), *(torch.ones_like(each).flatten() for each in priors), calm])

    def linearise(
        self,
        flat: Float[Tensor, "n"],
        residuals: Float[Tensor, "num_residuals"],
        weights: Float[Tensor, "num_residuals"],
    ) -> Step:
        """Return the solver of the normal equations; unknowns that are not free do not move."""
        free_shared, free_own = self.free[self.layout.shared], self.free[self.layout.own]
        system = self._system(flat, self._split(residuals), self._split(weights), free_shared, free_own)
        shared, own = self.layout.parts(torch.zeros_like(flat))

        def step(damping: float) -> Tensor:
            shared[free_shared], own[:, free_own] = system.solve(damping)
            return torch.cat([shared, own.flatten()])

        return step

    def _system(
        self, flat: Tensor, r: Sequence[Tensor], w: Sequence[Tensor], free_shared: Tensor, free_own: Tensor
    ) -> ArrowSystem:
        count, own = len(self.layout.parts(flat)[1]), int(free_own.sum())
        columns = torch.cat([self.layout.own[free_own], self.layout.shared[free_shared]])
        normal, slope = self._landmark_terms(flat, columns, r[0], w[0])
        blocks = flat.new_zeros(count, own, own).index_add_(0, self.moments, normal[:, :own, :own])
        border = flat.new_zeros(count, own, len(columns) - own).index_add_(0, self.moments, normal[:, :own, own:])
        slopes = flat.new_zeros(count, own).index_add_(0, self.moments, slope[:, :own])
        shared_prior, own_prior = self._shared_prior[free_shared], self._own_prior[:, free_own]
        blocks += own_prior.T @ own_prior
        slopes += r[2] @ own_prior
        full = [flat.new_zeros(count, len(free_own)) for _ in range(4)]
        if self.smoothness is not None:
            self.smoothness.add_normal(w[3], r[3], full[:3], full[3])
        diagonal, following, next_but_one, bend = (each[:, free_own] for each in full)
        return ArrowSystem(
            shared=normal[:, own:, own:].sum(dim=0) + torch.diag(shared_prior**2),
            border=border,
            blocks=blocks + torch.diag_embed(diagonal),
            next=following,
            next_but_one=next_but_one,
            slope_shared=slope[:, own:].sum(dim=0) + shared_prior * r[1][free_shared],
            slope=slopes + bend,
        )

    def _landmark_terms(self, flat: Tensor, columns: Tensor, pulls: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``J^T W J`` and ``J^T W r`` of each picture, for some unknowns of the rig."""

        pose_alone = bool((columns < self.rig.unknowns.focal).all())

        def derivatives(x: Tensor, view: View) -> Tensor:
            return self.rig.jacobian(x, view, pose_alone)[columns].flatten(1)

        normals, slopes = [], []
        for rows in torch.arange(len(self.moments)).split(_AT_ONCE):
            jacobian = self._over_pictures(flat, derivatives, rows)
            jacobian = jacobian * self.root[rows, None, :].repeat_interleave(2, dim=-1)
            weighted = jacobian * w[rows].flatten(1)[:, None]
            normals.append(weighted @ jacobian.mT)
            slopes.append((weighted @ pulls[rows].flatten(1)[..., None])[..., 0])
        return torch.cat(normals), torch.cat(slopes)

    def _over_pictures(self, flat: Tensor, function, rows: Tensor | slice = slice(None)) -> Tensor:
        """Return a function of the rig's vector and the view for pictures."""
        vectors = self.layout.vectors(flat)[self.moments[rows]]
        views = View(*(each[rows] for each in self.views))
        return torch.func.vmap(function, chunk_size=_AT_ONCE)(vectors, views)

    @cached_property
    def _shared_prior(self) -> Float[Tensor, "s"]:
        """Factors of the shared unknowns: log of the focal length's factor, shape."""
        factors = torch.full((len(self.layout.shared),), self.agreement**0.5 / SPREADS["shape"], dtype=torch.float64)
        factors[0] = 1 / self.focal_spread if self.focal_spread > 0 else 0.0
        return factors

    @cached_property
    def _own_prior(self) -> Float[Tensor, "p m"]:
        """Matrix of the priors of one moment: jaw, eyes, expression, and the difference of the eyes."""
        at = self.layout
        factors = torch.zeros(len(at.own), dtype=torch.float64)
        factors[at.own_jaw] = 1 / factors.new_tensor(SPREADS["jaw"])
        factors[at.own_eyes] = 1 / factors.new_tensor(SPREADS["eyes"] * 2)
        factors[at.own_expression] = 1 / SPREADS["expression"]
        vergence = torch.zeros(3, len(at.own), dtype=torch.float64)
        vergence[:, at.own_eyes] = torch.cat([torch.eye(3), -torch.eye(3)], dim=1).double() / _VERGENCE
        return torch.cat([torch.diag(factors)[at.own_jaw.start :], vergence])

    def _split(self, flat: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return residuals, or their weights, by kind."""
        own = len(self._own_prior)
        count = int(self.moments.max()) + 1
        sizes = [self.detected.numel(), len(self._shared_prior), own * count]
        pulls, shared, moments, smooth = flat.split([*sizes, len(flat) - sum(sizes)])
        return pulls.reshape(self.detected.shape), shared, moments.reshape(count, own), smooth
