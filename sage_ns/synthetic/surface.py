"""The synthetic person's true skin: the rig's subdivided surface with static detail and creases of expressions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage, sparse

from sage_ns.rig import HeadModel

_LATTICE = 32


def noise(points: Float[np.ndarray, "n 3"], wavelength: float, seed: int) -> Float[np.ndarray, "n"]:
    """Sample a smooth random field, about -1..1; `wavelength` in the unit of `points`; repeats after 16 wavelengths."""
    table = np.random.default_rng(seed).uniform(-1.7, 1.7, size=(_LATTICE,) * 3)
    return ndimage.map_coordinates(table, points.T / wavelength * 2.0, order=2, mode="grid-wrap")


def loop_subdivision(
    triangles: Int[np.ndarray, "num_triangles 3"], num_vertices: int
) -> tuple[sparse.csr_array, Int[np.ndarray, "4*num_triangles 3"]]:
    """Compute one step of Loop's subdivision as a matrix on vertices (Loop 1987; vertex weights of Warren 1995).

    Returns:
        Matrix [num_vertices + num_edges, num_vertices] whose first rows are the old vertices, smoothed, and the new
        triangles. Open borders become cubic splines.
    """
    corners = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    opposite = np.concatenate([triangles[:, 2], triangles[:, 0], triangles[:, 1]])
    edges, edge_of = np.unique(np.sort(corners, axis=1), axis=0, return_inverse=True)
    edge_of = edge_of.ravel()
    uses = np.bincount(edge_of, minlength=len(edges))
    is_border = uses == 1
    number = np.arange(len(edges))
    share = np.where(is_border, 0.5, 0.375)
    rows = [number, number, edge_of[~is_border[edge_of]]]
    columns = [edges[:, 0], edges[:, 1], opposite[~is_border[edge_of]]]
    values = [share, share, np.full(len(rows[2]), 0.125)]
    edge_points = _coo(rows, columns, values, (len(edges), num_vertices))

    on_border = np.zeros(num_vertices, dtype=bool)
    on_border[edges[is_border]] = True
    both = np.concatenate([edges, edges[:, ::-1]])
    valence = np.bincount(both[:, 0], minlength=num_vertices)
    beta = np.where(valence == 3, 3.0 / 16.0, 3.0 / (8.0 * np.maximum(valence, 1)))
    inner = both[~on_border[both[:, 0]]]
    rim = np.concatenate([edges[is_border], edges[is_border][:, ::-1]])
    old = np.arange(num_vertices)
    keep = np.where(on_border, 0.75, 1.0 - valence * beta)
    vertex_points = _coo(
        [old, inner[:, 0], rim[:, 0]],
        [old, inner[:, 1], rim[:, 1]],
        [keep, beta[inner[:, 0]], np.full(len(rim), 0.125)],
        (num_vertices, num_vertices),
    )
    a, b, c = triangles.T
    ab, bc, ca = (num_vertices + part for part in np.split(edge_of, 3))
    finer = np.concatenate([np.stack(t, -1) for t in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))])
    return sparse.csr_array(sparse.vstack([vertex_points, edge_points])), finer


def _coo(rows: list, columns: list, values: list, shape: tuple[int, int]) -> sparse.csr_array:
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_array(sparse.coo_array(entries, shape=shape))


def vertex_normals(
    vertices: Float[np.ndarray, "num_vertices 3"], triangles: Int[np.ndarray, "num_triangles 3"]
) -> Float[np.ndarray, "num_vertices 3"]:
    """Compute area-weighted unit normals."""
    corner = vertices[triangles]
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    total = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(face[:, k], 3), minlength=len(vertices)) for k in range(3)], axis=-1
    )
    return total / np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-20)


@dataclass(frozen=True)
class Refinement:
    """Subdivision of a rig's mesh: `coarse` (one step; light is computed there) and `fine` (rendered)."""

    num_coarse: int
    to_coarse: sparse.csr_array
    coarse_to_fine: sparse.csr_array
    fine_triangles: Int[np.ndarray, "nf 3"]

    @staticmethod
    def of(model: HeadModel, steps: int) -> Refinement:
        """Subdivide `steps` (1 or 2) times."""
        to_coarse, coarse = loop_subdivision(model.triangles.numpy(), model.num_vertices)
        num_coarse = int(coarse.max()) + 1
        if steps == 1:
            return Refinement(num_coarse, to_coarse, sparse.csr_array(sparse.eye_array(num_coarse)), coarse)
        coarse_to_fine, fine = loop_subdivision(coarse, num_coarse)
        return Refinement(num_coarse, to_coarse, coarse_to_fine, fine)

    def fine(self, values: Float[np.ndarray, "num_vertices k"]) -> Float[np.ndarray, "num_fine k"]:
        """Interpolate the rig's vertex values to the fine vertices; the rig's own vertices come first."""
        return self.coarse_to_fine @ (self.to_coarse @ values)


