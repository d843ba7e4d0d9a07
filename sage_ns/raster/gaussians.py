"""3D Gaussians: projection to ellipses in the picture (EWA splatting), and drawing them on the CPU as discs.

A 3D Gaussian is drawn as 3DGS does (Kerbl et al. 2023, after Zwicker et al. 2001): its covariance V is projected by the
Jacobian J of the perspective map at its centre, V' = J R V R^T J^T + 0.3 I, and its opacity at a pixel is
o exp(-d^T V'^-1 d / 2), d = the pixel's offset from the projected centre.

On the CPU no kernels of its own are needed. A disc in a plane parallel to the picture is drawn without distortion: its
opacity is a Gaussian of the pixel's offset. So each Gaussian is replaced by the disc at its depth whose axes and scales
are those of V', and the kernels for discs draw exactly the same picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sage_ns.geometry.rotations import matrix_to_quaternion, quaternion_multiply, quaternion_to_matrix
from sage_ns.raster.constants import GAUSSIAN_LOW_PASS, NEAR_PLANE
from sage_ns.raster.types import Buffers, Footprints, PinholeCamera, Surfels

THICKNESS = 0.01
"""Third scale of a disc as a 3D Gaussian, relative to the smaller of its two scales.

Seen edge-on, a surfel of 2 mm is then 0.02 mm wide, less than a tenth of a pixel in any picture of a whole head: the
ellipsoid looks like a disc. Much thinner ellipsoids would look the same, but the smallest eigenvalue of their
covariance, which is the square of the scale, would be lost in the rounding of single precision.
"""
_BEYOND = 0.3
"""Share of the half picture beyond its border up to which a Gaussian's own direction gives the Jacobian (as 3DGS)."""
_NO_LOW_PASS = 1e3
"""Low-pass factor of the kernels for discs that has no effect: discs of 0.03 pixels."""
_ROUND = 1e-4
"""Relative difference of two variances under which an ellipse counts as a circle: its axes then have no direction."""


@dataclass(frozen=True)
class ProjectedGaussians:
    """3D Gaussians as ellipses in a picture.

    Attributes:
        pixels: projected centres.
        depths: depths of the centres along the camera's axis, metres.
        covariances: xx, xy and yy of V', square pixels, low-pass filter included.
        visible: see `Footprints`.
    """

    pixels: Float[Tensor, "num_gaussians 2"]
    depths: Float[Tensor, " num_gaussians"]
    covariances: Float[Tensor, "num_gaussians 3"]
    visible: Bool[Tensor, " num_gaussians"]

    @property
    def footprints(self) -> Footprints:
        """What `Buffers` keeps of the projection."""
        return Footprints(self.pixels, self.visible)


def project_gaussians(gaussians: Surfels, camera: PinholeCamera) -> ProjectedGaussians:
    """Project 3D Gaussians. Those behind the near plane are moved to 1 m before the camera, to keep values finite."""
    R_camera_world = camera.T_camera_world[:3, :3]
    means = gaussians.means @ R_camera_world.T + camera.T_camera_world[:3, 3]
    in_front = means[:, 2] > NEAR_PLANE
    means = torch.where(in_front[:, None], means, torch.tensor([0.0, 0.0, 1.0]).to(means))
    focal = torch.stack((camera.intrinsics[0, 0], camera.intrinsics[1, 1]))
    principal = torch.stack((camera.intrinsics[0, 2], camera.intrinsics[1, 2]))
    size = torch.tensor([camera.width, camera.height], device=means.device).to(means)

    depths = means[:, 2]
    ratio = means[:, :2] / depths[:, None]
    # Far outside the picture the linear map is no longer a good approximation.
    room = _BEYOND * 0.5 * size / focal
    bounded = torch.minimum(torch.maximum(ratio, -principal / focal - room), (size - principal) / focal + room)
    axes = R_camera_world @ quaternion_to_matrix(gaussians.quaternions) * gaussians.scales[:, None]
    spread = (focal / depths[:, None])[..., None] * (axes[:, :2] - bounded[..., None] * axes[:, 2:])
    x, y = spread.unbind(1)
    variances = torch.stack(((x * x).sum(-1), (x * y).sum(-1), (y * y).sum(-1)), -1)
    covariances = variances + GAUSSIAN_LOW_PASS * variances.new_tensor([1.0, 0.0, 1.0])

    pixels = focal * ratio + principal
    with torch.no_grad():
        reach = 3.0 * covariances[:, ::2].sqrt()
        inside = ((pixels + reach > 0) & (pixels - reach < size)).all(dim=-1)
    return ProjectedGaussians(pixels, depths, covariances, in_front & inside)


