"""What becomes of tied hair behind its knot: a tail, a bun."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from sage_ns.rig import HeadModel
from sage_ns.synthetic.hair_flows import KNOT, falling
from sage_ns.synthetic.person_look import PersonLook
from sage_ns.synthetic.strands import (
    Lines,
    Strands,
    attach,
    curled,
    cut,
    grow,
    nearest_triangles,
    pigments,
    tabled_skull,
)

Shape = Float[np.ndarray, "num_shape"]


def _none(model: HeadModel, shape: Shape, look: PersonLook, share: float) -> tuple[Strands, ...]:
    return ()


def _tail(model: HeadModel, shape: Shape, look: PersonLook, share: float) -> tuple[Strands, ...]:
    """Grow strands out of the knot that fall down the back."""
    rng = np.random.default_rng([look.seed, 104])
    num, hair, skull = round(5_000 * share), look.hair, tabled_skull()
    around = rng.normal(size=(num, 2)) * 5.5
    roots = KNOT + np.stack([around[:, 0], around[:, 1], -2.0 + 0.0 * around[:, 0]], axis=-1)
    back = np.broadcast_to([0.0, 0.1, -1.0], roots.shape)
    spread = 0.10 * rng.normal(size=roots.shape) + 0.012 * (roots - KNOT) * [1.0, 0.0, 1.0]
    flow = falling(hair)
    length = hair.length * rng.uniform(0.85, 1.1, size=num)
    lift = 10.0 + 14.0 * rng.uniform(size=num)
    line = grow(roots, back, lambda p, part: flow(p, part) + spread, lift, length, 18, 0.5, skull)
    if hair.end is not None:
        line = cut(line, hair.end + 7.0 * rng.normal(size=num), exactly=True)
    if hair.wave > 0.0:
        line = curled(line, hair.wave, hair.wavelength, around[:, 0] / 8.0, rng, skull)
    return (_fastened(line, model, shape, look, rng),)


def _bun(model: HeadModel, shape: Shape, look: PersonLook, share: float) -> tuple[Strands, ...]:
    """Wind strands around a ball on the knot."""
    rng = np.random.default_rng([look.seed, 104])
    num, radius = round(4_000 * share), float(np.clip(look.hair.length / 8.0, 18.0, 36.0))
    middle = KNOT + np.array([0.0, 4.0, -0.62 * radius])
    pole = rng.normal(size=(num, 3)) * 0.45 + [0.0, 0.1, -1.0]
    pole /= np.linalg.norm(pole, axis=-1, keepdims=True)
    height = rng.uniform(-0.8, 0.95, size=(num, 1))
    first = np.cross(pole, [0.3, 1.0, 0.2])
    first /= np.linalg.norm(first, axis=-1, keepdims=True)
    turn = rng.uniform(0.0, 2.0 * np.pi, size=(num, 1)) + np.linspace(0.0, 2.2, 12)
    ring = np.sqrt(1.0 - height**2)[..., None]
    circle = np.cos(turn)[..., None] * first[:, None] + np.sin(turn)[..., None] * np.cross(pole, first)[:, None]
    size = radius * (0.82 + 0.18 * np.sqrt(rng.uniform(size=(num, 1, 1))))
    line = middle + size * (ring * circle + height[..., None] * pole[:, None])
    return (_fastened(line, model, shape, look, rng),)


def _fastened(line: Lines, model: HeadModel, shape: Shape, look: PersonLook, rng: np.random.Generator) -> Strands:
    """Attach strands to the skull below the knot."""
    num, points = line.shape[:2]
    triangle = np.repeat(nearest_triangles(model, "scalp", KNOT[None]), num)
    width = 0.5 * rng.uniform(0.7, 1.3, size=(num, 1)) * np.linspace(1.0, 0.7, points)
    shade = rng.uniform(0.6, 1.2, size=(num, 1, 1)) * np.linspace(0.85, 1.1, points)[:, None]
    colors = shade * pigments(look.hair.color, look.hair.grey, num, look.seed + 1)[:, None]
    return attach(line, triangle, rng.normal(size=(num, 3)), width, colors, model, shape)


TAILS: Mapping[str, Callable[[HeadModel, Shape, PersonLook, float], tuple[Strands, ...]]] = {
    "none": _none, "tail": _tail, "bun": _bun,
}  # fmt: skip
"""Growing the tied part of the hair, by name."""
