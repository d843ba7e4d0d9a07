"""Colours of the synthetic person: albedo and gloss of skin, lips, eyes and teeth by position on the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from sage_ns.rig import HeadModel
from sage_ns.synthetic.age import crease_shade
from sage_ns.synthetic.beard import beard_cover
from sage_ns.synthetic.brows import brow_height
from sage_ns.synthetic.fields import blob, step
from sage_ns.synthetic.hair import hair_cover
from sage_ns.synthetic.head.surface import EYE_CENTER, eyelid_contour, mouth_line
from sage_ns.synthetic.person_look import BeardLook, Color, PersonLook
from sage_ns.synthetic.surface import noise
from sage_ns.synthetic.true_skin import TrueSkin

Albedo = Float[np.ndarray, "num_fine 3"]


@dataclass(frozen=True)
class Material:
    """Material of the fine vertices."""

    albedo: Albedo
    gloss: Float[np.ndarray, "num_fine"]
    """Strength of the specular highlight, 0..1."""
    sharpness: Float[np.ndarray, "num_fine"]
    """Blinn-Phong exponent."""
    in_mouth: Bool[np.ndarray, "num_fine"]
    """Vertices that get light reflected by the walls of the mouth."""


def _mix(albedo: Albedo, color: object, amount: Float[np.ndarray, "num_fine"]) -> Albedo:
    amount = np.clip(amount, 0.0, 1.0)[:, None]
    return albedo * (1.0 - amount) + np.asarray(color) * amount


def _skin(q: np.ndarray, look: PersonLook) -> Albedo:
    seed, color = look.seed, np.asarray(look.skin.tone)
    tone = 0.09 * noise(q, 38.0, seed + 51) + 0.06 * noise(q, 13.0, seed + 52) + 0.05 * noise(q, 4.0, seed + 53)
    albedo = color * (1.0 + tone[:, None])
    blood = (
        0.34 * blob(q, (40, -8, 45), (16, 15, 25))
        + 0.32 * blob(q, (0, -3, 86), (11, 10, 12))
        + 0.30 * blob(q, (13, -9, 70), (6, 7, 10))
        + 0.18 * blob(q, (0, -66, 64), (15, 10, 14))
        + 0.40 * blob(q, (82, 13, -28), (12, 34, 22))
        + 0.10 * noise(q, 20.0, seed + 54)
    )
    albedo = _mix(albedo, color * (0.98, 0.62, 0.56), look.skin.redness * blood)
    yellow = 0.35 * blob(q, (0, 80, 60), (45, 22, 30)) + 0.2 * blob(q, (0, -110, -10), (60, 30, 50))
    albedo = _mix(albedo, color * (1.04, 1.03, 0.92), yellow)
    tired = blob(q, (31, 20.5, 52), (11, 3.6, 14)) * 0.34 + blob(q, (31, 40, 52), (13, 4.5, 14)) * 0.30
    albedo = _mix(albedo, color * (0.72, 0.60, 0.62), tired)
    spots = noise(q, 3.4, seed + 55)
    freckles = step(spots, 0.62, 0.95) * (
        blob(q, (26, 3, 60), (24, 13, 25)) + 0.25 * blob(q, (0, 70, 60), (45, 25, 30))
    )
    albedo = _mix(albedo, color * (0.62, 0.50, 0.42), 0.55 * look.skin.freckles * freckles)
    if look.skin.spots > 0.0:
        old = step(noise(q, 9.0, seed + 56) + 0.4 * noise(q, 3.0, seed + 57), 0.75, 1.05)
        albedo = _mix(albedo, color * (0.66, 0.56, 0.50), 0.6 * look.skin.spots * old)
    rng = np.random.default_rng([seed, 404])
    for x, y in rng.uniform((-50, -65), (50, 85), size=(5, 2)):
        mole = np.exp(-0.5 * ((q[:, 0] - x) ** 2 + (q[:, 1] - y) ** 2) / 0.9**2) * (q[:, 2] > 25)
        albedo = _mix(albedo, color * (0.38, 0.28, 0.22), 0.8 * mole)
    return albedo


def _stubble(q: np.ndarray, albedo: Albedo, beard: BeardLook, seed: int) -> Albedo:
    """Paint the shadow of a beard over lip, chin and jaw."""
    x, y = np.abs(q[:, 0]), q[:, 1]
    low = step(-y, 18.0, 34.0) * step(q[:, 2] - 0.45 * y, 10.0, 40.0) * step(y + 0.2 * (40 - q[:, 2]), -96.0, -82.0)
    cheek = 1.0 - step(-(x - 30.0) * 0.9 + y + 42.0, -8.0, 22.0) * (x > 14)
    grain = 0.75 + 0.5 * noise(q, 2.2, seed + 61)
    hair = np.asarray(beard.color)
    shaved = beard.shade * low * np.clip(cheek, 0, 1) * grain
    albedo = _mix(albedo, 0.5 * hair + albedo.mean(axis=0) * (0.36, 0.40, 0.46), shaved)
    if beard.kind == "none":
        return albedo
    return _mix(albedo, hair * 0.9, 0.6 * beard_cover(beard.kind, q))


def _lips(q: np.ndarray, albedo: Albedo, look: PersonLook) -> tuple[Albedo, np.ndarray]:
    """Paint the lips, with a cupid's bow; returns albedo and the lips' soft outline."""
    skin, color = np.asarray(look.skin.tone), np.asarray(look.skin.lips)
    lines = 0.10 * np.sin(q[:, 0] * 3.1 + 2.0 * noise(q, 9.0, look.seed + 62))
    x = np.minimum(np.abs(q[:, 0]) / 25.5, 1.0)
    above = q[:, 1] - mouth_line(q[:, 0])
    upper = 7.2 * (1.0 - x**2) ** 0.7 - 1.3 * np.exp(-((q[:, 0] / 3.2) ** 2)) + 0.15
    lower = 8.8 * (1.0 - x**2) ** 0.75 + 0.15
    border = np.where(above > 0, above - upper, -above - lower)
    lip = (1.0 - step(border, -1.2, 0.8)) * (q[:, 2] > 40) * (np.abs(q[:, 0]) < 26.5)
    albedo = _mix(albedo, color * (1.0 + lines[:, None]), 0.85 * lip)
    crease = np.exp(-0.5 * ((q[:, 1] - mouth_line(q[:, 0])) / 0.8) ** 2) * lip
    return _mix(albedo, skin * (0.42, 0.16, 0.15), 0.75 * crease), lip


def _eyes(q: np.ndarray, color: Color, seed: int) -> tuple[Albedo, np.ndarray]:
    """Return the eyeballs' albedo and the cornea's soft outline."""
    base = np.asarray(color)
    side = np.where(q[:, :1] >= 0, 1.0, -1.0)
    offset = q - EYE_CENTER * np.concatenate([side, np.ones_like(side), np.ones_like(side)], axis=-1)
    offset /= np.maximum(np.linalg.norm(offset, axis=-1, keepdims=True), 1e-9)
    polar = np.degrees(np.arccos(np.clip(offset[:, 2], -1.0, 1.0)))
    turn = np.arctan2(offset[:, 1], offset[:, 0])
    rays = 0.25 * np.sin(turn * 21 + 3 * np.sin(turn * 5)) + 0.2 * np.sin(turn * 37 + 1.3)
    sclera = np.array([0.66, 0.61, 0.58]) * (1.0 + 0.03 * noise(q, 3.0, seed + 71)[:, None])
    albedo = _mix(sclera, (0.60, 0.36, 0.32), step(polar, 34.0, 62.0) * 0.55)
    iris = base * (1.0 + rays[:, None]) * (1.0 + 0.5 * np.exp(-0.5 * ((polar - 12.0) / 3.0) ** 2))[:, None]
    albedo = _mix(albedo, iris, 1.0 - step(polar, 23.2, 25.2))
    albedo = _mix(albedo, base * 0.18, np.exp(-0.5 * ((polar - 23.4) / 1.5) ** 2) * 0.85)
    albedo = _mix(albedo, (0.006, 0.006, 0.007), 1.0 - step(polar, 8.0, 9.6))
    return albedo, 1.0 - step(polar, 27.0, 33.0)


def _lid_edges(q: np.ndarray, albedo: Albedo, hair: np.ndarray, skin: np.ndarray) -> Albedo:
    """Paint the lids' pink margins and the dark line of the upper lashes."""
    x, y = np.abs(q[:, 0]), q[:, 1]
    angle = np.linspace(0.0, 2 * np.pi, 240, endpoint=False)
    contour = eyelid_contour(angle, 0.0)
    near = (np.abs(x - EYE_CENTER[0]) < 20) & (np.abs(y - EYE_CENTER[1]) < 12) & (q[:, 2] > 36)
    gap = np.full(len(q), np.inf)
    upper = np.zeros(len(q))
    index = np.flatnonzero(near)
    distance = np.linalg.norm(np.stack([x[index], y[index]], -1)[:, None] - contour[None], axis=-1)
    gap[index], upper[index] = distance.min(axis=1), np.sin(angle[distance.argmin(axis=1)])
    albedo = _mix(albedo, skin * (0.92, 0.55, 0.50), 0.55 * np.exp(-0.5 * (gap / 1.0) ** 2))
    return _mix(albedo, hair * 0.6, np.exp(-0.5 * (gap / 0.75) ** 2) * np.clip(0.25 + 0.75 * upper, 0.1, 0.95))


