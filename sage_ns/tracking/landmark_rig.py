"""A rig reduced to the landmarks of a face, as a differentiable function of a vector of unknowns."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.rig.few_vertices import few_vertices
from sage_ns.rig.head_model import JOINT_NAMES
from sage_ns.tracking.embedding import Embedding

NUM_SHAPE, NUM_EXPRESSION = 100, 50
"""Most directions that one picture determines."""


class View(NamedTuple):
    """A camera as landmarks need it; also several of them, stacked."""

    axes: Float[Tensor, "*cameras 3 3"]
    """Its x (right), y (up) and z (back) in the world, as rows."""
    place: Float[Tensor, "*cameras 3"]
    """In the world, metres."""
    focal: Float[Tensor, "*cameras 2"]
    """Pixels, along x and y; the unknown factor multiplies both."""
    center: Float[Tensor, "*cameras 2"]
    """Principal point, pixels."""

    @classmethod
    def at_origin(cls, center: tuple[float, float], focal: float = 1.0) -> View:
        """Return a camera at the origin that looks along -z."""
        zero = torch.zeros(3, dtype=torch.float64)
        return cls(torch.eye(3).double(), zero, zero[:2] + focal, torch.tensor(center, dtype=torch.float64))


@dataclass(frozen=True)
class Unknowns:
    """Where each part of a head in a picture lies in the vector of unknowns.

    The vector is: rotation 3, translation 3 (in the world; that of a camera at the origin has x right, y up, z back),
    log of the factor of the focal length 1, jaw 3, eyes 6, shape, expression. The neck stays at rest: in one picture,
    neck and head are nearly redundant.
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
        return slice(self.shape.stop, self.shape.stop + self.num_expression)

    def __len__(self) -> int:
        return self.expression.stop


