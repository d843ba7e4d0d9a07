"""Inside of the mouth: teeth, tongue and cavity, added to the built-in head for rendering only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int

from sage_ns.rig import HeadModel
from sage_ns.synthetic.head.identity import identity_displacements

_TOOTH_WIDTH = 7.6  # mm
_HEAD_JOINT, _JAW_JOINT = 1, 2


@dataclass(frozen=True)
class _Part:
    vertices: np.ndarray
    triangles: np.ndarray
    follows_jaw: np.ndarray


def _sheet(grid: Float[np.ndarray, "rows columns 3"], follows_jaw: float | np.ndarray, closed: bool = False) -> _Part:
    """Build triangles over a grid of points; `closed` joins the last column to the first."""
    rows, columns = grid.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(index, -1, axis=1) if closed else index[:, 1:]
    left = index if closed else index[:, :-1]
    a, b, c, d = (part.ravel() for part in (left[:-1], right[:-1], left[1:], right[1:]))
    triangles = np.concatenate([np.stack([a, c, d], -1), np.stack([a, d, b], -1)])
    weight = np.broadcast_to(np.asarray(follows_jaw, dtype=np.float64), (rows, columns)).ravel()
    return _Part(grid.reshape(-1, 3), triangles, weight)


def _teeth(edge: float, root: float, depth: float, follows_jaw: float) -> _Part:
    """Build a row of teeth: a bent wall whose front bulges at every tooth, from root over biting edge to back."""
    across = np.linspace(-24.0, 24.0, 73)
    tooth = np.abs(np.sin(np.pi * across / _TOOTH_WIDTH)) ** 0.5
    arch = depth - 0.026 * across**2
    levels = ((0.0, -1.6), (0.3, 0.0), (0.8, 0.25), (0.97, 0.0), (1.0, -1.0), (0.95, -3.5))
    rows = []
    for part, forward in levels:
        bulge = (tooth - 1.0) * 1.1 * (0.4 + 0.6 * part)
        height = root + (edge - root) * (part - 0.07 * part * (1.0 - tooth))
        rows.append(np.stack([across, np.broadcast_to(height, across.shape), arch + forward + bulge], axis=-1))
    # The columns are reversed where the edge is above the root, so that both rows face the lips.
    grid = np.stack(rows)
    return _sheet(grid if edge < root else grid[:, ::-1], follows_jaw)


def _dome(center: tuple, radii: tuple, reach: float, num: int) -> Float[np.ndarray, "rows columns 3"]:
    """Sample part of an ellipsoid around its back pole (-z), up to polar angle `reach` (radians)."""
    polar = np.linspace(0.05, reach, num)[:, None]
    turn = np.linspace(0.0, 2 * np.pi, 2 * num, endpoint=False)[None, :]
    sphere = np.stack(
        [np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), -np.cos(polar) + 0.0 * turn], axis=-1
    )
    return sphere * np.asarray(radii) + np.asarray(center)


def _parts() -> dict[str, _Part]:
    cavity = _dome((0.0, -40.0, 36.0), (24.0, 15.0, 22.0), 1.9, 14)
    opening = 1.0 / (1.0 + np.exp((cavity[..., 1] + 40.0) / 3.0))
    tongue = _dome((0.0, -50.5, 42.0), (15.0, 6.0, 15.0), 3.1, 12)
    return {
        "upper_teeth": _teeth(edge=-40.3, root=-29.5, depth=60.0, follows_jaw=0.0),
        "lower_teeth": _teeth(edge=-40.9, root=-50.5, depth=58.0, follows_jaw=1.0),
        "tongue": _sheet(tongue, 1.0, closed=True),
        "cavity": _sheet(cavity, opening, closed=True),
    }


@lru_cache(maxsize=2)
def with_mouth_interior(
    model: HeadModel,
) -> tuple[HeadModel, dict[str, Int[np.ndarray, "num_part"]]]:
    """Add teeth, tongue and mouth cavity to the built-in head, as extra vertices at the end.

    Returns:
        The larger model (same joints, coefficients and regions) and the new vertices by part.
    """
    parts = _parts()
    start, vertices, triangles, jaw, members = model.num_vertices, [], [], [], {}
    for name, part in parts.items():
        members[name] = start + np.arange(len(part.vertices))
        vertices.append(part.vertices)
        triangles.append(part.triangles + start)
        jaw.append(part.follows_jaw)
        start += len(part.vertices)
    points, follows = np.concatenate(vertices), np.concatenate(jaw)
    weights = np.zeros((len(points), 5), dtype=np.float32)
    weights[:, _JAW_JOINT], weights[:, _HEAD_JOINT] = follows, 1.0 - follows
    identity = identity_displacements(points, np.zeros(len(points))).transpose(0, 2, 1) * 1e-3
    shape_basis = torch.zeros(len(points), 3, model.num_shape)
    shape_basis[..., : identity.shape[-1]] = torch.from_numpy(identity.astype(np.float32))

    def longer(tensor: torch.Tensor, extra: torch.Tensor, dim: int = 0) -> torch.Tensor:
        return torch.cat([tensor, extra.to(tensor.dtype)], dim=dim)

    return (
        replace(
            model,
            v_template=longer(model.v_template, torch.from_numpy(points * 1e-3)),
            triangles=longer(model.triangles, torch.from_numpy(np.concatenate(triangles))),
            shape_basis=longer(model.shape_basis, shape_basis),
            expression_basis=longer(model.expression_basis, torch.zeros(len(points), 3, model.num_expression)),
            pose_basis=longer(model.pose_basis, torch.zeros(36, 3 * len(points)), dim=1),
            joint_regressor=longer(model.joint_regressor, torch.zeros(5, len(points)), dim=1),
            skinning_weights=longer(model.skinning_weights, torch.from_numpy(weights)),
        ),
        members,
    )
