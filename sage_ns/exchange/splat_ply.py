"""Splats as PLY, with the properties of the original programs of 3D (and 2D) Gaussian splatting.

Properties are `x y z`, `nx ny nz` (zeros), `f_dc_0..2`, `f_rest_0..44` (red's 15 coefficients of degree 1 to 3, then
green's, then blue's; zeros beyond the avatar's degree, because the original programs require degree 3), `opacity`
(logit), `scale_0..` (logarithms), `rot_0..3` (wxyz). 2DGS has no `scale_2`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from sage_ns.exchange.ply import write_ply
from sage_ns.exchange.splats import Splats
from sage_ns.geometry.spherical_harmonics import NUM_COEFFICIENTS


def write_splat_ply(
    path: Path, splats: Splats, log_scales: Float[Tensor, "num_splats num_scales"], comments: Sequence[str] = ()
) -> None:
    """Write splats with the given scales: two for discs, or three for ellipsoids.

    The axes are not changed. SuperSplat and other programs expect a PLY's y axis to point down; for them, write
    `Splats.upside_down`.
    """
    properties = splat_properties(splats.means, splats.quaternions, log_scales, splats.opacity_logits, splats.sh)
    write_ply(path, properties, comments)


def splat_properties(
    means: Float[Tensor, "num_splats 3"],
    quaternions: Float[Tensor, "num_splats 4"],
    log_scales: Float[Tensor, "num_splats num_scales"],
    opacity_logits: Float[Tensor, "num_splats"],
    sh: Float[Tensor, "num_splats num_coefficients 3"],
) -> dict[str, Float32[np.ndarray, "num_splats"]]:
    """Return the properties of splats in the order of 3D Gaussian splatting's files."""
    rest = F.pad(sh, (0, 0, 0, NUM_COEFFICIENTS[-1] - sh.shape[1]))[:, 1:]
    groups = {
        "x y z": means,
        "nx ny nz": means.new_zeros(means.shape),
        "f_dc": sh[:, 0],
        "f_rest": rest.transpose(1, 2).flatten(1),
        "opacity": opacity_logits[:, None],
        "scale": log_scales,
        "rot": quaternions,
    }
    properties = {}
    for group, values in groups.items():
        names = group.split()
        if len(names) != values.shape[1]:
            names = [f"{group}_{index}" for index in range(values.shape[1])]
        properties.update(zip(names, values.detach().float().cpu().numpy().T, strict=True))
    return properties
