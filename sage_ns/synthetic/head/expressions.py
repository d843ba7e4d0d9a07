"""Expressions of the built-in head: named linear shapes (mm at coefficient 1), modelled on facial action units.

Lids turn about the eyeballs, lips part at the slit, all other expressions are sums of smooth moves of the skin.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sage_ns.synthetic.head.identity import Handle
from sage_ns.synthetic.head.mesh import NUM_EYE_RING, HeadMesh
from sage_ns.synthetic.head.surface import EYE_CENTER

Field = Float[np.ndarray, "num_skin 3"]

_CORNER = (25.0, -40.0, 58.0)
# One side of a two-sided expression, or the whole of a middle one. "lip" handles act on one lip only.
_SIDED: dict[str, tuple[Handle, ...]] = {
    "mouth_smile": (
        Handle(_CORNER, (15, 12, 18), move=(6.0, 5.0, -3.5)),
        Handle((0, -47, 68), (14, 8, 18), move=(0.0, 1.8, -0.8)),
        Handle((36, -8, 46), (13, 13, 20), move=(1.0, 3.0, 3.0)),
    ),
    "mouth_frown": (Handle(_CORNER, (12, 13, 18), move=(1.0, -6.0, -1.0)),),
    "mouth_stretch": (Handle(_CORNER, (13, 13, 18), move=(7.0, -2.5, -3.0)),),
    "cheek_raise": (Handle((36, 8, 46), (16, 11, 20), move=(0.0, 3.5, 2.0)),),
    "brow_outer_raise": (Handle((38, 56, 44), (15, 12, 22), move=(0.0, 6.5, 0.5)),),
    "brow_lower": (
        Handle((14, 51, 57), (12, 9, 18), move=(-2.6, -4.5, 1.2)),
        Handle((32, 53, 48), (14, 9, 18), move=(-1.0, -2.6, 0.3)),
    ),
    "nose_sneer": (
        Handle((14, -7, 66), (8, 9, 14), move=(1.0, 3.2, 0.6)),
        Handle((13, -31, 68), (9, 7, 14), move=(0.0, 2.4, 0.5)),
    ),
}
_MIDDLE: dict[str, tuple[Handle, ...]] = {
    "brow_inner_raise": (Handle((9, 57, 58), (14, 13, 20), move=(0.0, 6.5, 0.8)),),
    "cheek_puff": (Handle((37, -27, 44), (14, 15, 22), move=(6.5, 0.0, 5.0)),),
    "mouth_pucker": (
        Handle(_CORNER, (12, 13, 20), move=(-9.0, 0.5, 5.0)),
        Handle((0, -38.5, 72), (13, 11, 20), move=(0.0, 0.0, 5.0)),
    ),
    "nostril_flare": (Handle((14, -9, 68), (6, 7, 12), move=(2.2, 0.6, 0.0)),),
}
_UPPER_LIP_RAISE = Handle((11, -34, 68), (9, 7, 16), move=(0.0, 4.5, 0.8))
_LOWER_LIP_DEPRESS = Handle((11, -46, 66), (9, 9, 16), move=(0.5, -5.0, 0.3))


def _smoothstep(value: np.ndarray, start: float, end: float) -> np.ndarray:
    t = np.clip((value - start) / (end - start), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def lid_softness(mesh: HeadMesh) -> Float[np.ndarray, "num_skin 1"]:
    """1 on the lids' rims (moved by the lid expressions alone), 0 away from the eyes."""
    side = np.where(mesh.vertices[:, :1] >= 0, 1.0, -1.0)
    offset = (mesh.vertices - EYE_CENTER * np.concatenate([side, np.ones_like(side), np.ones_like(side)], -1)) / (
        19.0,
        12.0,
        22.0,
    )
    return 1.0 - _smoothstep(np.linalg.norm(offset, axis=-1, keepdims=True), 0.75, 1.35)


