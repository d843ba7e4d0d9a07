"""Heads as a predictor sees them: a batch of guesses, the square of the picture that each comes from, and the rig.

A guess is made in the axes of the ray through the middle of its square, so that it does not depend on where in the
picture a face is; the camera takes it to metres.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.geometry.mesh_queries import barycentric_to_points
from sage_ns.geometry.rotations import matrix_to_axis_angle
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.rig.few_vertices import few_vertices

CROP_OF_BOX = 1.6
"""Side of the square that a predictor looks at, relative to the larger side of the box around the landmarks."""
HEAD_SIZE = 0.2
"""Metres that a guess measures the square in: a face's box has about two thirds of it."""
_USUAL_SHARE = 0.9
"""Of the square's side that `HEAD_SIZE` takes where a guess says 0."""
_EVERY = 8
"""Of the vertices that carry no landmark, one in so many counts."""


@dataclass(frozen=True, eq=False)
class SkinPlaces:
    """Landmarks as points on the triangles of a head model."""

    triangle: Int[Tensor, "num_landmarks"]
    barycentric: Float[Tensor, "num_landmarks 3"]

    def points(self, vertices: Float[Tensor, "num_vertices 3"], model: HeadModel) -> Float[Tensor, "num_landmarks 3"]:
        """Return them on a posed head [metres]."""
        return barycentric_to_points(vertices, model.triangles, self.triangle, self.barycentric)


