"""Points that every head in FLAME's format has, found from its joints and its shape, without numbers of vertices."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sage_ns.errors import HeadModelError
from sage_ns.rig.head_model import JOINT_NAMES, HeadModel
from sage_ns.rig.mouth import find_mouth

LANDMARKS = (
    *("left_eye", "right_eye", "mouth", "left_mouth_corner", "right_mouth_corner", "nose_tip", "nose_bridge", "chin"),
    *("forehead", "crown", "back", "left_ear", "right_ear", "throat"),
)
"""Names of the landmarks, in the order of `head_landmarks`."""

_EYE_JOINTS = tuple(JOINT_NAMES.index(name) for name in ("left_eye", "right_eye"))
_EYE_DISTANCE = 0.062
"""Metres between the eyes of the head that the lengths below fit."""
_MIDDLE = 0.006
"""Half the width of the strip around the middle of the face, metres."""


def eyeball_vertices(model: HeadModel, joint: int) -> Bool[Tensor, "num_vertices"]:
    """Return the vertices of one eyeball: those that its joint (3 left, 4 right) moves alone."""
    return model.skinning_weights[:, joint] > 0.9


def head_landmarks(model: HeadModel) -> Float[Tensor, "num_landmarks 3"]:
    """Return the landmarks of an unposed head [metres], in the order of `LANDMARKS`.

    Eyes are the joints, the mouth lies where the lips part (`find_mouth`); all others are extreme points of the skin:
    the foremost in the middle of the face, the highest, the rearmost, and the outermost beside the face.

    Args:
        model: any head model in FLAME's format; the mean head or a personal one.

    Raises:
        HeadModelError: the head has no mouth, or no skin where a landmark should be.
    """
    eyes = (model.joint_regressor @ model.v_template)[list(_EYE_JOINTS)].cpu()
    middle = eyes.mean(dim=0)
    size = float((eyes[0] - eyes[1]).norm()) / _EYE_DISTANCE
    mouth = find_mouth(model)
    center = mouth.center.cpu()
    aside = torch.tensor([mouth.half_width, 0.0, 0.0])
    used = torch.zeros(model.num_vertices, dtype=torch.bool)
    used[model.triangles.cpu().flatten()] = True
    eyeballs = eyeball_vertices(model, _EYE_JOINTS[0]) | eyeball_vertices(model, _EYE_JOINTS[1])
    skin = model.v_template.cpu()[used & ~eyeballs.cpu()]

    def extreme(name: str, axis: int, sign: int, low: float, high: float, half: float = _MIDDLE) -> Tensor:
        """The outermost vertex in a band of heights (metres above the eyes), at the middle of the face or anywhere."""
        height = (skin[:, 1] - middle[1]) / size
        inside = (height >= low) & (height <= high) & ((skin[:, 0] - middle[0]).abs() <= half * size)
        if axis == 0:
            inside &= skin[:, 2] < middle[2] - 0.02 * size  # beside the face, not the cheeks
        if not bool(inside.any()):
            raise HeadModelError(f"head model '{model.name}': no skin where the landmark '{name}' should be")
        candidates = skin[inside]
        point = candidates[(sign * candidates[:, axis]).argmax()].clone()
        if axis != 0:
            point[0] = middle[0]
        return point

    lips = float(center[1] - middle[1]) / size
    return torch.stack([
        eyes[0], eyes[1], center, center + aside, center - aside,
        extreme("nose_tip", 2, 1, lips + 0.015, -0.015),
        _at_height(skin, middle, 0.004, size),
        extreme("chin", 2, 1, lips - 0.045, lips - 0.02),
        _at_height(skin, middle, 0.05, size),
        extreme("crown", 1, 1, 0.0, 1.0),
        extreme("back", 2, -1, -0.02, 0.08),
        extreme("left_ear", 0, 1, lips, 0.02, 1.0),
        extreme("right_ear", 0, -1, lips, 0.02, 1.0),
        _at_height(skin, middle, lips - 0.06, size),
    ]).to(model.v_template)  # fmt: skip


def _at_height(skin: Tensor, middle: Tensor, height: float, size: float) -> Float[Tensor, "3"]:
    """Return the foremost skin in the middle of the face, at a height above the eyes [metres]."""
    across, up = (skin[:, :2] - middle[:2] - torch.tensor([0.0, height * size])).abs().unbind(dim=1)
    front = skin[:, 2] > middle[2] - 0.09 * size
    nearest = (torch.maximum(across, up) + torch.where(front, 0.0, 1.0)).topk(4, largest=False).indices
    depth = skin[nearest, 2].amax()
    return torch.stack([middle[0], middle[1] + height * size, depth])