class LandmarkRig:
    """Landmarks of a head model, and where cameras see them.

    Args:
        model: the head model.
        embedding: places of the landmarks on it.
        center: principal point of the camera at the origin [pixels], which sees where no other view is given; its focal
            length is one pixel, so that its factor is the focal length.
    """

    def __init__(self, model: HeadModel, embedding: Embedding, center: tuple[float, float] = (0.0, 0.0)) -> None:
        corners = model.triangles.cpu()[embedding.triangle]
        vertices, rows = corners.unique(return_inverse=True)
        used = [int((basis.abs().amax(dim=(0, 1)) > 0).sum()) for basis in (model.shape_basis, model.expression_basis)]
        self.unknowns = Unknowns(min(used[0], NUM_SHAPE), min(used[1], NUM_EXPRESSION))
        few = few_vertices(model.to("cpu"), vertices, self.unknowns.num_shape, self.unknowns.num_expression)
        self.rig = _in_float64(few)
        self._rows = rows.reshape(corners.shape)
        self._barycentric = embedding.barycentric.double()
        self._slide = embedding.slide.double()
        self._basis = torch.cat([self.rig.shape_basis, self.rig.expression_basis], dim=-1)
        count = len(self.rig.v_template) - len(JOINT_NAMES)
        self._correctives = self.rig.pose_basis.reshape(4, 9, -1, 3)[1:, :, :count]
        """Of jaw and eyes, for the vertices before the joints."""
        self._own_view = View.at_origin(center)

    def params(self, x: Float[Tensor, "*moments num_unknowns"]) -> FlameParams:
        """Return unknowns of one or more moments as parameters of the reduced rig; the shape is that of the first."""
        part = self.unknowns
        x = x.reshape(-1, len(part))
        return FlameParams(
            shape=x[0, part.shape],
            expr=x[:, part.expression],
            rotation=x[:, part.rotation],
            neck_pose=torch.zeros_like(x[:, part.rotation]),
            jaw_pose=x[:, part.jaw],
            eyes_pose=x[:, part.eyes],
            translation=x[:, part.translation],
        )

    def points(self, x: Float[Tensor, "num_unknowns"], view: View | None = None) -> Float[Tensor, "478 3"]:
        """Return where the detector sees the landmarks (`Embedding`) from a camera, in the world [metres]."""
        view = view or self._own_view
        vertices = pose_vertices(self.rig, self.params(x))[0]
        points = self._on_landmarks(vertices)
        rotation = axis_angle_to_matrix(x[self.unknowns.rotation])
        to_camera = (view.place - points.mean(dim=0)) @ rotation
        direction = to_camera / to_camera.norm()
        return points + (self._slide @ direction[:2]) @ rotation.T

    def pixels(self, x: Float[Tensor, "num_unknowns"], view: View | None = None) -> Float[Tensor, "478 2"]:
        """Return the landmarks in the picture of a camera (pixel centres at +0.5)."""
        view = view or self._own_view
        points = (self.points(x, view) - view.place) @ view.axes.T
        depth = (-points[:, 2:]).clamp_min(1e-3)
        flat = points[:, :2] * torch.tensor([1.0, -1.0], dtype=points.dtype)
        return view.center + torch.exp(x[self.unknowns.focal]) * view.focal * flat / depth

    def jacobian(
        self, x: Float[Tensor, "num_unknowns"], view: View, pose_alone: bool = False
    ) -> Float[Tensor, "some_unknowns 478 2"]:
        """Return the derivatives of `pixels` with respect to all unknowns, or to rotation and translation alone.

        In closed form: forward differentiation of skinning costs ten times as much. Only the head's rotation changes
        the direction of slides here; the other unknowns do by a hundredth of what they move.
        """
        points = (self.points(x, view) - view.place) @ view.axes.T
        moved = self._moved_by_pose(x, view)
        if not pose_alone:
            moved = torch.cat([moved, self._moved_within(x)], dim=-1)
        moved = torch.einsum("ij,njk->kni", view.axes, moved)
        depth = (-points[:, 2:]).clamp_min(1e-3)
        scale = torch.exp(x[self.unknowns.focal]) * view.focal * torch.tensor([1.0, -1.0], dtype=points.dtype) / depth
        pixels = scale * (moved[..., :2] + points[:, :2] * moved[..., 2:] / depth)
        if pose_alone:
            return pixels
        focal = self.unknowns.focal
        return torch.cat([pixels[:focal], (scale * points[:, :2])[None], pixels[focal:]])

    def _moved_within(self, x: Float[Tensor, "num_unknowns"]) -> Float[Tensor, "478 3 others"]:
        """Return how jaw, eyes, shape and expression move `points` [metres], in this order."""
        part, count = self.unknowns, len(self.rig.v_template) - len(JOINT_NAMES)
        rest = self.rig.v_template + self._basis @ torch.cat([x[part.shape], x[part.expression]])
        joints, weights = rest[count:], self.rig.skinning_weights[:count]
        root, turned = axis_angle_to_matrix(x[part.rotation]), torch.cat([x[part.jaw], x[part.eyes]]).reshape(3, 3)
        local = axis_angle_to_matrix(turned)
        slopes = torch.func.vmap(torch.func.jacrev(axis_angle_to_matrix))(turned)
        feature = (local - torch.eye(3, dtype=x.dtype)).flatten(1)
        world = torch.cat([torch.stack([root, root]), root @ local])
        blended = torch.einsum("vj,jab->vab", weights, world)
        bent = rest[:count] + torch.einsum("jc,jcva->va", feature, self._correctives)
        # Jaw and eyes turn about their joints, and their correctives change the skin at rest.
        arms = bent[:, None] - joints[2:]
        swung = weights[:, 2:, None, None] * torch.einsum("ab,jbck,vjc->vjak", root, slopes, arms)
        corrected = torch.einsum("vab,jcvb,jck->vjak", blended, self._correctives, slopes.flatten(1, 2))
        turns = (swung + corrected).transpose(1, 2).flatten(2)
        # Coefficients move the skin at rest and the joints: skinning is affine in them.
        axes = self._basis[count:]
        shifts = axes[:1] + root @ (axes - axes[:1]) - world @ axes  # the neck is at rest
        shaped = blended @ self._basis[:count] + torch.einsum("vj,jak->vak", weights, shifts)
        return self._on_landmarks(torch.cat([turns, shaped], dim=-1))

    def _moved_by_pose(self, x: Float[Tensor, "num_unknowns"], view: View) -> Float[Tensor, "478 3 6"]:
        """Return how rotation (about the root, slides follow the direction) and translation move `points` [metres]."""
        part, count = self.unknowns, len(JOINT_NAMES)
        points, root = self.points(x, view), axis_angle_to_matrix(x[part.rotation])
        joint = self.rig.v_template[-count] + self._basis[-count] @ torch.cat([x[part.shape], x[part.expression]])
        slope = torch.func.jacrev(axis_angle_to_matrix)(x[part.rotation])
        arms = (points - joint - x[part.translation]) @ root
        to_camera = view.place - points.mean(dim=0)
        direction = torch.einsum("a,abk->bk", to_camera / to_camera.norm(), slope)
        turned = torch.einsum("abk,nb->nak", slope, arms) + root @ (self._slide @ direction[:2])
        return torch.cat([turned, torch.eye(3, dtype=x.dtype).expand(len(points), 3, 3)], dim=-1)

    def _on_landmarks(self, values: Float[Tensor, "num_vertices 3 *more"]) -> Float[Tensor, "478 3 *more"]:
        """Return values of the reduced rig's vertices at the landmarks."""
        weights = self._barycentric.reshape(*self._barycentric.shape, *(1,) * (values.dim() - 1))
        return (values[self._rows] * weights).sum(dim=1)

    def whole(self, x: Float[Tensor, "*moments num_unknowns"], model: HeadModel) -> FlameParams:
        """Return unknowns of one or more moments as parameters of the whole head model, on the CPU, float32."""
        fields = {name: value.float() for name, value in vars(self.params(x)).items() if value is not None}
        return FlameParams(**fields).check_fits(model.to("cpu"))

    def unknowns_of(self, params: FlameParams, factor: float = 1.0) -> Float[Tensor, "num_unknowns"]:
        """Return the first moment of the whole head model, and a factor of the focal length, as unknowns."""
        part, x = self.unknowns, self.start(factor)
        x[part.rotation], x[part.translation] = params.rotation[0].double(), params.translation[0].double()
        x[part.jaw], x[part.eyes] = params.jaw_pose[0].double(), params.eyes_pose[0].double()
        x[part.shape] = params.shape[: part.num_shape].double()
        x[part.expression] = params.expr[0, : part.num_expression].double()
        return x

    def start(self, factor: float = 1.0) -> Float[Tensor, "num_unknowns"]:
        """Return the mean head at rest, one metre in front of a camera at the origin.

        Args:
            factor: of the focal length.
        """
        x = torch.zeros(len(self.unknowns), dtype=torch.float64)
        x[self.unknowns.focal] = math.log(factor)
        x[self.unknowns.translation.stop - 1] = -1.0
        return x


def _in_float64(model: HeadModel) -> HeadModel:
    names = ("v_template", "shape_basis", "expression_basis", "pose_basis", "joint_regressor", "skinning_weights")
    return replace(model, **{name: getattr(model, name).double() for name in names})
