"""Age of the skin: wrinkles that stay, bags and jowls, as depth on the mean head's fine surface."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from sage_ns.synthetic.fields import Points, Values, blob, curve_distance, groove
from sage_ns.synthetic.person_look import SkinLook
from sage_ns.synthetic.surface import noise

_MARIONETTE = [(27.0, -44.0), (29.5, -51.0), (29.0, -60.0)]
_EYE_BAG = [(20.0, 17.0), (26.0, 12.6), (34.0, 12.0), (42.0, 15.5)]
_STAYS: Mapping[str, float] = {
    "brow_raise": 0.75,
    "brow_lower": 0.70,
    "squint": 0.95,
    "smile": 0.85,
    "chin_raise": 0.25,
}
"""Part of each expression's creases that stays in the relaxed face of a person of eighty."""


def wrinkle_depth(q: Points, creases: Mapping[str, Values], look: SkinLook, seed: int) -> Values:
    """Compute how deep (mm) old skin is creased.

    Args:
        q: fine vertices of the mean head, millimetres.
        creases: depth of each expression's creases at full activation.
        look: of the skin.
        seed: of the person.
    """
    x, y, z = np.abs(q[:, 0]), q[:, 1], q[:, 2]
    xy = np.stack([x, y], axis=-1)
    front = np.clip((z - 25.0) / 15.0, 0.0, 1.0)
    uneven = np.clip(1.0 + 0.5 * noise(q, 30.0, seed + 91), 0.2, 1.8)
    kept = sum(share * creases[name] for name, share in _STAYS.items())
    folds = 0.9 * groove(curve_distance(xy, _MARIONETTE), 1.9) + 0.55 * groove(curve_distance(xy, _EYE_BAG), 1.6)
    lips = 0.28 * np.sin(q[:, 0] * 2.1 + 1.5 * noise(q, 7.0, seed + 92)) * blob(q, (0, -29, 68), (17, 5, 14))
    bands = sum(groove(y - level - 3.0 * noise(q, 40.0, seed + 93), 1.8) for level in (-92.0, -106.0))
    neck = 0.8 * bands * np.clip((z + 45.0) / 30.0, 0.0, 1.0)
    fine = (
        0.16 * noise(q, 2.6, seed + 94) * (blob(q, (42, 5, 40), (22, 30, 28)) + blob(q, (0, -100, -10), (60, 30, 40)))
    )
    return look.wrinkles * (uneven * (kept + front * folds) + lips + neck + fine)


def sagging_depth(q: Points, look: SkinLook) -> Values:
    """Compute how far (mm) hollows lie below and bags above a taut face; bags are negative."""
    hollows = (
        1.8 * blob(q, (44, -20, 36), (11, 14, 18))
        + 1.6 * blob(q, (60, 52, 22), (13, 16, 20))
        + 1.0 * blob(q, (22, -67, 45), (7, 7, 14))
    )
    bags = (
        1.1 * blob(q, (31, 17.5, 52), (11, 3.8, 14))
        + 2.6 * blob(q, (37, -58, 25), (11, 10, 16))
        + 2.8 * blob(q, (0, -80, 18), (20, 11, 18))
        + 1.2 * blob(q, (27, -20, 58), (7, 12, 14))
    )
    return look.sagging * (hollows - bags)


def crease_shade(depth: Float[np.ndarray, "num_fine"]) -> Values:
    """Return the factor on albedo in creases (depth in mm), whose skin is darker."""
    return 1.0 - 0.22 * np.clip(depth / 0.9, 0.0, 1.0)
