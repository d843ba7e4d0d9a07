"""The inside of a mouth as meshes: teeth, gums, tongue and cavity of an average adult, in millimetres.

The origin is on the middle plane, at the height where the closed lips meet, on the front of the upper middle teeth.
The axes are those of the head (x to its left, y up, z forward). Widths and heights of teeth are rounded means of adults
(Wheeler's Dental Anatomy); the arches are half ellipses. Positions hold for closed lips and a jaw at rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

PARTS = ("upper_teeth", "upper_gums", "lower_teeth", "lower_gums", "tongue", "cavity")
_STEPS = 4
"""Columns of the mesh per tooth."""
_RELIEF = 1.1
"""Height of a tooth above the gaps beside it, mm."""


@dataclass(frozen=True)
class MouthShape:
    """All parts in one mesh; the front of every triangle faces a viewer who looks into the mouth."""

    vertices: Float[np.ndarray, "num_vertices 3"]
    """mm."""
    triangles: Int[np.ndarray, "num_triangles 3"]
    follows_jaw: Float[np.ndarray, "num_vertices"]
    """0 = fixed to the skull, 1 = fixed to the jaw."""
    part: Int[np.ndarray, "num_vertices"]
    """Index into `PARTS`."""
    gap: Float[np.ndarray, "num_vertices"]
    """1 where two teeth meet or a tooth leaves the gums, 0 in the middle of a tooth and elsewhere."""


@dataclass(frozen=True)
class _Row:
    """One row of teeth. Tuples run from the middle tooth to the second molar, mm."""

    up: float
    """1 if the roots are above the edges, -1 if they are below."""
    widths: tuple[float, ...]
    heights: tuple[float, ...]
    edges: tuple[float, ...]
    half_width: float
    depth: float
    back: float
    """Distance of the front of the arch behind the upper middle teeth."""


# Lips that part at rest show two to three millimetres of the upper middle teeth.
_UPPER = _Row(
    up=1.0, widths=(8.5, 6.6, 7.6, 7.0, 6.8, 10.0, 9.2), heights=(10.0, 9.0, 10.0, 8.5, 7.6, 7.2, 6.6),
    edges=(-2.1, -1.5, -2.2, -1.6, -1.4, -1.3, -0.9), half_width=30.0, depth=48.0, back=0.0,
)  # fmt: skip
_LOWER = _Row(
    up=-1.0, widths=(5.4, 6.0, 7.0, 7.0, 7.1, 11.0, 10.2), heights=(8.8, 9.2, 10.2, 8.6, 8.0, 7.5, 7.0),
    edges=(-0.2, -0.3, -0.1, -0.4, -0.5, -0.4, -0.1), half_width=28.0, depth=46.0, back=2.8,
)  # fmt: skip
_THICKNESS = (1.6, 1.6, 2.4, 5.5, 6.0, 8.5, 8.5)
"""Thickness of each tooth at its edge, from lip or cheek to tongue, mm."""
_CUSP = (0.35, 0.5, 1.5, 1.0, 0.8, 0.5, 0.5)
"""Height by which the corners of each tooth are shorter than its middle, mm."""

# (mm towards the root, mm forward) of the front of the gums, from the necks of the teeth to the fold behind the lip
_GUM_FRONT = ((-0.3, -0.2), (1.2, 0.55), (4.0, 0.7), (7.5, -0.4))
_GUM_BACK = ((-0.3, -0.3), (2.5, -1.6), (6.5, -4.5), (10.0, -11.0))
# (z, half width, up, down, curve of the sides) of the cavity's rings from behind the lips to the throat, mm
_CAVITY = (
    (0.6, 27.0, 13.0, 12.0, 0.024), (-2.5, 32.0, 18.0, 19.0, 0.020), (-13.0, 36.0, 21.0, 24.0, 0.008),
    (-25.0, 36.5, 22.0, 26.0, 0.0), (-37.0, 34.0, 21.0, 25.0, 0.0), (-47.0, 29.0, 18.0, 22.0, 0.0),
    (-54.0, 21.0, 13.0, 16.0, 0.0), (-58.5, 11.0, 7.0, 8.0, 0.0), (-60.0, 0.5, 0.4, 0.4, 0.0),
)  # fmt: skip


@lru_cache(maxsize=1)
def mouth_shape() -> MouthShape:
    """Build the mesh; numbers and order of vertices and triangles never change."""
    sheets = []
    for row, teeth in ((_UPPER, 0), (_LOWER, 2)):
        jaw = 0.0 if row.up > 0 else 1.0
        flip = row.up < 0
        front, gap, gum_front, gum_back = _teeth(row)
        sheets.append(_sheet(front, jaw, teeth, gap, flip=flip))
        sheets.append(_sheet(gum_front, jaw, teeth + 1, flip=not flip))
        sheets.append(_sheet(gum_back, jaw, teeth + 1, flip=flip))
    sheets.append(_sheet(_tongue(), 1.0, PARTS.index("tongue"), closed=True))
    cavity = _cavity()
    opening = 1.0 / (1.0 + np.exp(np.clip((cavity[..., 1] + 1.0) / 2.5, -30.0, 30.0)))
    sheets.append(_sheet(cavity, opening, PARTS.index("cavity"), closed=True, flip=True))
    starts = np.cumsum([0, *(len(sheet.vertices) for sheet in sheets)])
    triangles = [sheet.triangles + start for sheet, start in zip(sheets, starts, strict=False)]
    joined = [np.concatenate([getattr(s, n) for s in sheets]) for n in ("vertices", "follows_jaw", "part", "gap")]
    return MouthShape(joined[0], np.concatenate(triangles), *joined[1:])


@lru_cache(maxsize=1)
def front_edges() -> tuple[int, int]:
    """Return the vertices at the front of the edges of the upper and the lower middle teeth."""
    shape = mouth_shape()
    found = []
    for name, up in (("upper_teeth", -1.0), ("lower_teeth", 1.0)):
        members = np.flatnonzero((shape.part == PARTS.index(name)) & (np.abs(shape.vertices[:, 0]) < 5.0))
        at = shape.vertices[members]
        found.append(int(members[(up * at[:, 1] + at[:, 2]).argmax()]))
    return found[0], found[1]


def _sheet(
    grid: Float[np.ndarray, "rows columns 3"], follows_jaw: float | np.ndarray, part: int,
    gap: float | np.ndarray = 0.0, closed: bool = False, flip: bool = False,
) -> MouthShape:  # fmt: skip
    """Triangulate a grid of points. `closed` joins the last column to the first, `flip` swaps front and back."""
    rows, columns = grid.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    left, right = (index, np.roll(index, -1, axis=1)) if closed else (index[:, :-1], index[:, 1:])
    a, b, c, d = (corner.ravel() for corner in (left[:-1], right[:-1], left[1:], right[1:]))
    triangles = np.concatenate([np.stack([a, c, d], -1), np.stack([a, d, b], -1)])
    values = [np.broadcast_to(np.asarray(value, np.float64), (rows, columns)).ravel() for value in (follows_jaw, gap)]
    return MouthShape(
        grid.reshape(-1, 3),
        triangles[:, ::-1] if flip else triangles,
        values[0],
        np.full(rows * columns, part),
        values[1],
    )


def _arch(row: _Row, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return points (x, z) at signed arc lengths from the middle (mm), and unit directions out of the mouth there."""
    turn = np.linspace(0.0, 0.5 * np.pi, 400)
    x, z = row.half_width * np.sin(turn), row.depth * (np.cos(turn) - 1.0) - row.back
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    at = np.interp(np.abs(along), length, turn)
    side = np.sign(along)
    outward = np.stack([side * np.sin(at) / row.half_width, np.cos(at) / row.depth], axis=-1)
    point = np.stack([side * np.interp(at, turn, x), np.interp(at, turn, z)], axis=-1)
    return point, outward / np.linalg.norm(outward, axis=-1, keepdims=True)


