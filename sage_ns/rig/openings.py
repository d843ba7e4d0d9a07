"""Mouth and eyes as openings between two rims: the gap as a function of expression and jaw.

The gap is linear in the expression coefficients, as blendshapes are, and in the jaw's angle, with its rate at rest.
Generated motion uses it to close the lids exactly and to keep the lips from passing through each other, on any rig in
FLAME's format.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.rig import FlameParams, HeadModel, pose_vertices

_JAW_JOINT, _FIRST_EYE_JOINT = 2, 3
_SMALL_TURN = 0.05
"""Jaw opening for measuring the rate, radians."""
_EYE_REACH, _MOUTH_REACH = 0.13, 0.6
"""Range of the rims to both sides of the middle: share of the distance between the eyes, and of half the mouth."""
_COLUMNS = 9


@dataclass(frozen=True, eq=False)
class Opening:
    """Points of an upper and a lower rim that face each other, from right to left."""

    upper: Int[np.ndarray, "num_pairs"]
    """Vertices of the upper rim."""
    lower: Int[np.ndarray, "num_pairs"]
    rest: Float[np.ndarray, "num_pairs"]
    """Gap of the mean head at rest, metres; negative where the rims overlap."""
    per_expression: Float[np.ndarray, "num_pairs num_expression"]
    """Metres per unit of coefficient."""
    per_radian: Float[np.ndarray, "num_pairs"]
    """Metres per radian of jaw opening."""

    def gap(
        self, expr: Float[np.ndarray, "t num_expression"], jaw: Float[np.ndarray, "t"]
    ) -> Float[np.ndarray, "t num_pairs"]:
        """Return the distance between the rims at every moment, metres."""
        return self.rest + expr @ self.per_expression.T + jaw[:, None] * self.per_radian


def eye_opening(model: HeadModel, side: str) -> Opening | None:
    """Return the lids of the left or right eye; None if the model has no region for it.

    The opening lies in front of the eye's joint, at the height of the pupil. The rims of the lids are the skin vertices
    in front of the eye that are nearest to the horizontal, from above and from below.
    """
    eyes = (model.joint_regressor @ model.v_template)[_FIRST_EYE_JOINT : _FIRST_EYE_JOINT + 2]
    skin = _without(model.regions.vertices(f"{side}_eye_region"), model.regions.vertices(f"{side}_eyeball"))
    offset = model.v_template[skin] - eyes[0 if side == "left" else 1]
    elevation = torch.atan2(offset[:, 1], offset[:, 2])
    before = offset[:, 2] > 0
    reach = _EYE_REACH * (eyes[0, 0] - eyes[1, 0])
    return _opening(model, skin, offset[:, 0] / reach, elevation, before & (elevation > 0), before & (elevation <= 0))


def mouth_opening(model: HeadModel) -> Opening | None:
    """Return the lips; None if the model has no region for them. Skinning weights of the jaw mark the lower lip."""
    lips = model.regions.vertices("lips")
    if len(lips) == 0:
        return None
    position = model.v_template[lips]
    left, right = position[:, 0].max(), position[:, 0].min()
    across = (2 * position[:, 0] - left - right) / (left - right) / _MOUTH_REACH
    is_lower = model.skinning_weights[lips, _JAW_JOINT] >= 0.5
    return _opening(model, lips, across, position[:, 1], ~is_lower, is_lower)


def _opening(
    model: HeadModel, vertices: Int[Tensor, "n"], across: Float[Tensor, "n"], height: Float[Tensor, "n"],
    above: Bool[Tensor, "n"], below: Bool[Tensor, "n"],
) -> Opening | None:  # fmt: skip
    """Pair the lowest vertex above with the highest below, in columns over `across` -1..1; None below three pairs."""
    pairs = []
    for center in np.linspace(-1.0, 1.0, _COLUMNS):
        near = (across - center).abs() < 1.2 / (_COLUMNS - 1)
        if bool((near & above).any()) and bool((near & below).any()):
            upper = int(height.masked_fill(~(near & above), torch.inf).argmin())
            lower = int(height.masked_fill(~(near & below), -torch.inf).argmax())
            pairs.append((int(vertices[upper]), int(vertices[lower])))
    if len(pairs) < 3:
        return None
    upper, lower = np.array(pairs).T
    neutral = FlameParams.neutral(model)
    opened = replace(neutral, jaw_pose=neutral.jaw_pose + neutral.jaw_pose.new_tensor([_SMALL_TURN, 0.0, 0.0]))
    heights = [pose_vertices(model, params)[0, :, 1].double().numpy() for params in (neutral, opened)]
    basis = model.expression_basis[:, 1].double().numpy()
    gaps = [y[upper] - y[lower] for y in heights]
    return Opening(upper, lower, gaps[0], basis[upper] - basis[lower], (gaps[1] - gaps[0]) / _SMALL_TURN)


def _without(vertices: Int[Tensor, "n"], others: Int[Tensor, "m"]) -> Int[Tensor, "k"]:
    return vertices[~torch.isin(vertices, others)]
