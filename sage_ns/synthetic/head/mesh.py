"""The built-in head's mesh: rings around eyes, mouth and ears, evenly scattered points elsewhere, all in millimetres.

The mesh is laid out on a sphere of directions (the ray along a direction, from inside the head, meets the skin at one
point), where the convex hull of the points is their Delaunay triangulation: closed, seamless, and mirror-symmetric.
Triangles that span a hole (eye openings, the mouth slit, the cut neck) are taken out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import ConvexHull, KDTree

from sage_ns.synthetic.head import surface

NUM_EYE_RING = 30
NUM_MOUTH_RING = 52
NUM_EAR_RING = 26
NUM_NECK_RING = 44
EAR_CENTER = np.array([71.0, 13.0, -21.0])
_RAY_CENTER = np.array([0.0, 0.0, -20.0])
_RAY_SPREAD = 60.0  # the rays' origin slides this far (mm) along y between looking straight up and straight down
_EYE_OUTSETS = (0.0, 1.1, 2.4, 4.0, 6.0, 8.6)
_MOUTH_OUTSETS = (0.0, 1.5, 3.2, 5.0, 6.9, 9.2, 12.0)
_MOUTH_SLIT = 4.0  # half opening (mm) of the slit in the layout only; the lips themselves touch
_FAMILIES = ("eye", "mouth", "ear", "neck")


@dataclass(frozen=True)
class HeadMesh:
    """The skin of the built-in head, symmetric about x = 0 (mm).

    `layout` is the frontal position with the mouth slit drawn open, so that upper and lower lip are apart there.
    `ring` names the ring family of a vertex ("", "eye", "mouth", "ear", "neck") and `ring_index` counts outwards
    from the opening (negative: rolled inwards). `mirror[i]` is the vertex on the other side.
    """

    vertices: Float[np.ndarray, "num_skin 3"]
    triangles: Int[np.ndarray, "num_triangles 3"]
    layout: Float[np.ndarray, "num_skin 2"]
    ring: np.ndarray
    ring_index: Int[np.ndarray, "num_skin"]
    mirror: Int[np.ndarray, "num_skin"]


@dataclass
class _Points:
    """Points under construction on the side x >= 0: their position, direction and ring."""

    vertices: np.ndarray
    directions: np.ndarray
    layout: np.ndarray
    ring: np.ndarray
    ring_index: np.ndarray
    angle: np.ndarray

    @staticmethod
    def of(vertices: np.ndarray, directions: np.ndarray, layout: np.ndarray, ring: str, index: int) -> _Points:
        num = len(vertices)
        angle = np.arange(num) / num * 2 * np.pi  # rings are given in the order of their angles
        return _Points(vertices, directions, layout, np.full(num, ring, dtype="U5"), np.full(num, index), angle)

    @staticmethod
    def join(parts: list[_Points]) -> _Points:
        return _Points(*(np.concatenate([getattr(p, name) for p in parts]) for name in _Points.__dataclass_fields__))

    def where(self, keep: np.ndarray) -> _Points:
        return _Points(*(getattr(self, name)[keep] for name in _Points.__dataclass_fields__))


def ray_origins(directions: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Return where the layout's rays start (mm): on the head's inner axis, lower for rays that look down."""
    return _RAY_CENTER + np.stack(
        [np.zeros(len(directions)), _RAY_SPREAD * directions[:, 1], np.zeros(len(directions))], -1
    )