def _teeth(row: _Row) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return grids of the teeth (front, edge, back), of their gaps, and of the gums in front and behind."""
    num = len(row.widths)
    ends = np.concatenate([[0.0], np.cumsum(row.widths)])
    knots = (np.arange(num * _STEPS + 1)) / _STEPS
    along = np.interp(knots, np.arange(num + 1), ends)
    mirrored = np.concatenate([-along[:0:-1], along])
    place = np.concatenate([knots[:0:-1], knots])
    within = 2.0 * (place - np.floor(place)) - 1.0  # -1 and 1 at the gaps
    gap = np.abs(within) ** 3
    middles = np.arange(num) + 0.5

    def smooth(values: tuple[float, ...]) -> np.ndarray:
        return np.interp(place, middles, np.asarray(values))

    point, outward = _arch(row, mirrored)
    shortfall = smooth(_CUSP) * np.abs(within) ** 2
    edge = smooth(row.edges) + row.up * shortfall
    neck = smooth(row.edges) + row.up * smooth(row.heights) * (1.0 - 0.2 * gap)
    relief = _RELIEF * gap
    thickness = smooth(_THICKNESS)

    def level(part: float | np.ndarray, forward: np.ndarray | float) -> np.ndarray:
        flat = point + outward * np.asarray(forward - relief)[..., None]
        height = neck + (edge - neck) * part
        return np.stack([flat[:, 0], height, flat[:, 1]], axis=-1)

    front = np.stack(
        [
            level(0.0, -0.9), level(0.3, 0.1), level(0.65, 0.3), level(0.93, -0.1), level(1.0, -0.45 * thickness),
            level(0.93, -thickness), level(0.5, -thickness - 1.6), level(0.0, -thickness - 2.4),
        ]
    )  # fmt: skip
    # 1 (dark) between teeth and at the border to the gums
    at_necks = np.array([0.6, 0.1, 0.0, 0.0, 0.0, 0.0, 0.1, 0.6])[:, None]
    shading = np.maximum(gap[None, :], at_necks)

    def gums(profile: tuple[tuple[float, float], ...], base: np.ndarray, sign: float) -> np.ndarray:
        rows = []
        for rootward, forward in profile:
            flat = base[:, [0, 2]] + sign * outward * forward
            rows.append(np.stack([flat[:, 0], base[:, 1] + row.up * rootward, flat[:, 1]], axis=-1))
        return np.stack(rows)

    # the gums fill the gaps between the teeth and therefore start from a wall without relief
    front_wall = front[0] + np.stack([outward[:, 0], 0.0 * gap, outward[:, 1]], -1) * (0.9 + 0.6 * relief)[:, None]
    return front, shading, gums(_GUM_FRONT, front_wall, 1.0), gums(_GUM_BACK, front[-1], 1.0)


def _tongue() -> Float[np.ndarray, "rows columns 3"]:
    """Return the grid of the tongue: a long flat dome with a groove, its tip behind the lower front teeth."""
    polar = np.linspace(0.06, np.pi - 0.06, 14)[:, None]
    turn = np.linspace(0.0, 2 * np.pi, 24, endpoint=False)[None, :]
    x, y = np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn)
    z = np.cos(polar) + 0.0 * turn
    across = 19.0 * np.sign(x) * np.abs(x) ** 0.9
    height = np.where(y > 0, 8.5, 9.0) * y
    height = height + 3.0 * np.clip(-z, 0.0, 1.0) - 1.6 * np.exp(-((across / 3.0) ** 2)) * np.clip(y, 0.0, 1.0)
    return np.stack([across, height - 14.5, 24.0 * z - 33.5], axis=-1)


def _cavity() -> Float[np.ndarray, "rows columns 3"]:
    """Return the grid of the cavity: a bag, open towards the lips."""
    turn = np.linspace(0.0, 2 * np.pi, 36, endpoint=False)
    c, s = np.cos(turn), np.sin(turn)
    rings = []
    for z, half_width, up, down, curve in _CAVITY:
        x = half_width * np.sign(c) * np.abs(c) ** 0.75
        y = np.where(s > 0, up, down) * np.sign(s) * np.abs(s) ** 0.75
        rings.append(np.stack([x, y, z - curve * x**2], axis=-1))
    return np.stack(rings)
