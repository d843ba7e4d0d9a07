"""Refine the tracking of the canonical moment on the reconstructed surface."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.field.sdf import SignedDistanceField
from sage_ns.rig import FlameParams, HeadModel, pose_vertices

_MILLIMETRE, _ROTATION = 1e-3, 2e-2
"""Typical errors of a tracker: a millimetre of translation, a degree of the rotations of head and neck."""
_RESIDUAL = 1e-3
"""Metres; larger distances count linearly: hair, and shapes that the rig cannot take."""


def refined_motion(
    field: SignedDistanceField,
    head_model: HeadModel,
    motion: Float[Tensor, "num_coefficients"],
    prior: float = 0.75,
    steps: int = 240,
) -> Float[Tensor, "num_coefficients"]:
    """Return the motion vector, near the tracked one, that fits the rig to the field's surface [reading].

    Surfels are bound to the canonical rig's triangles: a tracking error of the canonical moment is passed on to all
    others. With many training moments the errors average out. With one moment they do not, but many cameras see it,
    and the rig can be fitted to the surface that they reconstruct.

    Minimises mean_v huber(f(v)) + prior * mean_k (delta_k / unit_k)^2 over skin vertices v and the changes
    delta of translation, rotation and neck. (Jaw and expression would hardly change if they were optimised, too.)

    Args:
        field: signed distance field of the canonical moment.
        head_model: the person's head model.
        motion: tracked motion vector.
        prior: strength of the prior that keeps the result near the tracked motion.
        steps: number of Adam steps.
    """
    skin = _skin(head_model).to(motion.device)
    if len(skin) == 0:
        return motion
    unit = motion.new_tensor([_MILLIMETRE] * 3 + [_ROTATION] * 6)

    def moved(delta: Tensor) -> Tensor:
        return torch.cat([motion[: len(unit)] + unit * delta, motion[len(unit) :]])

    with torch.enable_grad():
        delta = torch.zeros_like(unit).requires_grad_(True)
        optimizer = torch.optim.Adam([delta], lr=0.1)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.01 ** (1 / steps))
        for _ in range(steps):
            posed = pose_vertices(head_model, FlameParams.from_motion_vector(moved(delta)[None]))[0]
            distance = field.evaluate(posed[skin]).distance / _RESIDUAL
            loss = F.huber_loss(distance, torch.zeros_like(distance)) + prior * delta.square().mean()
            # Not backward(), which would leave gradients in the field, too.
            (delta.grad,) = torch.autograd.grad(loss, delta)
            optimizer.step()
            schedule.step()
    return moved(delta).detach()


def _skin(head_model: HeadModel) -> Int[Tensor, "num_skin"]:
    """Return the face vertices on the field's surface: no hair, no eyeballs, and no lips, which the field closes."""
    regions = head_model.regions
    chosen = torch.zeros(head_model.num_vertices, dtype=torch.bool)
    chosen[regions.vertices("face").cpu()] = True
    for name in ("eyes", "scalp", "lips"):
        chosen[regions.vertices(name).cpu()] = False
    return chosen.nonzero()[:, 0]
