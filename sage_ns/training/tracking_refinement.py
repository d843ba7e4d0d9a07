"""The canonical moment's tracking, refined on the surface that its pictures have shown."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.field.sdf import SignedDistanceField
from sage_ns.rig import FlameParams, HeadModel, pose_vertices

_MILLIMETRE, _ROTATION = 1e-3, 2e-2
"""What a tracker is off by: a millimetre of translation, a degree of the head's and of the neck's rotation."""
_RESIDUAL = 1e-3
"""Metres beyond which a vertex counts linearly: hair, and what the rig cannot be."""


def refined_motion(
    field: SignedDistanceField,
    head_model: HeadModel,
    motion: Float[Tensor, "num_coefficients"],
    prior: float = 0.75,
    steps: int = 240,
) -> Float[Tensor, "num_coefficients"]:
    """The motion vector under which the rig lies closest to the field's surface; near the tracked one [reading].

    Surfels ride on the canonical rig's triangles: what the tracker has that moment wrong is passed on to all others.
    Many moments average it out, one cannot; but one moment seen by many cameras has a surface, and the rig can be laid
    onto that. Minimises mean_v huber(f(v)) + prior * mean_k (delta_k / unit_k)^2 over skin vertices v and the changes
    delta of translation, rotation and neck. (Jaw and expression hardly move when they are free, too.)

    Args:
        field: of the canonical moment.
        head_model: personal.
        motion: as tracked.
        prior: how much tracking is believed.
        steps: of Adam.
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
    """Vertices of the face that the field's surface runs through: no hair, eyeballs, or lips, which it closes."""
    regions = head_model.regions
    chosen = torch.zeros(head_model.num_vertices, dtype=torch.bool)
    chosen[regions.vertices("face").cpu()] = True
    for name in ("eyes", "scalp", "lips"):
        chosen[regions.vertices(name).cpu()] = False
    return chosen.nonzero()[:, 0]
