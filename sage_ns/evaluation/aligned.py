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
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.capture.shot import Shot
from sage_ns.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from sage_ns.raster import PinholeCamera, Surfels, rasterize
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
_PROBE = 5e-4
"""Metres by which the head is moved for finite differences: a fraction of a pixel."""
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
    mask, grown by `MARGIN`. Derivatives are finite differences of drawings. A step that does not lower the error is
    not taken, and the head moves by at most `LARGEST_SHIFT` and `LARGEST_TURN`. The result depends on nothing random.

    Args:
        avatar: its appearance stays as it is; for networks, bake it before.
        motion: the tracked motion vector.
        shots: the pictures of the moment with their cameras, on the avatar's device; their own motion is not read.
    """
    fit = _Fit(avatar, motion, shots)
    best = Alignment(motion, motion.new_zeros(3), motion.new_zeros(3))
    residuals, error = fit.compare(best.motion)
    for _ in range(MOST_STEPS):
        hessian, gradient = fit.normal_equations(best.motion, residuals)
        for damping in _DAMPINGS:
            step = _solved(hessian, gradient, damping)
            candidate = fit.moved(best, step)
            candidate_residuals, candidate_error = fit.compare(candidate.motion)
            if candidate_error < error:
                break
        else:
            break
        gain = 1.0 - candidate_error / error
        best, residuals, error = candidate, candidate_residuals, candidate_error
        if gain < _SMALLEST_GAIN:
            break
    return best


class _Fit:
    """The pictures of a moment, and how drawings of the avatar differ from them."""

    def __init__(self, avatar: Avatar, motion: Float[Tensor, "num_coefficients"], shots: Sequence[Shot]) -> None:
        self.avatar, self.tracked, self.shots = avatar, motion, shots
        self.weights = [_grown(shot.foreground) for shot in shots]

    def compare(self, motion: Float[Tensor, "num_coefficients"]) -> tuple[list[Tensor], float]:
        """Return the differences drawn - true of all pictures, and the robust error."""
        residuals, total = [], 0.0
        for shot, weight in zip(self.shots, self.weights, strict=True):
            drawn = self.avatar.draw(shot.camera, motion).composite(self.avatar.background)
            residual = drawn.clamp(0.0, 1.0) - shot.picture
            residuals.append(residual)
            size = residual.abs()
            huber = torch.where(size < ROBUST, residual.square() / 2, ROBUST * (size - ROBUST / 2))
            total += float((weight * huber).double().sum())
        return residuals, total

    def normal_equations(
        self, motion: Float[Tensor, "num_coefficients"], residuals: Sequence[Tensor]
    ) -> tuple[Float[Tensor, "6 6"], Float[Tensor, "6"]]:
        """Return ``J^T W J`` and ``J^T W r`` in double precision, W with the weights of Huber's function.

        For the derivatives the surfels are placed once and the camera moves instead of the head, at the resolution of
        the picture. Colours then stay those of the unmoved head; `compare`, which decides, is exact.
        """
        hessian, gradient = torch.zeros(6, 6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)
        center = self._middle(motion)
        for shot, weight, residual in zip(self.shots, self.weights, residuals, strict=True):
            placed = self.avatar.place(shot.camera.center, motion)
            rest = self._coarse(placed, shot.camera)
            probes = [self._coarse(placed, _moved_camera(shot.camera, probe, center)) for probe in _probes(motion)]
            jacobian = torch.stack([(probe - rest) / _PROBE for probe in probes]).flatten(1)
            weighted = (weight * (ROBUST / residual.abs().clamp_min(ROBUST))).flatten() * jacobian
            hessian += (weighted @ jacobian.T).double().cpu()
            gradient += (weighted @ residual.flatten()).double().cpu()
        return hessian, gradient

    def moved(self, start: Alignment, step: Float[Tensor, "6"]) -> Alignment:
        """Return the alignment after one more step, within the bounds."""
        step = step.to(self.tracked)
        turning = axis_angle_to_matrix(step[3:] / _LEVER)
        turn = _bounded(matrix_to_axis_angle(turning @ axis_angle_to_matrix(start.turn)), LARGEST_TURN)
        shift = _bounded(start.shift + step[:3], LARGEST_SHIFT)
        return Alignment(moved_motion(self.avatar, self.tracked, turn, shift), shift, turn)

    def _coarse(self, placed: Surfels, camera: PinholeCamera) -> Tensor:
        return rasterize(placed, camera).composite(self.avatar.background)

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


def _probes(like: Tensor) -> Float[Tensor, "6 6"]:
    return _PROBE * torch.eye(6, device=like.device, dtype=like.dtype)


def _moved_camera(camera: PinholeCamera, step: Float[Tensor, "6"], center: Float[Tensor, "3"]) -> PinholeCamera:
    """Return the camera that sees the unmoved head as ``camera`` sees it after ``step`` about ``center``."""
    moved = torch.eye(4).to(camera.T_camera_world)
    moved[:3, :3] = axis_angle_to_matrix(step[3:] / _LEVER)
    moved[:3, 3] = center - moved[:3, :3] @ center + step[:3]
    return replace(camera, T_camera_world=camera.T_camera_world @ moved)


def _solved(hessian: Float[Tensor, "6 6"], gradient: Float[Tensor, "6"], damping: float) -> Float[Tensor, "6"]:
    """Return the step, shift and turn [metres]; directions that change no pixel stay at 0."""
    diagonal = hessian.diagonal()
    floor = 1e-9 * diagonal.max().clamp_min(1e-30)
    return -torch.linalg.solve(hessian + torch.diag(damping * diagonal + floor), gradient)


def _bounded(vector: Float[Tensor, "3"], largest: float) -> Float[Tensor, "3"]:
    return vector * (largest / vector.norm().clamp_min(largest))


def _grown(mask: Float[Tensor, "h w 1"]) -> Float[Tensor, "h w 1"]:
    """Return the mask and a border around it, where a head at a wrong place would be drawn."""
    reach = max(2, round(MARGIN * mask.shape[0]))
    return torch.nn.functional.max_pool2d(mask.permute(2, 0, 1), 2 * reach + 1, stride=1, padding=reach).permute(
        1, 2, 0
    )
