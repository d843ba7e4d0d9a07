"""The synthetic person's true skin: the rig's subdivided surface with static detail and creases of expressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from sage_ns.rig import HeadModel
from sage_ns.synthetic.age import sagging_depth, wrinkle_depth
from sage_ns.synthetic.fields import curve_distance, groove
from sage_ns.synthetic.person_look import PersonLook
from sage_ns.synthetic.surface import Refinement, neck_cap, noise, vertex_normals


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
    lines = sum(groove(y - level + wavy - 3.0 * (x / 40.0) ** 2, 1.5) for level in (67.0, 75.0, 83.0))
    frown = sum(groove(x - at - 0.15 * (y - 50), 1.3) for at in (4.5, 9.0)) * np.exp(-(((y - 53) / 9.0) ** 4))
    feet = sum(groove(curve_distance(xy, c), 1.0) for c in _CROWS_FEET)
    fold = groove(curve_distance(xy, _NASOLABIAL), 2.2)
    bunny = sum(groove(curve_distance(xy, c), 1.1) for c in (((4, 25), (12, 19)), ((5, 19), (12, 13))))
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


@lru_cache(maxsize=2)
def _laid_out(
    model: HeadModel, steps: int
) -> tuple[Refinement, Float[np.ndarray, "num_fine 3"], Mapping[str, Float[np.ndarray, "num_fine"]]]:
    """Return what is the same for all people: refinement, fine vertices of the mean head (mm), creases (mm)."""
    refinement = Refinement.of(model, steps)
    q = refinement.fine(model.v_template.numpy().astype(np.float64)) * 1e3
    return refinement, q, crease_depths(q)


@dataclass(frozen=True)
class TrueSkin:
    """Time-independent shape of the true skin: refinement, static detail and creases on the fine vertices."""

    refinement: Refinement
    q: Float[np.ndarray, "num_fine 3"]
    """Fine vertices of the mean head, millimetres: a vertex's place on the face, the same for all people."""
    static_depth: Float[np.ndarray, "num_fine"]
    old_depth: Float[np.ndarray, "num_fine"]
    """Part of it that age has added as wrinkles."""
    creases: dict[str, Float[np.ndarray, "num_fine"]]
    cap: Int[np.ndarray, "num_cap 3"]
    """Triangles that close the neck."""
    names: tuple[str, ...]

    @staticmethod
    def of(model: HeadModel, steps: int, look: PersonLook, is_skin: Float[np.ndarray, "num_vertices 1"]) -> TrueSkin:
        """Create the skin of a person; `is_skin` is 0 on eyeballs, teeth and other parts that stay smooth."""
        seed = look.seed
        refinement, q, full = _laid_out(model, steps)
        smooth = refinement.fine(is_skin)[:, 0]
        creases = {name: depth * smooth for name, depth in full.items()}
        bumps = 0.22 * noise(q, 26.0, seed + 1) + 0.10 * noise(q, 11.0, seed + 2) + 0.05 * noise(q, 4.5, seed + 3)
        static = smooth * (bumps + 0.22 * creases["smile"] + 0.12 * creases["brow_raise"])
        old = np.zeros(len(q))
        if look.skin.wrinkles > 0.0 or look.skin.sagging > 0.0:
            old = smooth * wrinkle_depth(q, creases, look.skin, seed)
            static = static + old + smooth * sagging_depth(q, look.skin)
        cap = neck_cap(refinement.fine_triangles, q)
        return TrueSkin(refinement, q, static, old, creases, cap, model.expression_names)

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
