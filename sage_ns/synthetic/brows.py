"""Eyebrows and lashes of the synthetic person."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sage_ns.rig import HeadModel
from sage_ns.synthetic.head.surface import EYE_CENTER, eyelid_contour, front_depth
from sage_ns.synthetic.person_look import BrowLook, PersonLook
from sage_ns.synthetic.strands import Strands, attach, nearest_triangles


def brow_height(part: Float[np.ndarray, "n"], look: BrowLook) -> Float[np.ndarray, "n"]:
    """Return y (mm) of the middle of the brow at parts 0..1 of its length, from 13 to 48 mm beside the middle."""
    return 49.0 + look.arch * np.sin(part * 2.05) + (look.raised + look.tilt * part)


def grow_brows_and_lashes(model: HeadModel, shape: Float[np.ndarray, "num_shape"], look: PersonLook) -> Strands:
    """Grow eyebrows (two bows of fine hairs) and the lashes of the upper lids."""
    rng = np.random.default_rng([look.seed, 202])
    brow_line, brow_side = _brow_lines(rng, look.brows)
    lash_line, lash_side = _lash_lines(rng, 64)
    half_line, half_side = np.concatenate([brow_line, lash_line]), np.concatenate([brow_side, lash_side])
    width = np.concatenate([np.full(len(brow_line), 0.55), np.full(len(lash_line), 0.42)])
    flip = np.array([-1.0, 1.0, 1.0])
    line = np.concatenate([half_line, half_line * flip])
    side = np.concatenate([half_side, half_side * flip])
    width = np.concatenate([width, width])[:, None] * np.linspace(1.0, 0.35, line.shape[1])
    is_lash = (np.arange(len(line)) % len(half_line) >= len(brow_line))[:, None]
    color = np.where(is_lash, np.asarray(look.lashes) * 0.8, np.asarray(look.brows.color) * 0.8)
    shade = np.broadcast_to(color[:, None], (*line.shape[:2], 3))
    triangle = nearest_triangles(model, "face", line[:, 0])
    return attach(line, triangle, side, width, shade, model, shape, tabled=False)


def _brow_lines(rng: np.random.Generator, look: BrowLook) -> tuple[np.ndarray, np.ndarray]:
    """Left brow: hairs along a bow, thick inside, thin and falling outside (mm)."""
    num = look.num_hairs
    t = rng.beta(1.25, 1.1, num)
    x = 13.0 + 35.0 * t
    middle = brow_height(np.clip(t, 0, 1), look) - 1.5 * t**3 * 3.0
    thickness = look.thickness * np.interp(t, [0.0, 0.15, 0.6, 1.0], [1.3, 2.6, 1.9, 0.5])
    y = middle + thickness * rng.uniform(-1.0, 1.0, num)
    lean = np.interp(t, [0.0, 0.25, 1.0], [1.2, 0.55, -0.45]) + 0.18 * rng.normal(size=num) - 0.25 * (y - middle) / 3.0
    heading = np.stack([np.cos(lean), np.sin(lean)], axis=-1)
    length = look.length * np.interp(t, [0.0, 0.2, 1.0], [5.0, 7.5, 6.0]) * rng.uniform(0.7, 1.2, num)
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
