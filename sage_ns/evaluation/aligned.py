"""Alignment of an avatar's head with the pictures of one moment: parts errors of tracking from errors of expression.

A tracker places the head of every test moment with an error of its own, which no avatar can know. The alignment finds
the rigid pose of the whole head, three numbers of rotation and three of translation, for which the unchanged avatar
agrees best with the pictures. It is the same optimisation for every avatar, and training never uses it.

All pictures of a moment are aligned together: one moment has one pose of the head. A single picture would also leave
the distance from the camera nearly free, and a free pose per picture would hide errors of expression.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.capture.shot import Shot
from sage_ns.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import pixel_rays
from sage_ns.rig import FlameParams

LARGEST_SHIFT = 6e-3
"""Metres; several times the error of a tracker."""
LARGEST_TURN = math.radians(4.0)
MOST_STEPS = 5
ROBUST = 0.05
"""Difference of colour (0..1) from which on errors count linearly (Huber): wrong teeth or shadows do not pull."""
MARGIN = 0.02
"""Width of the border around the mask that also counts, as a share of the picture's height."""

_LEVER = 0.1
"""Metres; turns rotation vectors into lengths (the radius of a head), so that all six numbers have one unit."""
_SMALLEST = 1e-6
"""Metres, or inverse metres: no depth of a head is as small, and none as large."""
_DAMPINGS = (1e-3, 1e-1, 10.0)
"""Damping of a step (Levenberg-Marquardt, relative to the diagonal); the next one is tried where one does not help."""
_SMALLEST_GAIN = 2e-3
"""Share of the error that a step must remove for another one to follow."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """The pose of a head that was aligned with the pictures of its moment."""

    motion: Float[Tensor, "num_coefficients"]
    """The tracked motion vector with the aligned translation and global rotation."""
    shift: Float[Tensor, "3"]
    """Metres by which the middle of the head has moved, in the world."""
    turn: Float[Tensor, "3"]
    """Rotation vector about the middle of the head, radians, in the world."""


@torch.no_grad()
def aligned(avatar: Avatar, motion: Float[Tensor, "num_coefficients"], shots: Sequence[Shot]) -> Alignment:
    """Align the head with all pictures of one moment.

    Minimises the sum over pixels of ``m huber(drawn - true)`` by Gauss-Newton steps with damping, where ``m`` is the
    mask, grown by `MARGIN`. Derivatives come from the motion of the drawn surface in the picture. A step that does not
    lower the error is not taken, and the head moves by at most `LARGEST_SHIFT` and `LARGEST_TURN`. The result depends
    on nothing random.

    Args:
        avatar: its appearance stays as it is; for networks, bake it before.
        motion: the tracked motion vector.
        shots: the pictures of the moment with their cameras, on the avatar's device; their own motion is not read.
    """
    fit = _Fit(avatar, motion, shots)
    best = Alignment(motion, motion.new_zeros(3), motion.new_zeros(3))
    drawings, error = fit.compare(best.motion)
    for _ in range(MOST_STEPS):
        hessian, gradient = fit.normal_equations(best.motion, drawings)
        for damping in _DAMPINGS:
            step = _solved(hessian, gradient, damping)
            candidate = fit.moved(best, step)
            candidate_drawings, candidate_error = fit.compare(candidate.motion)
            if candidate_error < error:
                break
        else:
            break
        gain = 1.0 - candidate_error / error
        best, drawings, error = candidate, candidate_drawings, candidate_error
        if gain < _SMALLEST_GAIN:
            break
    return best


@dataclass(frozen=True, eq=False)
class _Drawing:
    """The head under some pose as the camera of a shot sees it."""

    picture: Float[Tensor, "h w 3"]
    """Over the background, 0..1."""
    residual: Float[Tensor, "h w 3"]
    """Drawn minus true."""
    depth: Float[Tensor, "h w 1"]
    """Metres; 0 where nothing is drawn."""


class _Fit:
    """The pictures of a moment, and how drawings of the avatar differ from them."""

    def __init__(self, avatar: Avatar, motion: Float[Tensor, "num_coefficients"], shots: Sequence[Shot]) -> None:
        self.avatar, self.tracked, self.shots = avatar, motion, shots
        self.reaches = [max(2, round(MARGIN * shot.camera.height)) for shot in shots]
        self.weights = [_largest_near(shot.foreground, reach) for shot, reach in zip(shots, self.reaches, strict=True)]
        self.slopes = [_slopes(shot.picture) for shot in shots]

    def compare(self, motion: Float[Tensor, "num_coefficients"]) -> tuple[list[_Drawing], float]:
        """Return drawings from all cameras, and the robust error."""
        drawings, total = [], 0.0
        for shot, weight in zip(self.shots, self.weights, strict=True):
            buffers = self.avatar.draw(shot.camera, motion)
            picture = buffers.composite(self.avatar.background).clamp(0.0, 1.0)
            drawings.append(_Drawing(picture, picture - shot.picture, buffers.depth))
            size = drawings[-1].residual.abs()
            huber = torch.where(size < ROBUST, size.square() / 2, ROBUST * (size - ROBUST / 2))
            total += float((weight * huber).double().sum())
        return drawings, total

    def normal_equations(
        self, motion: Float[Tensor, "num_coefficients"], drawings: Sequence[_Drawing]
    ) -> tuple[Float[Tensor, "6 6"], Float[Tensor, "6"]]:
        """Return ``J^T W J`` and ``J^T W r`` in double precision, W with the weights of Huber's function.

        Where a step moves the surface behind a pixel by u pixels, the drawing changes by ``-u . g`` (Lucas and Kanade
        1981). g is the mean of the gradients of drawing and picture, which makes the step one of second order (Malis
        2004). Colours stay those of the unmoved head; `compare`, which decides, is exact.
        """
        hessian, gradient = torch.zeros(6, 6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)
        center = self._middle(motion)
        known = zip(self.shots, drawings, self.weights, self.reaches, self.slopes, strict=True)
        for shot, drawing, weight, reach, true_slopes in known:
            slopes = (_slopes(drawing.picture) + true_slopes) / 2
            flow = _flow(shot.camera, _filled(drawing.depth, reach), center)
            jacobian = -(slopes @ flow).flatten(0, 2)
            weights = (weight * (ROBUST / drawing.residual.abs().clamp_min(ROBUST))).flatten()
            weighted = weights[:, None] * jacobian
            hessian += (weighted.T @ jacobian).double().cpu()
            gradient += (weighted.T @ drawing.residual.flatten()).double().cpu()
        return hessian, gradient

    def moved(self, start: Alignment, step: Float[Tensor, "6"]) -> Alignment:
        """Return the alignment after one more step, within the bounds."""
        step = step.to(self.tracked)
        turning = axis_angle_to_matrix(step[3:] / _LEVER)
        turn = _bounded(matrix_to_axis_angle(turning @ axis_angle_to_matrix(start.turn)), LARGEST_TURN)
        shift = _bounded(start.shift + step[:3], LARGEST_SHIFT)
        return Alignment(moved_motion(self.avatar, self.tracked, turn, shift), shift, turn)

    def _middle(self, motion: Float[Tensor, "num_coefficients"]) -> Float[Tensor, "3"]:
        return self.avatar.poses.at(motion).vertices.mean(dim=0)


def moved_motion(
    avatar: Avatar, motion: Float[Tensor, "num_coefficients"], turn: Float[Tensor, "3"], shift: Float[Tensor, "3"]
) -> Float[Tensor, "num_coefficients"]:
    """Return the motion vector whose head is turned about its middle and then shifted, as a rigid body, in the world.

    FLAME turns about its root joint, and its translation comes last. The place of one point therefore gives the new
    translation: that of the middle of the vertices.

    Args:
        turn: rotation vector, radians.
        shift: metres.
    """
    moved = motion.clone()
    turned = axis_angle_to_matrix(turn) @ axis_angle_to_matrix(motion[FlameParams.ROTATION])
    moved[FlameParams.ROTATION] = matrix_to_axis_angle(turned)
    before, after = (avatar.rig.vertices(each).mean(dim=0) for each in (motion, moved))
    moved[FlameParams.TRANSLATION] = motion[FlameParams.TRANSLATION] + before - after + shift
    return moved


def _slopes(picture: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w 3 2"]:
    """Return the change of each colour per pixel to the right and down."""
    down, right = torch.gradient(picture, dim=(0, 1))
    return torch.stack([right, down], dim=-1)


def _flow(camera: PinholeCamera, depth: Float[Tensor, "h w 1"], center: Float[Tensor, "3"]) -> Float[Tensor, "h w 2 6"]:
    """Return by how many pixels a point moves per metre of shift, and per ``1 / _LEVER`` of turn about ``center``.

    A point X moves by ``shift + turn x (X - center)``. Where there is no depth, nothing moves.
    """
    origins, directions = pixel_rays(camera)  # one metre of depth long
    x, y, z = ((origins + depth * directions - center) / _LEVER).unbind(-1)
    zero = torch.zeros_like(x)
    turning = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], dim=-1).unflatten(-1, (3, 3))
    moving = torch.cat([torch.eye(3).to(turning).expand_as(turning), turning], dim=-1)
    in_camera = camera.T_camera_world[:3, :3] @ moving
    # A pixel is f x / z + c; x / z and y / z are those of the ray's direction.
    slope = (directions @ camera.T_camera_world[:3, :3].T)[..., :2, None]
    focal = camera.intrinsics.diagonal()[:2, None]
    moved = focal * (in_camera[..., :2, :] - slope * in_camera[..., 2:, :])
    return moved * _inverse(depth)[..., None]


def _filled(depth: Float[Tensor, "h w 1"], reach: int) -> Float[Tensor, "h w 1"]:
    """Return the depth, and where there is none, that of the nearest surface within some pixels."""
    return torch.where(depth > 0, depth, _inverse(_largest_near(_inverse(depth), reach)))


def _inverse(values: Float[Tensor, "h w 1"]) -> Float[Tensor, "h w 1"]:
    """Return the inverse of positive values, and 0 of 0."""
    return torch.where(values > 0, 1.0 / values.clamp_min(_SMALLEST), 0.0)


def _solved(hessian: Float[Tensor, "6 6"], gradient: Float[Tensor, "6"], damping: float) -> Float[Tensor, "6"]:
    """Return the step, shift and turn [metres]; directions that change no pixel stay at 0."""
    diagonal = hessian.diagonal()
    floor = 1e-9 * diagonal.max().clamp_min(1e-30)
    return -torch.linalg.solve(hessian + torch.diag(damping * diagonal + floor), gradient)


def _bounded(vector: Float[Tensor, "3"], largest: float) -> Float[Tensor, "3"]:
    return vector * (largest / vector.norm().clamp_min(largest))


def _largest_near(values: Float[Tensor, "h w 1"], reach: int) -> Float[Tensor, "h w 1"]:
    """Return the largest value within some pixels; of a mask, one with a border: where a misplaced head would be."""
    grown = torch.nn.functional.max_pool2d(values.permute(2, 0, 1), 2 * reach + 1, stride=1, padding=reach)
    return grown.permute(1, 2, 0)
