"""The rig at one moment, and what that does to the surfels around; kept, since callers ask for few moments often."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.correction import SurfelCorrection, SurfelDeformation
from sage_ns.avatar.kept import KeptByMotion, asks_for_gradients
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.geometry.triangles import TriangleFrames, triangle_frames


@dataclass(frozen=True, eq=False)
class Pose:
    """The rig under one motion. Two poses are equal if they are the same object."""

    vertices: Float[Tensor, "num_vertices 3"]
    """Metres, world."""
    frames: TriangleFrames


class Poses:
    """Poses a personal rig: the one path from a motion vector to triangle frames.

    With gradients where the caller asks for them: ``motion`` (or ``template``) requires gradients, and grad mode is
    on. Vertices, frames and deformations then carry the graph, and are made anew at every call. Otherwise they are
    constants, and the last ones are kept.

    Args:
        rig: whose poses these are.
        most_poses: how many poses are kept.
        most_deformations: how many deformations, which take as much memory as the surfels themselves.
    """

    def __init__(self, rig: PersonalRig, most_poses: int = 64, most_deformations: int = 4) -> None:
        self.rig = rig
        self._poses: KeptByMotion[Pose] = KeptByMotion(most_poses)
        self._most_deformations = most_deformations
        self._deformations: OrderedDict[Pose, SurfelDeformation | None] = OrderedDict()

    def at(
        self,
        motion: Float[Tensor, "num_coefficients"],
        template: Float[Tensor, "num_vertices 3"] | None = None,
    ) -> Pose:
        """The rig under ``motion`` (Eq. 5).

        Args:
            motion: motion vector; gradients reach it where it requires them.
            template: unposed head [metres] in place of the rig's own, see `PersonalRig.vertices`; never kept.
        """
        if template is None:
            return self._poses.get(motion, lambda: self._posed(motion, None))
        with torch.set_grad_enabled(asks_for_gradients(motion, template)):
            return self._posed(motion, template)

    def deformation(self, pose: Pose, correction: SurfelCorrection) -> SurfelDeformation | None:
        """What ``pose`` does around the surfels of ``correction``, which is one and the same until `clear`.

        Args:
            pose: from `at`; where that carries a graph, so does the deformation, which is not kept then.
        """
        if pose.vertices.requires_grad:
            return correction.at(pose.vertices, pose.frames)
        if pose not in self._deformations:
            self._deformations[pose] = correction.at(pose.vertices, pose.frames)
            if len(self._deformations) > self._most_deformations:
                self._deformations.popitem(last=False)
        self._deformations.move_to_end(pose)
        return self._deformations[pose]

    def clear(self) -> None:
        """Drop everything: the rig or the correction has changed."""
        self._poses.clear()
        self._deformations.clear()

    def _posed(
        self, motion: Float[Tensor, "num_coefficients"], template: Float[Tensor, "num_vertices 3"] | None
    ) -> Pose:
        vertices = self.rig.vertices(motion, template)
        return Pose(vertices, triangle_frames(vertices, self.rig.head_model.triangles))