def neck_cap(
    triangles: Int[np.ndarray, "num_triangles 3"], vertices: Float[np.ndarray, "num_vertices 3"]
) -> Int[np.ndarray, "num_cap 3"]:
    """Close the lowest open border with a fan of triangles that faces down."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    code, back = edges @ [len(vertices), 1], edges @ [1, len(vertices)]
    border = {int(b): int(a) for a, b in edges[~np.isin(back, code)]}
    first = min(border, key=lambda vertex: vertices[vertex, 1])
    loop = [first]
    while border[loop[-1]] != first:
        loop.append(border[loop[-1]])
    return np.array([[loop[0], b, c] for b, c in pairwise(loop[1:])], dtype=np.int64)


def _groove(distance: np.ndarray, width: float) -> np.ndarray:
    """Compute the profile across a crease: a dip with slightly raised shoulders (both dimensionless)."""
    u = (distance / width) ** 2
    return (1.0 - 0.45 * u) * np.exp(-0.5 * u)


def _curve_distance(xy: np.ndarray, curve: Sequence[tuple[float, float]]) -> np.ndarray:
    """Compute the distance (mm) of frontal positions to a polyline, growing faster beyond its ends."""
    points = np.asarray(curve, dtype=np.float64)
    best = np.full(len(xy), np.inf)
    for a, b in pairwise(points):
        along = np.clip((xy - a) @ (b - a) / ((b - a) @ (b - a)), 0.0, 1.0)
        best = np.minimum(best, np.linalg.norm(xy - a - along[:, None] * (b - a), axis=-1))
    return best


def crease_depths(q: Float[np.ndarray, "num_fine 3"]) -> dict[str, Float[np.ndarray, "num_fine"]]:
    """Compute the depth (mm, inwards) of the creases at full activation, by the expression family that causes them.

    Args:
        q: Fine vertices of the mean head, millimetres.
    """
    x, y, z = np.abs(q[:, 0]), q[:, 1], q[:, 2]
    xy = np.stack([x, y], axis=-1)
    front = np.clip((z - 25.0) / 15.0, 0.0, 1.0)
    wavy = 1.2 * np.sin(q[:, 0] / 11.0) + 0.8 * np.sin(q[:, 0] / 5.3 + 1.0)
    forehead = np.exp(-(((y - 76) / 13.0) ** 4)) * np.exp(-((x / 40.0) ** 4))
    lines = sum(_groove(y - level + wavy - 3.0 * (x / 40.0) ** 2, 1.5) for level in (67.0, 75.0, 83.0))
    frown = sum(_groove(x - at - 0.15 * (y - 50), 1.3) for at in (4.5, 9.0)) * np.exp(-(((y - 53) / 9.0) ** 4))
    feet = sum(_groove(_curve_distance(xy, c), 1.0) for c in _CROWS_FEET)
    fold = _groove(_curve_distance(xy, _NASOLABIAL), 2.2)
    bunny = sum(_groove(_curve_distance(xy, c), 1.1) for c in (((4, 25), (12, 19)), ((5, 19), (12, 13))))
    chin = noise(q, 6.0, seed=11) * np.exp(-0.5 * (((q - (0, -64, 64)) / (11, 8, 14)) ** 2).sum(-1))
    dimple = np.exp(-0.5 * ((xy - (31.5, -39.5)) ** 2).sum(-1) / 2.4**2)
    return {
        "brow_raise": 0.75 * front * forehead * lines,
        "brow_lower": 0.8 * front * frown,
        "squint": 0.55 * front * feet,
        "smile": front * (1.25 * fold + 0.7 * dimple),
        "sneer": front * (0.7 * bunny + 0.8 * fold),
        "chin_raise": 0.8 * front * chin,
    }


_NASOLABIAL = [(19.5, -11.0), (22.0, -16.0), (27.0, -25.0), (32.0, -37.0), (33.0, -44.0)]
_CROWS_FEET = (
    [(49.0, 33.0), (58.0, 38.0)],
    [(49.5, 29.0), (59.0, 30.0)],
    [(48.0, 25.0), (57.0, 21.0)],
)
_CREASED_BY = {
    "brow_raise": ("brow_inner_raise", "brow_outer_raise"),
    "brow_lower": ("brow_lower",),
    "squint": ("squint", "cheek_raise", "mouth_smile"),
    "smile": ("mouth_smile", "mouth_stretch"),
    "sneer": ("nose_sneer", "upper_lip_raise"),
    "chin_raise": ("chin_raise", "mouth_frown"),
}


def activation(names: tuple[str, ...], expr: Float[np.ndarray, "num_expression"], family: str) -> tuple[float, float]:
    """Return how deep the creases of `family` are on the subject's left and right side: 0..1.3 of full activation."""
    sides = []
    for side in ("left", "right"):
        total = 0.0
        for stem in _CREASED_BY[family]:
            for name in (stem, f"{stem}_{side}"):
                if name in names:
                    total += max(float(expr[names.index(name)]), 0.0)
        sides.append(min(total, 1.3))
    return sides[0], sides[1]


