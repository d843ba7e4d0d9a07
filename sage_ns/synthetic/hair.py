"""Hair, brows and lashes of the synthetic person: strands grown on the mean head, attached to the rig's triangles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from sage_ns.geometry.triangles import triangle_frames
from sage_ns.rig import HeadModel
from sage_ns.synthetic.head.identity import IDENTITY_SHAPES, identity_displacements
from sage_ns.synthetic.head.surface import EYE_CENTER, eyelid_contour, front_depth, head_distance, head_normal
from sage_ns.synthetic.surface import noise, vertex_normals

HairStyle = Literal["short", "long", "none"]
Flow = Callable[[np.ndarray, float], np.ndarray]
"""Direction of growth at points (mm) that are at a fraction 0..1 of the strand's length."""


@dataclass(frozen=True)
class Strands:
    """Polylines with equal numbers of points, in the frames of the triangles that they grow on."""

    local: Float[np.ndarray, "num_strands num_points 3"]
    """Metres, in the frame of the strand's triangle."""
    triangle: Int[np.ndarray, "num_strands"]
    width: Float[np.ndarray, "num_strands num_points"]
    """Metres."""
    color: Float[np.ndarray, "num_strands num_points 3"]
    """Linear albedo."""
    side: Float[np.ndarray, "num_strands 3"]
    """Wide direction of a strand's first ribbon, in the frame of the triangle; made orthogonal to the strand."""

    def posed(
        self, vertices: Float[np.ndarray, "num_vertices 3"], triangles: Int[np.ndarray, "num_triangles 3"]
    ) -> tuple[Float[np.ndarray, "n p 3"], Float[np.ndarray, "n 3"]]:
        """Return world polylines (metres) and wide directions for posed rig vertices."""
        frames = triangle_frames(
            torch.from_numpy(vertices.astype(np.float64)), torch.from_numpy(triangles[self.triangle])
        )
        rotation, origin = frames.rotation.numpy(), frames.origin.numpy()
        line = np.einsum("nij,npj->npi", rotation, self.local) + origin[:, None]
        return line, np.einsum("nij,nj->ni", rotation, self.side)


def blades(
    line: Float[np.ndarray, "n p 3"], side: Float[np.ndarray, "n 3"], width: Float[np.ndarray, "n p"]
) -> tuple[Float[np.ndarray, "n*p*4 3"], Int[np.ndarray, "t 3"], Float[np.ndarray, "n p 3"]]:
    """Build two crossing ribbons along each polyline: vertices (four per point), triangles and the unit tangents.

    Two ribbons stand for round hair: a single ribbon vanishes where it is seen edge-on, as along the outline.
    """
    tangent = np.gradient(line, axis=1)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=-1, keepdims=True), 1e-12)
    across = side[:, None] - (side[:, None] * tangent).sum(-1, keepdims=True) * tangent
    across /= np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-12)
    edge = 0.5 * width[..., None] * across
    other_edge = np.cross(tangent, edge)
    vertices = np.stack([line - edge, line + edge, line - other_edge, line + other_edge], axis=2)
    num, points = line.shape[:2]
    index = np.arange(num * points * 4).reshape(num, points, 2, 2)
    a, b, c, d = index[:, :-1, :, 0], index[:, :-1, :, 1], index[:, 1:, :, 0], index[:, 1:, :, 1]
    triangles = np.stack([np.stack([a, b, d], -1), np.stack([a, d, c], -1)], axis=-2).reshape(-1, 3)
    return vertices.reshape(-1, 3), triangles, tangent


