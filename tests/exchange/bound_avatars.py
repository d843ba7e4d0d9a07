"""Small avatars with random colours, which are fast to write and read."""

from __future__ import annotations

import torch
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.initialise import initialise_surfels
from sage_ns.avatar.interior import interior_triangles
from sage_ns.avatar.look import Look
from sage_ns.avatar.mouth import Mouth, load_mouth_prior
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.motion.source import MotionSource
from sage_ns.raster import PinholeCamera, Surfels, rasterize
from sage_ns.rig import FlameParams, HeadModel
from tests.tiny import tiny_params


def small_avatar(head: HeadModel, sh_degree: int = 1, mouth: bool = False, num_surfels: int = 300) -> Avatar:
    """An avatar with a shape and a static offset, and four moments of which the second is the canonical one."""
    params = tiny_params(head, num_timesteps=4, size=0.1)
    motion = MotionSource(params, torch.tensor([2, 3, 5, 9]), 1)
    rig = PersonalRig(head, params)
    generator = torch.Generator().manual_seed(0)
    vertices = rig.vertices(motion.canonical())
    surfels = initialise_surfels(rig.head_model, vertices, num_surfels, sh_degree, [], 0.08, generator)
    with torch.no_grad():
        surfels.means.add_(0.1 * torch.randn(surfels.means.shape, generator=generator))
        surfels.quaternions.add_(0.3 * torch.randn(surfels.quaternions.shape, generator=generator))
        surfels.log_scales.add_(0.3 * torch.randn(surfels.log_scales.shape, generator=generator))
        surfels.opacity_logits.add_(torch.randn(surfels.opacity_logits.shape, generator=generator))
        surfels.sh_dc.uniform_(-1, 1, generator=generator)
        surfels.sh_rest.uniform_(-0.2, 0.2, generator=generator)
    inside = Mouth(rig.head_model, load_mouth_prior()) if mouth else None
    interior = interior_triangles(rig, motion.canonical(), [])
    return Avatar(rig, surfels, motion, interior, inside, torch.ones(3), Look(supersampling=1, wrinkles=0.5))


def some_motion(head: HeadModel, num_timesteps: int) -> FlameParams:
    """Motion of a driver."""
    return tiny_params(head, num_timesteps, seed=7, size=0.03)


@torch.no_grad()
def picture(surfels: Surfels, camera: PinholeCamera) -> Tensor:
    return rasterize(surfels, camera).composite(torch.ones(3)).clamp(0, 1)


def psnr(first: Tensor, second: Tensor) -> float:
    """PSNR of pictures in 0..1, decibels."""
    return float(-10 * (first - second).square().mean().clamp_min(1e-14).log10())
