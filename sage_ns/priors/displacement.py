"""The code of an expression: a few numbers, linear in how the rig's face moves, chosen to foretell what the rig misses.

SEGA's code is the latent of a variational auto-encoder over displacements from the FLAME mesh. Here it is linear: the
offsets between the true surface and the rig are regressed on the motion of the face, and the code holds the motions
that explain most of them (reduced-rank regression, Izenman 1975). A small variational auto-encoder did no better on
people who were held out (docs/lab_notebook.md). Without true surfaces, the code holds the principal components of the
motion. It is computed from the places of the atlas: every rig has the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.avatar.atlas import Atlas, RigPlaces
from sage_ns.capture.flame_table import expression_alone
from sage_ns.priors.uv_decoder import moving_places
from sage_ns.rig import FlameParams, HeadModel, identity_vertices, pose_vertices

_MOST_PROBES = 2000
"""Largest number of places at which the motion is measured."""
_CANDIDATES = 4
"""Components of the motion, for each entry of the code, in whose span the code is searched."""
_LEAST_SHARE = 1e-4
"""Components with a smaller share of the square of the largest are noise: a hundredth of its motion."""
_RIDGE = 1.0
"""Moments without displacement that are added to the regression."""


def probes(atlas: Atlas) -> Int[Tensor, "num_probes"]:
    """Return the numbers of the places at which the motion of the face is measured."""
    moving = moving_places(atlas)
    return moving[:: max(1, -(-len(moving) // _MOST_PROBES))]


def face_motion(
    model: HeadModel, params: FlameParams, places: RigPlaces, rows: Int[Tensor, "num_probes"]
) -> Float[Tensor, "num_timesteps num_probes 3"]:
    """Return how far expression and jaw move places from the neutral face [metres, axes of the unposed head].

    Head pose and gaze do not count. Gradients reach the parameters.
    """
    moved = pose_vertices(model, expression_alone(params)) - identity_vertices(model, params)
    corners = moved[:, model.triangles[places.triangle[rows]]]
    return (corners * places.barycentric[rows][..., None]).sum(dim=-2)


@dataclass(frozen=True, eq=False)
class ExpressionCode:
    """The linear map from the motion of the face to the code; neutral has the code 0."""

    directions: Float[Tensor, "num_expression num_probes 3"]
    """Code per metre of each probe; in training, each entry of the code has the mean square 1."""
    explained: float
    """Share of the squared displacement of the true surface that the code foretells, in training; 0 without truth."""

    def to(self, device: torch.device | str) -> ExpressionCode:
        """Return the same map on another device."""
        return replace(self, directions=self.directions.to(device))

    def code(
        self, motion: Float[Tensor, "num_timesteps num_probes 3"]
    ) -> Float[Tensor, "num_timesteps num_expression"]:
        """Return the code of each moment (`face_motion`)."""
        return motion.flatten(1) @ self.directions.flatten(1).T


def learn_expression_code(
    motions: Sequence[Float[Tensor, "_ num_probes 3"]],
    offsets: Sequence[Float[Tensor, "_ num_probes 3"] | None],
    length: int,
) -> ExpressionCode:
    """Return the code that explains most of the displacements of some people.

    Each person's first moment is what the others are compared with: what a person's surface has there belongs to the
    identity.

    Args:
        motions: of each person's moments, see `face_motion`.
        offsets: from the rig to the true surface at the same moments [metres, in the axes of the places]; None where
            the truth of a person is not known.
        length: of the code; entries for which there are too few moments are 0.
    """
    everything = torch.cat([motion.flatten(1) for motion in motions]).double()
    components = _components(everything, length if all(each is None for each in offsets) else _CANDIDATES * length)
    directions, explained = components, 0.0
    known = [(m, o) for m, o in zip(motions, offsets, strict=True) if o is not None and len(m) > 1]
    if known and len(components):
        scores = torch.cat([(m[1:] - m[:1]).flatten(1) for m, _ in known]).double() @ components.T
        wanted = torch.cat([(o[1:] - o[:1]).flatten(1) for _, o in known]).double()
        mixture, explained = _reduced_rank(scores, wanted, length)
        directions = mixture.T @ components
    size = (everything @ directions.T).square().mean(dim=0).sqrt()
    directions = directions / size.clamp_min(1e-12)[:, None]
    padded = directions.new_zeros(length, directions.shape[1])
    padded[: len(directions)] = directions[:length]
    return ExpressionCode(padded.float().reshape(length, *motions[0].shape[1:]), explained)


def _components(rows: Float[Tensor, "n m"], most: int) -> Float[Tensor, "count m"]:
    """Return directions along which the rows have the mean square 1, those of the largest components first.

    The rows are not centred: a row of zeros, the neutral face, has the scores 0.
    """
    values, vectors = torch.linalg.eigh(rows @ rows.T)
    values, vectors = values.flip(0)[:most], vectors.flip(1)[:, :most]
    kept = values > _LEAST_SHARE * values[0].clamp_min(1e-300)
    return (vectors[:, kept] / values[kept]).T @ rows * len(rows) ** 0.5


def _reduced_rank(
    scores: Float[Tensor, "n p"], wanted: Float[Tensor, "n q"], rank: int
) -> tuple[Float[Tensor, "p rank"], float]:
    """Return which mixtures of the scores foretell most of ``wanted``, and the share of its square that they do."""
    normal = scores.T @ scores + _RIDGE * torch.eye(scores.shape[1]).to(scores)
    weights = torch.linalg.solve(normal, scores.T @ wanted)
    fitted = scores @ weights
    values, vectors = torch.linalg.eigh(fitted @ fitted.T)
    values, vectors = values.flip(0)[:rank], vectors.flip(1)[:, :rank]
    kept = values > 1e-10 * values[0].clamp_min(1e-300)
    axes = fitted.T @ vectors[:, kept] / values[kept].sqrt()  # orthonormal directions of displacement
    mixture = weights @ axes
    total = wanted.square().sum().clamp_min(1e-30)
    return mixture, float(1 - (wanted - scores @ mixture @ axes.T).square().sum() / total)
