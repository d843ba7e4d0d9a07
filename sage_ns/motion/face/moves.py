"""Named moves of the face (a smile, a pucker, a blink) as expression coefficients, for rigs with and without names.

A rig that names its expressions, as the built-in head does, provides its moves directly. FLAME and similar rigs have
principal components instead. For these, each move is fitted: target positions are set for the skin of lips, lids and
brows, and of all coefficients that reach them the most probable ones are chosen (components have unit variance:
maximum a posteriori under a standard normal). Related motion elsewhere, such as the cheeks of a smile, follows from
the scans that the components were made from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int

from sage_ns.motion.face.tables import SIDES, named_moves
from sage_ns.rig.openings import Opening, eye_opening, mouth_opening

if TYPE_CHECKING:
    from sage_ns.rig import HeadModel

Move = Float[np.ndarray, "num_expression"]

_NOISE = 1e-3
"""Standard deviation of a fitted move from its target, metres."""
_LARGEST = 3.0
"""Largest coefficient of a move at full strength, in standard deviations of the component."""
_UPPER_LID_SHARE = 0.88
"""Share of the opening that the upper lid closes; the lower lid closes the rest."""


@dataclass(frozen=True, eq=False)
class FaceMoves:
    """The named moves of a rig, and the openings of its mouth and eyes."""

    moves: dict[str, Move]
    """Coefficients of a move at full strength, by name."""
    mouth: Opening | None
    eyes: dict[str, Opening]
    """Lids by side; only sides that the rig has regions for."""
    is_named: bool
    """Whether the rig's coefficients have names and run from 0 to 1."""


@dataclass(frozen=True, eq=False)
class _Aim:
    """Target displacement of vertices [metres], and its weight (as a number of points)."""

    vertices: Int[np.ndarray, "n"]
    displacement: Float[np.ndarray, "n 3"]
    weight: float = 30.0


def face_moves(model: HeadModel) -> FaceMoves:
    """Return the moves of a rig: its named expressions, or else moves fitted to the regions that it has.

    Args:
        model: The head model, on the CPU.
    """
    eyes = {side: opening for side in SIDES if (opening := eye_opening(model, side)) is not None}
    mouth = mouth_opening(model)
    if model.expression_names:
        moves = named_moves(model.expression_names, model.num_expression)
        return FaceMoves(moves, mouth, eyes, is_named=True)
    basis = model.expression_basis.double().numpy()
    rims = [np.concatenate([opening.upper, opening.lower]) for opening in eyes.values()]
    lids_rest = [_Aim(rim, np.zeros((len(rim), 3)), 10.0) for rim in rims]
    moves: dict[str, Move] = {}
    if mouth is not None:
        lips_aims = _lip_aims(model)
        moves |= {name: _fit(basis, [aim, *lids_rest]) for name, aim in lips_aims.items()}
    lips = model.regions.vertices("lips").numpy()
    mouth_rest = [_Aim(lips, np.zeros((len(lips), 3)), 20.0)] if len(lips) else []
    for name, aim in _brow_aims(model).items():
        moves[name] = _fit(basis, [aim, *lids_rest, *mouth_rest])
    others = _face_without_eyes(model)
    for side, opening in eyes.items():
        still = [_Aim(others, np.zeros((len(others), 3)), 30.0), *mouth_rest]
        still += [_Aim(rim, np.zeros((len(rim), 3)), 20.0) for key, rim in zip(eyes, rims, strict=True) if key != side]
        blink = _fit(basis, [*_blink_aims(model, opening), *still])
        moves |= {f"blink_{side}": blink, f"squint_{side}": 0.35 * blink, f"eye_wide_{side}": -0.3 * blink}
    return FaceMoves(moves, mouth, eyes, is_named=False)


def _fit(basis: Float[np.ndarray, "num_vertices 3 num_expression"], aims: list[_Aim]) -> Move:
    """Return the coefficients x that minimise sum w |B x - d|^2 / noise^2 + |x|^2, corrected for shrinkage.

    The prior makes x fall short of the first aim. x is scaled up until its mean displacement along that aim equals the
    aim, limited by `_LARGEST`.
    """
    normal, right = np.eye(basis.shape[-1]), np.zeros(basis.shape[-1])
    for aim in aims:
        rows = basis[aim.vertices].reshape(-1, basis.shape[-1])
        weight = aim.weight / (len(aim.vertices) * _NOISE**2)
        normal += weight * rows.T @ rows
        right += weight * rows.T @ aim.displacement.reshape(-1)
    move = np.linalg.solve(normal, right)
    wanted = aims[0].displacement.reshape(-1)
    reached = (basis[aims[0].vertices].reshape(-1, basis.shape[-1]) @ move) @ wanted
    scale = np.clip((wanted @ wanted) / max(reached, 1e-12), 1.0, 2.0)
    return move * min(scale, _LARGEST / max(np.abs(move).max(), 1e-12))