@dataclass(frozen=True, eq=False)
class HeadGuess:
    """What a network says about the heads in squares of pictures; angles in radians."""

    shape: Float[Tensor, "n num_shape"]
    expression: Float[Tensor, "n num_expression"]
    jaw: Float[Tensor, "n 3"]
    """Axis-angle."""
    eyes: Float[Tensor, "n 4"]
    """First two entries of the axis-angle of the left and of the right eye: up and down, left and right."""
    rotation: Float[Tensor, "n 3 3"]
    """Of the head, in the axes of the ray through the middle of the square (x right, y up, z to the camera)."""
    place: Float[Tensor, "n 3"]
    """Mean of the landmarks: right and down from the middle [sides of the square], and the logarithm of how much larger
    than usual the head is in the square."""
    light: Float[Tensor, "n 9 3"]
    """Harmonics of degree 0 to 2 (`sage_ns.avatar.light`), in the axes of the ray."""

    def eyes_pose(self) -> Float[Tensor, "n 6"]:
        """Return the axis-angles of the left and of the right eye."""
        return F.pad(self.eyes.reshape(-1, 2, 2), (0, 1)).flatten(1)

    def rows(self, rows: Int[Tensor, "m"] | slice) -> HeadGuess:
        """Return some of the guesses."""
        return HeadGuess(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class SquareCamera:
    """Pinhole cameras, and a square in the picture of each. Pixels; x to the right, y down."""

    focal: Float[Tensor, "n"]
    principal: Float[Tensor, "n 2"]
    center: Float[Tensor, "n 2"]
    """Middle of the square."""
    side: Float[Tensor, "n"]

    def to_ray(self) -> Float[Tensor, "n 3 3"]:
        """Return the smallest rotation from the camera's axes (x right, y up, z back) to those of the ray, as columns.

        For unit vectors a and b it is ``I + K + K^2 / (1 + a . b)``, with K the matrix of ``a x b``; a = (0, 0, -1).
        """
        away = (self.center - self.principal) / self.focal[:, None]
        ray = F.normalize(torch.stack([away[:, 0], -away[:, 1], -torch.ones_like(self.focal)], dim=1), dim=1)
        x, y, cos = ray[:, 0], ray[:, 1], -ray[:, 2]
        zero = torch.zeros_like(x)
        cross = torch.stack([zero, zero, -x, zero, zero, -y, x, y, zero], dim=1).reshape(-1, 3, 3)
        return torch.eye(3, dtype=cross.dtype, device=cross.device) + cross + cross @ cross / (1 + cos)[:, None, None]

    def point(self, place: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """Return the points at places of `HeadGuess`, in the camera's axes [metres]."""
        depth = HEAD_SIZE * self.focal / (self.side * _USUAL_SHARE * place[:, 2].exp())
        pixel = self.center + place[:, :2] * self.side[:, None]
        away = (pixel - self.principal) / self.focal[:, None]
        return depth[:, None] * torch.stack([away[:, 0], -away[:, 1], -torch.ones_like(depth)], dim=1)

    def place(self, point: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """Return the places of points [metres]: the inverse of `point`."""
        size = HEAD_SIZE * self.focal / (self.side * _USUAL_SHARE * -point[:, 2])
        return torch.cat([self.within(point[:, None])[:, 0] - 0.5, size.log()[:, None]], dim=1)

    def within(self, points: Float[Tensor, "n m 3"]) -> Float[Tensor, "n m 2"]:
        """Return where points [metres, camera's axes] are seen in the square, 0..1 from its upper left corner."""
        x, y, z = points.unbind(dim=-1)
        flat = torch.stack([x, -y], dim=-1) / -z.clamp_max(-1e-3)[..., None]
        pixels = self.principal[:, None] + self.focal[:, None, None] * flat
        return (pixels - self.center[:, None]) / self.side[:, None, None] + 0.5


class PredictorRig:
    """A head model reduced to landmarks and some vertices, which poses many people at once.

    Args:
        model: head model.
        landmarks: their places on it.
        num_shape: identity directions to use.
        num_expression: expression directions to use.
    """

    def __init__(self, model: HeadModel, landmarks: SkinPlaces, num_shape: int, num_expression: int) -> None:
        corners = model.triangles[landmarks.triangle]
        others = torch.arange(0, model.num_vertices, _EVERY, device=corners.device)
        vertices = torch.cat([corners.flatten(), others]).unique()
        few = few_vertices(model, vertices, num_shape, num_expression)
        self.num_shape, self.num_expression = num_shape, num_expression
        # Identity and expression both add to the template: as one basis, every row of a batch is a person.
        basis = torch.cat([few.shape_basis, few.expression_basis], dim=-1)
        self._rig = replace(few, shape_basis=basis[..., :0], expression_basis=basis, expression_names=())
        self._rows = torch.searchsorted(vertices, corners)
        self._barycentric = landmarks.barycentric
        self._count = len(vertices)

    def to(self, device: torch.device | str) -> PredictorRig:
        """Return the same rig on another device."""
        moved = object.__new__(PredictorRig)
        moved.__dict__.update(self.__dict__)
        moved._rig = self._rig.to(device)
        moved._rows, moved._barycentric = self._rows.to(device), self._barycentric.to(device)
        return moved

    def middle(self, guess: HeadGuess, rotation: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3"]:
        """Return the means of the landmarks of heads with these rotations and no translation [metres]."""
        return self._points(guess, rotation)[:, : self.num_landmarks].mean(dim=1)

    def located(self, guess: HeadGuess, camera: SquareCamera) -> LocatedHeads:
        """Return the heads in the axes of their cameras."""
        rotation = camera.to_ray() @ guess.rotation
        points = self._points(guess, rotation)
        translation = camera.point(guess.place) - points[:, : self.num_landmarks].mean(dim=1)
        return LocatedHeads(rotation, translation, points + translation[:, None])

    @property
    def num_landmarks(self) -> int:
        """Number of the landmarks, which come before all other points."""
        return len(self._rows)

    def _points(self, guess: HeadGuess, rotation: Tensor) -> Tensor:
        count = len(guess.shape)
        params = FlameParams(
            shape=guess.shape.new_zeros(0),
            expr=torch.cat([guess.shape, guess.expression], dim=1),
            rotation=matrix_to_axis_angle(rotation),
            neck_pose=guess.jaw.new_zeros(count, 3),
            jaw_pose=guess.jaw,
            eyes_pose=guess.eyes_pose(),
            translation=guess.jaw.new_zeros(count, 3),
        )
        vertices = pose_vertices(self._rig, params)[:, : self._count]
        return torch.cat([(vertices[:, self._rows] * self._barycentric[..., None]).sum(dim=2), vertices], dim=1)


@dataclass(frozen=True, eq=False)
class LocatedHeads:
    """Heads in the axes of their cameras (x right, y up, z back; metres)."""

    rotation: Float[Tensor, "n 3 3"]
    translation: Float[Tensor, "n 3"]
    points: Float[Tensor, "n num_points 3"]
    """Landmarks, then vertices."""

    def around_face(self, num_landmarks: int) -> Float[Tensor, "n num_points 3"]:
        """Return the points relative to the mean of the landmarks [metres]."""
        return self.points - self.points[:, :num_landmarks].mean(dim=1, keepdim=True)


def flame_params(guess: HeadGuess, heads: LocatedHeads, model: HeadModel, row: int = 0) -> FlameParams:
    """Return one head as parameters of the whole model: one moment, neck at rest; gradients reach the guess."""
    one = slice(row, row + 1)
    # Padded here: `check_fits` looks at what it pads, and would wait for a device.
    return FlameParams(
        shape=F.pad(guess.shape[row], (0, model.num_shape - guess.shape.shape[1])),
        expr=F.pad(guess.expression[one], (0, model.num_expression - guess.expression.shape[1])),
        rotation=matrix_to_axis_angle(heads.rotation[one]),
        neck_pose=guess.jaw.new_zeros(1, 3),
        jaw_pose=guess.jaw[one],
        eyes_pose=guess.eyes_pose()[one],
        translation=heads.translation[one],
    )


def used_directions(model: HeadModel, most: int) -> tuple[int, int]:
    """Return how many directions of identity and expression move the head at all, at most so many of each."""
    bases = model.shape_basis, model.expression_basis
    found = (int((basis.abs().amax(dim=(0, 1)) > 0).sum()) for basis in bases)
    shape, expression = (min(count, most) for count in found)
    return shape, expression


def rig_key(model: HeadModel) -> str:
    """Return a text that identifies a head model by its content: mesh, directions, joints and weights."""
    digest = hashlib.sha256(model.triangles.cpu().numpy().tobytes())
    rough = model.v_template * 1e4, model.skinning_weights * 1e2, model.joint_regressor @ model.v_template * 1e4
    # Not the last digits, which may differ between machines.
    sizes = (basis.square().mean(dim=(0, 1)).sqrt() * 1e6 for basis in (model.shape_basis, model.expression_basis))
    for each in (*rough, *sizes):
        digest.update(each.cpu().round().to(torch.int32).numpy().tobytes())
    return f"{model.num_vertices} vertices, {digest.hexdigest()[:16]}"
