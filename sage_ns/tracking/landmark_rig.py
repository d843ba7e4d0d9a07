"""A rig reduced to the landmarks of a face, as a differentiable function of a vector of unknowns."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.rig.few_vertices import few_vertices
from sage_ns.tracking.embedding import Embedding

NUM_SHAPE, NUM_EXPRESSION = 100, 50
"""Most directions that one picture determines."""


@dataclass(frozen=True)
class Unknowns:
    """Where each part of a head in a picture lies in the vector of unknowns.

    The vector is: rotation 3, translation 3 (camera's axes: x right, y up, z back), log of the focal length 1, jaw 3,
    eyes 6, shape, expression. The neck stays at rest: in one picture, neck and head are nearly redundant.
    """

    num_shape: int
    num_expression: int

    rotation = slice(0, 3)
    translation = slice(3, 6)
    focal = 6
    jaw = slice(7, 10)
    eyes = slice(10, 16)

    @property
    def shape(self) -> slice:
        """Identity coefficients."""
        return slice(16, 16 + self.num_shape)

    @property
    def expression(self) -> slice:
        """Expression coefficients."""
        return slice(16 + self.num_shape, 16 + self.num_shape + self.num_expression)

    def __len__(self) -> int:
        return 16 + self.num_shape + self.num_expression


def few_params(x: Float[Tensor, "num_unknowns"], part: Unknowns) -> FlameParams:
    """Return unknowns as parameters of a rig that has no more directions than they, one moment."""
    return FlameParams(
        shape=x[part.shape],
        expr=x[part.expression][None],
        rotation=x[part.rotation][None],
        neck_pose=torch.zeros_like(x[part.rotation])[None],
        jaw_pose=x[part.jaw][None],
        eyes_pose=x[part.eyes][None],
        translation=x[part.translation][None],
    )


class LandmarkRig:
    """Landmarks of a head model for a camera at the origin that looks along -z.

    Args:
        model: the head model.
        embedding: places of the landmarks on it.
        center: principal point, pixels.
    """

    def __init__(self, model: HeadModel, embedding: Embedding, center: tuple[float, float]) -> None:
        corners = model.triangles.cpu()[embedding.triangle]
        vertices, rows = corners.unique(return_inverse=True)
        used = [int((basis.abs().amax(dim=(0, 1)) > 0).sum()) for basis in (model.shape_basis, model.expression_basis)]
        self.unknowns = Unknowns(min(used[0], NUM_SHAPE), min(used[1], NUM_EXPRESSION))
        few = few_vertices(model.to("cpu"), vertices, self.unknowns.num_shape, self.unknowns.num_expression)
        self.rig = in_float64(few)
        self._rows = rows.reshape(corners.shape)
        self._barycentric = embedding.barycentric.double()
        self._slide = embedding.slide.double()
        self._center = torch.tensor(center, dtype=torch.float64)

    def params(self, x: Float[Tensor, "num_unknowns"]) -> FlameParams:
        """Return unknowns as parameters of the reduced rig, one moment."""
        return few_params(x, self.unknowns)

    def points(self, x: Float[Tensor, "num_unknowns"]) -> Float[Tensor, "478 3"]:
        """Return where the detector sees the landmarks (`Embedding`), in the camera's axes [metres]."""
        vertices = pose_vertices(self.rig, self.params(x))[0]
        points = (vertices[self._rows] * self._barycentric[..., None]).sum(dim=1)
        rotation = axis_angle_to_matrix(x[self.unknowns.rotation])
        to_camera = -points.mean(dim=0) @ rotation
        direction = to_camera / to_camera.norm()
        return points + (self._slide @ direction[:2]) @ rotation.T

    def pixels(self, x: Float[Tensor, "num_unknowns"]) -> Float[Tensor, "478 2"]:
        """Return the landmarks in the picture (pixel centres at +0.5)."""
        points = self.points(x)
        depth = (-points[:, 2:]).clamp_min(1e-3)
        flat = points[:, :2] * torch.tensor([1.0, -1.0], dtype=points.dtype)
        return self._center + torch.exp(x[self.unknowns.focal]) * flat / depth

    def whole(self, x: Float[Tensor, "num_unknowns"], model: HeadModel) -> FlameParams:
        """Return unknowns as parameters of the whole head model on the CPU, one moment, float32."""
        params = {name: value.float() for name, value in vars(self.params(x)).items() if value is not None}
        return FlameParams(**params).check_fits(model.to("cpu"))

    def unknowns_of(self, params: FlameParams, focal: float) -> Float[Tensor, "num_unknowns"]:
        """Return one moment of the whole head model and a focal length [pixels] as unknowns; inverse of `params`."""
        part = self.unknowns
        x = torch.zeros(len(part), dtype=torch.float64)
        x[part.focal] = math.log(focal)
        for where, value in (
            (part.rotation, params.rotation[0]), (part.translation, params.translation[0]),
            (part.jaw, params.jaw_pose[0]), (part.eyes, params.eyes_pose[0]),
            (part.shape, params.shape[: part.num_shape]), (part.expression, params.expr[0, : part.num_expression]),
        ):  # fmt: skip
            x[where] = value.double()
        return x

    def start(self, focal: float) -> Float[Tensor, "num_unknowns"]:
        """Return the mean head at rest, one metre in front of the camera."""
        x = torch.zeros(len(self.unknowns), dtype=torch.float64)
        x[self.unknowns.focal] = torch.tensor(focal).log()
        x[self.unknowns.translation.stop - 1] = -1.0
        return x


def in_float64(model: HeadModel) -> HeadModel:
    """Return a head model whose floating-point fields that posing needs are in double precision."""
    names = ("v_template", "shape_basis", "expression_basis", "pose_basis", "joint_regressor", "skinning_weights")
    return replace(model, **{name: getattr(model, name).double() for name in names})