def _obstacle(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    """Return the distance (mm) to the head with solid ears; hair lies outside this shape."""
    folded = np.abs(points) * [1, 0, 0] + points * [0, 1, 1]
    ear = (np.linalg.norm((folded - (78, 13, -27)) / (12, 31, 20), axis=-1) - 1.0) * 12.0
    return np.minimum(head_distance(points), ear)


def _grow(
    roots: np.ndarray,
    normals: np.ndarray,
    flow: Flow,
    lift: np.ndarray,
    length: np.ndarray,
    num_points: int,
    stiff: float,
) -> Float[np.ndarray, "n p 3"]:
    """Grow every strand along `flow`, near a clearance (mm) from the head that rises from 0 at the root to `lift`."""
    points, direction = roots.copy(), normals.copy()
    away, outward = np.zeros(len(roots)), normals
    line = [roots]
    step = length / (num_points - 1)
    for index in range(1, num_points):
        part = index / (num_points - 1)
        too_far = np.clip((away - lift) / 12.0, 0.0, 0.9)
        wanted = flow(points, part) - too_far[:, None] * outward
        direction = stiff * direction + (1.0 - stiff) * wanted
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        points = points + step[:, None] * direction
        clearance = lift * min(1.0, 3.0 * part)
        away, outward = _obstacle(points), head_normal(points)
        short_of = np.maximum(clearance - away, 0.0)
        points = points + short_of[:, None] * outward
        away = away + short_of
        line.append(points)
    lines = np.stack(line, axis=1)
    for _ in range(2):  # pushing points out of the head leaves kinks
        lines[:, 1:-1] = 0.5 * lines[:, 1:-1] + 0.25 * (lines[:, :-2] + lines[:, 2:])
    return lines


def _cut(line: Float[np.ndarray, "n p 3"], height: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n p 3"]:
    """Cut strands at their `height` (mm) and spread their points over the rest."""
    num_points = line.shape[1]
    is_low = line[:, :, 1] < height[:, None]
    last = np.where(is_low.any(axis=1), np.maximum(is_low.argmax(axis=1), 2), num_points - 1)
    position = np.linspace(0.0, 1.0, num_points) * last[:, None]
    low = np.minimum(position.astype(int), num_points - 2)
    rows = np.arange(len(line))[:, None]
    return line[rows, low] + (position - low)[..., None] * (line[rows, low + 1] - line[rows, low])


def _short_flow(points: np.ndarray, part: float) -> np.ndarray:
    """Direction of short hair: swept from a parting on the left over the top; down and back on the sides."""
    x, y, z = points.T
    top = np.clip((y - 75.0) / 35.0, 0.0, 1.0)[:, None]
    over = np.stack([np.tanh((x - 28.0) / 6.0) * 0.8, 0.05 - 0.5 * part + 0.0 * x, 0.25 - 0.5 * (z < 0)], axis=-1)
    down = np.stack([0.0 * x, np.full_like(x, -0.8), np.where(z > -60, -0.45, 0.1)], axis=-1)
    flow = top * over + (1.0 - top) * down
    return flow / np.linalg.norm(flow, axis=-1, keepdims=True)


def _long_flow(points: np.ndarray, part: float) -> np.ndarray:
    """Direction of long hair: from a middle parting to the sides, back past the face, then down."""
    x, y, z = points.T
    side = np.tanh((x + 4.0) / 5.0)
    fall = np.clip(2.2 * part, 0.0, 1.0)
    past_face = np.clip((z - 5.0) / 25.0, 0.0, 1.0) * np.clip((y + 60.0) / 60.0, 0.0, 1.0)
    sideways = (1.0 - fall) * side * np.clip((y - 40.0) / 60.0, 0.1, 1.0)
    back = -0.25 * (1.0 - fall) - 0.9 * past_face
    flow = np.stack([sideways, np.full_like(x, -0.25 - fall), back], axis=-1)
    return flow / np.linalg.norm(flow, axis=-1, keepdims=True)


def _sample_scalp(model: HeadModel, num: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sample random roots (mm), normals and triangles, evenly over the scalp of the mean head."""
    vertices, triangles = model.v_template.numpy().astype(np.float64) * 1e3, model.triangles.numpy()
    scalp = np.flatnonzero(model.regions.triangle_mask("scalp", model.triangles).numpy())
    corner = vertices[triangles[scalp]]
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=-1)
    chosen = rng.choice(len(scalp), size=num, p=area / area.sum())
    weight = rng.dirichlet((1.0, 1.0, 1.0), size=num)
    roots = np.einsum("nk,nkj->nj", weight, corner[chosen])
    normals = vertex_normals(vertices, triangles)
    normal = np.einsum("nk,nkj->nj", weight, normals[triangles[scalp[chosen]]])
    return roots, normal / np.linalg.norm(normal, axis=-1, keepdims=True), scalp[chosen]


def _attach(
    line_mm: np.ndarray, triangle: np.ndarray, side: np.ndarray, width_mm: np.ndarray, color: np.ndarray,
    model: HeadModel, shape: Float[np.ndarray, "num_shape"],
) -> Strands:  # fmt: skip
    """Move strands of the mean head to the person's shape and express them in the frames of their triangles."""
    flat = line_mm.reshape(-1, 3)
    moved = flat + identity_displacements(flat, np.zeros(len(flat))).transpose(0, 2, 1) @ shape[: len(IDENTITY_SHAPES)]
    person = (model.v_template + model.shape_basis @ torch.from_numpy(shape)).double()
    frames = triangle_frames(person, model.triangles[torch.from_numpy(triangle)])
    rotation, origin = frames.rotation.numpy(), frames.origin.numpy()
    line = moved.reshape(line_mm.shape) * 1e-3 - origin[:, None]
    return Strands(
        local=np.einsum("nij,npi->npj", rotation, line),
        triangle=triangle,
        width=width_mm * 1e-3,
        color=color,
        side=np.einsum("nij,ni->nj", rotation, side),
    )


def grow_hair(
    model: HeadModel, shape: Float[np.ndarray, "num_shape"], style: HairStyle, color: Float[np.ndarray, "3"],
    num_strands: int, seed: int,
) -> Strands | None:  # fmt: skip
    """Grow head hair, millimetres (short) to centimetres (long) off the scalp; returns None for the style `none`."""
    if style == "none":
        return None
    rng = np.random.default_rng([seed, 101])
    roots, normals, triangle = _sample_scalp(model, num_strands, rng)
    draw = rng.uniform(size=(num_strands, 4))
    clump = noise(roots, 22.0, seed + 31)
    if style == "short":
        num_points, stiff, flow = 8, 0.55, _short_flow
        on_top = np.clip((roots[:, 1] - 40.0) / 60.0, 0.0, 1.0)
        length = (16.0 + 24.0 * on_top) * (0.75 + 0.5 * draw[:, 0])
        lift = (2.0 + 7.0 * on_top) * (0.25 + draw[:, 1] + 0.15 * clump)
        width = 0.55
    else:
        num_points, stiff, flow = 20, 0.45, _long_flow
        length = (225.0 + 40.0 * draw[:, 0]) * np.clip(0.72 + 0.28 * (roots[:, 1] + 60) / 190.0, 0.55, 1.0)
        lift = 3.0 + 15.0 * draw[:, 1] + 2.5 * clump
        width = 0.42
    start = normals + 0.15 * rng.normal(size=normals.shape)
    swirl = 0.25 * np.stack([noise(roots, 18.0, seed + 40 + k) for k in range(3)], -1) + 0.03 * rng.normal(
        size=roots.shape
    )
    line = _grow(roots, start, lambda p, part: flow(p, part) + swirl, np.maximum(lift, 0.6), length, num_points, stiff)
    line[:, 0] = roots - 0.5 * normals
    if style == "long":
        line = _cut(line, -106.0 + 4.0 * rng.normal(size=num_strands).clip(-1.5, 2.0) + 3.0 * clump)
    side = np.cross(line[:, -1] - line[:, 0], normals) + 0.6 * rng.normal(size=normals.shape) * length[:, None]
    along = np.linspace(0.0, 1.0, num_points)
    in_face = (np.abs(line[..., 0]) < 52.0) & (line[..., 2] > 30.0) & (line[..., 1] < 66.0)
    kept = np.flatnonzero(~in_face.any(axis=1))
    taper = width * (1.0 - 0.75 * along**3) * (0.7 + 0.6 * draw[:, 2:3])
    streak = 0.65 + 0.5 * draw[:, 3] + 0.35 * clump
    shade = np.clip(streak[:, None] * (0.75 + 0.45 * along), 0.25, 2.0)
    colors = shade[..., None] * color
    return _attach(line[kept], triangle[kept], side[kept], taper[kept], colors[kept], model, shape)


def grow_brows_and_lashes(
    model: HeadModel, shape: Float[np.ndarray, "num_shape"], color: Float[np.ndarray, "3"], seed: int
) -> Strands:
    """Grow eyebrows (two bows of fine hairs) and the lashes of the upper lids."""
    rng = np.random.default_rng([seed, 202])
    brow_line, brow_side = _brow_lines(rng, 190)
    lash_line, lash_side = _lash_lines(rng, 64)
    half_line, half_side = np.concatenate([brow_line, lash_line]), np.concatenate([brow_side, lash_side])
    width = np.concatenate([np.full(len(brow_line), 0.55), np.full(len(lash_line), 0.42)])
    flip = np.array([-1.0, 1.0, 1.0])
    line = np.concatenate([half_line, half_line * flip])
    side = np.concatenate([half_side, half_side * flip])
    width = np.concatenate([width, width])[:, None] * np.linspace(1.0, 0.35, line.shape[1])
    shade = np.broadcast_to(color * 0.8, (*line.shape[:2], 3))
    corner = model.v_template.numpy()[model.triangles.numpy()] * 1e3
    candidates = np.flatnonzero(model.regions.triangle_mask("face", model.triangles).numpy())
    triangle = candidates[KDTree(corner[candidates].mean(axis=1)).query(line[:, 0])[1]]
    return _attach(line, triangle, side, width, shade, model, shape)


def _brow_lines(rng: np.random.Generator, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Left brow: hairs along a bow, thick inside, thin and falling outside (mm)."""
    t = rng.beta(1.25, 1.1, num)
    x = 13.0 + 35.0 * t
    middle = 49.0 + 6.5 * np.sin(np.clip(t, 0, 1) * 2.05) - 1.5 * t**3 * 3.0
    thickness = np.interp(t, [0.0, 0.15, 0.6, 1.0], [1.3, 2.6, 1.9, 0.5])
    y = middle + thickness * rng.uniform(-1.0, 1.0, num)
    lean = np.interp(t, [0.0, 0.25, 1.0], [1.2, 0.55, -0.45]) + 0.18 * rng.normal(size=num) - 0.25 * (y - middle) / 3.0
    heading = np.stack([np.cos(lean), np.sin(lean)], axis=-1)
    length = np.interp(t, [0.0, 0.2, 1.0], [5.0, 7.5, 6.0]) * rng.uniform(0.7, 1.2, num)
    xy = np.stack([x, y], axis=-1)[:, None] + np.linspace(0, 1, 4)[None, :, None] * (length[:, None] * heading)[:, None]
    z = front_depth(xy.reshape(-1, 2)).reshape(num, 4) + np.array([-0.1, 0.5, 0.7, 0.5])
    side = np.concatenate([-heading[:, 1:], heading[:, :1], np.zeros((num, 1))], axis=-1)
    return np.concatenate([xy, z[..., None]], axis=-1), side


def _lash_lines(rng: np.random.Generator, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Left upper lashes: short curved hairs from the lid's edge, forward and up (mm)."""
    angle = np.pi * (0.04 + 0.92 * (np.arange(num) + rng.uniform(-0.3, 0.3, num)) / num)
    xy = eyelid_contour(angle, 0.15)
    root = np.concatenate([xy, front_depth(xy)[:, None]], axis=-1)
    away = root - EYE_CENTER
    away /= np.linalg.norm(away, axis=-1, keepdims=True)
    fan = np.stack([0.55 * np.cos(angle), np.zeros(num), np.zeros(num)], axis=-1)
    t = np.linspace(0.0, 1.0, 4)[None, :, None]
    length = 6.0 * (0.6 + 0.4 * np.sin(angle))[:, None, None]
    line = root[:, None] + length * (t * (0.8 * away + fan)[:, None] + t**2 * np.array([0.0, 0.75, -0.25]))
    return line, np.tile([1.0, 0.0, 0.0], (num, 1))