def surface_albedo(
    q: Float[np.ndarray, "n 3"],
    scalp: Float[np.ndarray, "n"],
    eyeball: Bool[np.ndarray, "n"],
    look: PersonLook,
    shade: Float[np.ndarray, "n"] | None = None,
) -> tuple[Albedo, Float[np.ndarray, "n"], Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Paint skin, lips, brows, scalp and eyes at places of the head.

    Args:
        q: places on the mean built-in head in millimetres.
        scalp: 0..1, how much a place belongs to the scalp.
        eyeball: which places are on eyeballs.
        look: the person.
        shade: factor on the albedo of the skin, in the creases of old skin; None = 1.

    Returns:
        Albedo, and the soft outlines (0..1) of lips, hair on the scalp, and corneas.
    """
    tone, seed = np.asarray(look.skin.tone), look.seed
    albedo = _skin(q, look)
    if shade is not None:
        albedo = albedo * shade[:, None]
    if look.beard.shade > 0.0 or look.beard.kind != "none":
        albedo = _stubble(q, albedo, look.beard, seed)
    albedo, lip = _lips(q, albedo, look)
    albedo = _lid_edges(q, albedo, np.asarray(look.lashes), tone)
    brow_y = brow_height(np.clip((np.abs(q[:, 0]) - 13.0) / 35.0, 0, 1), look.brows)
    brow = (
        np.exp(-0.5 * ((q[:, 1] - brow_y) / 2.3) ** 2)
        * step(np.abs(q[:, 0]), 11, 16)
        * (1 - step(np.abs(q[:, 0]), 40, 49))
    )
    albedo = _mix(albedo, np.asarray(look.brows.color), look.brows.shade * brow * (q[:, 2] > 30))
    scalp = step(scalp + 1.2 * scalp * (1.0 - scalp) * noise(q, 7.0, seed + 81), 0.45, 0.95)
    scalp = scalp * hair_cover(look.hair, q)
    albedo = _mix(albedo, np.asarray(look.hair.color) * 0.9, look.hair.scalp * scalp)
    nostril = blob(q, (6.3, -14.5, 73.5), (2.4, 2.4, 3.6))
    albedo = _mix(albedo, tone * (0.20, 0.10, 0.09), 1.1 * nostril)
    eye_albedo, cornea = _eyes(q, look.iris, seed)
    albedo[eyeball] = eye_albedo[eyeball]
    return albedo, lip, scalp, cornea


def paint(
    model: HeadModel, skin: TrueSkin, interior: dict[str, Int[np.ndarray, "num_part"]], look: PersonLook
) -> Material:
    """Paint albedo and gloss of every fine vertex. The last vertices of `model` are the mouth's `interior` parts."""
    q = skin.q

    def soft(name: str) -> np.ndarray:
        members = model.regions.vertex_mask(name, model.num_vertices).numpy().astype(np.float64)
        return skin.refinement.fine(members[:, None])[:, 0]

    eyeball = soft("eyes") > 0.5
    shade = crease_shade(skin.old_depth) if look.skin.wrinkles > 0.0 else None
    albedo, lip, scalp, cornea = surface_albedo(q, soft("scalp"), eyeball, look, shade)
    gloss = 0.10 + 0.06 * blob(q, (0, 0, 80), (14, 25, 20)) + 0.05 * blob(q, (0, 80, 60), (40, 25, 30))
    gloss = look.skin.shine * gloss
    gloss = np.where(eyeball, 0.35 + 0.9 * cornea, gloss * (1.0 - scalp) + 0.22 * lip)
    sharpness = np.where(eyeball, 320.0, 14.0 + 26.0 * lip)
    in_mouth = np.zeros(len(q), dtype=bool)
    for name, (color, shine, exponent) in _INTERIOR.items():
        members = np.zeros((model.num_vertices, 1))
        members[interior[name]] = 1.0
        part = skin.refinement.fine(members)[:, 0] > 0.5
        albedo[part], gloss[part], sharpness[part] = color, shine, exponent
        in_mouth |= part
        if name.endswith("teeth"):
            gap = np.exp(-0.5 * ((np.mod(q[:, 0] / 7.6 + 0.5, 1.0) - 0.5) * 7.6 / 0.5) ** 2)
            albedo = np.where(part[:, None], _mix(albedo, (0.25, 0.15, 0.11), 0.55 * gap), albedo)
        if name == "cavity":
            albedo = _mix(albedo, THROAT, part * (38.0 - q[:, 2]) / 22.0)
    return Material(np.clip(albedo, 0.002, 0.95), gloss, sharpness, in_mouth)


THROAT = (0.150, 0.040, 0.036)
"""Albedo deep in the mouth, where its walls, lined with mucosa, narrow."""

_INTERIOR = {
    "upper_teeth": ((0.84, 0.78, 0.68), 0.5, 60.0),
    "lower_teeth": ((0.78, 0.71, 0.61), 0.4, 60.0),
    "tongue": ((0.40, 0.13, 0.12), 0.3, 30.0),
    "cavity": ((0.42, 0.15, 0.14), 0.05, 20.0),
}
