"""Inputs of the rasteriser (surfels, a camera) and its outputs (buffers)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sage_ns.errors import RasterError
from sage_ns.raster.constants import LOW_PASS

Distortion = Literal["centre", "hit"]
"""Depths that the distortion compares: those of the surfels' centres, or those of the ray's hits; see `Buffers`."""


@dataclass(frozen=True)
class Surfels:
    """2D Gaussian discs in world space, ready to draw; with three scales, 3D Gaussians.

    Attributes:
        means: centres in metres.
        quaternions: wxyz, surfel to world; its axes are the two tangents and the normal. The
            rasteriser normalises them.
        scales: standard deviations in metres, > 0: two along the tangents of discs, or three along the axes of 3D
            Gaussians.
        opacities: peak opacity, 0..1.
        colors: RGB, usually 0..1.
    """

    means: Float[Tensor, "num_surfels 3"]
    quaternions: Float[Tensor, "num_surfels 4"]
    scales: Float[Tensor, "num_surfels num_axes"]
    opacities: Float[Tensor, " num_surfels"]
    colors: Float[Tensor, "num_surfels 3"]

    def __len__(self) -> int:
        return self.means.shape[0]

    @property
    def are_flat(self) -> bool:
        """Whether these are discs, not 3D Gaussians."""
        return self.scales.shape[1] == 2

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Surfels:
        """Return the same surfels on another device or in another floating-point type."""
        return Surfels(*(getattr(self, field.name).to(device=device, dtype=dtype) for field in fields(self)))

    def check(self) -> None:
        """Raise RasterError unless shapes, types and devices agree."""
        num = self.means.shape[0]
        axes = 3 if self.scales.ndim == 2 and self.scales.shape[1] == 3 else 2
        for field in fields(self):
            tensor = getattr(self, field.name)
            expected = {"quaternions": (num, 4), "scales": (num, axes), "opacities": (num,)}.get(field.name, (num, 3))
            if tuple(tensor.shape) != expected:
                raise RasterError(f"Surfels.{field.name} has shape {tuple(tensor.shape)}, expected {expected}")
            if tensor.dtype != self.means.dtype or not tensor.is_floating_point():
                raise RasterError(
                    f"Surfels.{field.name} is {tensor.dtype} where means are {self.means.dtype}: "
                    "give all five in one floating-point type"
                )
            if tensor.device != self.means.device:
                raise RasterError(f"Surfels.{field.name} is on {tensor.device}, means are on {self.means.device}")


@dataclass(frozen=True)
class PinholeCamera:
    """A pinhole camera in OpenCV's convention: x right, y down, z forward; pixel centres at +0.5.

    Attributes:
        T_camera_world: world to camera, metres.
        intrinsics: ((fx, 0, cx), (0, fy, cy), (0, 0, 1)) in pixels. Skew is not supported.
        width: image width in pixels.
        height: image height in pixels.
        low_pass: surfels are never drawn smaller than a disc of squared Mahalanobis distance low_pass * |dx|^2, in
            pixels (CUDA ignores this and uses gsplat's value).
    """

    T_camera_world: Float[Tensor, "4 4"]
    intrinsics: Float[Tensor, "3 3"]
    width: int
    height: int
    low_pass: float = LOW_PASS

    def __post_init__(self) -> None:
        if tuple(self.T_camera_world.shape) != (4, 4):
            raise RasterError(f"T_camera_world has shape {tuple(self.T_camera_world.shape)}, expected (4, 4)")
        if tuple(self.intrinsics.shape) != (3, 3):
            raise RasterError(f"intrinsics have shape {tuple(self.intrinsics.shape)}, expected (3, 3)")
        if self.width < 1 or self.height < 1:
            raise RasterError(f"the image is {self.width} x {self.height} pixels; both must be at least 1")
        if not self.low_pass > 0:
            raise RasterError(f"low_pass is {self.low_pass}; it must be above 0")

    @classmethod
    def from_opengl(
        cls,
        camera_to_world: Float[Tensor, "rows 4"],
        fx: float | Tensor,
        fy: float | Tensor,
        cx: float | Tensor,
        cy: float | Tensor,
        width: int,
        height: int,
    ) -> PinholeCamera:
        """Create a camera from nerfstudio's OpenGL pose (x right, y up, z back), [3, 4] or [4, 4], metres and pixels.

        No other function converts camera axes.
        """
        if tuple(camera_to_world.shape) not in ((3, 4), (4, 4)):
            raise RasterError(f"camera_to_world has shape {tuple(camera_to_world.shape)}, expected (3, 4) or (4, 4)")
        # OpenCV's y and z axes point against OpenGL's; the inverse of a rigid motion needs no solve.
        R_world_camera = camera_to_world[:3, :3] * camera_to_world.new_tensor([1.0, -1.0, -1.0])
        T_camera_world = torch.eye(4, dtype=camera_to_world.dtype, device=camera_to_world.device)
        T_camera_world[:3, :3] = R_world_camera.T
        T_camera_world[:3, 3] = -R_world_camera.T @ camera_to_world[:3, 3]
        intrinsics = torch.eye(3, dtype=camera_to_world.dtype, device=camera_to_world.device)
        for row, column, value in ((0, 0, fx), (1, 1, fy), (0, 2, cx), (1, 2, cy)):
            intrinsics[row, column] = value.reshape(()) if isinstance(value, Tensor) else value
        return cls(T_camera_world, intrinsics, int(width), int(height))

    @property
    def center(self) -> Float[Tensor, " 3"]:
        """Optical centre in world space, metres."""
        return -self.T_camera_world[:3, :3].T @ self.T_camera_world[:3, 3]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> PinholeCamera:
        """Return the same camera on another device or in another floating-point type."""
        return replace(
            self,
            T_camera_world=self.T_camera_world.to(device=device, dtype=dtype),
            intrinsics=self.intrinsics.to(device=device, dtype=dtype),
        )


@dataclass(frozen=True)
class Footprints:
    """Where 3D Gaussians fall in a picture; densification reads it.

    Attributes:
        pixels: projected centres. A node of the graph: a hook on it receives the gradient of a loss with respect to the
            projected centres, where sizes and colours are constants. Backends may add leading dimensions of 1.
        visible: in front of the camera, and three standard deviations of it reach into the picture.
    """

    pixels: Float[Tensor, "*picture num_gaussians 2"]
    visible: Bool[Tensor, " num_gaussians"]


@dataclass(frozen=True)
class Buffers:
    """Outputs of the rasteriser; all are zero at pixels where no surfel is drawn.

    Attributes:
        color: RGB, premultiplied by alpha (no background).
        alpha: accumulated opacity, 0..1.
        depth: depth of the ray's hits along the camera's z axis, metres: the weighted harmonic mean over the surfels,
            alpha / sum_i w_i (1 / z_i). Exact on a plane.
        depth_median: centre depth of the surfel at which half of the light is used up, metres. No gradient.
        normal: weighted sum of surfel normals in world space, each turned towards the camera; its length is <= alpha.
        normal_from_depth: unit normal of the `depth` map in world space, towards the camera; zero at the border and
            beside pixels without depth.
        distortion: sum_ij w_i w_j |z_i - z_j| over centre depths, metres (Eq. 2); on request
            sum_ij w_i w_j (z_i - z_j)^2 / 1 cm over the depths of the hits, see `sage_ns.raster.hit_distortion`.
        footprints: where 3D Gaussians fall; None for discs.

    3D Gaussians have no surface: their depths are those of their centres, both maps of normals are those of the depth
    map, and the distortion is 0.
    """

    color: Float[Tensor, "height width 3"]
    alpha: Float[Tensor, "height width 1"]
    depth: Float[Tensor, "height width 1"]
    depth_median: Float[Tensor, "height width 1"]
    normal: Float[Tensor, "height width 3"]
    normal_from_depth: Float[Tensor, "height width 3"]
    distortion: Float[Tensor, "height width 1"]
    footprints: Footprints | None = None

    def composite(self, background: Float[Tensor, " 3"]) -> Float[Tensor, "height width 3"]:
        """Return the image over a background colour: color + (1 - alpha) * background."""
        return self.color + (1.0 - self.alpha) * background.to(self.color)
