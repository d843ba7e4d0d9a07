"""Draw surfels with the backend that fits their tensors."""

from __future__ import annotations

from typing import Literal

import torch

from sage_ns.errors import RasterError
from sage_ns.raster.types import Buffers, Distortion, PinholeCamera, Surfels

Backend = Literal["auto", "reference", "numba", "gsplat"]


def rasterize(
    surfels: Surfels, camera: PinholeCamera, backend: Backend = "auto", distortion: Distortion = "centre"
) -> Buffers:
    """Draw surfels, or 3D Gaussians if they have three scales, into a pinhole camera.

    Differentiable in all five tensors of the surfels; the camera is a constant (only "reference" differentiates it).

    Args:
        surfels: what to draw, in world space.
        camera: moved to the surfels' device if it is on another one.
        backend: "auto" takes "gsplat" for CUDA tensors, "numba" for float32 on the CPU and "reference" otherwise.
        distortion: depths that the buffer of this name compares, see `Buffers`.

    Raises:
        RasterError: shapes, types or devices do not fit together, or the backend cannot draw them.
    """
    surfels.check()
    device, dtype = surfels.means.device, surfels.means.dtype
    if backend == "auto":
        if device.type == "cuda":
            backend = "gsplat"
        else:
            backend = "numba" if device.type == "cpu" and dtype == torch.float32 else "reference"
    if backend == "reference":
        from sage_ns.raster.gaussian_reference import rasterize_gaussians_reference
        from sage_ns.raster.reference import rasterize_reference

        if not surfels.are_flat:
            return rasterize_gaussians_reference(surfels, camera)
        return rasterize_reference(surfels, camera, distortion)
    required = {"numba": "cpu", "gsplat": "cuda"}.get(backend)
    if required is None:
        raise RasterError(f"unknown backend {backend!r}: choose auto, reference, numba or gsplat")
    if device.type != required or dtype != torch.float32:
        raise RasterError(
            f"backend {backend!r} draws float32 tensors on {required}, got {dtype} on {device}: "
            'use backend="auto", or move the surfels'
        )
    if camera.T_camera_world.requires_grad or camera.intrinsics.requires_grad:
        raise RasterError(f'backend {backend!r} gives no gradient to the camera: detach it or use backend="reference"')
    if backend == "numba":
        from sage_ns.raster.gaussians import rasterize_gaussians_numba
        from sage_ns.raster.numba_backend import rasterize_numba

        if not surfels.are_flat:
            return rasterize_gaussians_numba(surfels, camera)
        return rasterize_numba(surfels, camera, distortion)
    from sage_ns.raster.gsplat_backend import rasterize_gsplat
    from sage_ns.raster.gsplat_gaussians import rasterize_gaussians_gsplat

    if not surfels.are_flat:
        return rasterize_gaussians_gsplat(surfels, camera)
    return rasterize_gsplat(surfels, camera, distortion)
