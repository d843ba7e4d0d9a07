"""Stretch and curvature of a surface around a point, and their effect on a disc in its tangent plane.

Symmetric 2x2 matrices are three numbers (m00, m01, m11) in the basis of two tangents. A positive angle turns the first
tangent towards the second.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.geometry.triangles import TriangleFrames
from sage_ns.geometry.vertex_means import vertex_normals

MAX_STRETCH = 4.0
"""Largest stretch, and inverse of the smallest. Skin stretches by less than 2. Larger values come from collapsed
triangles in the folds of eyelids and the corners of the mouth, and would draw as spikes."""

# ---- symmetric 2x2 matrices ----------------------------------------------------------------------------------------


def principal(symmetric: Float[Tensor, "*batch 3"]) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch"]]:
    """Return eigenvalues of symmetric 2x2 matrices, and the turn from axes to eigenvectors [rad, at most pi / 4].

    The first value belongs to the eigenvector nearer to the first axis. Values and turn then follow the matrix
    continuously as long as no eigenvector is half way between the axes. Equal eigenvalues have turn 0. With
    d = (m00 - m11) / 2: turn = atan2(+-m01, |d|) / 2, values = mean +- sqrt(d^2 + m01^2), + where d >= 0: one Jacobi
    rotation. A single one of two equal eigenvalues has no derivative, but their mean has: both get its gradient.
    """
    m00, m01, m11 = symmetric.unbind(-1)
    mean, half = (m00 + m11) / 2, (m00 - m11) / 2
    equal = (half == 0) & (m01 == 0)
    sign = torch.where(half < 0, -1.0, 1.0).to(half)
    radius = torch.where(equal, 0.0, sign * torch.hypot(torch.where(equal, 1.0, half), m01))
    turn = 0.5 * torch.atan2(sign * m01, torch.where(equal, 1.0, half.abs()))
    return torch.stack([mean + radius, mean - radius], dim=-1), torch.where(equal, 0.0, turn)


def from_principal(values: Float[Tensor, "*batch 2"], turn: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3"]:
    """Return the symmetric matrix with these eigenvalues and turn of the eigenvectors [rad]; inverse of `principal`."""
    first, second = values.unbind(-1)
    mean, half = (first + second) / 2, (first - second) / 2
    across = half * (2 * turn).cos()
    return torch.stack([mean + across, half * (2 * turn).sin(), mean - across], dim=-1)


def along_turned_axes(symmetric: Float[Tensor, "*batch 3"], turn: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 2"]:
    """Return x^T m x for each of the two axes x, turned by ``turn`` [rad]."""
    m00, m01, m11 = symmetric.unbind(-1)
    mean = (m00 + m11) / 2
    change = (m00 - m11) / 2 * (2 * turn).cos() + m01 * (2 * turn).sin()
    return torch.stack([mean + change, mean - change], dim=-1)


def in_tangent_plane(
    tensor: Float[Tensor, "*#batch 3 3"], first: Float[Tensor, "*#batch 3"], second: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*#batch 3"]:
    """Return P^T m P of a symmetric tensor m; the columns of P are the two tangents (projection of Eq. 14)."""
    with_first = (tensor * first[..., None, :]).sum(-1)
    with_second = (tensor * second[..., None, :]).sum(-1)
    products = ((first * with_first), (second * with_first), (second * with_second))
    return torch.stack([product.sum(-1) for product in products], dim=-1)


# ---- curvature -----------------------------------------------------------------------------------------------------


def shape_operator(
    offsets: Float[Tensor, "*batch num_neighbours 2"],
    normal_changes: Float[Tensor, "*batch num_neighbours 2"],
    weights: Float[Tensor, "*batch num_neighbours"],
) -> Float[Tensor, "*batch 3"]:
    """Return the symmetric H that minimises sum_j w_j |H dx_j - dn_j|^2 in the tangent plane (Eq. 15); 1 / metres.

    Its eigenvalues are the principal curvatures, positive where the surface bends away from its normal (a sphere with
    outward normals). The minimum is at H B + B H = A + A^T with B = sum w dx dx^T and A = sum w dn dx^T. For 2x2
    matrices the solution is H = (det(B) C + adj(B) C adj(B)) / (2 tr(B) det(B)), C = A + A^T. Zero where the neighbours
    lie on one line.

    Args:
        offsets: dx_j, positions of the neighbours relative to the point [metres].
        normal_changes: dn_j, unit normals of the neighbours minus that of the point.
        weights: w_j, not negative.
    """
    weighted = weights[..., None] * offsets
    spread = weighted.mT @ offsets
    turned = normal_changes.mT @ weighted
    turned = turned + turned.mT
    trace = spread[..., 0, 0] + spread[..., 1, 1]
    determinant = spread[..., 0, 0] * spread[..., 1, 1] - spread[..., 0, 1] ** 2
    adjugate = trace[..., None, None] * torch.eye(2, dtype=spread.dtype, device=spread.device) - spread
    on_line = determinant <= 1e-6 * trace**2
    divisor = torch.where(on_line, 1.0, 2 * trace * determinant)
    solved = (determinant[..., None, None] * turned + adjugate @ turned @ adjugate) / divisor[..., None, None]
    solved = torch.where(on_line[..., None, None], 0.0, solved)
    return torch.stack([solved[..., 0, 0], solved[..., 0, 1], solved[..., 1, 1]], dim=-1)


def triangle_curvatures(
    vertices: Float[Tensor, "num_vertices 3"], triangles: Int[Tensor, "num_triangles 3"], frames: TriangleFrames
) -> Float[Tensor, "num_triangles 3 3"]:
    """Return the shape operator of each triangle from the normals of its corners, in world axes; 1 / metres.

    The least squares of Eq. 15 over the three edges (after Rusinkiewicz 2004). The curvature depends on the mesh alone
    and is therefore computed once per triangle instead of once per surfel.

    Args:
        vertices: metres.
        triangles: of the mesh.
        frames: `triangle_frames` of these.
    """
    following = [1, 2, 0]
    in_plane = frames.rotation[..., [0, 2]]
    corners, normals = vertices[triangles], vertex_normals(vertices, triangles)[triangles]
    offsets = (corners[:, following] - corners) @ in_plane
    changes = (normals[:, following] - normals) @ in_plane
    h00, h01, h11 = shape_operator(offsets, changes, torch.ones_like(offsets[..., 0])).unbind(-1)
    local = torch.stack([h00, h01, h01, h11], dim=-1).unflatten(-1, (2, 2))
    return in_plane @ local @ in_plane.mT


# ---- discs ---------------------------------------------------------------------------------------------------------


def transported_disc(
    squared_stretch: Float[Tensor, "*batch 3"], scales: Float[Tensor, "*batch 2"]
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch"]]:
    """Return factors on a disc's scales, and the turn of its axes [rad], that carry it with its tangent plane.

    The stretch U = S^1/2 maps the Gaussian with covariance D = diag(scales^2) to U D U; its new scales are the roots of
    that matrix's eigenvalues, its new axes the eigenvectors. Each axis is paired with the nearer eigenvector, which
    needs no ranking of the axes and stays well behaved for round discs, whose axes are arbitrary.

    Args:
        squared_stretch: S (Eq. 14), in the basis of the disc's axes.
        scales: standard deviations along the axes; > 0.
    """
    u00, u01, u11 = bounded_root(squared_stretch).unbind(-1)
    # Relative to the larger scale, whose square may be too small for float32.
    first, second = (scales / scales.amax(dim=-1, keepdim=True)).unbind(-1)
    covariance = torch.stack(
        [
            (u00 * first) ** 2 + (u01 * second) ** 2,
            u01 * (u00 * first**2 + u11 * second**2),
            (u01 * first) ** 2 + (u11 * second) ** 2,
        ],
        dim=-1,
    )
    values, turn = principal(covariance)
    # For a needle, the smaller eigenvalue as a difference of two large numbers would have no correct digit.
    area = ((u00 * u11 - u01**2) * first * second).square()
    largest = values.amax(dim=-1)
    values = torch.where(values >= largest[..., None], values, (area / largest)[..., None])
    return values.sqrt() / torch.stack([first, second], dim=-1), turn


def aligned_disc(
    squared_stretch: Float[Tensor, "*batch 3"], scales: Float[Tensor, "*batch 2"]
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch"]]:
    """Return factors on the scales of a disc and turn of its axes [rad] as the paper defines them (Eq. 16-19).

    The longer axis turns towards the larger principal stretch, by the smaller angle, and is multiplied by that stretch;
    the shorter axis is multiplied by the other. Ranking makes the turn jump where the stretches are equal. The turn is
    therefore multiplied by (sigma_1^2 - sigma_2^2) / (sigma_1^2 + sigma_2^2), which is 0 for an isotropic stretch.

    Args:
        squared_stretch: S (Eq. 14), in the basis of the disc's axes.
        scales: standard deviations along the axes; > 0.
    """
    values, turn = principal(squared_stretch)
    values = bounded(values)
    high, low = values.amax(dim=-1), values.amin(dim=-1)
    first_is_longer, first_stretches_more = scales[..., 0] >= scales[..., 1], values[..., 0] >= values[..., 1]
    quarter = torch.pi / 2
    turn = torch.where(
        first_is_longer == first_stretches_more, turn, torch.where(turn > 0, turn - quarter, turn + quarter)
    )
    ranked = torch.where(first_is_longer[..., None], torch.stack([high, low], dim=-1), torch.stack([low, high], dim=-1))
    return ranked.sqrt(), turn * (high - low) / (high + low)


def shortened_by_bending(
    curvature_before: Float[Tensor, "*batch 2"],
    scales_before: Float[Tensor, "*batch 2"],
    curvature_after: Float[Tensor, "*batch 2"],
    scales_after: Float[Tensor, "*batch 2"],
    gamma: float,
) -> Float[Tensor, "*batch 2"]:
    """Return factors (1 + gamma |kappa_0| s_0) / (1 + gamma |kappa| s) that shorten discs where the surface bends.

    The denominator is that of Eq. 16. The numerator is the same expression at the canonical moment, because the disc
    was fitted to a surface that was curved already. Without it, ears and nose would shrink even at rest.

    Args:
        curvature_before, curvature_after: along the disc's axes [1 / metres].
        scales_before, scales_after: of the disc [metres].
        gamma: of Eq. 16.
    """
    return (1 + gamma * curvature_before.abs() * scales_before) / (1 + gamma * curvature_after.abs() * scales_after)


def bounded_tensor(squared_stretch: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Return squared stretches, as symmetric matrices, with eigenvalues clamped by `bounded`.

    Within the bounds the result is the given matrix, which has a gradient also at equal eigenvalues, that is at rest.
    """
    values, turn = principal(squared_stretch)
    held = bounded(values)
    return torch.where((held == values).all(dim=-1, keepdim=True), squared_stretch, from_principal(held, turn))


def bounded_root(squared_stretch: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Return U = S^1/2 = (S + sqrt(det S) 1) / sqrt(tr S + 2 sqrt(det S)) of squared stretches, clamped first."""
    m00, m01, m11 = bounded_tensor(squared_stretch).unbind(-1)
    # Only rounding can bring it below the square of the lower bound.
    area = (m00 * m11 - m01**2).clamp_min(MAX_STRETCH**-4).sqrt()
    return torch.stack([m00 + area, m01, m11 + area], dim=-1) / (m00 + m11 + 2 * area).sqrt()[..., None]


def bounded(squared_stretch: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Clamp squared stretches to 1 / `MAX_STRETCH`^2..`MAX_STRETCH`^2."""
    return squared_stretch.clamp(MAX_STRETCH**-2, MAX_STRETCH**2)
