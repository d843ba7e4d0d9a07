"""Strands that hair of every kind is made of: grow them off the mean head, cut them, attach them to a person's rig."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from scipy.spatial import KDTree

from sage_ns.geometry.triangles import triangle_frames
from sage_ns.rig import HeadModel
from sage_ns.synthetic.head.identity import IDENTITY_SHAPES, displacement_table, identity_displacements
from sage_ns.synthetic.head.surface import head_distance, head_normal
from sage_ns.synthetic.surface import vertex_normals

_LIT_POINTS = 6
Points = Float[np.ndarray, "n 3"]
Values = Float[np.ndarray, "n"]
Lines = Float[np.ndarray, "n p 3"]
Flow = Callable[[np.ndarray, float], np.ndarray]
"""Direction of growth at points (mm) that are at a fraction 0..1 of the strand's length."""
GREY = (0.50, 0.49, 0.47)
"""Albedo of hair without pigment."""


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
    lit_at: int | None = None
    """Number of points, evenly over the strand, at which light is computed; None = at every point."""

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


class Skull(Protocol):
    """What hair lies on: the mean head's distance field."""

    def distance(self, points: Points) -> Values:
        """Signed distance (mm) to the skin, without ears."""
        ...

    def normal(self, points: Points) -> Points:
        """Outward unit normals of the distance field."""
        ...


class ExactSkull:
    """The distance field as `head.surface` defines it."""

    distance = staticmethod(head_distance)
    normal = staticmethod(head_normal)


class TabledSkull:
    """The distance field from a table with a cell of 4 mm, thirty times as fast: within 0.1 mm on scalp and jaw."""

    _CELL = 4.0
    _LOW, _HIGH = np.array([-160.0, -240.0, -200.0]), np.array([160.0, 240.0, 160.0])

    def __init__(self) -> None:
        num = np.round((self._HIGH - self._LOW) / self._CELL).astype(int) + 1
        half = [np.arange(num[0] // 2, num[0]), np.arange(num[1]), np.arange(num[2])]
        nodes = np.stack(np.meshgrid(*half, indexing="ij"), axis=-1) * self._CELL + self._LOW
        left = head_distance(nodes.reshape(-1, 3)).reshape(nodes.shape[:3])
        self._table = np.concatenate([left[:0:-1], left])  # the mean head is symmetric
        self._slopes = np.gradient(self._table, self._CELL)

    def _at(self, table: np.ndarray, points: Points) -> Values:
        return ndimage.map_coordinates(table, ((points - self._LOW) / self._CELL).T, order=1, mode="nearest")

    def distance(self, points: Points) -> Values:
        """Signed distance (mm) to the skin, without ears; beyond the table, that of its border."""
        return self._at(self._table, points)

    def normal(self, points: Points) -> Points:
        """Outward unit normals of the distance field."""
        slope = np.stack([self._at(table, points) for table in self._slopes], axis=-1)
        return slope / np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 1e-12)


@cache
def tabled_skull() -> TabledSkull:
    """Return the table, which takes a second or two to make; once per process."""
    return TabledSkull()


def _with_ears(distance: Values, points: Points) -> Values:
    """Return the distance (mm) to the head with solid ears; hair lies outside this shape."""
    folded = np.abs(points) * [1, 0, 0] + points * [0, 1, 1]
    ear = (np.linalg.norm((folded - (78, 13, -27)) / (12, 31, 20), axis=-1) - 1.0) * 12.0
    return np.minimum(distance, ear)


def grow(
    roots: np.ndarray,
    normals: np.ndarray,
    flow: Flow,
    lift: np.ndarray,
    length: np.ndarray,
    num_points: int,
    stiff: float,
    skull: Skull,
    stands: bool = False,
) -> Float[np.ndarray, "n p 3"]:
    """Grow every strand along `flow`, near a clearance (mm) from the head that rises from 0 at the root to `lift`.

    Strands that stand on their own (`stands`) are free to leave the head.
    """
    points, direction = roots.copy(), normals.copy()
    away, outward = np.zeros(len(roots)), normals
    line = [roots]
    step = length / (num_points - 1)
    for index in range(1, num_points):
        part = index / (num_points - 1)
        too_far = np.clip((away - lift) / 12.0, 0.0, 0.0 if stands else 0.9)
        wanted = flow(points, part) - too_far[:, None] * outward
        direction = stiff * direction + (1.0 - stiff) * wanted
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        points = points + step[:, None] * direction
        clearance = lift * min(1.0, 3.0 * part)
        away, outward = _with_ears(skull.distance(points), points), skull.normal(points)
        short_of = np.maximum(clearance - away, 0.0)
        points = points + short_of[:, None] * outward
        away = away + short_of
        line.append(points)
    lines = np.stack(line, axis=1)
    for _ in range(2):  # pushing points out of the head leaves kinks
        lines[:, 1:-1] = 0.5 * lines[:, 1:-1] + 0.25 * (lines[:, :-2] + lines[:, 2:])
    return lines


def cut(
    line: Float[np.ndarray, "n p 3"], height: Float[np.ndarray, "n"], exactly: bool = False
) -> Float[np.ndarray, "n p 3"]:
    """Cut strands at their `height` (mm), or at their next point below, and spread their points over the rest."""
    num_points = line.shape[1]
    is_low = line[:, :, 1] < height[:, None]
    first = np.maximum(is_low.argmax(axis=1), 2)
    if exactly:
        above, below = (line[np.arange(len(line)), first - k, 1] for k in (1, 0))
        first = first - 1 + np.clip((above - height) / np.maximum(above - below, 1e-6), 0.0, 1.0)
    last = np.where(is_low.any(axis=1), first, num_points - 1)
    position = np.linspace(0.0, 1.0, num_points) * last[:, None]
    low = np.minimum(position.astype(int), num_points - 2)
    rows = np.arange(len(line))[:, None]
    return line[rows, low] + (position - low)[..., None] * (line[rows, low + 1] - line[rows, low])


def fewer_points(line: Lines, most: int) -> Lines:
    """Return strands with at most this number of their points, evenly chosen."""
    num_points = line.shape[1]
    return line[:, np.round(np.linspace(0, num_points - 1, min(most, num_points))).astype(int)]


def sample_roots(
    model: HeadModel, on: Bool[np.ndarray, "num_triangles"], num: int, rng: np.random.Generator
) -> tuple[Points, Points, Int[np.ndarray, "n"]]:
    """Sample random roots (mm), normals and triangles, evenly over the triangles `on` of the mean head."""
    vertices, triangles = model.v_template.numpy().astype(np.float64) * 1e3, model.triangles.numpy()
    members = np.flatnonzero(on)
    corner = vertices[triangles[members]]
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=-1)
    chosen = rng.choice(len(members), size=num, p=area / area.sum())
    weight = rng.dirichlet((1.0, 1.0, 1.0), size=num)
    roots = np.einsum("nk,nkj->nj", weight, corner[chosen])
    normals = vertex_normals(vertices, triangles)
    normal = np.einsum("nk,nkj->nj", weight, normals[triangles[members[chosen]]])
    return roots, normal / np.linalg.norm(normal, axis=-1, keepdims=True), members[chosen]


