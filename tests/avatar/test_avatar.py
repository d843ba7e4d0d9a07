"""Surfels on a personal rig: initialisation, placement, rebinding and loading from checkpoints."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sage_ns.avatar.growth.rebinding import carry_over, rebind_surfels
from sage_ns.avatar.initialise import carries_hair, initialise_surfels, surfel_reach
from sage_ns.avatar.interior import interior_shade, interior_triangles
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.capture.shot import Shot
from sage_ns.geometry.triangles import triangle_frames
from sage_ns.raster import PinholeCamera
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.synthetic.head import builtin_head
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar

CENTER = torch.tensor([0.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def head_model() -> HeadModel:
    return tiny_head_model()


def some_params(head_model: HeadModel) -> FlameParams:
    generator = torch.Generator().manual_seed(1)
    neutral = FlameParams.neutral(head_model)
    return replace(
        neutral,
        shape=0.5 * torch.randn(head_model.num_shape, generator=generator),
        expr=torch.randn(1, head_model.num_expression, generator=generator),
        jaw_pose=torch.tensor([[0.3, 0.0, 0.0]]),
        rotation=torch.tensor([[0.1, 0.4, -0.2]]),
        translation=torch.tensor([[0.01, 0.02, 0.03]]),
        static_offset=0.002 * torch.randn(head_model.num_vertices, 3, generator=generator),
    )


def front_view(value: float, width: int = 40, height: int = 50) -> Shot:
    """A camera 1 m in front of the head; the whole picture is foreground of one grey."""
    camera_to_world = torch.eye(4)
    camera_to_world[2, 3] = 1.0
    camera = PinholeCamera.from_opengl(camera_to_world, 150.0, 150.0, width / 2, height / 2, width, height)
    return Shot(camera, torch.full((height, width, 3), value), torch.ones(height, width, 1))


def start(head_model: HeadModel, views: list[Shot], hair_reach: float = 0.05, num: int = 500) -> BoundSurfels:
    vertices = head_model.v_template
    return initialise_surfels(head_model, vertices, num, 1, views, hair_reach, torch.Generator().manual_seed(0))


def test_personal_rig_poses_like_the_full_model(head_model: HeadModel) -> None:
    params = some_params(head_model)
    rig = PersonalRig(head_model, params)
    posed = rig.vertices(params.motion_vector()[0])
    torch.testing.assert_close(posed, pose_vertices(head_model, params)[0], rtol=0, atol=1e-6)


def test_personal_rig_comes_back_from_its_state(head_model: HeadModel) -> None:
    params = some_params(head_model)
    rig = PersonalRig(head_model, params)
    other = PersonalRig(head_model, FlameParams.neutral(head_model))
    _ = other.head_model  # decoded before loading; loading must replace it
    other.load_state_dict(rig.state_dict())
    motion = params.motion_vector()[0]
    torch.testing.assert_close(other.vertices(motion), rig.vertices(motion))
    assert other.head_model.regions.names == head_model.regions.names


def test_without_pictures_surfels_start_on_the_surface(head_model: HeadModel) -> None:
    surfels = start(head_model, [])
    frames = triangle_frames(head_model.v_template, head_model.triangles)
    # Local y is the distance from the triangle's plane.
    assert surfels.means[:, 1].abs().max() < 1e-4
    placed = surfels.place(frames, CENTER)
    normals = frames.normal[surfels.triangle]
    surfel_normals = rotated_z(placed.quaternions)
    torch.testing.assert_close((surfel_normals * normals).sum(-1), torch.ones(500), rtol=0, atol=1e-4)
    torch.testing.assert_close(placed.colors, torch.full((500, 3), 0.5), rtol=0, atol=1e-3)


def rotated_z(wxyz: torch.Tensor) -> torch.Tensor:
    w, x, y, z = wxyz.unbind(-1)
    return torch.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], dim=-1)


def test_hair_starts_inside_every_silhouette_and_only_where_hair_may_be(head_model: HeadModel) -> None:
    view = front_view(0.3)
    mask = torch.zeros_like(view.foreground)
    mask[10:40, 8:32] = 1.0
    narrow = replace(view, mask=mask)
    surfels = start(head_model, [narrow])
    frames = triangle_frames(head_model.v_template, head_model.triangles)
    placed = surfels.place(frames, CENTER)
    height = ((placed.means - frames.origin[surfels.triangle]) * frames.normal[surfels.triangle]).sum(-1)
    hair = carries_hair(head_model)[surfels.triangle]
    assert height[~hair].abs().max() < 1e-4
    assert height[hair].max() > 0.01
    lifted = placed.means[height > 1e-3]
    in_camera = lifted @ narrow.camera.T_camera_world[:3, :3].T + narrow.camera.T_camera_world[:3, 3]
    pixels = (in_camera @ narrow.camera.intrinsics.T)[:, :2] / in_camera[:, 2:]
    column, row = pixels.floor().long().unbind(-1)
    assert narrow.foreground[row, column].min() == 1.0


def test_colours_are_what_the_pictures_show(head_model: HeadModel) -> None:
    surfels = start(head_model, [front_view(0.3)])
    frames = triangle_frames(head_model.v_template, head_model.triangles)
    facing = frames.normal[surfels.triangle, 2] > 0.7
    colors = surfels.place(frames, CENTER).colors[facing]
    torch.testing.assert_close(colors, torch.full_like(colors, 0.3), rtol=0, atol=0.01)


def test_only_triangles_seen_from_inside_are_shaded(head_model: HeadModel) -> None:
    frames = triangle_frames(head_model.v_template, head_model.triangles)
    towards = torch.nn.functional.normalize(CENTER - frames.origin, dim=-1)
    facing = (frames.normal * towards).sum(-1)
    everywhere = torch.ones(len(facing), dtype=torch.bool)
    shade = interior_shade(everywhere, frames, CENTER)
    assert (shade[facing > -0.3] == 1.0).all()
    assert shade[facing < -0.6].max() < 0.1
    assert (interior_shade(~everywhere, frames, CENTER) == 1.0).all()


def test_the_back_of_the_head_is_seen_through_an_open_mouth_and_the_ears_are_not() -> None:
    head = builtin_head()
    neutral = FlameParams.neutral(head)
    camera_to_world = torch.eye(4)
    camera_to_world[2, 3] = 1.0
    camera = PinholeCamera.from_opengl(camera_to_world, 450.0, 450.0, 60.0, 75.0, 120, 150)
    interior = interior_triangles(PersonalRig(head, neutral), neutral.motion_vector()[0], [camera])
    centroids = head.v_template[head.triangles].mean(dim=1)
    assert (centroids[interior, 2] < -0.03).any()
    ears = head.regions.triangle_mask("left_ear", head.triangles)
    assert not (interior & ears).any()
    # Nothing but the mouth lets a camera in: without an opening jaw there is no interior to see.
    assert interior.float().mean() < 0.3


def test_reach_is_one_triangle_on_the_face_and_metres_in_the_hair(head_model: HeadModel) -> None:
    frames = triangle_frames(head_model.v_template, head_model.triangles)
    reach = surfel_reach(head_model, frames, 0.2)
    hair = carries_hair(head_model)
    assert (reach[~hair] == 1.0).all()
    torch.testing.assert_close(reach[hair] * frames.scale[hair], torch.full((int(hair.sum()),), 0.2))


def test_a_rigid_motion_of_the_head_moves_surfels_rigidly(head_model: HeadModel) -> None:
    surfels = start(head_model, [])
    rig = PersonalRig(head_model, FlameParams.neutral(head_model))
    neutral = FlameParams.neutral(head_model)
    moved = replace(neutral, rotation=torch.tensor([[0.2, -0.5, 0.1]]), translation=torch.tensor([[0.1, 0.0, 0.2]]))
    before = surfels.place(rig.frames(neutral.motion_vector()[0]), CENTER)
    after = surfels.place(rig.frames(moved.motion_vector()[0]), CENTER)
    # Distances between surfels, sizes and opacities are those of before.
    apart_before, apart_after = (
        torch.cdist(each.means, each.means, compute_mode="donot_use_mm_for_euclid_dist") for each in (before, after)
    )
    torch.testing.assert_close(apart_after, apart_before, rtol=0, atol=1e-6)
    torch.testing.assert_close(after.scales, before.scales, rtol=1e-4, atol=0)
    torch.testing.assert_close(after.opacities, before.opacities)


def test_rebinding_changes_the_triangle_but_not_the_surfel(head_model: HeadModel) -> None:
    surfels = start(head_model, [])
    with torch.no_grad():
        surfels.means.add_(2.0 * torch.randn(surfels.means.shape, generator=torch.Generator().manual_seed(3)))
        surfels.means[:, 1] = 0.0
    frames = triangle_frames(head_model.v_template, head_model.triangles)
    before, bound_before = surfels.place(frames, CENTER), surfels.triangle.clone()
    moved = rebind_surfels(surfels, head_model, head_model.v_template)
    after = surfels.place(frames, CENTER)
    assert 0 < moved.sum() < len(moved)
    assert ((surfels.triangle != bound_before) == moved).all()
    torch.testing.assert_close(after.means, before.means, rtol=0, atol=1e-6)
    torch.testing.assert_close(after.scales, before.scales, rtol=1e-4, atol=0)
    same = (after.quaternions * before.quaternions).sum(-1).abs()  # q and -q are one rotation
    torch.testing.assert_close(same, torch.ones_like(same), rtol=0, atol=1e-4)


def test_a_fringe_is_not_bound_to_the_lid_behind_it() -> None:
    head_model = builtin_head()
    frames = triangle_frames(head_model.v_template, head_model.triangles)
    surfels = start(head_model, [])
    lid = torch.nonzero(head_model.regions.triangle_mask("left_eye_region", head_model.triangles))[:, 0]
    hanging, lying = lid[:10], lid[-10:]
    with torch.no_grad():
        surfels.triangle[:10], surfels.triangle[10:20] = hanging, lying
        surfels.means[:20] = 0.0
        # local y is the normal; forward along it, and on the skin
        surfels.means[:10, 1] = 0.03 / frames.scale[hanging]
    before = surfels.centers(frames)
    rebind_surfels(surfels, head_model, head_model.v_template)
    assert carries_hair(head_model)[surfels.triangle[:10]].all()
    assert not carries_hair(head_model)[surfels.triangle[10:20]].any()
    torch.testing.assert_close(surfels.centers(frames), before, rtol=0, atol=1e-6)


def test_surfels_are_carried_over_to_a_rig_that_lies_elsewhere(head_model: HeadModel) -> None:
    surfels = start(head_model, [])
    with torch.no_grad():
        surfels.means.add_(torch.randn(surfels.means.shape, generator=torch.Generator().manual_seed(3)))
        surfels.quaternions.mul_(3.0)  # as Adam leaves them
    other = pose_vertices(head_model, replace(some_params(head_model), shape=torch.zeros(head_model.num_shape)))[0]
    frames, elsewhere = (triangle_frames(each, head_model.triangles) for each in (head_model.v_template, other))
    before, own = surfels.place(frames, CENTER), surfels.means.detach().clone()
    parameter, bound = surfels.means, surfels.triangle.clone()
    carry_over(surfels, frames, elsewhere)
    after = surfels.place(elsewhere, CENTER)
    assert (surfels.means.detach() - own).norm(dim=-1).max() > 0.1
    torch.testing.assert_close(after.means, before.means, rtol=0, atol=1e-6)
    torch.testing.assert_close(after.scales, before.scales, rtol=1e-4, atol=0)
    same = (after.quaternions * before.quaternions).sum(-1).abs() / before.quaternions.norm(dim=-1)
    torch.testing.assert_close(same / after.quaternions.norm(dim=-1), torch.ones(500), rtol=0, atol=1e-4)
    assert surfels.means is parameter and parameter.requires_grad and torch.equal(surfels.triangle, bound)
    carry_over(surfels, elsewhere, frames)
    torch.testing.assert_close(surfels.means.detach(), own, rtol=0, atol=2e-4)


def test_a_checkpoint_of_another_size_keeps_parameters_attached(head_model: HeadModel) -> None:
    stored, small = start(head_model, [], num=300), start(head_model, [], num=200)
    parameter = small.means
    small.load_state_dict(stored.state_dict())
    assert small.means is parameter and small.num_surfels == 300
    torch.testing.assert_close(small.means, stored.means)
    torch.testing.assert_close(small.triangle, stored.triangle)


def test_the_inside_is_dark_where_no_mouth_hides_it() -> None:
    avatar = tiny_avatar(builtin_head())
    avatar.interior = torch.ones_like(avatar.interior)
    motion, head = avatar.motion.canonical(), avatar.surfels.num_surfels

    def colors(**look: object) -> torch.Tensor:
        return avatar.place(CENTER, motion, replace(avatar.look, wrinkles=0.0, **look)).colors[:head].detach()  # type: ignore[arg-type]

    assert torch.equal(colors(), colors(dark_interior=False)), "the mouth's walls are before it"
    assert bool((colors(mouth=False) < colors(mouth=False, dark_interior=False)).any())
