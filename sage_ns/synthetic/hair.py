"""Hair of the synthetic person's head: kinds that differ in flow, length, volume and curl."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sage_ns.rig import HeadModel
from sage_ns.synthetic import hair_flows
from sage_ns.synthetic.fields import step
from sage_ns.synthetic.hair_tails import TAILS
from sage_ns.synthetic.person_look import HairLook, PersonLook
from sage_ns.synthetic.strands import (
    ExactSkull,
    Flow,
    Points,
    Skull,
    Strands,
    Values,
    attach,
    curled,
    cut,
    fewer_points,
    grow,
    pigments,
    sample_roots,
    tabled_skull,
)  # fmt: skip
from sage_ns.synthetic.surface import noise

_FEWER, _POINTS = 0.6, 12
"""Fast hair has this part of the strands, which are wider by as much, and at most this number of points on each."""
_BARE = 82.0
"""Height (mm) below which the forehead is bare without a fringe."""
Draw = Float[np.ndarray, "n 4"]


@dataclass(frozen=True)
class HairKind:
    """How one kind of hair grows."""

    flow: Callable[[HairLook], Flow]
    length: Callable[[HairLook, Points, Draw], Values]
    """Length of strands (mm) from their roots (mm) and random numbers."""
    lift: Callable[[Points, Draw, Values], Values]
    """Distance from the scalp (mm) that strands keep, from roots, random numbers and clumps (about -1..1)."""
    num_strands: int
    """For pictures 401 pixels high."""
    num_points: int = 8
    stiff: float = 0.55
    width: float = 0.55
    """Millimetres; real hair is thinner, and there are ten times as many."""
    swirl: float = 1.0
    stands: bool = False
    """Whether strands may leave the head."""
    hangs: bool = False
    """Whether strands are cut at the look's height."""


def _on_top(roots: Points) -> Values:
    return np.clip((roots[:, 1] - 40.0) / 60.0, 0.0, 1.0)


def _cropped(look: HairLook, roots: Points, draw: Draw) -> Values:
    """Shorter on the sides."""
    longer = look.length - look.side_length
    return (look.side_length + longer * _on_top(roots)) * (0.75 + 0.5 * draw[:, 0])


def _even(look: HairLook, roots: Points, draw: Draw) -> Values:
    """Equal everywhere."""
    return look.length * (0.8 + 0.4 * draw[:, 0])


def _hanging(look: HairLook, roots: Points, draw: Draw) -> Values:
    """Shorter where hair grows low."""
    return (look.length + 40.0 * draw[:, 0]) * np.clip(0.72 + 0.28 * (roots[:, 1] + 60) / 190.0, 0.55, 1.0)


def _to_the_knot(look: HairLook, roots: Points, draw: Draw) -> Values:
    """Long enough to reach the knot around the head."""
    return 1.16 * np.linalg.norm(roots - hair_flows.KNOT, axis=-1) + 4.0 + 6.0 * draw[:, 0]


def _layered(roots: Points, draw: Draw, clump: Values) -> Values:
    return (2.0 + 7.0 * _on_top(roots)) * (0.25 + draw[:, 1] + 0.15 * clump)


def _full(roots: Points, draw: Draw, clump: Values) -> Values:
    return 3.0 + 15.0 * draw[:, 1] + 2.5 * clump


def _flat(roots: Points, draw: Draw, clump: Values) -> Values:
    return 0.8 + 3.2 * draw[:, 1] + 0.4 * clump


def _close(roots: Points, draw: Draw, clump: Values) -> Values:
    return 0.5 + 0.0 * clump


KINDS: Mapping[str, HairKind] = {
    "none": HairKind(hair_flows.upright, _even, _flat, num_strands=0),
    "short": HairKind(hair_flows.swept, _cropped, _layered, 13_000),
    "long": HairKind(hair_flows.hanging, _hanging, _full, 24_000, 20, 0.45, 0.42, hangs=True),
    "fringe": HairKind(hair_flows.fringed, _hanging, _full, 24_000, 20, 0.45, 0.42, swirl=0.6, hangs=True),
    "buzz": HairKind(hair_flows.upright, _cropped, _close, 26_000, 4, 0.7, 0.5, stands=True),
    "crew": HairKind(hair_flows.upright, _cropped, _close, 20_000, 6, 0.5, 0.55, stands=True),
    "combed_back": HairKind(hair_flows.combed_back, _cropped, _layered, 17_000, 14, 0.5, 0.5),
    "afro": HairKind(hair_flows.radial, _even, _close, 22_000, 8, 0.6, 0.6, swirl=2.2, stands=True),
    "tied": HairKind(hair_flows.to_the_knot, _to_the_knot, _flat, 15_000, 18, 0.35, 0.5, swirl=0.3),
}
"""Kinds of hair by name."""


