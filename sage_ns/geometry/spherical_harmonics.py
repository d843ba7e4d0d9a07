"""View-dependent colour as real spherical harmonics (the convention of 3D Gaussian splatting)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.system.parallel import even_bounds, run_chunks

# Normalisation of the real harmonics, with 3DGS' (Condon-Shortley) signs.
C0 = 0.28209479177387814
C1 = 0.4886025119029199
C2 = (1.0925484305920792, -1.0925484305920792, 0.31539156525252005, -1.0925484305920792, 0.5462742152960396)
C3 = (
    -0.5900435899266435,
    2.890611442640554,
    -0.4570457994644658,
    0.3731763325901154,
    -0.4570457994644658,
    1.445305721320277,
    -0.5900435899266435,
)
NUM_COEFFICIENTS = (1, 4, 9, 16)


def sh_colors(
    coefficients: Float[Tensor, "num_points num_coefficients 3"],
    means: Float[Tensor, "num_points 3"],
    camera_center: Float[Tensor, " 3"],
    higher: Float[Tensor, "num_points num_higher 3"] | None = None,
) -> Float[Tensor, "num_points 3"]:
    """Compute colours of points seen from a camera: harmonics of the direction camera -> point, + 0.5, not below 0.

    Args:
        coefficients: 1, 4, 9 or 16 per channel (degree 0 to 3).
        means: points in metres.
        camera_center: metres, in the same frame; gradients reach it only through the slower torch path.
        higher: further coefficients, if the higher degrees are stored in a tensor of their own; avoids a copy.

    Raises:
        ValueError: the number of coefficients is not one of these, or the numbers of points differ.
    """
    if higher is None:
        higher = coefficients[:, :0]
    num = coefficients.shape[1] + higher.shape[1]
    if num not in NUM_COEFFICIENTS:
        raise ValueError(f"sh_colors: found {num} coefficients per channel, expected one of {NUM_COEFFICIENTS}")
    if not len(coefficients) == len(higher) == len(means):
        rows = f"{len(coefficients)} and {len(higher)} rows of coefficients"
        raise ValueError(f"sh_colors: found {len(means)} points with {rows}, expected equal numbers")
    fused = all(t.device.type == "cpu" and t.dtype == torch.float32 for t in (coefficients, higher, means))
    if fused and not camera_center.requires_grad:
        return _FusedColors.apply(coefficients, higher, means, camera_center)
    return sh_colors_torch(torch.cat((coefficients, higher), dim=1), means, camera_center)


def sh_colors_torch(
    coefficients: Float[Tensor, "num_points num_coefficients 3"],
    means: Float[Tensor, "num_points 3"],
    camera_center: Float[Tensor, " 3"],
) -> Float[Tensor, "num_points 3"]:
    """Compute `sh_colors` in plain torch, its reference definition, for any floating-point type and device."""
    direction = torch.nn.functional.normalize(means - camera_center.to(means), dim=-1)
    basis = sh_basis(direction, coefficients.shape[1])
    return ((basis[..., None] * coefficients).sum(dim=1) + 0.5).clamp(min=0.0)


def scaled_harmonics(
    coefficients: Float[Tensor, "num_points num_coefficients 3"], factor: Float[Tensor, "num_points channels"]
) -> Float[Tensor, "num_points num_coefficients 3"]:
    """Return the coefficients of ``factor`` times the colour: of the harmonics' sum, and of the 0.5 that is added."""
    scaled = coefficients * factor[:, None]
    scaled[:, 0] += (factor - 1) * 0.5 / C0
    return scaled


def sh_basis(
    direction: Float[Tensor, "num_points 3"], num_coefficients: int
) -> Float[Tensor, "num_points num_coefficients"]:
    """Return the values of the first 1, 4, 9 or 16 harmonics in unit directions."""
    x, y, z = direction.unbind(-1)
    values = [torch.full_like(x, C0)]
    if num_coefficients > 1:
        values += [-C1 * y, C1 * z, -C1 * x]
    if num_coefficients > 4:
        xx, yy, zz = x * x, y * y, z * z
        values += [
            C2[0] * x * y,
            C2[1] * y * z,
            C2[2] * (2 * zz - xx - yy),
            C2[3] * x * z,
            C2[4] * (xx - yy),
        ]
        if num_coefficients > 9:
            values += [
                C3[0] * y * (3 * xx - yy),
                C3[1] * x * y * z,
                C3[2] * y * (4 * zz - xx - yy),
                C3[3] * z * (2 * zz - 3 * xx - 3 * yy),
                C3[4] * x * (4 * zz - xx - yy),
                C3[5] * z * (xx - yy),
                C3[6] * x * (xx - 3 * yy),
            ]
    return torch.stack(values, dim=-1)


class _FusedColors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, coefficients: Tensor, higher: Tensor, means: Tensor, camera_center: Tensor) -> Tensor:
        from sage_ns.geometry._numba_spherical_harmonics import colors

        center = camera_center.detach().to("cpu", torch.float32).contiguous()
        inputs = [tensor.detach().contiguous().numpy() for tensor in (coefficients, higher, means)]
        result = np.empty((len(means), 3), np.float32)
        run_chunks(colors, even_bounds(len(means), 4096), *inputs, center.numpy(), result)
        ctx.inputs, ctx.center, ctx.result = inputs, center.numpy(), result
        return torch.from_numpy(result)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        from sage_ns.geometry._numba_spherical_harmonics import colors_backward

        results = [torch.empty(array.shape) for array in ctx.inputs]
        run_chunks(
            colors_backward,
            even_bounds(len(ctx.result), 4096),
            *ctx.inputs,
            ctx.center,
            ctx.result,
            gradients[0].contiguous().numpy(),
            *(result.numpy() for result in results),
        )
        return (*results, None)