def rasterize_gaussians_numba(gaussians: Surfels, camera: PinholeCamera) -> Buffers:
    """Draw float32 3D Gaussians on the CPU, see `rasterize`."""
    from sage_ns.raster.numba_backend import rasterize_numba

    camera = camera.to("cpu", torch.float32)
    projected = project_gaussians(gaussians, camera)
    # The ellipses hold the low-pass filter already.
    drawn = rasterize_numba(facing_discs(gaussians, projected, camera), replace(camera, low_pass=_NO_LOW_PASS))
    return without_surface(drawn, projected)


def facing_discs(gaussians: Surfels, projected: ProjectedGaussians, camera: PinholeCamera) -> Surfels:
    """Return discs parallel to the picture that look as the 3D Gaussians do.

    With the covariance ((a, b), (b, c)) of the ellipse in units of the plane at depth 1, the disc's variances are
    (a + c) / 2 +- r with r^2 = ((a - c) / 2)^2 + b^2, and the angle t of its first axis has tan 2t = 2 b / (a - c).
    """
    focal = torch.stack((camera.intrinsics[0, 0], camera.intrinsics[1, 1]))
    principal = torch.stack((camera.intrinsics[0, 2], camera.intrinsics[1, 2]))
    depths = projected.depths[:, None]
    a, b, c = (projected.covariances / torch.stack((focal[0] ** 2, focal[0] * focal[1], focal[1] ** 2))).unbind(-1)
    mean, half = (a + c) / 2, (a - c) / 2
    squared = half * half + b * b
    least = (_ROUND * mean.detach()) ** 2
    is_ellipse = squared > least
    radius = torch.where(is_ellipse, squared, least).sqrt()
    variances = torch.stack((mean + radius, mean - radius), -1).clamp_min(1e-12)
    twice = torch.atan2(torch.where(is_ellipse, b, 0.0), torch.where(is_ellipse, half, 1.0))
    zero = torch.zeros_like(twice)
    turn = torch.stack(((twice / 4).cos(), zero, zero, (twice / 4).sin()), -1)

    R_camera_world = camera.T_camera_world[:3, :3]
    at_depth = torch.cat(((projected.pixels - principal) / focal * depths, depths), -1)
    return Surfels(
        means=(at_depth - camera.T_camera_world[:3, 3]) @ R_camera_world,
        quaternions=quaternion_multiply(matrix_to_quaternion(R_camera_world.T), turn),
        scales=variances.sqrt() * depths,
        opacities=torch.where(projected.visible, gaussians.opacities, 0.0),
        colors=gaussians.colors,
    )


def without_surface(drawn: Buffers, projected: ProjectedGaussians) -> Buffers:
    """Return the buffers of Gaussians, which have no surface: normals are those of the depth map; no distortion."""
    return replace(
        drawn,
        normal=drawn.alpha * drawn.normal_from_depth,
        distortion=torch.zeros_like(drawn.alpha),
        footprints=projected.footprints,
    )


def as_gaussians(surfels: Surfels) -> Surfels:
    """Return discs as 3D Gaussians with a thin third axis (`THICKNESS`); 3D Gaussians as they are."""
    if not surfels.are_flat:
        return surfels
    thin = THICKNESS * surfels.scales.amin(dim=-1, keepdim=True)
    return replace(surfels, scales=torch.cat((surfels.scales, thin), dim=-1))
