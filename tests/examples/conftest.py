"""One avatar file for all examples: few surfels on the built-in head, which names its expressions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.initialise import initialise_surfels
from sage_ns.avatar.interior import interior_triangles
from sage_ns.avatar.look import Look
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.motion.source import MotionSource
from sage_ns.rig import FlameParams
from sage_ns.synthetic.head import builtin_head


@pytest.fixture(scope="session")
def avatar_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    head = builtin_head()
    params = FlameParams.neutral(head)
    rig = PersonalRig(head, params)
    motion = MotionSource(params, torch.tensor([0]), 0)
    generator = torch.Generator().manual_seed(0)
    vertices = rig.vertices(motion.canonical())
    surfels = initialise_surfels(rig.head_model, vertices, 3000, 0, [], 0.5, generator)
    with torch.no_grad():
        surfels.sh_dc.uniform_(-1, 1, generator=generator)
    interior = interior_triangles(rig, motion.canonical(), [])
    path = tmp_path_factory.mktemp("avatar") / "avatar.npz"
    Avatar(rig, surfels, motion, interior, None, torch.ones(3), Look(supersampling=1)).save(path)
    return path
