"""Rigid motion of the skull, which carries face and hair; expression, jaw, gaze and neck move what is around it."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from sage_ns.rig.flame_params import FlameParams
from sage_ns.rig.head_model import HeadModel
from sage_ns.rig.skinning import identity_vertices


def skull_motions(model: HeadModel, params: FlameParams) -> Float[Tensor, "num_timesteps 4 4"]:
    """Return the rigid motion of the skull from the unposed head to the world at every moment [metres].

    The skull hangs at the neck's joint: ``x -> R_root (R_neck (x - J_neck) + J_neck - J_root) + J_root + t``, with the
    joints J of the unposed head (FLAME's chain, Li et al. 2017).

    Raises:
        FlameParamsError: the parameters belong to another head model.
    """
    root_joint, neck_joint = model.joint_regressor[:2] @ identity_vertices(model, params)
    root, neck = axis_angle_to_matrix(params.rotation), axis_angle_to_matrix(params.neck_pose)
    motions = torch.eye(4).to(root).repeat(len(root), 1, 1)
    motions[:, :3, :3] = root @ neck
    moved_neck = (root @ (neck_joint - root_joint)) + root_joint + params.translation
    motions[:, :3, 3] = moved_neck - motions[:, :3, :3] @ neck_joint
    return motions


def without_neck(model: HeadModel, params: FlameParams) -> FlameParams:
    """Return parameters that move the skull alike (`skull_motions`) with the neck at rest: the root turns instead.

    In one picture, neck and head are nearly redundant.

    Raises:
        FlameParamsError: the parameters belong to another head model.
    """
    return with_skull_at(model, params, skull_motions(model, params))


def with_skull_at(model: HeadModel, params: FlameParams, motions: Float[Tensor, "num_timesteps 4 4"]) -> FlameParams:
    """Return parameters with the neck at rest whose skull has these rigid motions (the inverse of `skull_motions`).

    With the motions R and t_skull, the translation is ``t_skull + R J_root - J_root``.

    Raises:
        FlameParamsError: the parameters belong to another head model.
    """
    root_joint = model.joint_regressor[0] @ identity_vertices(model, params)
    turned = motions[:, :3, :3]
    return replace(
        params,
        rotation=matrix_to_axis_angle(turned),
        neck_pose=torch.zeros_like(params.neck_pose),
        translation=motions[:, :3, 3] + turned @ root_joint - root_joint,
    )
