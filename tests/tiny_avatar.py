"""A small avatar that was never trained, in bright colours: for tests of what is done with avatars."""

from __future__ import annotations

import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.initialise import initialise_surfels
from sage_ns.avatar.interior import interior_triangles
from sage_ns.avatar.look import Look
from sage_ns.avatar.mouth import Mouth, load_mouth_prior
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.motion.source import MotionSource
from sage_ns.rig import HeadModel
from tests.tiny_capture import tiny_motion


def tiny_avatar(head: HeadModel, num_surfels: int = 400) -> Avatar:
    """Random colours and some motion on ``head``; with a mouth unless the head is the tiny one."""
    params = tiny_motion(head, 4)
    motion = MotionSource(params, torch.tensor([0, 3, 4, 9]), 1)
    rig = PersonalRig(head, params)
    vertices = rig.vertices(motion.canonical())
    generator = torch.Generator().manual_seed(0)
    surfels = initialise_surfels(rig.head_model, vertices, num_surfels, 1, [], 0.08, generator)
    with torch.no_grad():
        surfels.sh_dc.uniform_(-1, 1, generator=generator)
        surfels.sh_rest.uniform_(-0.2, 0.2, generator=generator)
    interior = interior_triangles(rig, motion.canonical(), [])
    mouth = Mouth(rig.head_model, load_mouth_prior(), torch.tensor([0.3, 0.2, 0.1])) if head.num_vertices > 99 else None
    look = Look(supersampling=1, wrinkles=0.4, surfel_size=1.5)
    return Avatar(rig, surfels, motion, interior, mouth, torch.tensor([0.1, 0.5, 0.9]), look)
