"""Iterated closest points: the similarity that lays one surface onto another, from any position, turn and size."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.geometry.mesh_queries import barycentric_to_points, sample_triangles, uniform_barycentric
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.geometry.similarity import Similarity, similarity
from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.geometry.triangles import triangle_areas, triangle_normals

_DENSE, _COARSE_POINTS, _FINE_POINTS = 3000, 150, 1500
"""Points that stand for a surface, those that look for theirs while the starts are compared, and afterwards."""
_FIRST_ROUNDS, _COARSE_ROUNDS, _FINE_ROUNDS = 4, 12, 40
"""Rounds of every start, of the best starts, and of the best one."""
_BEST_STARTS, _COMPARED_ROUNDS = 5, 8
"""Starts that are compared surface by surface, and their rounds: points alone do not tell front from back."""
_KEPT = 0.8
"""Share of the pairs that count; the others are hair, shoulders, and what only one of the surfaces has."""
_AGREEMENT = 0.3
"""Least cosine between the normals of a pair."""
_STILL = 1e-6
"""Change of a round, as a share of the size, after which no further one is needed."""


@dataclass(frozen=True, eq=False)
class Registration:
    """How one surface lies on another."""

    moved: Similarity
    """Takes the points of the first surface to the second."""
    residual: float
    """Mean distance of the points of the second surface from the moved first one, in the unit of the second."""


@dataclass(frozen=True, eq=False)
class _Sampled:
    """A surface, and points drawn on it by area."""

    mesh: TriangleMesh
    normal: Float[Tensor, "num_triangles 3"]
    points: Float[Tensor, "n 3"]
    triangle: Int[Tensor, "n"]
    dense: Float[Tensor, "m 3"]
    """More points than these, which stand for the surface where speed counts."""

    @classmethod
    def of(
        cls,
        vertices: Float[Tensor, "num_vertices 3"],
        triangles: Int[Tensor, "num_triangles 3"],
        chosen: Bool[Tensor, "num_triangles"] | None,
        count: int,
        seed: int,
    ) -> _Sampled:
        generator = torch.Generator().manual_seed(seed)
        areas = triangle_areas(vertices, triangles)
        triangle = sample_triangles(areas if chosen is None else areas * chosen, _DENSE, generator)
        weights = uniform_barycentric(_DENSE, generator).to(vertices)
        # In random order: the first few are then a sample, too.
        order = torch.randperm(_DENSE, generator=generator)
        dense = barycentric_to_points(vertices, triangles, triangle, weights)[order]
        mesh, normals = TriangleMesh(vertices, triangles), triangle_normals(vertices, triangles)
        return cls(mesh, normals, dense[:count], triangle[order][:count], dense)

    def first(self, count: int) -> _Sampled:
        return replace(self, points=self.points[:count], triangle=self.triangle[:count])

    def closest(self, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, "n 3"], Int[Tensor, "n"]]:
        found = self.mesh.closest(points)
        where = barycentric_to_points(self.mesh.vertices, self.mesh.triangles, found.triangle, found.barycentric)
        return where, found.triangle


def register_surface(
    vertices: Float[Tensor, "num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
    onto: Float[Tensor, "num_target_vertices 3"],
    onto_triangles: Int[Tensor, "num_target_triangles 3"],
    important: Bool[Tensor, "num_target_triangles"] | None = None,
    seed: int = 0,
) -> Registration:
    """Find the similarity that lays a surface onto another.

    Centres and sizes give a first map in each of the 24 turns that take axes to axes: programs disagree about which way
    is up. Rounds of closest points, taken in both directions so that neither surface shrinks into the other, and
    `similarity` choose among them. The rest is Gauss-Newton on the distances between points and planes (Chen and
    Medioni 1992), ``sum_i w_i (n_i . (x_i - y_i))^2`` with a scale as its seventh unknown. The worst fifth of the pairs
    in either direction does not count, nor do pairs whose normals disagree.

    Args:
        vertices, triangles: the surface to move, in any unit.
        onto, onto_triangles: the other one.
        important: triangles of the other one that decide the last rounds and the residual; None = all.
        seed: of the points that are compared.

    Raises:
        ValueError: a surface has no area, or is not finite.
    """
    vertices, onto = (each.detach().cpu().double() for each in (vertices, onto))
    triangles, onto_triangles = triangles.cpu(), onto_triangles.cpu()
    important = None if important is None else important.cpu()
    source = _Sampled.of(vertices, triangles, None, _FINE_POINTS, seed)
    whole = _Sampled.of(onto, onto_triangles, None, _FINE_POINTS, seed + 1)
    target = whole if important is None else _Sampled.of(onto, onto_triangles, important, _FINE_POINTS, seed + 2)
    compared = [
        _fine(start, source.first(_COARSE_POINTS), target.first(_COARSE_POINTS), important, _COMPARED_ROUNDS)
        for start in _coarse(source.dense, whole.dense)
    ]
    best = min(compared, key=lambda each: each.residual).moved
    return _fine(best, source, target, important, _FINE_ROUNDS)


def _fine(
    found: Similarity,
    source: _Sampled,
    target: _Sampled,
    important: Bool[Tensor, "num_target_triangles"] | None,
    rounds: int,
) -> Registration:
    """Improve a similarity until it stands still, and measure what is left."""
    counts = torch.ones(len(target.normal), dtype=torch.bool) if important is None else important
    for _ in range(rounds):
        found, change = _improved(found, source, target, counts)
        if change < _STILL:
            break
    there = found(source.closest(_back(found, target.points))[0])
    return Registration(found, float(torch.linalg.vector_norm(target.points - there, dim=-1).mean()))


def _starts() -> list[Float[Tensor, "3 3"]]:
    """Return the 24 rotations that take axes to axes."""
    turns = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            turn = torch.diag(torch.tensor(signs, dtype=torch.float64))[list(order)]
            if float(torch.linalg.det(turn)) > 0:
                turns.append(turn)
    return turns


def _coarse(own: Float[Tensor, "n 3"], theirs: Float[Tensor, "m 3"]) -> list[Similarity]:
    """Return similarities that lay points of one surface near those of another, the best of those from all starts."""
    from scipy.spatial import KDTree

    trees = KDTree(own.numpy()), KDTree(theirs.numpy())
    centers = own.mean(dim=0), theirs.mean(dim=0)
    spreads = [float((each - each.mean(dim=0)).square().sum(dim=-1).mean().sqrt()) for each in (own, theirs)]
    scale = spreads[1] / spreads[0]
    some, others = own[:_COARSE_POINTS], theirs[:_COARSE_POINTS]

    def rounds(found: Similarity, count: int) -> tuple[Similarity, float]:
        error = float("inf")
        for _ in range(count):
            apart, near = trees[1].query(found(some).numpy())
            back, origin = trees[0].query(_back(found, others).numpy())
            distance = torch.from_numpy(apart), found.scale * torch.from_numpy(back)
            kept = torch.cat([each <= each.quantile(_KEPT) for each in distance])
            error = float(torch.cat(distance)[kept].mean())
            found = similarity(torch.cat([some, own[origin]]), torch.cat([theirs[near], others]), kept.double())
        return found, error

    starts = [Similarity(scale, turn, centers[1] - scale * turn @ centers[0]) for turn in _starts()]
    tried = sorted((rounds(start, _FIRST_ROUNDS) for start in starts), key=lambda each: each[1])
    return [rounds(found, _COARSE_ROUNDS)[0] for found, _ in tried[:_BEST_STARTS]]


def _improved(
    found: Similarity, source: _Sampled, target: _Sampled, important: Bool[Tensor, "num_target_triangles"]
) -> tuple[Similarity, float]:
    """Take one step of Gauss-Newton; return the new similarity, and how far it moves points, in sizes of the target."""
    moved = found(source.points)
    there, at = target.closest(moved)
    here, bound = source.closest(_back(found, target.points))
    points, goals = torch.cat([moved, found(here)]), torch.cat([there, target.points])
    normals = torch.cat([target.normal[at], target.normal[target.triangle]])
    own_normals = torch.cat([source.normal[source.triangle], source.normal[bound]]) @ found.rotation.T
    valid = ((normals * own_normals).sum(dim=-1) > _AGREEMENT) & torch.cat([important[at], important[target.triangle]])
    apart = (points - goals).norm(dim=-1)
    sides = apart.split([len(moved), len(here)])
    reach = torch.cat([side[ok].quantile(_KEPT).expand(len(side)) if bool(ok.any()) else side for side, ok in zip(
        sides, valid.split([len(moved), len(here)]), strict=True)])  # fmt: skip
    weight = (valid & (apart <= reach)).double()[:, None]
    middle = target.points.mean(dim=0)
    size = (target.points - middle).norm(dim=-1).mean()
    arm = (points - middle) / size
    error = (normals * (points - goals)).sum(dim=-1, keepdim=True) / size
    jacobian = torch.cat([torch.linalg.cross(arm, normals), normals, (normals * arm).sum(-1, keepdim=True)], dim=-1)
    system = (weight * jacobian).T @ jacobian
    # What the surfaces do not determine, such as the turn of a ball, stays as it is.
    system = system + 1e-9 * system.trace() * torch.eye(7, dtype=system.dtype)
    step = -torch.linalg.solve(system, ((weight * jacobian).T @ error)[:, 0])
    turn, grown = axis_angle_to_matrix(step[:3]), 1 + float(step[6])
    shift = middle + size * step[3:6] + grown * turn @ (found.translation - middle)
    return Similarity(grown * found.scale, turn @ found.rotation, shift), float(step.abs().max())


def _back(moved: Similarity, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Return where points come from."""
    return (points - moved.translation) @ moved.rotation / moved.scale
