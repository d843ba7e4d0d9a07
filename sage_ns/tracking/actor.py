"""An actor in front of a camera: who it is, from the first second, and then the motion of each frame.

The first second shows the actor's neutral face. A fit of its most usual frame gives identity and focal length, and what
then remains of all its frames is kept as an offset of each landmark. The resting rig with these offsets *is* the
neutral face: motion is what differs from it, so that an actor's own proportions never reach the avatar.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from sage_ns.motion.limits import MotionLimits
from sage_ns.rig import FlameParams, HeadModel, identity_vertices
from sage_ns.rig.flame_params import NUM_POSE
from sage_ns.tracking.actor_head import ActorHead
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.face import Face, width_of_face
from sage_ns.tracking.focal import FocalLength, usual_focal_length
from sage_ns.tracking.landmark_fit import fit_landmarks
from sage_ns.tracking.least_squares import cauchy_weights

CALIBRATION_SECONDS = 1.0
"""The actor keeps a neutral face for this long."""
ERROR_OF_A_CHANGE = 0.013
"""Standard deviation of a landmark relative to the width of the face, without what is constant for a person."""
MOST_DISAGREEMENT = 0.06
"""Root mean squared distance of the landmarks relative to the width of the face beyond which a frame is not used."""
_OUTLIER = 3.0
"""Standard deviations from which on a landmark counts for less (Cauchy's loss)."""
_JAW, _EYES, _VERGENCE, _COMPONENT, _NAMED = (0.25, 0.03, 0.03), (0.3, 0.3, 0.02), 0.05, 1.0, 0.35
"""Standard deviations: radians, difference of the two eyes, coefficients of components and of named expressions."""
_STEPS, _FIRST_STEPS = 3, 12
"""Gauss-Newton steps from the frame before, and where there is none."""
_RIDGE = 1e-9
"""Of the largest diagonal entry: keeps normal equations solvable where no landmark counts."""
_CONVERGED = 1e-3
"""Relative gain of a step at which a fit ends: a thousandth of it is far below the landmarks' noise."""


@dataclass(frozen=True, eq=False)
class ActorFit:
    """Pose and expression of an actor in a frame."""

    x: Float[Tensor, "num_unknowns"]
    """See `ActorHead`."""
    disagreement: float
    """Root mean squared distance of the landmarks, relative to the width of the face."""
    num_steps: int


@dataclass(frozen=True, eq=False)
class Actor:
    """A person whose motion is read from landmarks, see `calibrated`."""

    head: ActorHead
    neutral: Float[Tensor, "num_unknowns"]
    """Where the head was in the first second; everything else is 0."""
    width: float
    """Of the face then, pixels."""
    root_to_neck: Float[Tensor, "3"]
    """From the joint that `ActorHead` turns the head about to that of the neck, metres."""
    num_expression: int
    """Of the rig; more than landmarks determine."""
    weight: Float[Tensor, "478"]
    limits: tuple[Tensor, Tensor]
    """Lowest and highest unknowns."""
    spread: Float[Tensor, "num_unknowns"]
    """Standard deviation of each unknown; infinite for the place of the head."""

    def fit(self, face: Face, last: Float[Tensor, "num_unknowns"] | None = None) -> ActorFit:
        """Fit pose, jaw, eyes and expression to the landmarks of a frame.

        Gauss-Newton on ``sum_k w_k |p_k(x) - d_k|^2 / s^2 + sum_i (x_i / s_i)^2`` with the robust weights of
        `fit_landmarks`, from the last frame on.

        Args:
            face: landmarks.
            last: unknowns of the frame before; None = the head may be anywhere.
        """
        if last is not None:
            return self._fitted(face, last, _STEPS)
        return self._fitted(face, self.placed(face), _FIRST_STEPS)

    def placed(self, face: Face) -> Float[Tensor, "num_unknowns"]:
        """Return the neutral face where it has the landmarks of a face that may be anywhere."""
        return self._fitted(face, self._near(face), _FIRST_STEPS, only_pose=True).x

    def motion(self, x: Float[Tensor, "num_unknowns"]) -> Float[Tensor, "num_coefficients"]:
        """Return unknowns as a motion vector of the rig (`FlameParams`), relative to the neutral face.

        The head turns at the neck: with N its rotation from the neutral one R to ``R N``, and the translation that
        keeps the skull where it was seen, ``(N - 1) (J_neck - J_root) + R^T (t - t_neutral)``, in the axes of the
        neutral head.
        """
        part = self.head
        rest = axis_angle_to_matrix(self.neutral[part.rotation])
        turned = rest.T @ axis_angle_to_matrix(x[part.rotation])
        moved = rest.T @ (x[part.translation] - self.neutral[part.translation])
        vector = x.new_zeros(NUM_POSE + self.num_expression)
        vector[FlameParams.TRANSLATION] = (turned - torch.eye(3, dtype=x.dtype)) @ self.root_to_neck + moved
        vector[FlameParams.NECK] = matrix_to_axis_angle(turned)
        vector[FlameParams.JAW], vector[FlameParams.EYES] = x[part.jaw], x[part.eyes]
        vector[NUM_POSE : NUM_POSE + len(x) - part.expression.start] = x[part.expression]
        return vector.float()

    def _near(self, face: Face) -> Float[Tensor, "num_unknowns"]:
        """Return the neutral head at the place and distance of a face."""
        x, part = self.neutral.clone(), self.head
        distance = -float(x[part.translation][2]) * self.width / width_of_face(face)
        x[part.translation] *= distance / -x[part.translation][2]
        middle = face.points[:, :2].to(x).mean(dim=0) - self.head.sight(x).pixels.mean(dim=0)
        x[part.translation][:2] += middle * middle.new_tensor([1.0, -1.0]) * distance / self.head.focal
        return x

    def _fitted(self, face: Face, x: Tensor, most_steps: int, only_pose: bool = False) -> ActorFit:
        detected, width = face.points[:, :2].to(x), width_of_face(face)
        root, prior = (self.weight.sqrt() / (ERROR_OF_A_CHANGE * width)).to(x), self._prior
        free = slice(0, 6) if only_pose else slice(None)
        best, cost, off, steps = x, math.inf, math.inf, 0
        while True:
            seen = self.head.sight(x)
            away = seen.pixels - detected
            pulls = away * root[:, None]
            robust = cauchy_weights(pulls.norm(dim=-1), _OUTLIER)
            now = -(_OUTLIER**2) * float(robust.log().sum()) + float(x.double() @ prior @ x.double())
            gain = cost - now
            if gain > 0:
                best, cost, off = x, now, float(away.square().sum(dim=1).mean().sqrt())
            if steps == most_steps or gain < _CONVERGED * now:
                return ActorFit(best, off / width, steps)
            jacobian = self.head.jacobian(seen)[..., free] * root[:, None]
            weighted = (jacobian * robust[:, None]).flatten(0, 1)
            normal = (weighted.T @ jacobian.flatten(0, 1)).double() + prior[free, free]
            slope = (weighted.T @ pulls.T.flatten()).double() + (prior @ x.double())[free]
            x = x.clone()
            normal.diagonal().add_(_RIDGE * normal.diagonal().max())
            x[free] -= torch.linalg.solve(normal, slope).to(x)
            x = x.clamp(*self.limits)
            steps += 1

    @cached_property
    def _prior(self) -> Float[Tensor, "num_unknowns num_unknowns"]:
        """Return the matrix of the quadratic form that keeps unknowns small which landmarks do not determine."""
        matrix = torch.diag(self.spread**-2)
        for left in range(9, 12):
            pair = torch.zeros_like(self.spread)
            pair[left], pair[left + 3] = 1 / _VERGENCE, -1 / _VERGENCE
            matrix += torch.outer(pair, pair)
        return matrix


def calibrated(
    faces: Sequence[Face],
    model: HeadModel,
    embedding: Embedding,
    size: tuple[int, int],
    focal: FocalLength | None = None,
) -> Actor:
    """Return the actor whose neutral face some frames show.

    Args:
        faces: at least one, with a neutral expression; a blink in some of them does no harm.
        model: head model; with identity directions, the actor's are fitted, else the offsets are all that is known.
        embedding: of that head model.
        size: width and height of the pictures.
        focal: what is known about the focal length; None = the usual guess.
    """
    center = (size[0] / 2, size[1] / 2)
    usual = _most_usual(faces)
    fit = fit_landmarks(usual, model, embedding, focal or usual_focal_length(*size), size)
    model = model.to("cpu")
    personal = replace(model, v_template=identity_vertices(model, fit.params), shape_basis=model.shape_basis[..., :0])
    rough = ActorHead(personal, embedding, center, fit.focal, dtype=torch.float32)
    joints = personal.joint_regressor @ personal.v_template
    neutral = rough.neutral()
    neutral[rough.rotation], neutral[rough.translation] = fit.params.rotation[0], fit.params.translation[0]
    actor = Actor(
        rough,
        neutral,
        width_of_face(usual),
        joints[1] - joints[0],
        model.num_expression,
        embedding.weight.double(),
        _limits(model, rough),
        _spread(model, rough),
    )
    posed = [actor.placed(face) for face in faces]
    offset = torch.stack([_offset(rough, x, face) for x, face in zip(posed, faces, strict=True)]).median(dim=0).values
    head = ActorHead(personal, embedding, center, fit.focal, offset, torch.float32)
    middle = torch.stack([x[rough.translation] for x in posed]).median(dim=0).values
    nearest = min(posed, key=lambda x: float((x[rough.translation] - middle).norm()))
    return replace(actor, head=head, neutral=nearest)


def _spread(model: HeadModel, head: ActorHead) -> Float[Tensor, "n"]:
    expression = _NAMED if model.expression_names else _COMPONENT
    rest = [expression] * (head.num_unknowns - head.expression.start)
    return torch.tensor([*[torch.inf] * 6, *_JAW, *_EYES, *_EYES, *rest], dtype=torch.float64)


def _limits(model: HeadModel, head: ActorHead) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """Return the lowest and the highest unknowns of a living head (`MotionLimits`)."""
    limits, free = MotionLimits.of(model), torch.full((6,), torch.inf)
    count = NUM_POSE + head.num_unknowns - head.expression.start
    low, high = (each[FlameParams.JAW.start : count] for each in (limits.low, limits.high))
    return torch.cat([-free, low]), torch.cat([free, high])


def _most_usual(faces: Sequence[Face]) -> Face:
    """Return the face that is nearest to the median of all, after place and size are taken out."""
    flat = torch.stack([face.points[:, :2] for face in faces])
    flat = flat - flat.mean(dim=1, keepdim=True)
    flat = flat / flat.norm(dim=(1, 2), keepdim=True)
    return faces[int((flat - flat.median(dim=0).values).norm(dim=(1, 2)).argmin())]


def _offset(head: ActorHead, x: Float[Tensor, "num_unknowns"], face: Face) -> Float[Tensor, "478 3"]:
    """Return how far landmarks are from where a posed head has them in the picture, in the head's axes [metres]."""
    seen = head.sight(x)
    depth = -seen.points[:, 2:]
    off = (face.points[:, :2].to(x) - seen.pixels) * depth / head.focal
    away = torch.cat([off * off.new_tensor([1.0, -1.0]), torch.zeros_like(depth)], dim=1)
    return away @ axis_angle_to_matrix(x[head.rotation])
