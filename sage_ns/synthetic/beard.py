"""Beards of the synthetic person: where they grow, and their strands."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from sage_ns.rig import HeadModel
from sage_ns.synthetic.fields import Points, Values, step
from sage_ns.synthetic.head.surface import mouth_line
from sage_ns.synthetic.person_look import PersonLook
from sage_ns.synthetic.strands import (
    Strands,
    attach,
    curled,
    grow,
    pigments,
    sample_roots,
    tabled_skull,
)  # fmt: skip
from sage_ns.synthetic.surface import noise

_UPPER_LIP, _LOWER_LIP = 7.6, 9.2
"""Height (mm) of the lips above and below the line where they meet."""


def _moustache(q: Points) -> Values:
    """Between nose and upper lip, and a little down beside the corners of the mouth."""
    x, y, z = np.abs(q[:, 0]), q[:, 1], q[:, 2]
    above = y - mouth_line(q[:, 0]) - _UPPER_LIP * np.sqrt(np.clip(1.0 - (x / 26.0) ** 2, 0.0, 1.0))
    over = step(above, -0.2, 1.2) * step(-y, 17.5, 20.5) * step(-x, -31.0, -26.0)
    corner = step(-np.hypot((x - 30.0) / 5.0, (y + 40.0) / 9.0), -1.2, -0.7)
    return np.maximum(over, corner) * step(z, 30.0, 40.0)


def _chin(q: Points) -> Values:
    """Below the lower lip, on chin and underside of the chin."""
    x, y, z = np.abs(q[:, 0]), q[:, 1], q[:, 2]
    below = mouth_line(q[:, 0]) - y - _LOWER_LIP * np.sqrt(np.clip(1.0 - (x / 26.0) ** 2, 0.0, 1.0))
    wide = 19.0 + 6.0 * step(-y, 52.0, 70.0)
    return step(below, 1.5, 4.5) * step(-x, -wide - 4.0, -wide + 2.0) * step(z, 12.0, 24.0) * step(y, -92.0, -84.0)


def _jaw(q: Points) -> Values:
    """From the sideburns along cheek and jaw down to the throat."""
    x, y, z = np.abs(q[:, 0]), q[:, 1], q[:, 2]
    cheek_line = np.interp(z, [-10.0, 10.0, 32.0, 58.0], [14.0, 4.0, -24.0, -40.0])
    below = step(cheek_line - y, -1.0, 8.0)
    behind = step(z + 0.35 * (y + 20.0), -14.0, -2.0)
    throat = step(y + 0.30 * z, -90.0, -78.0)
    beside = step(x, 23.0, 30.0) + step(-y, 52.0, 62.0)
    return below * behind * throat * np.clip(beside, 0.0, 1.0)


def _full(q: Points) -> Values:
    return np.maximum(np.maximum(_moustache(q), _chin(q)), _jaw(q))


def _goatee(q: Points) -> Values:
    return np.maximum(_moustache(q), _chin(q))


def _nowhere(q: Points) -> Values:
    return np.zeros(len(q))


KINDS: Mapping[str, Callable[[Points], Values]] = {
    "none": _nowhere, "moustache": _moustache, "goatee": _goatee, "chin": _chin, "full": _full,
}  # fmt: skip
"""Where beards grow on the mean head (mm), 0..1, by name."""
_NUM_STRANDS = 9_000


def beard_cover(kind: str, q: Points) -> Values:
    """Return where a kind of beard grows at points of the mean head (mm), 0..1."""
    return KINDS[kind](q)


def _flow(points: np.ndarray, part: float) -> np.ndarray:
    """Direction of growth: down, sideways from the middle over the lip, forward below the jaw."""
    x, y, z = points.T
    lip = np.exp(-(((y + 25.0) / 9.0) ** 2)) * np.clip((z - 40.0) / 20.0, 0.0, 1.0)
    under = np.clip((-y - 66.0) / 12.0, 0.0, 1.0)
    flow = np.stack([0.9 * lip * np.tanh(x / 5.0) + 0.003 * x, -1.0 + 0.25 * lip, 0.12 + 0.35 * under], axis=-1)
    return flow / np.linalg.norm(flow, axis=-1, keepdims=True)


def grow_beard(
    model: HeadModel, shape: Float[np.ndarray, "num_shape"], look: PersonLook, share: float
) -> tuple[Strands, ...]:
    """Grow the strands of the beard; none for shaved faces.

    Args:
        model: the built-in head.
        shape: the person's identity.
        look: the person's look.
        share: factor on the number of strands; 1 is right for pictures 401 pixels high.
    """
    beard = look.beard
    if beard.kind == "none" or beard.length <= 0.0:
        return ()
    rng = np.random.default_rng([look.seed, 105])
    regions, skull = model.regions, tabled_skull()
    on = regions.triangle_mask("face", model.triangles) | regions.triangle_mask("neck", model.triangles)
    roots, normals, triangle = sample_roots(model, on.numpy(), round(5 * _NUM_STRANDS * share), rng)
    patchy = np.clip(1.0 + 0.35 * noise(roots, 14.0, look.seed + 96), 0.0, 1.0)
    kept = np.flatnonzero(rng.uniform(size=len(roots)) < beard_cover(beard.kind, roots) * patchy)
    roots, normals, triangle, num = roots[kept], normals[kept], triangle[kept], len(kept)
    draw = rng.uniform(size=(num, 3))
    under = 0.55 + 0.45 * step(-roots[:, 1], 30.0, 62.0) * step(roots[:, 2], 0.0, 40.0)
    on_lip = _moustache(roots) > 0.3
    length = beard.length * under * (0.7 + 0.6 * draw[:, 0])
    length = np.where(on_lip, np.minimum(length, 9.0 + 6.0 * draw[:, 0]), length)
    lift = (0.4 + 0.30 * length) * draw[:, 1]
    swirl = 0.18 * rng.normal(size=(num, 3))
    line = grow(roots, normals, lambda p, part: _flow(p, part) + swirl, lift, length, 6, 0.5, skull)
    line[:, 0] = roots - 0.4 * normals
    if beard.curl > 0.0:
        line = curled(line, beard.curl, 7.0 * beard.curl, draw[:, 2], rng, skull)
    x, y, z = line[..., 0], line[..., 1], line[..., 2]
    over = np.abs(y - mouth_line(x) + 0.8) < np.where(on_lip[:, None], 5.0, 8.0)
    clear = ~(over & (np.abs(x) < 23.0) & (z > 45.0)).any(axis=1)
    width = 0.45 * (0.7 + 0.6 * draw[:, :1]) * np.linspace(1.0, 0.45, line.shape[1])
    shade = (0.65 + 0.6 * draw[:, 2:3])[..., None] * np.linspace(0.8, 1.1, line.shape[1])[:, None]
    colors = shade * pigments(beard.color, beard.grey, num, look.seed + 2)[:, None]
    side = rng.normal(size=(num, 3))
    return (attach(line[clear], triangle[clear], side[clear], width[clear], colors[clear], model, shape),)
