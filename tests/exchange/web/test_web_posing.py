"""The page's own posing, run by node, compared with the rig's."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.interior import interior_shade
from sage_ns.avatar.mouth import part_shade, without_insides
from sage_ns.avatar.placement import place_surfels_torch
from sage_ns.exchange.web.rig_arrays import kept_vertices
from sage_ns.geometry.rotations import quaternion_to_matrix
from sage_ns.geometry.triangles import TriangleFrames
from sage_ns.rig import FlameParams
from tests.exchange.web.array_files import read_arrays
from tests.exchange.web.web_avatars import exported, tiny_avatar, used_motion

TENTH_OF_A_MILLIMETRE = 1e-4
HIDDEN, LINING = -1.0, -2.0
"""Values of the page's shade, see its interior.js."""
FPS = 25.0
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="needs node")


@dataclass(frozen=True)
class Posed:
    """One avatar at one moment, by Python and by the page."""

    avatar: Avatar
    motion: torch.Tensor
    center: torch.Tensor
    sliders: dict[str, float]
    header: dict
    vertices: np.ndarray
    frames: TriangleFrames
    shade: torch.Tensor
    vectors: torch.Tensor


def pose(avatar: Avatar, folder: Path, motion: torch.Tensor | None = None) -> Posed:
    page = exported(avatar, folder / "page")
    (folder / "package.json").write_text('{"type": "module"}')
    header, arrays = read_arrays((page / "avatar.bin").read_bytes())
    motion = used_motion(avatar, arrays) if motion is None else motion
    # From below and the side: some of the head's inside is in view.
    center = avatar.rig.vertices(motion).mean(dim=0) + torch.tensor([0.3, -0.5, 0.4])
    first, *_, last = (slider["name"] for slider in header["sliders"])
    sliders = {first: -0.25, last: 0.5}
    request = {"motion": motion.tolist(), "center": center.tolist(), "sliders": sliders, "seconds": 1.5 / FPS}
    (folder / "request.json").write_text(json.dumps(request))
    script = Path(__file__).with_name("pose.mjs")
    subprocess.run([str(NODE), str(script), str(page), str(folder / "request.json"), str(folder / "out")], check=True)
    read = {name: np.fromfile(folder / f"out.{name}", "<f4") for name in ("vertices", "frames", "shade", "vectors")}
    frames = torch.from_numpy(read["frames"]).reshape(-1, 8)
    return Posed(
        avatar=avatar,
        motion=motion,
        center=center,
        sliders=sliders,
        header=header,
        vertices=read["vertices"].reshape(-1, 3),
        frames=TriangleFrames(frames[:, :3], quaternion_to_matrix(frames[:, 4:]), frames[:, 3]),
        shade=torch.from_numpy(read["shade"]),
        vectors=torch.from_numpy(read["vectors"]).reshape(3, -1),
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Posed:
    return pose(tiny_avatar(), tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def builtin(builtin_head_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Posed:
    return pose(builtin_head_avatar, tmp_path_factory.mktemp("builtin"))


@pytest.fixture(params=["tiny", "builtin"])
def posed(request: pytest.FixtureRequest) -> Posed:
    return request.getfixturevalue(request.param)


def head(posed: Posed) -> TriangleFrames:
    return posed.frames[torch.arange(posed.avatar.rig.head_model.num_triangles)]


def test_vertices(posed: Posed) -> None:
    expected = posed.avatar.rig.vertices(posed.motion)
    at_rest = posed.avatar.rig.vertices(posed.avatar.motion.canonical())
    assert (expected - at_rest).norm(dim=-1).max() > 0.01
    # One vertex of the tiny head belongs to no triangle and is left out.
    kept = kept_vertices(posed.avatar.rig.head_model)
    assert np.abs(posed.vertices - expected.numpy()[kept]).max() < TENTH_OF_A_MILLIMETRE / 20


def test_surfels(posed: Posed) -> None:
    surfels = posed.avatar.surfels
    local = (surfels.means, surfels.quaternions, surfels.log_scales, surfels.opacity_logits, surfels.triangle)
    expected = place_surfels_torch(*local, posed.avatar.rig.frames(posed.motion))
    found = place_surfels_torch(*local, head(posed))
    assert (found[0] - expected[0]).abs().max() < TENTH_OF_A_MILLIMETRE
    assert (found[1] * expected[1]).sum(dim=-1).abs().min() > 1 - 1e-5
    torch.testing.assert_close(found[2], expected[2], atol=1e-6, rtol=1e-4)


def test_mouth(builtin: Posed) -> None:
    mouth = builtin.avatar.mouth
    assert mouth is not None
    first = builtin.avatar.rig.head_model.num_triangles
    expected = mouth.rig.frames(builtin.motion)
    found = builtin.frames[torch.arange(first, first + len(expected.scale))]
    assert (found.origin - expected.origin).abs().max() < TENTH_OF_A_MILLIMETRE
    assert (found.rotation - expected.rotation).abs().max() < 1e-3
    vertices = mouth.rig.vertices(builtin.motion)
    shade = part_shade(mouth.rig.head_model, vertices, mouth.openings, mouth.shade)
    torch.testing.assert_close(builtin.shade[first : first + len(shade)], shade, atol=1e-5, rtol=0)


def test_the_light_in_the_mouth_follows_the_lips_and_not_the_jaw(builtin_head_avatar: Avatar, tmp_path: Path) -> None:
    mouth, names = builtin_head_avatar.mouth, builtin_head_avatar.rig.head_model.expression_names
    assert mouth is not None
    closed = builtin_head_avatar.neutral().motion_vector()[0]
    parted = closed.clone()
    parted[FlameParams.EXPRESSION][names.index("lips_part")] = 0.5

    def shade(motion: torch.Tensor) -> torch.Tensor:
        return part_shade(mouth.rig.head_model, mouth.rig.vertices(motion), mouth.openings, mouth.shade)

    assert (shade(parted) - shade(closed)).abs().max() > 0.02
    first = builtin_head_avatar.rig.head_model.num_triangles
    found = pose(builtin_head_avatar, tmp_path, parted).shade[first : first + len(shade(parted))]
    torch.testing.assert_close(found, shade(parted), atol=2e-3, rtol=0)


def test_inside_of_the_head(builtin: Posed) -> None:
    avatar = builtin.avatar
    assert avatar.mouth is not None
    frames = avatar.rig.frames(builtin.motion)
    placed = avatar.surfels.place(frames, builtin.center)
    unseen = avatar.interior & avatar.mouth.around
    middle = avatar.mouth.middle(builtin.motion)
    left = without_insides(placed, avatar.surfels.triangle, unseen, frames, builtin.center, middle)
    drawn, lining = left.opacities > 0, (left.colors != placed.colors).any(dim=1)
    shade = builtin.shade[avatar.surfels.triangle]
    assert bool((~drawn).any()) and bool(lining.any())
    assert torch.equal(shade == HIDDEN, ~drawn)
    assert torch.equal(shade == LINING, lining)
    plain = drawn & ~lining
    expected = interior_shade(avatar.interior, frames, builtin.center)[avatar.surfels.triangle]
    torch.testing.assert_close(shade[plain], expected[plain], atol=1e-4, rtol=0)


def test_motion_is_neutral_then_what_sliders_add_then_the_clip(posed: Posed) -> None:
    neutral, moved, played = posed.vectors
    expected = posed.avatar.neutral().motion_vector()[0]
    torch.testing.assert_close(neutral, expected)
    for slider in posed.header["sliders"]:
        value = posed.sliders.get(slider["name"], 0.0)
        for entry, weight in slider["up"] if value > 0 else slider["down"]:
            expected[entry] += abs(value) * weight
    torch.testing.assert_close(moved, expected)
    rows = posed.avatar.motion.motion
    torch.testing.assert_close(played, (rows[1] + rows[2]) / 2)