def hair_cover(look: HairLook, points: Points) -> Values:
    """Return where hair grows at points of the scalp (mm), 0..1: the hairline recedes, first at the temples.

    Measured by the angle around the skull's middle from the top to the front (90 degrees): a full hairline is at 64.
    """
    amount = look.recession
    if amount <= 0.0:
        return np.ones(len(points))
    x, y, z = points.T
    angle = np.degrees(np.arctan2(z + 34.0, y - 53.0))
    angle = np.where(angle > 150.0, angle - 360.0, angle)
    early, late = min(amount, 0.5), max(amount - 0.5, 0.0)
    temples = np.exp(-(((np.abs(x) - 42.0) / 16.0) ** 2))
    limit = 74.0 - 44.0 * early - 62.0 * early * temples - 240.0 * late + 2.5 * noise(points, 12.0, 7)
    return np.maximum(step(limit - angle, -5.0, 5.0), step(84.0 - 14.0 * amount - y, -5.0, 5.0))


def grow_hair(
    model: HeadModel, shape: Float[np.ndarray, "num_shape"], look: PersonLook, share: float
) -> tuple[Strands, ...]:
    """Grow head hair, from millimetres to decimetres long.

    Args:
        model: the built-in head.
        shape: the person's identity.
        look: the person's look.
        share: factor on the number of strands; 1 is right for pictures 401 pixels high.
    """
    kind, hair = KINDS[look.hair.kind], look.hair
    fewer = _FEWER if look.fast else 1.0
    num_strands = round(kind.num_strands * share * fewer)
    if not num_strands:
        return ()
    rng = np.random.default_rng([look.seed, 101])
    scalp = model.regions.triangle_mask("scalp", model.triangles).numpy()
    roots, normals, triangle = sample_roots(model, scalp, num_strands, rng)
    draw = rng.uniform(size=(num_strands, 4))
    clump = noise(roots, 22.0, look.seed + 31)
    length, lift = kind.length(hair, roots, draw), kind.lift(roots, draw, clump) * hair.volume
    start = normals + 0.15 * rng.normal(size=normals.shape)
    swirl = 0.25 * np.stack([noise(roots, 18.0, look.seed + 40 + k) for k in range(3)], -1) + 0.03 * rng.normal(
        size=roots.shape
    )
    swirl, flow = kind.swirl * swirl, kind.flow(hair)
    skull: Skull = tabled_skull() if look.fast else ExactSkull()
    line = grow(
        roots, start, lambda p, part: flow(p, part) + swirl, np.maximum(lift, 0.6), length, kind.num_points,
        kind.stiff, skull, kind.stands,
    )  # fmt: skip
    line[:, 0] = roots - 0.5 * normals
    if kind.hangs and hair.end is not None:
        end = hair.end + 4.0 * rng.normal(size=num_strands).clip(-1.5, 2.0) + 3.0 * clump
        end = end if hair.fringe is None else _over_forehead(roots, hair.fringe + 2.0 * clump, end)
        line = cut(line, end, exactly=look.fast)
    side = np.cross(line[:, -1] - line[:, 0], normals) + 0.6 * rng.normal(size=normals.shape) * length[:, None]
    if look.fast:
        line = fewer_points(line, _POINTS)
    if hair.wave > 0.0:
        line = curled(line, hair.wave, hair.wavelength, clump, rng, skull)
    along = np.linspace(0.0, 1.0, line.shape[1])
    bare = _BARE if look.fast else 66.0
    lowest = bare if hair.fringe is None else hair.fringe - 5.0
    in_face = (np.abs(line[..., 0]) < 52.0) & (line[..., 2] > 30.0) & (line[..., 1] < lowest)
    kept = ~in_face.any(axis=1)
    if hair.recession > 0.0:
        kept &= rng.uniform(size=num_strands) < hair_cover(hair, roots)
    taper = kind.width / fewer * (1.0 - 0.75 * along**3) * (0.7 + 0.6 * draw[:, 2:3])
    streak = 0.65 + 0.5 * draw[:, 3] + 0.35 * clump
    shade = np.clip(streak[:, None] * (0.75 + 0.45 * along), 0.25, 2.0)
    colors = shade[..., None] * pigments(hair.color, hair.grey, num_strands, look.seed)[:, None]
    kept = np.flatnonzero(kept)
    grown = attach(line[kept], triangle[kept], side[kept], taper[kept], colors[kept], model, shape, look.fast)
    return grown, *TAILS[hair.tail](model, shape, look, share)


def _over_forehead(roots: Points, fringe: Values, end: Values) -> Values:
    """Return where strands are cut: those that grow in front at the height of the fringe."""
    x, y, z = roots.T
    return np.where((z > -2.0) & (np.abs(x) < 46.0) & (y > 70.0), np.maximum(fringe, end), end)
