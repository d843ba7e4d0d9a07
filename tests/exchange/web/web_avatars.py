"""Untrained avatars to put on a page: the tiny head, and the built-in one with its mouth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.initialise import initialise_surfels
from sage_ns.avatar.look import Look
from sage_ns.avatar.mouth import Mouth, load_mouth_prior
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.geometry.spherical_harmonics import C0
from sage_ns.motion.source import MotionSource
from sage_ns.rig import NUM_POSE, FlameParams
from sage_ns.synthetic.head import builtin_head
from tests.tiny import tiny_head_model, tiny_params

NUM_SURFELS = 4000


def tiny_avatar() -> Avatar:
    """Pose correctives, joints that expressions move, triangles without eyes or mouth; 3 rows of motion."""
    model = tiny_head_model()
    params = tiny_params(model)
    return _avatar(PersonalRig(model, params), params, 200, Look(mouth=False))


def builtin_avatar() -> Avatar:
    """The built-in head, coloured by where its surfels face; a motion of a turning head that opens its mouth."""
    model = builtin_head()
    wave = torch.sin(torch.linspace(0, 6, 12))[:, None]
    still = FlameParams.neutral(model)
    params = FlameParams.from_motion_vector(still.motion_vector() * torch.ones(12, 1))
    params = replace(params, neck_pose=wave * torch.tensor([0.0, 0.3, 0.0]), jaw_pose=wave.abs() * torch.eye(3)[:1] / 4)
    avatar = _avatar(PersonalRig(model, still), params, NUM_SURFELS, Look())
    head_model = avatar.rig.head_model
    avatar.mouth = Mouth(head_model, load_mouth_prior())
    avatar.interior = avatar.mouth.around.clone()
    return avatar


def used_motion(avatar: Avatar, arrays: dict) -> torch.Tensor:
    """A motion vector with random angles and all expressions that the file contains."""
    generator = torch.Generator().manual_seed(1)
    motion = avatar.motion.canonical().clone()
    motion[:NUM_POSE] += 0.2 * torch.randn(NUM_POSE, generator=generator)
    motion[FlameParams.JAW][0] = 0.3
    used = NUM_POSE + torch.from_numpy(arrays["rig.joint_basis_index"].astype(int))
    used = torch.cat([used, NUM_POSE + torch.from_numpy(arrays["rig.expression_basis_index"].astype(int))]).unique()
    motion[FlameParams.EXPRESSION] = 0
    motion[used] = 0.5 * torch.rand(len(used), generator=generator)
    return motion


def exported(avatar: Avatar, folder: Path) -> Path:
    """The avatar's folder without the libraries, which posing does not need."""
    from sage_ns.exchange.web.clip import make_clip
    from sage_ns.exchange.web.content import web_content
    from sage_ns.exchange.web.folder import write_folder
    from sage_ns.exchange.web.library import Library

    clip = make_clip(avatar.motion.recorded())
    write_folder(folder, web_content(avatar, clip, sh_degree=1), Library(None))
    return folder


def _avatar(rig: PersonalRig, params: FlameParams, num_surfels: int, look: Look) -> Avatar:
    generator = torch.Generator().manual_seed(0)
    motion = MotionSource(params, torch.arange(params.num_timesteps), 0)
    surfels = initialise_surfels(
        rig.head_model, rig.vertices(motion.canonical()), num_surfels, 1, [], 0.0, generator
    ).requires_grad_(False)
    facing = rig.frames(motion.canonical()).normal[surfels.triangle]
    surfels.sh_dc.copy_(0.4 / C0 * facing[:, None])
    surfels.sh_rest.copy_(0.1 * torch.randn(surfels.sh_rest.shape, generator=generator))
    surfels.opacity_logits.fill_(2.0)
    interior = torch.zeros(rig.head_model.num_triangles, dtype=torch.bool)
    return Avatar(rig, surfels, motion, interior, None, torch.ones(3), look)
