"""Places on a head as they appear in a picture, and how each unknown of the head moves them."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.rig import HeadModel, pose_vertices
from sage_ns.rig.few_vertices import few_vertices
from sage_ns.tracking.landmark_rig import Unknowns, few_params, in_float64


class MovingPlaces:
    """Some places of a head model for a camera at the origin that looks along -z.

    Args:
        model: the head model.
        triangle: of every place.
        barycentric: coordinates of every place in its triangle.
        unknowns: how the vector of unknowns is laid out.
        center: principal point, pixels.
    """

    def __init__(
        self,
        model: HeadModel,
        triangle: Int[Tensor, "k"],
        barycentric: Float[Tensor, "k 3"],
        unknowns: Unknowns,
        center: tuple[float, float],
    ) -> None:
        corners = model.triangles.cpu()[triangle]
        vertices, self._rows = corners.unique(return_inverse=True)
        few = few_vertices(model.to("cpu"), vertices, unknowns.num_shape, unknowns.num_expression)
        self._rig = in_float64(few)
        self._barycentric = barycentric.double()
        self._unknowns = unknowns
        self._center = torch.tensor(center, dtype=torch.float64)

    def points(self, x: Float[Tensor, "num_unknowns"]) -> Float[Tensor, "k 3"]:
        """Return the places in the camera's axes [metres]."""
        return self._at_places(pose_vertices(self._rig, few_params(x, self._unknowns))[0])

    def pixels(self, x: Float[Tensor, "num_unknowns"]) -> Float[Tensor, "k 2"]:
        """Return the places in the picture (pixel centres at +0.5)."""
        points = self.points(x)
        flat = points[:, :2] * torch.tensor([1.0, -1.0], dtype=points.dtype)
        return self._center + torch.exp(x[self._unknowns.focal]) * flat / -points[:, 2:]

    def jacobian(self, x: Float[Tensor, "num_unknowns"]) -> Float[Tensor, "k 2 num_unknowns"]:
        """Return the derivatives of `pixels`.

        For fixed rotations, skinning is linear in the unposed vertices and joints, and these are linear in the
        coefficients; only the rotations need forward differentiation.
        """
        part, focal = self._unknowns, torch.exp(x[self._unknowns.focal])
        poses = torch.cat(
            [torch.arange(part.rotation.start, part.rotation.stop), torch.arange(part.jaw.start, part.eyes.stop)]
        )

        def turned(angles: Tensor) -> Tensor:
            return self.points(x.index_copy(0, poses, angles))

        moved = x.new_zeros(len(self._rows), 3, len(x))
        moved[..., poses] = torch.func.jacfwd(turned)(x[poses])
        moved[..., part.translation] = torch.eye(3, dtype=x.dtype)
        moved[..., part.shape.start : part.expression.stop] = self._by_coefficients(x)
        points = self.points(x)
        depth = -points[:, 2]
        across = points.new_zeros(len(points), 2, 3)
        across[:, 0, 0], across[:, 1, 1] = focal / depth, -focal / depth
        across[:, 0, 2], across[:, 1, 2] = focal * points[:, 0] / depth**2, -focal * points[:, 1] / depth**2
        result = across @ moved
        result[..., part.focal] = self.pixels(x) - self._center
        return result

    def _by_coefficients(self, x: Tensor) -> Float[Tensor, "k 3 num_coefficients"]:
        """Return the derivatives of the places after shape and expression.

        Vertex v is at ``sum_j w_j (G_j (t - J_j) + p_j)`` with the joints' rotations G, unposed joints J and posed ones
        ``p_j = p_i + G_i (J_j - J_i)`` for the parent i.
        """
        rig, params = self._rig, few_params(x, self._unknowns)
        basis = torch.cat([rig.shape_basis, rig.expression_basis], dim=-1)
        poses = [params.rotation, params.neck_pose, params.jaw_pose, params.eyes_pose[:, :3], params.eyes_pose[:, 3:]]
        own = axis_angle_to_matrix(torch.cat(poses))
        joints = basis[-len(own) :]
        turns, places = [own[0]], [joints[0]]
        for joint in range(1, len(own)):
            parent = int(rig.parents[joint])
            turns.append(turns[parent] @ own[joint])
            places.append(places[parent] + turns[parent] @ (joints[joint] - joints[parent]))
        shifts = torch.stack([place - turn @ joint for place, turn, joint in zip(places, turns, joints, strict=True)])
        weights = rig.skinning_weights
        blended = torch.einsum("vj,jab->vab", weights, torch.stack(turns))
        moved = blended @ basis + torch.einsum("vj,jak->vak", weights, shifts)
        return self._at_places(moved[: -len(own)])

    def _at_places(self, values: Float[Tensor, "num_vertices *rest"]) -> Float[Tensor, "k *rest"]:
        weights = self._barycentric.reshape(*self._barycentric.shape, *(1,) * (values.ndim - 1))
        return (values[self._rows] * weights).sum(dim=1)
