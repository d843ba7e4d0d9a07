"""GaussianAvatars' files (Qian et al. 2024): a PLY of splats in the frames of FLAME's triangles, and `flame_param.npz`.

GaussianAvatars uses the same triangle frame as this package, and local values need no conversion. In addition to the
properties of other splat files (`splat_ply`), `binding_0` is the triangle of each splat, as a float; lengths are in
triangle scales. GaussianAvatars poses splats without surfel correction.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sage_ns.exchange.ply import SplatFileError, write_ply
from sage_ns.exchange.splat_ply import splat_properties
from sage_ns.exchange.splats import with_thickness
from sage_ns.rig import FlameParams, HeadModel

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar

POINT_CLOUD, FLAME_PARAM = "point_cloud.ply", "flame_param.npz"
"""File names; GaussianAvatars' programs look for the second file beside the first."""
_FLAME_NUM_VERTICES, _TEETH_NUM_VERTICES = 5023, 120
"""Vertices in FLAME's file, and in the teeth that GaussianAvatars appends to it."""
_NUM_EXPRESSION = 100
"""Number of expression coefficients that GaussianAvatars' programs always use."""
_RIG_TENSORS = ("triangles", "expression_basis", "pose_basis", "joint_regressor", "skinning_weights", "parents")


def save_gaussian_avatar(
    avatar: Avatar,
    head_model: HeadModel,
    motion: Float[Tensor, "num_timesteps num_coefficients"],
    folder: Path,
) -> None:
    """Write `point_cloud.ply` and `flame_param.npz`.

    The mouth's surfels belong to no triangle of FLAME and are left out. Timestep 0 of the parameters is the canonical
    moment; ``motion`` follows.

    Args:
        head_model: head model that the avatar's rig was made from; see `check_origin`.
        folder: folder to write into.
    """
    surfels = avatar.lit_surfels()
    properties = splat_properties(
        surfels.means,
        surfels.quaternions,
        with_thickness(surfels.log_scales),
        surfels.opacity_logits,
        torch.cat([surfels.sh_dc, surfels.sh_rest], dim=1),
    )
    binding = surfels.triangle.cpu().float().numpy()
    params = gaussian_avatars_params(avatar, head_model, motion)
    params.save_gaussian_avatars(folder / FLAME_PARAM)
    write_ply(folder / POINT_CLOUD, {**properties, "binding_0": binding})


def gaussian_avatars_params(
    avatar: Avatar, head_model: HeadModel, motion: Float[Tensor, "num_timesteps num_coefficients"]
) -> FlameParams:
    """Return the canonical moment and ``motion`` on ``head_model``, with the avatar's identity as a static offset.

    GaussianAvatars adds the offset before it regresses joints. A shape of zeros, with the avatar's template minus the
    head model's template as the offset, therefore gives the avatar's own posed vertices. For FLAME without teeth the
    offset of the teeth is zero, because GaussianAvatars appends the teeth before it adds the offset.

    Raises:
        SplatFileError: the avatar's rig was made from another head model.
    """
    check_origin(avatar.rig.head_model, head_model)
    offset = avatar.rig.head_model.v_template.cpu() - head_model.v_template.cpu()
    if len(offset) == _FLAME_NUM_VERTICES:
        offset = F.pad(offset, (0, 0, 0, _TEETH_NUM_VERTICES))
    rows = torch.cat([avatar.motion.canonical()[None], motion]).cpu()
    params = FlameParams.from_motion_vector(rows)
    return replace(
        params,
        expr=F.pad(params.expr, (0, max(_NUM_EXPRESSION - params.expr.shape[1], 0))),
        shape=torch.zeros(head_model.num_shape),
        static_offset=offset,
    )


def check_origin(personal: HeadModel, head_model: HeadModel) -> None:
    """Check that a personal head model differs from ``head_model`` in the identity only.

    Raises:
        SplatFileError: other tensors differ; names one of them.
    """
    for name in _RIG_TENSORS:
        own, given = getattr(personal, name).cpu(), getattr(head_model, name).cpu()
        if own.shape != given.shape or not torch.equal(own, given):
            raise SplatFileError(
                f"head model '{head_model.name}': '{name}' is not that of '{personal.name}', which the avatar was made "
                "with. Give that file as --head-model."
            )
