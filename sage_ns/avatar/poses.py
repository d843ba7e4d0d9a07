"""The rig at one moment, and what that does to the surfels around; kept, since one asks for it again and again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.correction import SurfelCorrection, SurfelDeformation
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.geometry.triangles import TriangleFrames, triangle_frames

_KEPT, _KEPT_DEFORMATIONS = 64, 4
"""Poses, and deformations, which weigh as much as the surfels themselves."""


@dataclass(frozen=True)
class Pose:
    """The rig under one motion."""

    vertices: Float[Tensor, "num_vertices 3"]
    """Metres, world."""
    frames: TriangleFrames


class Poses:
    """Poses a personal rig; the last ones are kept, with what they do to corrected surfels.

    Args:
        rig: whose poses these are.
    """

    def __init__(self, rig: PersonalRig) -> None:
        self.rig = rig
        self._poses: OrderedDict[bytes, Pose] = OrderedDict()
        self._deformations: OrderedDict[bytes, SurfelDeformation | None] = OrderedDict()

    @torch.no_grad()
    def at(self, motion: Float[Tensor, "num_coefficients"]) -> Pose:
        """The rig under ``motion`` (Eq. 5)."""
        key = _key(motion)
        if key not in self._poses:
            vertices = self.rig.vertices(motion)
            self._poses[key] = Pose(vertices, triangle_frames(vertices, self.rig.head_model.triangles))
            if len(self._poses) > _KEPT:
                self._poses.popitem(last=False)
        self._poses.move_to_end(key)
        return self._poses[key]

    def deformation(
        self, motion: Float[Tensor, "num_coefficients"], correction: SurfelCorrection
    ) -> SurfelDeformation | None:
        """What ``motion`` does around the surfels of ``correction``, which is one and the same until `clear`."""
        key, pose = _key(motion), self.at(motion)
        if key not in self._deformations:
            self._deformations[key] = correction.at(pose.vertices, pose.frames)
            if len(self._deformations) > _KEPT_DEFORMATIONS:
                self._deformations.popitem(last=False)
        self._deformations.move_to_end(key)
        return self._deformations[key]

    def clear(self) -> None:
        """Forget all: rig or correction are others."""
        self._poses.clear()
        self._deformations.clear()


def _key(motion: Float[Tensor, "num_coefficients"]) -> bytes:
    return motion.detach().cpu().numpy().tobytes()