def direction_of(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Return the layout direction whose ray, from `ray_origins`, passes through `points` (mm)."""
    offset = points - _RAY_CENTER
    low, high = np.full(len(points), 1e-3), np.full(len(points), 600.0)
    level = offset[:, 0] ** 2 + offset[:, 2] ** 2
    for _ in range(50):  # |d| = 1 falls monotonically with the distance walked: bisection
        middle = 0.5 * (low + high)
        too_short = level / middle**2 + offset[:, 1] ** 2 / (middle + _RAY_SPREAD) ** 2 > 1.0
        low, high = np.where(too_short, middle, low), np.where(too_short, high, middle)
    direction = np.stack([offset[:, 0] / low, offset[:, 1] / (low + _RAY_SPREAD), offset[:, 2] / low], axis=-1)
    return direction / np.linalg.norm(direction, axis=-1, keepdims=True)


def on_skin(directions: Float[np.ndarray, "n 3"], bulk: bool = False) -> Float[np.ndarray, "n 3"]:
    """Return where the layout's rays leave the head (mm)."""
    origins = ray_origins(directions)
    distance = surface.ray_to_surface(origins, directions, 40.0, bulk=bulk)
    return origins + distance[:, None] * directions


def _frontal(xy: np.ndarray, bulk: bool) -> np.ndarray:
    return np.concatenate([xy, surface.front_depth(xy, bulk=bulk)[:, None]], axis=-1)


def _eye_rings() -> list[_Points]:
    """Build the left eye's rings: the lid margin's inner edge at the eyeball, the lid edge, rings over the lids."""
    angle = np.arange(NUM_EYE_RING) / NUM_EYE_RING * 2 * np.pi
    parts = []
    for index, outset in enumerate(_EYE_OUTSETS):
        xy = surface.eyelid_contour(angle, outset)
        skin = _frontal(xy, bulk=False)
        parts.append(_Points.of(skin, direction_of(_frontal(xy, bulk=True)), xy, "eye", index))
    edge = parts[0]
    offset = edge.vertices - surface.EYE_CENTER
    inner = surface.EYE_CENTER + offset / np.linalg.norm(offset, axis=-1, keepdims=True) * (surface.EYE_RADIUS + 0.35)
    toward_slit = np.stack([np.zeros(NUM_EYE_RING), -0.5 * np.sin(angle), np.zeros(NUM_EYE_RING)], axis=-1)
    inner_xy = surface.eyelid_contour(angle, -1.0)
    margin = _Points.of(inner + toward_slit, direction_of(_frontal(inner_xy, bulk=True)), inner_xy, "eye", -1)
    return [margin, *parts]


def _mouth_contour(angle: np.ndarray, outset: float, slit: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    roundness = np.clip(outset / 10.0, 0.0, 1.0)
    x = (surface.MOUTH_HALF_WIDTH + 0.62 * outset) * c
    lens = np.sign(s) * np.abs(s) ** (1.0 - 0.25 * roundness)
    slit = slit * (1.0 - outset / _MOUTH_OUTSETS[-1])
    reach = np.where(s > 0, 1.0, 1.12) * outset * (1.0 - 0.2 * c**2)
    return np.stack([x, surface.mouth_line(x) + lens * (slit + reach)], axis=-1)


def _mouth_rings() -> list[_Points]:
    """Build the mouth's rings: the slit's lip edges (touching), rings over the lips, and three rings rolled inwards."""
    angle = (np.arange(NUM_MOUTH_RING) + 0.0) / NUM_MOUTH_RING * 2 * np.pi
    parts = []
    for index, outset in enumerate(_MOUTH_OUTSETS):
        xy = _mouth_contour(angle, outset, _MOUTH_SLIT)
        closed = _mouth_contour(angle, outset, 0.12)
        skin = _frontal(closed, bulk=False)
        parts.append(_Points.of(skin, direction_of(_frontal(xy, bulk=True)), xy, "mouth", index))
    lens = np.sin(angle)
    taper = np.sqrt(np.abs(lens))
    for index, (depth, height, slit) in enumerate(((1.6, 0.25, 3.3), (5.0, 2.2, 2.6), (9.0, 4.8, 1.9))):
        inner = parts[0].vertices.copy()
        inner[:, 1] += np.sign(lens) * taper * height
        inner[:, 2] -= depth * (0.35 + 0.65 * taper)
        inner[:, 0] *= 1.0 - 0.012 * depth
        xy = _mouth_contour(angle, 0.0, slit)
        xy[:, 0] *= 1.0 - 0.03 * (index + 1)
        parts.insert(0, _Points.of(inner, direction_of(_frontal(xy, bulk=True)), xy, "mouth", -1 - index))
    return parts


# Loft of the ear from its root on the skin inwards to the ear hole: (radius relative to the outline, height relative
# to how far the rim stands off the head). The rim overhangs its root: the first radii are smaller than the rim's.
_EAR_PROFILE = (
    (1.10, 0.0), (0.90, 0.04), (0.80, 0.30), (0.92, 0.62), (1.04, 0.88), (1.05, 1.00), (0.97, 1.05), (0.88, 0.97),
    (0.80, 0.58), (0.68, 0.55), (0.56, 0.84), (0.46, 0.58), (0.33, 0.10), (0.16, -0.05),
)  # fmt: skip


def _ear_outline(angle: np.ndarray) -> np.ndarray:
    """Outline of the left ear as (forward, up) offsets (mm) from its centre: wide on top, a lobe below."""
    forward = -13.5 * np.cos(angle) * (1.0 + 0.14 * np.sin(angle)) - 1.0
    up = 28.0 * np.sin(angle) + 1.0
    tilt = np.radians(12.0)
    return np.stack([forward * np.cos(tilt) - up * np.sin(tilt), up * np.cos(tilt) + forward * np.sin(tilt)], axis=-1)


def _side_skin(forward_up: np.ndarray) -> np.ndarray:
    points = np.stack(
        [np.full(len(forward_up), 0.0), EAR_CENTER[1] + forward_up[:, 1], EAR_CENTER[2] + forward_up[:, 0]], -1
    )
    aim = np.tile([1.0, 0.0, 0.0], (len(points), 1))
    return points + surface.ray_to_surface(points, aim, 40.0)[:, None] * aim


def _ear_rings() -> list[_Points]:
    """Loft the left ear: a rim that stands off more behind than in front, a hollow, and the ear hole."""
    angle = np.arange(NUM_EAR_RING) / NUM_EAR_RING * 2 * np.pi
    outline = _ear_outline(angle)
    behind = 0.5 + 0.5 * np.cos(angle)
    low = np.clip(-np.sin(angle), 0.0, 1.0)
    stand_off = 2.5 + 10.0 * behind**0.8 - 3.0 * low**2
    lobe = np.clip(low - 0.55, 0.0, 1.0) / 0.45
    grown_on = np.clip(0.35 - np.cos(angle), 0.0, 1.0)  # in front the rim runs into the cheek instead of overhanging
    axis = np.array([0.90, 0.0, -0.44])  # away from the head and backwards
    num_rings = len(_EAR_PROFILE)
    parts = []
    for index, (profile_radius, height) in enumerate(_EAR_PROFILE):
        overhangs = 0 < index < 5
        radius = profile_radius + (1.08 - 0.01 * index - profile_radius) * grown_on * overhangs
        is_scapha = index > 6 and profile_radius > 0.5
        raised = height + (0.85 - height) * lobe * is_scapha
        foot = _side_skin(outline * np.minimum(radius, 1.10)[:, None])
        stand = stand_off if profile_radius > 0.6 else stand_off * 0.55 + stand_off.mean() * 0.45
        vertices = foot + (stand * raised)[:, None] * axis
        feet = _side_skin(outline * (1.12 - index / (num_rings - 0.5)))
        parts.append(_Points.of(vertices, direction_of(feet), feet[:, :2], "ear", num_rings - 1 - index))
    return parts


def _neck_ring() -> _Points:
    """Build the cut edge of the neck: a level loop that dips at the back."""
    angle = (np.arange(NUM_NECK_RING) + 0.5) / NUM_NECK_RING * 2 * np.pi
    aim = np.stack([np.sin(angle), np.zeros(NUM_NECK_RING), np.cos(angle)], axis=-1)
    height = -131.0 + 9.0 * np.cos(angle)
    origins = np.stack([np.zeros(NUM_NECK_RING), height, np.full(NUM_NECK_RING, -52.0)], axis=-1)
    vertices = origins + surface.ray_to_surface(origins, aim, 30.0)[:, None] * aim
    return _Points.of(vertices, direction_of(vertices), vertices[:, :2], "neck", 0)


def _spacing(points: np.ndarray) -> np.ndarray:
    """Return the target distance (mm) between scattered points: fine on nose and jaw, coarse behind and on the neck."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    spacing = np.interp(z, [-60.0, -10.0, 20.0, 45.0], [9.0, 7.0, 5.0, 3.7])
    nose = np.hypot(x / 24.0, (y - 2.0) / 34.0)
    spacing = np.where(z > 35, np.minimum(spacing, np.interp(nose, [0.7, 1.4], [2.0, 3.7])), spacing)
    spacing = np.where((y > 75) & (z > 0), np.maximum(spacing, 5.5), spacing)
    jaw = (y > -92) & (y < -30) & (z > -25)
    spacing = np.where(jaw, np.minimum(spacing, 4.6), spacing)
    return np.where((y < -80) & (z < 30), np.maximum(spacing, 6.5), spacing)


def _scatter(fixed: _Points, seed: int = 7) -> _Points:
    """Scatter points between the rings on the side x >= 0; mutual repulsion spreads them to about `_spacing`."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(16_000, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    directions[:, 0] = np.abs(directions[:, 0])
    points = on_skin(directions)
    ray = points - ray_origins(directions)
    slant = np.clip((surface.head_normal(points) * directions).sum(-1), 0.3, 1.0)
    chance = (ray**2).sum(-1) / slant / _spacing(points) ** 2
    num_wanted = int(chance.mean() * 2 * np.pi / 0.80)
    chosen = rng.choice(len(points), size=num_wanted, p=chance / chance.sum())
    jitter = 0.6 * _spacing(points) / np.linalg.norm(ray, axis=-1)
    directions = directions[chosen] + rng.normal(size=(num_wanted, 3)) * jitter[chosen, None]
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    directions[:, 0] = np.abs(directions[:, 0])
    fixed_both = np.concatenate([fixed.vertices, fixed.vertices * [-1, 1, 1]])
    directions = directions[~_blocked(fixed, directions)]
    points = on_skin(directions)
    for step in range(30):
        if step % 6 == 5:
            points = on_skin(direction_of(points))
        spacing = _spacing(points)
        others = np.concatenate([points, points * [-1, 1, 1], fixed_both])
        gap, index = KDTree(others).query(points, k=9)
        away = points[:, None] - others[index]
        push = np.clip(1.0 - gap / (1.12 * spacing[:, None]), 0.0, 1.0) * (gap > 1e-9)
        move = (push[..., None] * away / np.maximum(gap, 1e-9)[..., None]).sum(1) * spacing[:, None] * 0.35
        move[:, 0] = np.where(points[:, 0] < 1e-9, 0.0, move[:, 0])
        points = points + move
        points[:, 0] = np.where(np.abs(points[:, 0]) < 0.30 * spacing, 0.0, np.abs(points[:, 0]))
    directions = direction_of(points)
    points = on_skin(directions)
    crowded = KDTree(fixed_both).query(points)[0] < 0.45 * _spacing(points)
    keep = ~(crowded | _blocked(fixed, directions))
    return _Points.of(points, directions, points[:, :2], "", 0).where(keep)


def _blocked(fixed: _Points, directions: np.ndarray) -> Bool[np.ndarray, "n"]:
    """Return the mask of directions inside a ring family's outermost loop, where scattered points are not allowed."""
    blocked = np.zeros(len(directions), dtype=bool)
    for name in _FAMILIES:
        family = fixed.ring == name
        outer = fixed.directions[family & (fixed.ring_index == fixed.ring_index[family].max())]
        center = outer.mean(axis=0)
        if name == "mouth":
            outer = np.concatenate([outer, outer * [-1, 1, 1]])
            center = outer.mean(axis=0)
        if name == "neck":
            center = np.array([0.0, -1.0, 0.0])
        center /= np.linalg.norm(center)
        side = np.cross([0.0, 1.0, 0.0] if abs(center[1]) < 0.9 else [0.0, 0.0, 1.0], center)
        side /= np.linalg.norm(side)
        up = np.cross(center, side)
        order = np.argsort(np.arctan2(outer @ up, outer @ side))
        ring_angle = np.arctan2(outer @ up, outer @ side)[order]
        ring_radius = np.arccos(np.clip(outer @ center, -1, 1))[order]
        angle = np.arctan2(directions @ up, directions @ side)
        limit = np.interp(angle, ring_angle, ring_radius, period=2 * np.pi)
        blocked |= np.arccos(np.clip(directions @ center, -1, 1)) < limit * 1.01
    return blocked


def _half(points: _Points) -> _Points:
    """Return the part at x >= 0; points near the middle plane are moved exactly onto it."""
    on_middle = np.abs(points.layout[:, 0]) < 1e-6
    for array in (points.vertices, points.directions, points.layout):
        array[on_middle, 0] = 0.0
    return points.where(points.layout[:, 0] >= 0.0)


def build_head_mesh() -> HeadMesh:
    """Lay out, scatter and triangulate the mean head's skin (mm). Deterministic; about two seconds."""
    rings = _Points.join([*_eye_rings(), *_mouth_rings(), *_ear_rings(), _neck_ring()])
    fixed = _half(rings)
    half = _Points.join([fixed, _scatter(fixed)])
    sided = np.flatnonzero(half.layout[:, 0] > 0.0)
    num_half = len(half.vertices)
    flip = np.array([-1.0, 1.0, 1.0])
    mirror = np.arange(num_half + len(sided))
    mirror[sided] = num_half + np.arange(len(sided))
    mirror[num_half:] = sided
    both = _Points(
        np.concatenate([half.vertices, half.vertices[sided] * flip]),
        np.concatenate([half.directions, half.directions[sided] * flip]),
        np.concatenate([half.layout, half.layout[sided] * flip[:2]]),
        np.concatenate([half.ring, half.ring[sided]]),
        np.concatenate([half.ring_index, half.ring_index[sided]]),
        np.concatenate([half.angle, np.pi - half.angle[sided] + 2 * np.pi * (half.angle[sided] > np.pi)]),
    )
    triangles = np.concatenate([_triangulate(both), _ring_strips(both)])
    return HeadMesh(both.vertices, triangles, both.layout, both.ring, both.ring_index, mirror)


def _triangulate(points: _Points) -> Int[np.ndarray, "num_triangles 3"]:
    """Triangulate the points outside the ring families (spherical Delaunay), counter-clockwise from outside."""
    outermost = {name: points.ring_index[points.ring == name].max() for name in _FAMILIES}
    rims = {name: (points.ring == name) & (points.ring_index == index) for name, index in outermost.items()}
    outside = np.flatnonzero((points.ring == "") | np.any(list(rims.values()), axis=0))
    directions = points.directions[outside]
    triangles = ConvexHull(directions).simplices.astype(np.int64)
    corner = directions[triangles]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    inward = (normal * corner.mean(axis=1)).sum(-1) < 0.0
    triangles[inward] = triangles[inward][:, ::-1]
    triangles = outside[triangles]
    spans_hole = [rim[triangles].all(axis=1) for rim in rims.values()]
    return triangles[~np.any(spans_hole, axis=0)]


def _ring_strips(points: _Points) -> Int[np.ndarray, "num_triangles 3"]:
    """Build strips of triangles between neighbouring rings of eyes, mouth and ears, and the ear holes' floors."""
    strips = []
    for name in ("eye", "mouth", "ear"):
        sides = ((points.layout[:, 0] >= 0), points.layout[:, 0] < 0) if name != "mouth" else (points.ring == "mouth",)
        for is_left, side in zip((True, False), sides, strict=False):
            family = (points.ring == name) & side
            indices = range(points.ring_index[family].max(), points.ring_index[family].min(), -1)
            rings = [_ring_order(points, family & (points.ring_index == i)) for i in (*indices, indices[-1] - 1)]
            for outer, inner in pairwise(rings):
                after = np.roll(np.arange(len(outer)), -1)
                first = [
                    np.stack([outer, outer[after], inner], axis=-1),
                    np.stack([inner, outer[after], inner[after]], -1),
                ]
                second = [np.stack([outer, outer[after], inner[after]], -1), np.stack([inner, outer, inner[after]], -1)]
                strips += first if is_left else second
            if name == "ear":
                fan = rings[-1]
                strips.append(np.stack([np.full(len(fan) - 2, fan[0]), fan[1:-1], fan[2:]], axis=-1))
    return np.concatenate(strips)


def _ring_order(points: _Points, members: np.ndarray) -> Int[np.ndarray, "num_ring"]:
    """Return a ring's vertices ordered by angle; counter-clockwise from outside for eyes, mouth and left ear."""
    index = np.flatnonzero(members)
    return index[np.argsort(points.angle[index])]
