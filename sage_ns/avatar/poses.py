"""Poses of the rig and deformations of the surfels around it; cached, because callers repeat a few motions."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.avatar.correction import SurfelCorrection, SurfelDeformation
from sage_ns.avatar.kept import KeptByMotion, requires_gradients
from sage_ns.avatar.light import smooth_normals
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.geometry.triangles import TriangleFrames, triangle_frames


@dataclass(frozen=True, eq=False)
class Pose:
    """The rig under one motion. Poses are equal only if they are the same object."""

    vertices: Float[Tensor, "num_vertices 3"]
    """Metres, world."""
    frames: TriangleFrames
    triangles: Int[Tensor, "num_triangles 3"]

    @cached_property
    def smooth_normals(self) -> Float[Tensor, "num_triangles 3"]:
        """Unit normals of the triangles without facets, which the light of the room falls on."""
        return smooth_normals(self.vertices, self.triangles)


class Poses:
    """Poses of a personal rig: the only path from a motion vector to triangle frames.

    If ``motion`` (or ``template``) requires gradients and grad mode is on, vertices, frames and deformations carry the
    graph, and every call computes them again. Otherwise they are constants, and the last ones are cached.

    Args:
        rig: the rig to pose.
        most_poses: number of cached poses.
        most_deformations: number of cached deformations, each of which needs as much memory as the surfels.
    """

    def __init__(self, rig: PersonalRig, most_poses: int = 64, most_deformations: int = 4) -> None:
        self.rig = rig
        self._poses: KeptByMotion[Pose] = KeptByMotion(most_poses)
        self._most_deformations = most_deformations
        self._deformations: OrderedDict[tuple[Pose, SurfelCorrection], SurfelDeformation | None] = OrderedDict()

    def at(
        self,
        motion: Float[Tensor, "num_coefficients"],
        template: Float[Tensor, "num_vertices 3"] | None = None,
    ) -> Pose:
        """Return the rig under ``motion`` (Eq. 5).

        Args:
            motion: motion vector; gradients reach it if it requires them.
            template: unposed head [metres] that replaces the rig's, see `PersonalRig.vertices`; never cached.
        """
        if template is None:
            return self._poses.get(motion, lambda: self._posed(motion, None))
        with torch.set_grad_enabled(requires_gradients(motion, template)):
            return self._posed(motion, template)

    def deformation(self, pose: Pose, correction: SurfelCorrection) -> SurfelDeformation | None:
        """Return the deformation around the surfels of ``correction`` under ``pose``.

        Args:
            pose: a pose from `at`. If it carries a graph, the deformation does, too, and is not cached.
            correction: correction of the same surfels.
        """
        if pose.vertices.requires_grad:
            return correction.at(pose.vertices, pose.frames)
        key = pose, correction
        if key not in self._deformations:
            self._deformations[key] = correction.at(pose.vertices, pose.frames)
            if len(self._deformations) > self._most_deformations:
                self._deformations.popitem(last=False)
        self._deformations.move_to_end(key)
        return self._deformations[key]

    def clear(self) -> None:
        """Drop all cached values; needed when the rig or the correction has changed."""
        self._poses.clear()
        self._deformations.clear()

    def _posed(
        self, motion: Float[Tensor, "num_coefficients"], template: Float[Tensor, "num_vertices 3"] | None
    ) -> Pose:
        vertices = self.rig.vertices(motion, template)
        triangles = self.rig.head_model.triangles
        return Pose(vertices, triangle_frames(vertices, triangles), triangles)
