"""A head whose identity is known, as landmarks in a picture: a function of pose and expression with derivatives.

`LandmarkRig` serves the fit of a person, `ActorHead` that of a person's frames: identity, focal length and neck are
fixed, and the derivatives are written out, which makes a frame ten times as fast.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.rig import HeadModel
from sage_ns.rig.few_vertices import few_vertices
from sage_ns.tracking.embedding import Embedding

NUM_EXPRESSION = 50
"""Most expression directions that one picture determines."""
_BONES = (2, 3, 4)
"""Joints that turn against the head: jaw, left eye, right eye; the last three."""


@dataclass(frozen=True, eq=False)
class Sight:
    """Landmarks of a posed head."""

    points: Float[Tensor, "478 3"]
    """Camera's axes (x right, y up, z back), metres."""
    pixels: Float[Tensor, "478 2"]
    own: Float[Tensor, "478 3"]
    """About the root joint in the head's own axes."""
    held: Float[Tensor, "15 478"]
    """What each joint turns of it, in rows of three."""
    angles: Float[Tensor, "4 3"]
    """Axis-angles of the head, the jaw, the left and the right eye."""
    turns: Float[Tensor, "4 3 3"]
    """Their matrices."""


class ActorHead:
    """Landmarks of one person for a camera at the origin that looks along -z.

    The vector of unknowns is: rotation 3 (axis-angle), translation 3 [metres], jaw 3, left eye 3, right eye 3,
    expression.

    Args:
        model: head model with the identity of the person folded in (`identity_vertices`).
        embedding: places of the landmarks on it.
        center: principal point, pixels.
        focal: pixels.
        offset: of each landmark from its place on the resting head, metres: what the rig cannot show of the person.
        dtype: of all results; in single precision, a frame takes half as long, and pixels are exact to a hundredth.
    """

    rotation, translation, jaw, eyes = slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 15)
    expression = slice(15, None)

    def __init__(
        self,
        model: HeadModel,
        embedding: Embedding,
        center: tuple[float, float],
        focal: float,
        offset: Float[Tensor, "478 3"] | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        corners = model.triangles.cpu()[embedding.triangle]
        vertices, rows = corners.unique(return_inverse=True)
        rows = rows.reshape(corners.shape)
        used = int((model.expression_basis.abs().amax(dim=(0, 1)) > 0).sum())
        rig = few_vertices(model.to("cpu"), vertices, 0, min(used, NUM_EXPRESSION))
        self.num_unknowns = 15 + rig.num_expression
        self._dtype = dtype
        self._slide = embedding.slide.to(dtype)
        self._center, self.focal = torch.tensor(center, dtype=dtype), focal
        num_joints = len(rig.parents)
        joints = torch.cat([rig.v_template[..., None], rig.expression_basis], dim=-1)[-num_joints:].double()
        self._root = joints[0].to(dtype)
        # Weight of each joint in each landmark, and what it turns there about itself: sums over a triangle's corners.
        mix = embedding.barycentric.double()[..., None] * rig.skinning_weights.double()[rows]
        share = mix.sum(dim=1)
        shapes = torch.cat([rig.v_template[..., None], rig.expression_basis], dim=-1).double()[rows]
        held = torch.einsum("kbj,kbce->jcke", mix, shapes) - torch.einsum("kj,jce->jcke", share, joints)
        if offset is not None:
            held[..., 0] += torch.einsum("kj,kc->jck", share, offset.double())
        correctives = rig.pose_basis.double().reshape(36, -1, 3)[:, rows]
        correctives = torch.einsum("kbj,fkbc->jckf", mix, correctives)
        self._held = torch.cat([held, correctives], dim=-1).flatten(0, 1).contiguous().to(dtype)
        """[joints * 3, landmarks, 1 + expressions + 36 pose correctives]: one product each turns and mixes them."""
        self._fixed = torch.einsum("kj,jce->cke", share, joints).to(dtype) - self._root[:, None]

    def neutral(self) -> Float[Tensor, "num_unknowns"]:
        """Return the resting head at the camera."""
        return torch.zeros(self.num_unknowns, dtype=self._dtype)

    def resting_points(self) -> Float[Tensor, "478 3"]:
        """Return the landmarks of the resting head in its own axes about the root joint, metres, without slides."""
        return (self._held[..., 0].reshape(-1, 3, len(self._slide)).sum(dim=0) + self._fixed[..., 0]).T

    def sight(self, x: Float[Tensor, "num_unknowns"]) -> Sight:
        """Return the landmarks in the camera's axes and in the picture."""
        angles = torch.cat([x[self.rotation], x[self.jaw], x[self.eyes]]).reshape(4, 3)
        turns = axis_angle_to_matrix(angles)
        rest, shape = torch.eye(3).to(x), torch.cat([x.new_ones(1), x[self.expression]])
        away = torch.cat([torch.zeros(9).to(x), (turns[1:] - rest).flatten()])
        held = self._held @ torch.cat([shape, away])
        own = (self._joined(turns) @ held + self._fixed @ shape).T
        root = self._root @ shape + x[self.translation]
        middle = turns[0] @ own.mean(dim=0) + root
        own = own + self._slide @ (-(middle / middle.norm()) @ turns[0])[:2]
        points = own @ turns[0].T + root
        depth = (-points[:, 2:]).clamp_min(1e-3)
        pixels = self._center + self.focal * points[:, :2] * points.new_tensor([1.0, -1.0]) / depth
        return Sight(points, pixels, own, held, angles, turns)

    def jacobian(self, seen: Sight) -> Float[Tensor, "2 478 num_unknowns"]:
        """Return pixels per unit of each unknown; how slides change with the direction of view is left out."""
        own, turns = seen.own, seen.turns
        change = rotation_derivatives(seen.angles, turns)
        mixed = (self._joined(turns) @ self._held.flatten(1)).reshape(3, *self._held.shape[1:])
        shape, features = mixed[..., 1 : self.num_unknowns - 14], mixed[..., self.num_unknowns - 14 :]
        by_own = own.new_empty(3, len(own), self.num_unknowns - 6)
        by_own[..., 9:] = shape + self._fixed[..., 1:]
        # Joints turn what they hold, and correctives move it: [3 joints, 3 angles, 3 axes, 478].
        moved = change[1:] @ seen.held[3 * _BONES[0] :].reshape(3, 1, 3, -1)
        corrected = features[..., 9:].unflatten(-1, (3, 9)).permute(2, 0, 1, 3) @ change[1:, None].flatten(3).mT
        by_own[..., :9] = moved.permute(2, 3, 0, 1).flatten(2) + corrected.permute(1, 2, 0, 3).flatten(2)
        jacobian = own.new_empty(3, len(own), self.num_unknowns)
        jacobian[..., self.rotation] = (change[0] @ own.T).permute(1, 2, 0)
        jacobian[..., self.translation] = torch.eye(3).to(own)[:, None]
        jacobian[..., 6:] = (turns[0] @ by_own.flatten(1)).reshape(by_own.shape)
        # The root joint, about which the head turns, moves with the expression.
        jacobian[..., self.expression] += self._root[:, None, 1:]
        depth = (-seen.points[:, 2]).clamp_min(1e-3)
        flat = (seen.points[:, :2] / depth[:, None]).T
        scale = (self.focal / depth) * depth.new_tensor([[1.0], [-1.0]])
        return (jacobian[:2] + flat[..., None] * jacobian[2]) * scale[..., None]

    def _joined(self, turns: Float[Tensor, "4 3 3"]) -> Float[Tensor, "3 15"]:
        """Return the matrix that turns what the joints hold in the head's axes, and adds it up; root and neck rest."""
        rest = torch.eye(3).to(turns)
        return torch.cat([rest, rest, *turns[1:]], dim=1)


def rotation_derivatives(axis_angle: Float[Tensor, "n 3"], turns: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3 3 3"]:
    r"""Return the derivatives of rotation matrices by their axis-angles $w$; the second index is that of $w$.

    $\partial R / \partial w_i = [J e_i]_\times R$ with the left Jacobian
    $J = I + \frac{1 - \cos a}{a^2} [w]_\times + \frac{a - \sin a}{a^3} [w]_\times^2$ of the rotations, $a = |w|$
    (Sola et al., "A micro Lie theory", 2018, equations 143 and 145).

    Args:
        axis_angle: radians.
        turns: their matrices.
    """
    angle = axis_angle.norm(dim=-1)[:, None, None].clamp_min(1e-3)  # below, the next terms are of order 1e-7
    cross = torch.linalg.cross(*torch.broadcast_tensors(axis_angle[:, None], torch.eye(3).to(axis_angle)), dim=-1).mT
    left = torch.eye(3).to(cross) + (1 - angle.cos()) / angle**2 * cross
    left = left + (angle - angle.sin()) / angle**3 * cross @ cross
    # Column i of the left Jacobian, crossed with every column of the matrix.
    columns, of_turn = torch.broadcast_tensors(left.mT[:, :, None], turns.mT[:, None])
    return torch.linalg.cross(columns, of_turn, dim=-1).mT