def _lip_aims(model: HeadModel) -> dict[str, _Aim]:
    """Return the aims of lip moves: displacements in millimetres for a mouth 50 mm wide, in its own coordinates.

    `s` runs from -1 (right corner) to 1 (left corner), `corner` rises towards the corners, `sign` is 1 on the upper
    lip and -1 on the lower.
    """
    lips = model.regions.vertices("lips").numpy()
    p = model.v_template[lips].double().numpy()
    half = 0.5 * np.ptp(p[:, 0])
    s = (p[:, 0] - p[:, 0].min()) / half - 1.0
    corner, middle = np.clip(np.abs(s), 0, 1) ** 1.5, 1.0 - s**2
    lower = model.skinning_weights[lips, 2].double().numpy()
    sign = 1.0 - 2.0 * lower
    zero = np.zeros_like(s)

    def aim(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> _Aim:
        return _Aim(lips, half / 25.0 * np.stack([x, y, z], axis=-1))

    pucker = (-8.0 * s, zero, 4.0 * (1.0 - 0.5 * np.abs(s)))
    aims = {
        "mouth_pucker": aim(*pucker),
        "mouth_funnel": aim(0.7 * pucker[0], 2.5 * sign * middle, 0.7 * pucker[2]),
        "lips_part": aim(zero, np.where(sign > 0, 1.5, 2.5) * sign * middle, zero),
        "lips_press": aim(zero, zero, -2.0 * middle),
        "mouth_left": aim(np.full_like(s, 6.0), zero, zero),
        "mouth_right": aim(np.full_like(s, -6.0), zero, zero),
    }
    for side, direction in zip(SIDES, (1.0, -1.0), strict=True):
        k = corner * (direction * s > 0)
        near = np.clip(0.5 + direction * s, 0, 1)
        aims |= {
            f"mouth_smile_{side}": aim(6.0 * direction * k, 5.0 * k, -3.0 * k),
            f"mouth_frown_{side}": aim(0.5 * direction * k, -5.0 * k, -1.0 * k),
            f"mouth_stretch_{side}": aim(6.0 * direction * k, -2.0 * k, -3.0 * k),
            f"upper_lip_raise_{side}": aim(zero, 4.0 * middle * near * (1 - lower), zero),
            f"lower_lip_depress_{side}": aim(zero, -4.0 * middle * near * lower, zero),
        }
    return aims


def _brow_aims(model: HeadModel) -> dict[str, _Aim]:
    """Return the aims of brow moves: skin above the eyes by a third to a half of the distance between the eyes."""
    joints = (model.joint_regressor @ model.v_template).double().numpy()
    eyes = dict(zip(SIDES, joints[3:5], strict=True))
    apart = eyes["left"][0] - eyes["right"][0]
    face = model.regions.vertices("face").numpy()
    p = model.v_template[face].double().numpy()
    aims, inner_parts = {}, []
    for side, direction in zip(SIDES, (1.0, -1.0), strict=True):
        x, y, z = ((p - eyes[side]) / apart).T
        brow = (np.abs(x) < 0.4) & (y > 0.27) & (y < 0.5) & (z > 0)
        if brow.sum() < 3:
            return {}
        inwards = np.clip(0.5 - direction * x[brow] / 0.7, 0, 1)[:, None]
        scale = apart / 62.0
        aims[f"brow_outer_raise_{side}"] = _Aim(face[brow], scale * (1 - inwards) * [0.0, 5.5, 0.0])
        aims[f"brow_lower_{side}"] = _Aim(face[brow], scale * (0.5 + 0.5 * inwards) * [-2.0 * direction, -4.0, 0.5])
        inner_parts.append((face[brow], scale * inwards * [0.0, 5.5, 0.5]))
    vertices, displacements = (np.concatenate(parts) for parts in zip(*inner_parts, strict=True))
    return {"brow_inner_raise": _Aim(vertices, displacements), **aims}


def _blink_aims(model: HeadModel, opening: Opening) -> list[_Aim]:
    """Return the aims of a blink: both rims meet on one line, and the upper lid moves most of the way."""
    positions = model.v_template.double().numpy()
    upper, lower = positions[opening.upper], positions[opening.lower]
    across = np.stack([0.0 * opening.rest, lower[:, 1] - upper[:, 1], np.zeros_like(opening.rest)], axis=-1)
    return [
        _Aim(opening.upper, _UPPER_LID_SHARE * across, 60.0),
        _Aim(opening.lower, (_UPPER_LID_SHARE - 1.0) * across, 20.0),
    ]


def _face_without_eyes(model: HeadModel) -> Int[np.ndarray, "n"]:
    face, eyes = model.regions.vertices("face"), model.regions.vertices("eye_region")
    return face[~torch.isin(face, eyes)].numpy()
