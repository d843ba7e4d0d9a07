"""GaussianAvatars' files (Qian et al. 2024): a PLY of splats in the frames of FLAME's triangles, and `flame_param.npz`.

Its triangle frame is this package's, so that local values carry over. Beyond what other splat files have (`splat_ply`),
`binding_0` is the triangle of each splat, as a float; lengths are in triangle scales. Its posing knows no correction.
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
"""Its programs look for the second beside the first."""
_FLAME_NUM_VERTICES, _TEETH_NUM_VERTICES = 5023, 120
"""Of FLAME's file, and of the teeth that GaussianAvatars appends to it."""
_NUM_EXPRESSION = 100
"""Its programs always ask FLAME for so many."""
_RIG_TENSORS = ("triangles", "expression_basis", "pose_basis", "joint_regressor", "skinning_weights", "parents")


def save_gaussian_avatar(
    avatar: Avatar,
    head_model: HeadModel,
    motion: Float[Tensor, "num_timesteps num_coefficients"],
    folder: Path,
) -> None:
    """Write `point_cloud.ply` and `flame_param.npz`.

    The mouth's surfels have no triangle of FLAME and are left out. Timestep 0 of the parameters is the canonical
    moment, then comes ``motion``.

    Args:
        head_model: what the avatar's rig was made from; see `check_origin`.
        folder: to write into.
    """
    surfels = avatar.surfels
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
    """The canonical moment and ``motion`` on ``head_model``, with the avatar's identity as a static offset alone.

    GaussianAvatars adds the offset before it regresses joints. So a shape of zeros, with the folded template minus the
    head model's as the offset, gives the avatar's own posed vertices. FLAME without teeth gets zeros for the teeth,
    since its programs append them before they add the offset.

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
    """Whether a personal head model is ``head_model`` with somebody's identity, and nothing else.

    Raises:
        SplatFileError: it is not; names what differs.
    """
    for name in _RIG_TENSORS:
        own, given = getattr(personal, name).cpu(), getattr(head_model, name).cpu()
        if own.shape != given.shape or not torch.equal(own, given):
            raise SplatFileError(
                f"head model '{head_model.name}': '{name}' is not that of '{personal.name}', which the avatar was made "
                "with. Give --head-model that very file."
            )
