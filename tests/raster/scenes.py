"""Scenes and comparisons shared by the rasteriser's tests."""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor

from sage_ns.raster import Buffers, PinholeCamera, Surfels, rasterize
from sage_ns.raster.types import Distortion

INPUTS = tuple(field.name for field in fields(Surfels))
OUTPUTS = tuple(field.name for field in fields(Buffers) if field.name != "footprints")
DIFFERENTIABLE = tuple(name for name in OUTPUTS if name != "depth_median")


def turned_camera(width: int = 37, height: int = 29, focal: float = 40.0) -> PinholeCamera:
    """A camera in general position, 1.2 m from the origin, looking roughly at it."""
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64))[0]
    rotation = rotation * torch.linalg.det(rotation)
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = rotation
    pose[:3, 3] = torch.tensor([0.02, -0.03, 1.2])
    matrix = torch.tensor([[focal, 0, 0.48 * width], [0, 1.1 * focal, 0.53 * height], [0, 0, 1]])
    return PinholeCamera(pose, matrix.double(), width, height)


def cloud(
    num: int,
    seed: int = 0,
    scales: tuple[float, float] = (0.01, 0.1),
    opacities: tuple[float, float] = (0.05, 0.95),
    extent: float = 0.5,
) -> Surfels:
    """Random surfels in a cube around the origin, float64."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    return Surfels(
        means=(2 * uniform(num, 3) - 1) * extent,
        quaternions=torch.randn(num, 4, generator=generator, dtype=torch.float64),
        scales=scales[0] + (scales[1] - scales[0]) * uniform(num, 2),
        opacities=opacities[0] + (opacities[1] - opacities[0]) * uniform(num),
        colors=uniform(num, 3),
    )


def cotangents(camera: PinholeCamera, names: tuple[str, ...] = DIFFERENTIABLE) -> dict[str, Tensor]:
    """Random gradients of a loss to the named buffers."""
    generator = torch.Generator().manual_seed(11)
    channels = {name: 3 if name in ("color", "normal", "normal_from_depth") else 1 for name in names}
    return {
        name: torch.randn(camera.height, camera.width, channel, generator=generator, dtype=torch.float64)
        for name, channel in channels.items()
    }


def draw_with_gradients(
    surfels: Surfels,
    camera: PinholeCamera,
    backend: str,
    dtype: torch.dtype,
    weights: dict[str, Tensor],
    device: str = "cpu",
    distortion: Distortion = "centre",
) -> tuple[Buffers, dict[str, Tensor]]:
    """Buffers, and gradients of sum(weights * buffers) to the five tensors of the surfels; all on the CPU."""
    moved = surfels.to(device, dtype)
    leaves = Surfels(*(getattr(moved, name).clone().requires_grad_() for name in INPUTS))
    buffers = rasterize(leaves, camera.to(device, dtype), backend, distortion)  # type: ignore[arg-type]
    total = sum((getattr(buffers, name) * weight.to(device, dtype)).sum() for name, weight in weights.items())
    assert isinstance(total, Tensor)
    gradients = torch.autograd.grad(total, [getattr(leaves, name) for name in INPUTS], allow_unused=True)
    filled = [
        g if g is not None else torch.zeros_like(getattr(leaves, n)) for n, g in zip(INPUTS, gradients, strict=True)
    ]
    images = {name: getattr(buffers, name).detach().cpu() for name in OUTPUTS}
    drawn = Buffers(**images, footprints=buffers.footprints)
    return drawn, {name: gradient.cpu() for name, gradient in zip(INPUTS, filled, strict=True)}


def relative_error(found: Tensor, expected: Tensor) -> float:
    """|found - expected| / |expected| in the 2-norm; absolute where nothing is expected."""
    size = float(expected.double().norm())
    return float((found.double() - expected.double()).norm()) / (size if size > 0 else 1.0)