@dataclass(frozen=True)
class TrueSkin:
    """Time-independent shape of the true skin: refinement, static detail and creases on the fine vertices."""

    refinement: Refinement
    q: Float[np.ndarray, "num_fine 3"]
    """Fine vertices of the mean head, millimetres: a vertex's place on the face, the same for all people."""
    static_depth: Float[np.ndarray, "num_fine"]
    creases: dict[str, Float[np.ndarray, "num_fine"]]
    cap: Int[np.ndarray, "num_cap 3"]
    """Triangles that close the neck."""
    names: tuple[str, ...]

    @staticmethod
    def of(model: HeadModel, steps: int, seed: int, is_skin: Float[np.ndarray, "num_vertices 1"]) -> TrueSkin:
        """Create the skin of person `seed`; `is_skin` is 0 on eyeballs, teeth and other parts that stay smooth."""
        refinement = Refinement.of(model, steps)
        q = refinement.fine(model.v_template.numpy().astype(np.float64)) * 1e3
        smooth = refinement.fine(is_skin)[:, 0]
        creases = {name: depth * smooth for name, depth in crease_depths(q).items()}
        bumps = 0.22 * noise(q, 26.0, seed + 1) + 0.10 * noise(q, 11.0, seed + 2) + 0.05 * noise(q, 4.5, seed + 3)
        static = smooth * (bumps + 0.22 * creases["smile"] + 0.12 * creases["brow_raise"])
        cap = neck_cap(refinement.fine_triangles, q)
        return TrueSkin(refinement, q, static, creases, cap, model.expression_names)

    def vertices(
        self, posed: Float[np.ndarray, "num_vertices 3"], expr: Float[np.ndarray, "num_expression"]
    ) -> Float[np.ndarray, "num_fine 3"]:
        """Return world positions (metres) of the true surface for rig vertices at `posed` (metres)."""
        smooth = self.refinement.fine(posed)
        depth = self.static_depth.copy()
        on_left = np.clip(0.5 + self.q[:, 0] / 12.0, 0.0, 1.0)
        for family, crease in self.creases.items():
            left, right = activation(self.names, expr, family)
            if left or right:
                depth += crease * (left * on_left + right * (1.0 - on_left))
        return smooth - 1e-3 * depth[:, None] * vertex_normals(smooth, self.refinement.fine_triangles)