def displacement_of(shape: Float[np.ndarray, "num_shape"], tabled: bool) -> Callable[[Points], Points]:
    """Return the function that moves points (mm) of the mean head to a person's, exactly or by a table."""
    if tabled:
        return displacement_table(shape)
    return lambda points: (
        identity_displacements(points, np.zeros(len(points))).transpose(0, 2, 1) @ shape[: len(IDENTITY_SHAPES)]
    )


def attach(
    line_mm: np.ndarray, triangle: np.ndarray, side: np.ndarray, width_mm: np.ndarray, color: np.ndarray,
    model: HeadModel, shape: Float[np.ndarray, "num_shape"], tabled: bool = True,
) -> Strands:  # fmt: skip
    """Move strands of the mean head to the person's shape and express them in the frames of their triangles."""
    flat = line_mm.reshape(-1, 3)
    moved = flat + displacement_of(shape, tabled)(flat)
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
        lit_at=min(_LIT_POINTS, line_mm.shape[1]) if tabled else None,
    )


def curled(
    line: Lines, radius: float, wavelength: float, clump: Values, rng: np.random.Generator, skull: Skull
) -> Lines:
    """Wind strands around their course as a helix whose radius grows from 0 at the root.

    Args:
        line: strands (mm).
        radius: of the helix in millimetres.
        wavelength: one turn in millimetres of the strand.
        clump: strands with equal values wind alike.
        rng: random numbers; each strand differs a little from its neighbours.
        skull: what strands stay outside of.

    Returns:
        The strands with enough points for their turns.
    """
    num, points = line.shape[:2]
    longest = float(np.quantile(np.linalg.norm(np.diff(line, axis=1), axis=-1).sum(axis=1), 0.9))
    more = int(np.clip(6.0 * longest / wavelength, points, 24))
    position = np.linspace(0.0, points - 1.0, more)
    low = np.minimum(position.astype(int), points - 2)
    fine = line[:, low] + (position - low)[None, :, None] * (line[:, low + 1] - line[:, low])
    tangent = np.gradient(fine, axis=1)
    step = np.linalg.norm(tangent, axis=-1, keepdims=True)
    along = np.concatenate([np.zeros((num, 1)), np.cumsum(step[:, 1:, 0], axis=1)], axis=1)
    tangent /= np.maximum(step, 1e-9)
    first = np.cross(tangent, rng.normal(size=(num, 1, 3)) * 0.3 + [0.3, 0.2, 1.0])
    first /= np.maximum(np.linalg.norm(first, axis=-1, keepdims=True), 1e-9)
    turn = (2.0 * np.pi * along / wavelength) * rng.uniform(0.85, 1.15, size=(num, 1))
    turn += 7.0 * clump[:, None] + 0.5 * rng.normal(size=(num, 1))
    size = radius * rng.uniform(0.6, 1.3, size=(num, 1)) * np.clip(along / (0.6 * wavelength), 0.0, 1.0)
    wound = fine + size[..., None] * (
        np.cos(turn)[..., None] * first + np.sin(turn)[..., None] * np.cross(tangent, first)
    )
    flat = wound[:, 1:].reshape(-1, 3)
    inside = np.maximum(0.4 - _with_ears(skull.distance(flat), flat), 0.0)
    wound[:, 1:] = (flat + inside[:, None] * skull.normal(flat)).reshape(num, more - 1, 3)
    return wound


def nearest_triangles(model: HeadModel, region: str, points: Points) -> Int[np.ndarray, "n"]:
    """Return the triangle of a region of the mean head whose centre is nearest to each point (mm)."""
    corner = model.v_template.numpy()[model.triangles.numpy()] * 1e3
    candidates = np.flatnonzero(model.regions.triangle_mask(region, model.triangles).numpy())
    return candidates[KDTree(corner[candidates].mean(axis=1)).query(points)[1]]


def pigments(color: tuple[float, float, float], grey: float, num: int, seed: int) -> Float[np.ndarray, "num 3"]:
    """Return the colours of strands, a share of which has lost its pigment."""
    colors = np.tile(np.asarray(color), (num, 1))
    if grey > 0.0:
        lost = np.random.default_rng([seed, 103]).uniform(size=num) < grey
        colors[lost] = np.maximum(GREY, color)
    return colors
