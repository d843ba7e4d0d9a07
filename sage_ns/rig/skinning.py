"""Posing the head: blendshapes, then linear blend skinning."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.rig.flame_params import FlameParams
from sage_ns.rig.head_model import HeadModel


def pose_vertices(model: HeadModel, params: FlameParams) -> Float[Tensor, "num_timesteps num_vertices 3"]:
    """Compute world positions (metres) of the mesh's vertices at every timestep.

    The steps, in FLAME's order: template + identity + static offset + expression; regression of the joints from that
    mesh; pose correctives; blending of the joint rotations per vertex (the global rotation turns about the root joint,
    not about the origin); translation.

    Args:
        model: The head model.
        params: Its parameters; gradients reach all of them.

    Raises:
        FlameParamsError: The parameters belong to another head model.
    """
    vertices, _ = _skin(model, params)
    return vertices


def joints(model: HeadModel, params: FlameParams) -> Float[Tensor, "num_timesteps 5 3"]:
    """Compute world positions (metres) of root, neck, jaw, left eye and right eye at every timestep.

    Raises:
        FlameParamsError: The parameters belong to another head model.
    """
    _, positions = _skin(model, params)
    return positions


def identity_vertices(model: HeadModel, params: FlameParams) -> Float[Tensor, "num_vertices 3"]:
    """Return the person's neutral, unposed head (metres): template + identity + static offset.

    Raises:
        FlameParamsError: The parameters belong to another head model.
    """
    params = params.check_fits(model)
    vertices = model.v_template + model.shape_basis @ params.shape
    return vertices if params.static_offset is None else vertices + params.static_offset


def _skin(model: HeadModel, params: FlameParams) -> tuple[Tensor, Tensor]:
    from smplx.lbs import lbs

    # smplx annotates with a tensor type of its own
    skin = cast(Callable[..., tuple[Tensor, Tensor]], lbs)
    params = params.check_fits(model)
    joint_poses = [params.rotation, params.neck_pose, params.jaw_pose, params.eyes_pose[:, :3], params.eyes_pose[:, 3:]]
    vertices, positions = skin(
        betas=params.expr,
        pose=axis_angle_to_matrix(torch.stack(joint_poses, dim=1)),
        v_template=identity_vertices(model, params),
        shapedirs=model.expression_basis,
        posedirs=model.pose_basis,
        J_regressor=model.joint_regressor,
        parents=model.parents,
        lbs_weights=model.skinning_weights,
        pose2rot=False,  # smplx's own conversion is inexact near zero angles
    )
    translation = params.translation[:, None]
    return vertices + translation, positions + translation
