"""Directions that cameras see a head from, in the head's own axes: what a turning head shows one camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.frames import Frame
from sage_ns.geometry.rigid import rigid_inverse
from sage_ns.rig import FlameParams, HeadModel, concatenate, identity_vertices
from sage_ns.rig.skull import skull_motions


@dataclass(frozen=True, eq=False)
class SeenFrom:
    """Where cameras see the head from."""

    directions: Float[Tensor, "num_frames 3"]
    """Unit vectors from the head to the camera, in the head's axes: +z in front of the face, +x to its left, +y up."""

    @property
    def yaw(self) -> Float[Tensor, "num_frames"]:
        """Degrees to the head's left."""
        return torch.rad2deg(torch.atan2(self.directions[:, 0], self.directions[:, 2]))

    @property
    def pitch(self) -> Float[Tensor, "num_frames"]:
        """Degrees upwards."""
        return torch.rad2deg(torch.asin(self.directions[:, 1].clamp(-1.0, 1.0)))

    @property
    def off_front(self) -> Float[Tensor, "num_frames"]:
        """Degrees between the direction and the front."""
        return torch.rad2deg(torch.acos(self.directions[:, 2].clamp(-1.0, 1.0)))


def seen_from(frames: Sequence[Frame], moments: Mapping[int, FlameParams], model: HeadModel) -> SeenFrom:
    """Return the directions that frames show the head from; jaw, expression and gaze do not count.

    Args:
        frames: at least one.
        moments: parameters by timestep id.
        model: head model of the capture.
    """
    first = moments[frames[0].timestep]
    params = concatenate([moments[frame.timestep].with_identity(first) for frame in frames])
    centers = torch.from_numpy(np.stack([frame.camera_to_world[:3, 3] for frame in frames])).float()
    return seen_at(centers, params, model)


def seen_at(centers: Float[Tensor, "n 3"], params: FlameParams, model: HeadModel) -> SeenFrom:
    """Return the directions that places [metres, world] see the head from, one place per row of the parameters."""
    to_head = rigid_inverse(skull_motions(model, params))
    in_head = (to_head[:, :3, :3] @ centers[..., None])[..., 0] + to_head[:, :3, 3]
    return SeenFrom(F.normalize(in_head - identity_vertices(model, params).mean(dim=0), dim=-1))