def _lid_turn(mesh: HeadMesh, upper: float, lower: float) -> Field:
    """Turn the lids of the left eye about the eyeball's horizontal axis.

    `upper` is the part of the opening that the upper lid's rim travels down, `lower` the lower rim's way up
    (negative: away from the other lid). Rings follow less the farther out they are.
    """
    field = np.zeros_like(mesh.vertices)
    left = np.flatnonzero((mesh.ring == "eye") & (mesh.layout[:, 0] > 0))
    rings = {i: left[mesh.ring_index[left] == i] for i in range(-1, mesh.ring_index[left].max() + 1)}
    opposite = (NUM_EYE_RING - np.arange(NUM_EYE_RING)) % NUM_EYE_RING
    rim = mesh.vertices[rings[0]] - EYE_CENTER
    elevation = np.arctan2(rim[:, 1], rim[:, 2])
    opening = elevation[opposite] - elevation
    is_upper = np.arange(NUM_EYE_RING) < NUM_EYE_RING // 2
    turn = opening * np.where(is_upper, upper, lower)
    fade = {-1: 1.0, 0: 1.0, 1: 0.93, 2: 0.78, 3: 0.55, 4: 0.28, 5: 0.08}
    for index, ring in rings.items():
        offset = mesh.vertices[ring] - EYE_CENTER
        angle = turn * fade[index]
        y = offset[:, 1] * np.cos(angle) + offset[:, 2] * np.sin(angle)
        z = offset[:, 2] * np.cos(angle) - offset[:, 1] * np.sin(angle)
        field[ring, 1], field[ring, 2] = y - offset[:, 1], z - offset[:, 2]
    return field


def _mirrored(field: Field, mesh: HeadMesh) -> Field:
    """Return the same expression on the other side."""
    return field[mesh.mirror] * [-1.0, 1.0, 1.0]


def _funnel_and_press(mesh: HeadMesh, jaw_weight: np.ndarray) -> dict[str, Field]:
    p = mesh.vertices
    near_lips = np.exp(-0.5 * (((p - (0, -39, 68)) / (21, 11, 22)) ** 2).sum(-1, keepdims=True))
    lip_sign = 1.0 - 2.0 * jaw_weight
    part = np.concatenate([np.zeros_like(lip_sign), lip_sign, np.zeros_like(lip_sign)], axis=-1) * near_lips
    pucker = sum(handle.displacement(p) for handle in _MIDDLE["mouth_pucker"])
    forward = np.concatenate([np.zeros_like(near_lips), np.zeros_like(near_lips), near_lips], axis=-1)
    return {
        "mouth_funnel": 0.75 * pucker + 4.0 * part + 1.5 * forward,
        "lips_part": part * (2.6 + 1.2 * jaw_weight),
        "lips_press": -0.9 * part * _smoothstep(np.abs(mesh.layout[:, 1:] + 39), 2.0, 6.0) - 2.6 * forward,
    }


def _jaw_and_chin(mesh: HeadMesh, jaw_weight: np.ndarray) -> dict[str, Field]:
    p = mesh.vertices
    chin = Handle((0, -60, 62), (20, 15, 24), move=(0.0, 4.0, 1.8)).displacement(p) * jaw_weight
    mouth_left = np.exp(-0.5 * (((p - (0, -40, 66)) / (24, 15, 30)) ** 2).sum(-1, keepdims=True)) * (7.0, 0.8, 0.0)
    return {
        "jaw_forward": jaw_weight * (0.0, -0.5, 5.5),
        "jaw_left": jaw_weight * (6.0, 0.0, 0.0),
        "jaw_right": jaw_weight * (-6.0, 0.0, 0.0),
        "chin_raise": chin,
        "mouth_left": mouth_left,
        "mouth_right": mouth_left * (-1.0, 1.0, 1.0),
    }


def expression_displacements(
    mesh: HeadMesh, jaw_weight: Float[np.ndarray, "num_skin 1"]
) -> dict[str, Float[np.ndarray, "num_skin 3"]]:
    """Return all expressions by name: displacement (mm) of the skin at coefficient 1. Eyeballs do not move."""
    p = mesh.vertices
    on_left = _smoothstep(p[:, :1], -7.0, 7.0)
    keep_lids = 1.0 - lid_softness(mesh)
    fields: dict[str, Field] = {}

    def add_sides(name: str, left: Field) -> None:
        fields[f"{name}_left"], fields[f"{name}_right"] = left, _mirrored(left, mesh)

    for name, handles in _SIDED.items():
        add_sides(name, sum(handle.displacement(p) for handle in handles) * on_left * keep_lids)
    for name, handles in _MIDDLE.items():
        fields[name] = sum(handle.displacement(p) for handle in handles) * keep_lids
    add_sides("upper_lip_raise", _UPPER_LIP_RAISE.displacement(p) * on_left * (1.0 - jaw_weight))
    add_sides("lower_lip_depress", _LOWER_LIP_DEPRESS.displacement(p) * on_left * jaw_weight)
    add_sides("blink", _lid_turn(mesh, 0.86, 0.16))
    add_sides("squint", _lid_turn(mesh, 0.22, 0.30) + 0.6 * fields["cheek_raise_left"])
    add_sides("eye_wide", _lid_turn(mesh, -0.24, -0.04))
    fields.update(_funnel_and_press(mesh, jaw_weight))
    fields.update(_jaw_and_chin(mesh, jaw_weight))
    return fields
